"""Jobs that a file brings along: conditions without end, cells that make no sense, names as tables,
and what is said to be agreed to and spent."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any

from . import Mutation, Mutations
from .tables import ENDLESS, HOURS

CONDITIONS = {
    "without end": f"id in ({ENDLESS})",
    "without end, in a count": f"(select count(*) from ({ENDLESS})) > 0",
    "of hours in one step": f"{HOURS} > 0",
    "of a gigabyte": "length(randomblob(999999999)) > 0",
    "of gigabytes": "length(hex(randomblob(499999999)) || hex(randomblob(9))) > 0",
    "of a long text": "printf('%.*c', 900000000, 'x') like '%y%'",
    "of a deep pattern": f"message like '{'%_' * 20_000}'",
    "that loads code": "load_extension('/tmp/evil') is null",
    "that sets a tokenizer": "fts3_tokenizer('x', x'0000000000000000') is null",
    "that reads a file": "readfile('/etc/passwd') is not null",
    "that leaves its brackets": "1) union select sql, 1 from sqlite_master --",
    "with a second statement": "1; drop table messages",
    "with an attachment": "1; attach '/tmp/evil.db' as evil",
    "that asks a service": "ft_classify(message, 'topics') is not null",
    "that joins without end": "exists (select 1 from messages a, messages b, messages c, messages)",
    "too deep": "(" * 5_000 + "1" + ")" * 5_000,
    "of many terms": " or ".join(["id = 1"] * 20_000),
    "with a pragma": "(select count(*) from pragma_table_info('messages')) > 0",
    "in no language": "\x00'\"`][ ;--",
    "that is a number": 7,
}
TEMPLATES = {
    "a loop": "{% for i in range(10**9) %}x{% endfor %}",
    "a power": "{{ 9 ** 9 ** 9 }}",
    "a long text": "{{ 'x' * 10 ** 9 }}",
    "nested loops": "{% for a in message %}{% for b in message %}x{% endfor %}{% endfor %}",
    "a class": "{{ message.__class__.__mro__ }}",
    "an import": "{% include '/etc/passwd' %}",
    "much depth": "{% if message %}" * 2_000 + "{% endif %}" * 2_000,
    "many columns": "{{ message }}" * 200_000,
}
SOURCES = {
    "our own jobs": "_ftclassify_jobs", "the schema": "sqlite_master", "a pragma": "pragma_stats",
    "nothing": "", "a subquery": f"messages) as x, ({ENDLESS}", "a long name": "m" * 1_000_000,
    "another database": "other.messages", "a number": 7, "an object": {"a": 1},
}  # fmt: skip
VALUES = {
    "too deep": "[" * 100_000,
    "too long": "[" + "1," * 3_000_000 + "1]",
    "a long text": "x" * 10_000_000,
    "a deep object": '{"a":' * 5_000 + "1" + "}" * 5_000,
    "a huge number": "1" + "0" * 5_000,
    "not finite": '{"usd": NaN, "limit_usd": Infinity, "rows": -Infinity, "step": 1e999}',
    "half a character": '{"task": {"source": "\\ud800"}, "message": "\\udfff"}',
    "a script": "<script>alert(1)</script>{{ 7777*7 }}",
    "a NUL": "a\x00" + "x" * 10_000_000,
    "a BLOB": b"\xff\x00\xfe",
    "no UTF-8": sqlite3.Binary(b"\xff\xfe"),
    "a number": -(2**63),
    "NULL": None,
}
CELLS = {
    "_ftclassify_jobs": ("kind", "state", "wanted", "step", "settings", "position", "total", "done",
                         "result", "error", "owner", "lease_until", "created_at", "started_at",
                         "updated_at", "remote", "estimate", "reserved", "classifier_id"),
    "_ftclassify_job_events": ("created_at", "message", "data"),
    "_ftclassify_columns": ("classifier", "role"),
    "_ftclassify_settings": ("value",),
    "_ftclassify_spending": ("usd", "requests", "day"),
}  # fmt: skip
LATER = {
    "_ftclassify_review_rows": ("row_key", "text_hash", "suggested", "likely", "why", "words",
                                "neighbours", "state", "claimed_until"),
    "_ftclassify_label_changes": ("place", "action", "cells_before", "cells_after", "note",
                                  "created_at", "undone_at"),
    "_ftclassify_minimum_scores": ("strength", "score", "thresholds", "wrong", "set_at"),
}  # fmt: skip
"""Tables of one page each, with fewer values."""
FEW_VALUES = ("too deep", "too long", "half a character", "a BLOB", "a number")


def mutations() -> Mutations:
    for name, where in CONDITIONS.items():
        yield f"a prediction with a condition {name}", _predicts(where=where)
        yield f"a training with a condition {name}", _trains(where=where)
        yield f"a finding with a condition {name}", _finding(where)
        yield f"new rows with a condition {name}", _follows(where)
        yield f"a classifier with a condition {name}", _task(where=where)
    for name, template in TEMPLATES.items():
        yield f"a training with {name} in its template", _trains(template=template)
        yield f"a classifier with {name} in its template", _task(template=template)
    for name, source in SOURCES.items():
        yield f"a prediction into {name}", _predicts(table=source)
        yield f"a training on {name}", _trains(source=source)
        yield f"a classifier of {name}", _task(source=source)
    for table, columns in CELLS.items():
        for column in columns:
            for name, value in VALUES.items():
                yield f"{table}.{column} is {name}", _cell(table, column, value)
    for table, columns in LATER.items():
        for column in columns:
            for name in FEW_VALUES:
                yield f"{table}.{column} is {name}", _cell(table, column, VALUES[name])
    for name, settings in PAID.items():
        yield f"a job that is said to be {name}", _paid(**settings)


PAID = {
    "agreed to": {"usd": 0.01, "limit_usd": 1_000_000},
    "free": {"usd": 0, "limit_usd": 1e308},
    "less than free": {"usd": -1_000, "limit_usd": -1},
    "of no price": {"usd": None, "limit_usd": None},
    "of a text for a price": {"usd": "1", "limit_usd": "many"},
    "in batches": {"usd": 0.01, "limit_usd": 1_000_000, "batch": True},
}


def _cell(table: str, column: str, value: object) -> Mutation:
    def mutate(conn: sqlite3.Connection) -> None:
        text = isinstance(value, memoryview)
        new = "cast(? as text)" if text else "?"
        conn.execute(f"update or ignore {table} set {column} = {new}", [value])

    return mutate


def _edit(
    conn: sqlite3.Connection, kind: str, change: Callable[[dict[str, Any]], object], **columns: Any
) -> None:
    """Changes the settings of the job of that kind, and other columns."""
    row = conn.execute(
        "select id, settings from _ftclassify_jobs where kind = ? limit 1", [kind]
    ).fetchone()
    settings = json.loads(row[1])
    change(settings)
    columns = {"settings": json.dumps(settings), "state": "queued", **columns}
    changes = ", ".join(f"{name} = ?" for name in columns)
    conn.execute(f"update _ftclassify_jobs set {changes} where id = ?", [*columns.values(), row[0]])


def _predicts(**changes: object) -> Mutation:
    return lambda conn: _edit(conn, "predict", lambda settings: settings.update(changes))


def _trains(**changes: object) -> Mutation:
    def mutate(conn: sqlite3.Connection) -> None:
        _edit(conn, "check", lambda settings: settings["task"].update(changes))

    return mutate


def _finding(where: object) -> Mutation:
    def mutate(conn: sqlite3.Connection) -> None:
        finding = {"code": "empty", "severity": "error", "count": 2, "message": "m", "advice": "a",
                   "where": where, "keys": [[1], [2]]}  # fmt: skip
        result = json.loads(
            conn.execute("select result from _ftclassify_jobs where kind = 'check'").fetchone()[0]
        )
        result["findings"] = [finding]
        _edit(conn, "check", lambda settings: None, state="finished", result=json.dumps(result))

    return mutate


def _follows(where: object) -> Mutation:
    def mutate(conn: sqlite3.Connection) -> None:
        _edit(conn, "predict", lambda settings: settings.update(where=where), state="finished")
        conn.execute(
            "insert into _ftclassify_following select 'messages', json_extract(settings, '$.uid'),"
            " id, '' from _ftclassify_jobs where kind = 'predict'"
        )

    return mutate


def _task(**changes: object) -> Mutation:
    """Of all classifiers."""

    def mutate(conn: sqlite3.Connection) -> None:
        for id_, text in conn.execute("select id, definition from _ftclassify_tasks").fetchall():
            conn.execute(
                "update _ftclassify_tasks set definition = ? where id = ?",
                [json.dumps({**json.loads(text), **changes, "n": id_}), id_],
            )

    return mutate


def _paid(**terms: object) -> Mutation:
    """The classifiers are asked at a service, and a prediction with one of them waits."""

    def mutate(conn: sqlite3.Connection) -> None:
        conn.execute("update _ftclassify_classifiers set trainer = 'openai'")
        conn.execute("delete from _ftclassify_spending")
        _edit(conn, "predict", lambda settings: None, estimate=json.dumps(terms), position=None)

    return mutate
