"""Names of tables, columns and classifiers that are long, odd, or those of something else."""

from __future__ import annotations

import sqlite3

from datasette_ftclassify.core.database import quote

from . import Mutation, Mutations

NAMES = {
    "a script": "<script>alert(1)</script>",
    "quotes": "\"'`];--",
    "a template": "{{ 7777*7 }}{% raw %}",
    "a path": "../../etc/passwd",
    "an address": "javascript:alert(1)",
    "lines": "a\r\nset-cookie: x=1\r\n",
    "right to left": "\u202eא🦉",
    "a very long name": "n" * 200_000,
    "a version": "topics@99999999999999999999",
    "an expression": "x = ${7*7} %s %(x)s {0}",
    "nothing": "",
}


def mutations() -> Mutations:
    for name, value in NAMES.items():
        yield f"a classifier called {name}", _classifier(value)
        yield f"a default called {name}", _default(value)
        yield f"a job's step called {name}", _step(value)
        if value:
            yield f"a table called {name}", _table(value)
            yield f"a column called {name}", _column(value)


def _classifier(name: str) -> Mutation:
    return lambda conn: _run(
        conn, "update _ftclassify_classifiers set name = ? where name = 'topics'", name
    )


def _default(name: str) -> Mutation:
    return lambda conn: _run(conn, "update _ftclassify_settings set value = ?", name)


def _step(name: str) -> Mutation:
    return lambda conn: _run(
        conn, "update _ftclassify_jobs set step = ?, error = ?, kind = ?", name, name, name
    )


def _table(name: str) -> Mutation:
    return lambda conn: _run(conn, f"alter table messages rename to {quote(name)}")


def _column(name: str) -> Mutation:
    return lambda conn: _run(conn, f"alter table messages rename column message to {quote(name)}")


def _run(conn: sqlite3.Connection, sql: str, *values: str) -> None:
    conn.execute(sql, values)
