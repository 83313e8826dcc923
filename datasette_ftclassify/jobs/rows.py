"""The rows of a table that a classifier is to answer about, in an order that SQLite guarantees.

Rows are taken by the rowid, or by the primary key of a WITHOUT ROWID table: so a job can go on
after the last row that it wrote.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.database import (
    Cell,
    Key,
    Params,
    Relation,
    condition,
    count,
    quote,
    quote_all,
    relation,
    stored_key,
    unpacked,
)
from ..core.errors import PredictError, SourceError
from ..core.humanize import key_list
from ..core.sqlite_errors import SQLITE_ERRORS, SQLITE_WARNINGS
from ..store.classifiers import Classifier
from .fingerprints import Age, Fingerprints

Batch = list[tuple[tuple[Cell, ...], str | None]]
"""Rows as (key, text); the text is None where there is none to classify."""

_MOST_READ = 1_000
"""Rows that are read at once."""


@dataclass(frozen=True)
class AnswersOf:
    """Which rows are meant by the answers that they have.

    ages:   of these; empty: none, where all are to be looked at
    column: that the fingerprint is in; others: that the rest of an answer is in
    """

    fingerprints: Fingerprints
    ages: frozenset[Age]
    column: str
    others: tuple[str, ...]

    def sql(self, target: Relation) -> str:
        """Two expressions: the fingerprint, and whether there is an answer. The columns may be
        still to come."""
        table = quote(target.name)
        there = [f"{table}.{quote(name)} is not null" for name in self.others
                 if target.column(name) is not None]  # fmt: skip
        column = target.column(self.column)
        found = "null" if column is None else f"{table}.{quote(column)}"
        return f"{found}, {' or '.join(there) or '0'}"


def find_target(conn: sqlite3.Connection, classifier: Classifier, table: str) -> Relation:
    """The table to write to. Raises PredictError when it cannot be written, SourceError when it
    lacks what the classifier reads."""
    target = relation(conn, table)
    if target.is_view:
        raise PredictError(
            f"{target.name} is a view and has no columns of its own to write: predict into the "
            "table behind it, or use ft_classify() in the view."
        )
    if target.is_virtual:
        raise PredictError(
            f"{target.name} is a virtual table, such as one of full text, and can have no more "
            "columns: predict into the table that it is made of, or into a copy of it (create "
            f"table copied as select * from {quote(target.name)}), or use ft_classify() in a query."
        )
    if not target.cursor:
        raise PredictError(
            f"Table {target.name} has no primary key and columns called rowid, _rowid_ and oid, "
            "so its rows cannot be told apart: rename one of those columns."
        )
    try:
        target.require_columns(classifier.task.text)
    except SourceError as error:
        raise SourceError(
            f"{classifier.title} reads {', '.join(classifier.task.text)}: {error}"
        ) from error
    return target


class Rows:
    """The rows to classify, a batch at a time, in the order of the table's cursor."""

    def __init__(
        self,
        target: Relation,
        classifier: Classifier,
        where: str | None,
        params: Params,
        unlabelled: bool,
        only: AnswersOf | None = None,
    ) -> None:
        self.only = only
        self.passed: tuple[Cell, ...] | None = None
        """The last row that was looked at, where the ones after the last that was taken were left
        out."""
        self.params = dict(params)
        # With the table's name: a column that is gone would otherwise be read as a text.
        own = self._own = quote(target.name)
        conditions = [condition(where)]
        if unlabelled:
            conditions.append(_is_unlabelled(target, classifier))
        self._from = f"from {own} where {' and '.join(conditions)}"
        self._keys = ", ".join(f"{own}.{quote(name)}" for name in target.cursor)
        self._descending = ", ".join(f"{own}.{quote(name)} desc" for name in target.cursor)
        self._marks = ", ".join(f":_ft_{i}" for i in range(len(target.cursor)))
        texts = [f"{own}.{quote(name)}" for name in classifier.task.text]
        self._text = ", ".join(texts)
        self._n_texts = len(texts)
        self._answer = "" if only is None else f", {only.sql(target)}"
        self._n_keys = len(target.cursor)
        self._last: tuple[Cell, ...] | None = None
        self._render = classifier.task.renderer()

    def count(self, conn: sqlite3.Connection) -> int:
        """Raises SourceError when the condition does not run."""
        if self.only is not None:
            return sum(len(batch) for batch in self.every(conn))
        try:
            return count(conn, f"select count(*) {self._from}", self.params)
        except (*SQLITE_ERRORS, *SQLITE_WARNINGS) as error:
            raise SourceError(f"The condition does not run: {error}.") from error

    def end_at_the_last(self, conn: sqlite3.Connection) -> None:
        """Leaves out rows that come to stand behind the one that is the last now."""
        sql = f"select {self._keys} from {self._own} order by {self._descending} limit 1"
        row = conn.execute(sql).fetchone()
        self._last = None if row is None else tuple(row)

    def after(self, conn: sqlite3.Connection, position: Sequence[Any] | None, most: int) -> Batch:
        """The next rows after a job's position, or the first ones.

        Raises PredictError for a key that cannot be found again: a text that is no UTF-8, read with
        signs for what is wrong in it, is not the one that is there.
        """
        while True:
            read = self._read(conn, position, most)
            ages = None if self.only is None else self.only.ages
            batch = [(key, text) for key, text, age in read if ages is None or age in ages]
            if batch:
                self.passed = None
            if batch or not read:
                break
            self.passed = read[-1][0]
            position = stored_key(self.passed)
        for row_key, _ in batch:
            # What `decode` writes for bytes that are no UTF-8.
            has_signs = any(isinstance(cell, str) and "\ufffd" in cell for cell in row_key)
            if has_signs and self._find(conn, row_key) is None:
                raise PredictError(
                    f"The row with the key {key_list([row_key])} cannot be found again, since its "
                    "key is not valid UTF-8: fix the key, or leave the row out.",
                    fields=("where",),
                )
        return batch

    def every(self, conn: sqlite3.Connection) -> Iterator[Batch]:
        """All rows that are meant, in batches."""
        position = None
        while batch := self.after(conn, position, _MOST_READ):
            yield batch
            position = stored_key(batch[-1][0])

    def ages(
        self, conn: sqlite3.Connection, position: Sequence[Any] | None = None
    ) -> Iterator[list[tuple[tuple[Cell, ...], str | None, Age]]]:
        """All rows after a position in batches, each with the age of its answer."""
        while read := self._read(conn, position, _MOST_READ):
            yield read
            position = stored_key(read[-1][0])

    def _read(
        self, conn: sqlite3.Connection, position: Sequence[Any] | None, most: int
    ) -> list[tuple[tuple[Cell, ...], str | None, Age]]:
        later, marks = self._later(position)
        if self._last is not None:
            ends = {f"_ft_last_{i}": value for i, value in enumerate(self._last)}
            later += f" and ({self._keys}) <= ({', '.join(f':{name}' for name in ends)})"
            marks |= ends
        found = conn.execute(
            f"select {self._keys}, {self._text}{self._answer} {self._from}{later}"
            f" order by {self._keys} limit {most}",
            {**self.params, **marks},
        ).fetchall()  # read before anything is done with it: nobody waits for that
        n, end = self._n_keys, self._n_keys + self._n_texts
        read: list[tuple[tuple[Cell, ...], str | None, Age]] = []
        for row in found:
            text = self._render(row[n:end]).text
            age: Age = "none"
            if self.only is not None:
                age = self.only.fingerprints.age(row[end], text, bool(row[end + 1]))
            read.append((tuple(row[:n]), text, age))
        return read

    def has_more(self, conn: sqlite3.Connection, position: Sequence[Any] | None) -> bool:
        """Whether there are rows after a job's position. Reads no cell but their keys."""
        later, marks = self._later(position)
        sql = f"select 1 {self._from}{later} limit 1"
        return conn.execute(sql, {**self.params, **marks}).fetchone() is not None

    def _later(self, position: Sequence[Any] | None) -> tuple[str, dict[str, Cell]]:
        """A condition for the rows after a position, to be added to others, and its parameters."""
        if position is None:
            return "", {}
        marks = {f"_ft_{i}": unpacked(value) for i, value in enumerate(position[: self._n_keys])}
        return f" and ({self._keys}) > ({self._marks})", marks

    def changed(self, conn: sqlite3.Connection, batch: Batch) -> set[int]:
        """Positions of rows whose text is another one than when they were read: somebody has edited
        it, or put another row in the place."""
        found = ((self._find(conn, key), text) for key, text in batch)
        return {i for i, (row, text) in enumerate(found) if row and self._render(row).text != text}

    def _find(self, conn: sqlite3.Connection, key: tuple[Cell, ...]) -> tuple[Cell, ...] | None:
        """The cells of a row's text."""
        marks = ", ".join("?" * self._n_keys)
        sql = f"select {self._text} from {self._own} where ({self._keys}) = ({marks})"
        row = conn.execute(sql, key).fetchone()
        return None if row is None else tuple(row)

    def sample(
        self, conn: sqlite3.Connection, most: int, characters: int | None = None
    ) -> list[str | None]:
        """The texts of all rows, or of so many drawn at random; no more of them than have so many
        characters together. None for a row without one."""
        if self.only is not None:
            return self._sample_of_some(conn, most, characters)
        cursor = conn.execute(
            f"select {self._text} {self._from} order by random() limit {most}", self.params
        )
        texts: list[str | None] = []
        room = math.inf if characters is None else characters
        while room >= 0 and (rows := cursor.fetchmany(100)):
            for row in rows:
                text = self._render(tuple(row)).text
                texts.append(text)
                room -= len(text or "")
        cursor.close()
        return texts

    def _sample_of_some(
        self, conn: sqlite3.Connection, most: int, characters: int | None
    ) -> list[str | None]:
        """Of rows that only their answers tell: the first ones, as they cost a reading each."""
        texts: list[str | None] = []
        room = math.inf if characters is None else characters
        for batch in self.every(conn):
            for _, text in batch:
                texts.append(text)
                room -= len(text or "")
                if room < 0 or len(texts) == most:
                    return texts
        return texts


def _is_unlabelled(target: Relation, classifier: Classifier) -> str:
    target.require_columns(classifier.task.labels)
    return classifier.task.unlabelled_sql(target.name)


def keys_of(
    conn: sqlite3.Connection, target: Relation, positions: Iterable[Key]
) -> list[Key | None]:
    """The key that people know a row by (`Relation.identity`) for each position of the table's
    cursor; None for a row that is gone."""
    if target.identity == target.cursor:
        return list(positions)
    where = " and ".join(f"{quote(name)} = ?" for name in target.cursor)
    sql = f"select {quote_all(target.identity)} from {quote(target.name)} where {where}"
    rows = (conn.execute(sql, position).fetchone() for position in positions)
    return [None if row is None else tuple(row) for row in rows]


def count_unlabelled(conn: sqlite3.Connection, classifier: Classifier) -> int:
    """Rows of the classifier's own source that it could label."""
    source = relation(conn, classifier.task.source)
    where = f"{condition(classifier.task.where)} and {_is_unlabelled(source, classifier)}"
    sql = f"select count(*) from {quote(source.name)} where {where}"
    return count(conn, sql, dict(classifier.task.params))
