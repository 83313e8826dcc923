"""Tables of every shape of key."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

SHAPES = {
    "integer key": "create table t (id integer primary key, text, label)",
    "no key": "create table t (id, text, label)",
    "text key": "create table t (id text primary key, text, label)",
    "two keys": "create table t (id, text, label, primary key (label, id)) without rowid",
}


def fill(path: Path, shape: str, rows: int = 95) -> None:
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute(SHAPES[shape])
        conn.executemany(
            "insert into t values (?, ?, ?)",
            [(n, f"the {'cat' if n % 2 else 'dog'} no {n}", "ab"[n % 2]) for n in range(rows)],
        )
        conn.execute("create view v as select text, label from t")
