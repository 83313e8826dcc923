"""Cells of our tables, of which a file may hold any size."""

from __future__ import annotations

from ..core.untrusted_json import MOST_BYTES


def at_most(column: str, most: int = MOST_BYTES) -> str:
    """SQL for the cell, or for just as much of it as shows that it is too long."""
    return f"substr({column}, 1, {most + 1})"


def fits(column: str, most: int) -> str:
    """SQL for whether the cell has that many bytes at most. `length` of a text ends at its first
    NUL, behind which there may be any number of characters."""
    return f"length(cast({column} as blob)) <= {most}"
