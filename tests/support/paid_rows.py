"""Rows that are paid for: SQLite counts how often each is written, and the ledger is compared with
what arrived at the service."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from openai_examples import WORDS
from service_workflow import NAMES, reports, train_at
from stored import list_jobs

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.agreements import key_of
from datasette_ftclassify.ledger import JobKey, default_path
from datasette_ftclassify.trainers.access import Access


class SqlSpending(NamedTuple):
    """What the ledger has of a job's requests, and how many of them it takes for repeats."""

    requests: int
    repeats: int


def make_watched(path: Path, access: Access, rows: int) -> None:
    """A database with a trained classifier, and so many rows that SQLite watches."""
    with closing(reports(path)) as conn:
        train_at(conn, access)
        fill(conn, rows)
        watch_writes(conn)


def fill(conn: sqlite3.Connection, rows: int) -> None:
    """Rows to classify, each with a text of its own."""
    words = [(word, NAMES[code]) for code in NAMES for word in WORDS[code].split()]
    with conn:
        conn.execute("delete from fresh")
        conn.executemany(
            "insert into fresh (text, label) values (?, ?)",
            [(f"row {i}: a {words[i % len(words)][0]}", words[i % len(words)][1])
             for i in range(rows)],
        )  # fmt: skip


def watch_writes(conn: sqlite3.Connection) -> None:
    """Has SQLite itself count how often each row gets an answer."""
    with conn:
        conn.execute("create table written (id integer)")
        conn.execute("alter table fresh add column ai_label")
        conn.execute(
            "create trigger count_writes after update of ai_label on fresh"
            " begin insert into written values (new.id); end"
        )


def predict_command(path: Path, in_flight: int) -> list[object]:
    return ["predict", path, "fresh", "--columns-prefix", "ai", "--overwrite",
            "--concurrency", in_flight, "--yes"]  # fmt: skip


def check_books(sent: int, key: JobKey) -> SqlSpending:
    """Every question at the service is in the ledger, spent or under way; gives what is spent.

    sent: requests that have arrived at the service, counted before this is called
    """
    with closing(sqlite3.connect(default_path())) as db:
        db.execute("begin")  # another process may be at it
        booked, repeats, usd = db.execute(
            "select coalesce(sum(requests), 0), coalesce(sum(repeats), 0), sum(usd) from spending"
            " where nonce = ?", [key.nonce],
        ).fetchone()  # fmt: skip
        (under_way,) = db.execute(
            "select coalesce(sum(requests), 0) from under_way where nonce = ?", [key.nonce]
        ).fetchone()
    assert sent <= booked + under_way, (sent, booked, under_way)
    assert not booked or usd > 0
    return SqlSpending(booked, repeats)


def predict_key(path: Path) -> JobKey:
    with closing(connect(path)) as conn:
        (job,) = (job for job in list_jobs(conn) if job.kind == "predict")
        return key_of(conn, job)


def check_rows(path: Path, rows: int) -> None:
    with closing(connect(path)) as conn:
        wrong = conn.execute("select count(*) from fresh where ai_label is not label").fetchone()[0]
        twice = conn.execute("select id from written group by id having count(*) > 1").fetchall()
        assert wrong <= rows * 0.05
        assert conn.execute("select count(*) from fresh where ai_label is null").fetchone()[0] == 0
        assert twice == []
        assert conn.execute("select count(*) from written").fetchone()[0] == rows
        assert [job.state for job in list_jobs(conn) if job.kind == "predict"] == ["finished"]
