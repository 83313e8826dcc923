"""Cells written as SQL, in conditions that are stored and that people are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .database import Cell, Key, quote, quote_all, quote_text


def literal(cell: Cell) -> str | None:
    """A cell as SQL; None for what has no simple form (NULL, long reals, NUL, bad UTF-8)."""
    if isinstance(cell, str):
        plain = "\0" not in cell and "\ufffd" not in cell
        return quote_text(cell) if plain else None
    if isinstance(cell, bytes):
        return f"X'{cell.hex()}'"
    if cell is None or (isinstance(cell, float) and not _is_short(cell)):
        return None
    return repr(cell)


def _is_short(number: float) -> bool:
    """Whether SQLite very likely reads the number back as it was: it may round the last bit."""
    return number == 0 or (1e-3 < abs(number) < 1e6 and len(repr(abs(number))) <= 8)


def in_list(column: str, cells: Iterable[Cell]) -> str | None:
    """`"column" in (…)`; None when a cell cannot be written."""
    literals = [literal(cell) for cell in cells]
    written = [text for text in literals if text is not None]
    if not written or len(written) < len(literals):
        return None
    return f"{quote(column)} in ({', '.join(written)})"


def of_keys(identity: Sequence[str], keys: Sequence[Key]) -> str | None:
    """A condition for the rows with these keys; None without columns that identify a row, or when
    a key cannot be written."""
    if not identity or not keys:
        return None
    if len(identity) == 1:
        return in_list(identity[0], [key[0] for key in keys])
    tuples = []
    for key in keys:
        cells = [literal(cell) for cell in key]
        if None in cells:
            return None
        tuples.append(f"({', '.join(map(str, cells))})")
    return f"({quote_all(identity)}) in (values {', '.join(tuples)})"
