"""Files of rows, read in batches and written again with more columns. Nothing else in them
changes, and no more than a batch of CSV or JSON lines, or a row group of Parquet, is in memory."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol

from ...core.database import Cell
from ...core.errors import PredictError, SourceError

BATCH = 1_000
"""Rows that are answered at once."""

PART_ROWS = 500_000
"""Rows of a part of a Parquet file, about; a row group is in one part. Some minutes of work are
lost at most, and a file is made by several processes."""

_LONGEST_CELL = 2**31 - 1
_BLOCK = 1 << 20

Answer = Callable[[Sequence[tuple[Cell, ...]]], list[list[Any]]]
"""From the text cells of rows to the cells that are added to each."""


@dataclass(frozen=True)
class Added:
    """Columns that are added: their names, and of each whether it holds texts (str), whole numbers
    (int) or others (float)."""

    names: tuple[str, ...]
    types: tuple[type, ...]


@dataclass(frozen=True)
class Span:
    """A part of a file. row_groups: of Parquet; None: all. rows: None: only reading it tells."""

    row_groups: tuple[int, ...] | None = None
    rows: int | None = None


class Format(Protocol):
    """All methods raise SourceError for a file that cannot be read."""

    def spans(self, path: Path) -> list[Span]:
        """The parts of a file, one at least."""

    def check(self, path: Path, text: Sequence[str], added: Added) -> None:
        """Raises SourceError for a file without the text columns, PredictError for one that has a
        column already that is to be added."""

    def count(self, path: Path) -> int:
        """The rows of a file, about: for whoever waits."""

    def rewrite(
        self, path: Path, span: Span, target: Path, text: Sequence[str], added: Added,
        answer: Answer,
    ) -> int:  # fmt: skip
        """Writes the rows of a part with the columns added; how many."""


def format_of(path: Path) -> Format:
    """By the file's name. Raises SourceError."""
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise SourceError(f"{path} is of no kind that is read: {', '.join(FORMATS)}.")
    return found


def find_columns(path: Path, names: Sequence[str], text: Sequence[str]) -> list[int]:
    """The places of the text columns. As in SQLite, small and capital letters are one, unless a
    name is there as it is. Raises SourceError."""
    places = []
    for column in text:
        exact = [i for i, name in enumerate(names) if name == column]
        found = exact or [i for i, name in enumerate(names) if name.lower() == column.lower()]
        if len(found) != 1:
            what = "has no column" if not found else "has more than one column"
            shown = ", ".join(names[:20]) or "no columns"
            raise SourceError(f"{path} {what} {column}: it has {shown}.", fields=("text",))
        places += found
    return places


def _check_added(path: Path, names: Iterable[str], added: Added) -> None:
    there = {name.lower() for name in names}
    taken = [name for name in added.names if name.lower() in there]
    if taken:
        raise PredictError(
            f"{path} has a column {taken[0]} already: choose another prefix.",
            fields=("columns_prefix",),
        )


class Parquet:
    """By row groups; columns of any type go along, compressed as they were."""

    def spans(self, path: Path) -> list[Span]:
        with self._open(path) as file:
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        found: list[Span] = []
        first = rows = 0
        for i, size in enumerate(sizes):
            if i > first and rows + size > PART_ROWS:
                found.append(Span(tuple(range(first, i)), rows))
                first, rows = i, 0
            rows += size
        return [*found, Span(tuple(range(first, len(sizes))), rows)]

    def check(self, path: Path, text: Sequence[str], added: Added) -> None:
        import pyarrow

        with self._open(path) as file:
            schema = file.schema_arrow
        _check_added(path, schema.names, added)
        for place in find_columns(path, schema.names, text):
            kind = schema.field(place).type
            kind = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
            if not any(test(kind) for test in _text_types(pyarrow.types)):
                raise SourceError(
                    f"Column {schema.names[place]} of {path} is of type {kind}, and no text: "
                    "cast it to text first.",
                    fields=("text",),
                )

    def count(self, path: Path) -> int:
        with self._open(path) as file:
            return int(file.metadata.num_rows)

    def rewrite(
        self, path: Path, span: Span, target: Path, text: Sequence[str], added: Added,
        answer: Answer,
    ) -> int:  # fmt: skip
        import pyarrow
        import pyarrow.parquet

        types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
        with self._open(path) as file:
            places = find_columns(path, file.schema_arrow.names, text)
            schema, codec = file.schema_arrow, "snappy"
            if file.num_row_groups and file.metadata.num_columns:
                codec = file.metadata.row_group(0).column(0).compression
            for name, kind in zip(added.names, added.types, strict=True):
                schema = schema.append(pyarrow.field(name, types[kind]))
            codec = "none" if codec == "UNCOMPRESSED" else codec
            with pyarrow.parquet.ParquetWriter(target, schema, compression=codec) as writer:
                held: list[Any] = []
                rows = 0
                for batch in file.iter_batches(BATCH, row_groups=list(span.row_groups or ())):
                    cells = [batch.column(place).to_pylist() for place in places]
                    columns = zip(*answer(list(zip(*cells, strict=True))), strict=True)
                    more = [
                        pyarrow.array(column, types[kind])
                        for column, kind in zip(columns, added.types, strict=True)
                    ]
                    held.append(
                        pyarrow.RecordBatch.from_arrays([*batch.columns, *more], schema=schema)
                    )
                    rows += batch.num_rows
                    if sum(b.num_rows for b in held) >= 64 * BATCH or (
                        sum(b.nbytes for b in held) >= 64 * _BLOCK
                    ):
                        self._write(writer, held, schema)
                        held = []
                self._write(writer, held, schema)
        return rows

    @staticmethod
    def _write(writer: Any, batches: list[Any], schema: Any) -> None:
        """A row group."""
        import pyarrow

        if batches:
            writer.write_table(pyarrow.Table.from_batches(batches, schema))

    @staticmethod
    @contextmanager
    def _open(path: Path) -> Iterator[Any]:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise SourceError(
                f"Reading {path} takes pyarrow: pip install 'datasette-ftclassify[files]'."
            ) from None
        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                yield file
        except (pyarrow.ArrowException, UnicodeDecodeError) as error:
            raise SourceError(f"{path} cannot be read as Parquet: {error}.") from error


def _text_types(types: Any) -> Iterator[Callable[[Any], bool]]:
    for name in ("string", "large_string", "string_view", "integer", "floating", "null"):
        test = getattr(types, f"is_{name}", None)  # older ones have no views
        if test is not None:
            yield test


class _Lines:
    """A file of text, which only reading divides."""

    def spans(self, path: Path) -> list[Span]:
        return [Span()]

    def count(self, path: Path) -> int:
        with path.open("rb") as file:
            blocks = iter(lambda: file.read(_BLOCK), b"")
            return sum(block.count(b"\n") for block in blocks)

    @staticmethod
    @contextmanager
    def _open(path: Path) -> Iterator[IO[str]]:
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                yield file
        except UnicodeDecodeError as error:
            raise SourceError(f"{path} is not UTF-8 ({error.reason}): convert it.") from error


class Csv(_Lines):
    """With a header; every cell stays the text that it is.

    delimiters: the one is taken by which the header has the text columns
    """

    def __init__(self, *delimiters: str) -> None:
        self._delimiters = delimiters

    def check(self, path: Path, text: Sequence[str], added: Added) -> None:
        with self._open(path) as file:
            names = self._header(path, self._reader(file, self._delimiter(path, text)))
        _check_added(path, names, added)
        find_columns(path, names, text)

    def _delimiter(self, path: Path, text: Sequence[str]) -> str:
        """The first one where none fits."""
        for delimiter in self._delimiters:
            with suppress(SourceError), self._open(path) as file:
                find_columns(path, self._header(path, self._reader(file, delimiter)), text)
                return delimiter
        return self._delimiters[0]

    def rewrite(
        self, path: Path, span: Span, target: Path, text: Sequence[str], added: Added,
        answer: Answer,
    ) -> int:  # fmt: skip
        delimiter = self._delimiter(path, text)
        with self._open(path) as file, target.open("w", encoding="utf-8", newline="") as out:
            reader = self._reader(file, delimiter)
            names = self._header(path, reader)
            places = find_columns(path, names, text)
            writer = csv.writer(_RowEnds(out), delimiter=delimiter, lineterminator="\r\n")
            writer.writerow([*names, *added.names])
            rows = 0
            for batch in _batches(self._rows(path, reader, len(names))):
                answers = answer([tuple(row[place] for place in places) for row in batch])
                writer.writerows([*r, *a] for r, a in zip(batch, answers, strict=True))
                rows += len(batch)
        return rows

    @staticmethod
    def _reader(file: IO[str], delimiter: str) -> Any:
        csv.field_size_limit(_LONGEST_CELL)
        return csv.reader(file, delimiter=delimiter, strict=True)

    @staticmethod
    def _header(path: Path, reader: Any) -> list[str]:
        try:
            return list(next(reader, []))
        except csv.Error as error:
            raise SourceError(f"{path}, line {reader.line_num}: {error}.") from error

    @staticmethod
    def _rows(path: Path, reader: Any, width: int) -> Iterator[list[str]]:
        try:
            for row in reader:
                if not row and width > 1:
                    continue  # an empty line, which is the empty cell of a row of one
                if len(row) != width and row:
                    raise SourceError(
                        f"{path}, line {reader.line_num}: {len(row)} cells, and {width} in the "
                        "header."
                    )
                yield row or [""]
        except csv.Error as error:
            raise SourceError(f"{path}, line {reader.line_num}: {error}.") from error


class _RowEnds:
    """Ends each row with a line feed alone. Told so, Python before 3.13 leaves a carriage return in
    a cell without quotes, where it reads as the end of the row."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, row: str) -> int:
        return self._file.write(f"{row[:-2]}\n")


class JsonLines(_Lines):
    """An object a line, to whose end the columns are written: the rest stays as it is."""

    def check(self, path: Path, text: Sequence[str], added: Added) -> None:
        for _, row in self._rows(path):
            _check_added(path, row, added)
            return

    def rewrite(
        self, path: Path, span: Span, target: Path, text: Sequence[str], added: Added,
        answer: Answer,
    ) -> int:  # fmt: skip
        rows = 0
        unseen = set(text)
        with target.open("w", encoding="utf-8", newline="") as out:
            for batch in _batches(self._rows(path)):
                cells = [tuple(self._cell(path, row, name) for name in text) for _, row in batch]
                for (line, row), values in zip(batch, answer(cells), strict=True):
                    _check_added(path, row, added)
                    unseen.difference_update(row)
                    more = dict(zip(added.names, map(_json_safe, values), strict=True))
                    said = json.dumps(more, ensure_ascii=False)[1:]
                    out.write(f"{line[:-1].rstrip()}{', ' if row else ''}{said}\n")
                rows += len(batch)
        if rows and unseen:
            raise SourceError(f"No object of {path} has {min(unseen)}.", fields=("text",))
        return rows

    @staticmethod
    def _cell(path: Path, row: dict[str, Any], name: str) -> Cell:
        """Of an object that may lack it: that is NULL, as it is in other objects that leave out
        what is NULL."""
        value = row.get(name)
        if value is None or isinstance(value, str) or type(value) in (int, float):
            return value
        raise SourceError(
            f"{name} of an object of {path} is of type {type(value).__name__}, and no text.",
            fields=("text",),
        )

    def _rows(self, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        with self._open(path) as file:
            for number, line in enumerate(file, 1):
                line = line.strip()
                if not line:
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise SourceError(f"{path}, line {number}: {error}.") from error
                if not isinstance(row, dict):
                    raise SourceError(f"{path}, line {number}: no JSON object.")
                yield line, row


def _json_safe(value: Any) -> Any:
    """JSON has no infinity, which is the logarithm of a probability of 0."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(islice(rows, BATCH)):
        yield batch


FORMATS: dict[str, Format] = {
    ".parquet": Parquet(), ".csv": Csv(",", ";", "\t"), ".tsv": Csv("\t"), ".jsonl": JsonLines(),
    ".ndjson": JsonLines(),
}  # fmt: skip
"""By the suffix of a file's name."""
