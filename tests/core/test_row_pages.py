"""Rows are read so that nobody waits for what is done with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from table_shapes import SHAPES, fill

from datasette_ftclassify.checks import run_checks
from datasette_ftclassify.core import examples
from datasette_ftclassify.core.database import connect, relation
from datasette_ftclassify.core.errors import SourceError
from datasette_ftclassify.core.examples import Record, read_records, read_rows
from datasette_ftclassify.core.task import define
from datasette_ftclassify.export import ExportFormat
from datasette_ftclassify.jobs.export import export_task


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t.db"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("page", [1, 5, 95, 96])
@pytest.mark.parametrize("where", [None, "label = :label", "0"])
def test_each_row_is_read_once_in_order(
    path: Path, shape: str, page: int, where: str | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(examples, "PAGE", page)
    fill(path, shape)
    params = {"label": "a"} if where == "label = :label" else {}
    with closing(connect(path)) as conn:
        for name in ("t", "v"):
            source = relation(conn, name)
            sql = f"select text from {name} where {where or 1}"
            if source.cursor:
                sql += f" order by {', '.join(source.cursor)}"
            read = list(read_rows(conn, source, ["text"], where, params))
            assert read == conn.execute(sql, params).fetchall()


def test_a_condition_that_does_not_run_is_said(path: Path):
    fill(path, "no key")
    with closing(connect(path)) as conn, pytest.raises(SourceError, match="condition does not run"):
        list(read_rows(conn, relation(conn, "t"), ["text"], "nothing > 1"))


class Writer:
    """Somebody else, who commits whenever we are at work on what we have read, without waiting."""

    def __init__(self, path: Path) -> None:
        self.conn = sqlite3.connect(path, timeout=0, isolation_level=None)
        self.conn.execute("create table theirs (n)")
        self.commits = 0

    def commit(self) -> None:
        self.conn.execute("insert into theirs values (1)")  # "database is locked", while one reads
        self.commits += 1


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    fill(path, "integer key", 3_000)
    writer = Writer(path)
    yield writer
    writer.conn.close()


@pytest.mark.parametrize("source", ["t", "v"])
def test_others_commit_between_two_rows(path: Path, writer: Writer, source: str):
    with closing(connect(path)) as conn:
        task = define(conn, source, text=["text"], labels=["label"])
        for number, _ in enumerate(read_records(conn, task)):
            if number % 100 == 0:
                writer.commit()
    assert writer.commits == 30


@pytest.mark.parametrize("source", ["t", "v"])
def test_others_commit_while_rows_are_checked_and_exported(
    path: Path, writer: Writer, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """At the moment that a row is made into a text, which is where the time goes."""
    real = Record.__init__

    def meanwhile(record: Record, *arguments: object, **named: object) -> None:
        real(record, *arguments, **named)
        if writer.commits < 50:
            writer.commit()

    monkeypatch.setattr(Record, "__init__", meanwhile)
    with closing(connect(path)) as conn:
        task = define(conn, source, text=["text"], labels=["label"])
        assert run_checks(conn, task, deep=False).rows["usable"] == 3_000
        assert writer.commits == 50
        writer.commits = 0
        export_task(conn, task, ExportFormat(), tmp_path / "out")
    assert writer.commits == 50
