"""Stored answers in a file that somebody else has made: of any type and size."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from datasette_ftclassify.store.answers import (
    MOST_RAW,
    CachedAnswer,
    find_answers,
    input_key,
    keep_answers,
)
from datasette_ftclassify.store.schema import ensure_schema

KEY = input_key("the lamp flickers")


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as conn:
        ensure_schema(conn)
        conn.execute("pragma foreign_keys = off")
        keep_answers(conn, 1, {KEY: CachedAnswer(("a",), "exact", None, "a", (-0.1, -2.0), 0.01)})
        yield conn


def found(conn: sqlite3.Connection, column: str, cell: object) -> CachedAnswer | None:
    conn.execute(f"update _ftclassify_answers set {column} = ?", [cell])
    return find_answers(conn, 1, [KEY]).get(KEY)


@pytest.mark.parametrize("column", ["how", "reason", "raw"])
def test_no_more_of_a_text_is_read_than_is_written(conn: sqlite3.Connection, column: str) -> None:
    answer = found(conn, column, "x" * 3_000_000)
    assert answer is not None
    assert len(getattr(answer, column)) <= MOST_RAW
    assert found(conn, column, b"x") is None


@pytest.mark.parametrize("column", ["labels", "logprobs"])
@pytest.mark.parametrize("cell", ["[" + "1, " * 2_000_000 + "1]", "[" * 9_000, 7, b"[]", "{"])
def test_what_is_no_list_of_ours_counts_as_unknown(
    conn: sqlite3.Connection, column: str, cell: object
) -> None:
    assert found(conn, column, cell) is None


def test_a_share_that_is_none_is_left_out(conn: sqlite3.Connection) -> None:
    for cell in ("much", b"1", "9" * 3_000_000):
        answer = found(conn, "other", cell)
        assert answer is not None
        assert answer.other is None
