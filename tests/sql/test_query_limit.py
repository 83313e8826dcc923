"""SQL functions keep the time limit of their query, whoever set it, and no other."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from folders import SUPPORT
from hostile_sql import EVER, hostile
from sample_databases import value

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.sql import registration
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.sql.query_limit import progress_handler

LIMIT = 50  # milliseconds
INTERRUPTED = r"^interrupted$"


@pytest.fixture(scope="module")
def told(trained_file: Path) -> dict[str, Any]:
    """How a Datasette of its own took all of the hostile SQL."""
    script = SUPPORT / "hostile_sql.py"
    run = subprocess.run(
        [sys.executable, str(script), str(trained_file), str(LIMIT)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(run.stdout)


@pytest.mark.parametrize("what", hostile())
def test_hostile_sql_is_answered_or_stopped_in_time(told: dict[str, Any], what: str) -> None:
    # Of the processor: another process must not fail a test.
    _, seconds, ending = told["queries"][what]
    assert ending in ("", "stopped")
    assert seconds < 2


def test_hostile_sql_takes_bounded_memory(told: dict[str, Any]) -> None:
    assert told["peak_mb"] < 600


@pytest.fixture(params=["with SQLite", "with Python"])
def conn(trained: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """A connection whose functions are registered with SQLite itself, or by Python's sqlite3."""
    if request.param == "with Python":
        monkeypatch.setattr(registration, "_library", lambda: None)
    else:
        assert registration._library() is not None
    with closing(connect(trained)) as conn:
        register(conn)
        yield conn


class Deadline:
    """A progress handler as people write them."""

    def __init__(self, seconds: float) -> None:
        self.end = time.perf_counter() + seconds

    def over(self) -> bool:
        return time.perf_counter() > self.end


def test_one_long_call_is_stopped_while_it_runs(conn):
    texts = json.dumps([f"word{i} " * 40 for i in range(20_000)])
    # Later than the function is called: its text is read before that.
    conn.set_progress_handler(Deadline(0.4).over, 1_000)
    start = time.process_time()
    with pytest.raises(sqlite3.OperationalError, match=INTERRUPTED):
        conn.execute("select ft_classify_many(?)", [texts]).fetchall()
    assert time.process_time() - start < 1


def test_each_query_has_the_limit_that_was_set_for_it(conn):
    for _ in range(3):
        conn.set_progress_handler(lambda: 1, 1_000)
        with pytest.raises(sqlite3.OperationalError, match=INTERRUPTED):
            conn.execute(f"{EVER} select ft_score('a' || i) from n").fetchall()
        conn.set_progress_handler(lambda: 0, 1_000)
        assert value(conn, "select count(ft_score(message)) from messages") > 200
        conn.set_progress_handler(None, 1_000)
        assert value(conn, "select count(ft_score(message)) from messages") > 200


def test_a_query_of_nobody_who_limits_it_may_take_its_time(conn):
    texts = [f"word{i} " * 40 for i in range(3_000)]
    answers = json.loads(value(conn, "select ft_classify_many(?)", [json.dumps(texts)]))
    assert len(answers) == len(texts)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_query_that_is_stopped_writes_nothing(conn):
    conn.set_progress_handler(lambda: 1, 1_000_000)
    with pytest.raises(sqlite3.OperationalError):
        conn.execute("update messages set message = ft_classify(message) where id = 1")
    conn.set_progress_handler(None, 1)
    conn.rollback()
    assert value(conn, "select message from messages where id = 1") is not None


def test_a_number_that_sqlite_cannot_hold_is_a_text(conn):
    """Labels of a file that somebody else made may be of any size."""
    for name, number in (("large", 10**20), ("largest", 2**63 - 1)):
        registration.create_function(conn, name, 0, lambda number=number: number, 100)
    found = conn.execute("select large(), typeof(largest()), largest()").fetchone()
    assert found == (str(10**20), "integer", 2**63 - 1)


def test_a_handler_that_fails_ends_the_query_as_in_sqlite(conn):
    conn.set_progress_handler(lambda: 1 / 0, 1_000_000)
    with pytest.raises(sqlite3.OperationalError, match=INTERRUPTED):
        conn.execute("select ft_score('a')").fetchall()


def test_other_callbacks_are_not_taken_for_the_handler():
    """Whatever a connection holds, what is called here is what set_progress_handler was given."""
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.text_factory = lambda data: data.decode()
        conn.row_factory = lambda cursor, row: row
        conn.set_trace_callback(lambda sql: None)
        conn.set_authorizer(lambda *about: sqlite3.SQLITE_OK)
        conn.create_collation("mine", lambda one, other: 0)
        assert progress_handler(conn) is None

        def handler() -> int:
            return 0

        conn.set_progress_handler(handler, 1)
        assert progress_handler(conn) is handler
        conn.set_progress_handler(None, 1)
        assert progress_handler(conn) is None


@pytest.mark.parametrize("call", ["ft_classify('a drain')", "ft_classify_json('a drain')"])
def test_time_that_runs_out_while_a_classifier_is_read_ends_the_query(conn, call: str) -> None:
    """It must not be taken for a classifier that does not answer: NULL, and nothing said."""
    calls = 0

    def handler() -> bool:
        nonlocal calls
        calls += 1
        return calls > 1

    conn.set_progress_handler(handler, 50)
    with pytest.raises(sqlite3.OperationalError, match=INTERRUPTED):
        conn.execute(f"select {call}").fetchall()
    conn.set_progress_handler(None, 50)
    assert conn.execute(f"select {call}").fetchone()[0] is not None
