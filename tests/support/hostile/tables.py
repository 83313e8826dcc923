"""What stands where our tables should: views without end, computed columns, triggers, and tables of
other shapes or of a great size."""

from __future__ import annotations

import sqlite3

from datasette_ftclassify.core.database import quote, quote_all
from datasette_ftclassify.store.schema import TABLES

from . import Mutation, Mutations

ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n"
HOURS = "instr(hex(zeroblob(4000000)), hex(zeroblob(2000000)) || 'b')"
"""One step of SQLite that takes hours; nothing interrupts it."""

EXPRESSIONS = {
    "endless": f"(select count(*) from ({ENDLESS}))",
    "hours in one step": HOURS,
    "a gigabyte": "hex(randomblob(450000000))",
    "our own functions": "ft_classify_many('[\"a\"]')",
}
MANY = 300_000
"""Rows: some 30 MB of a file."""


def mutations() -> Mutations:
    for table in TABLES:
        yield f"{table} is an endless view", _replaced(table, f"create view {table} as {ENDLESS}")
        yield f"{table} is a view of its rows and more", _view_with_columns(table)
        yield f"{table} has a computed column", _computed(table)
        yield f"{table} has a check", _checked(table)
        yield (
            f"{table} is a virtual table",
            _replaced(table, f"create virtual table {table} using fts5(id, name, value)"),
        )
        yield f"{table} has other columns", _replaced(table, f"create table {table} (x)")
        yield f"{table} is gone", _replaced(table, "select 1")
        yield f"{table} is written with a trigger", _trigger(table)
    for name, expression in EXPRESSIONS.items():
        for table in ("_ftclassify_jobs", "_ftclassify_classifiers", "_ftclassify_columns"):
            yield f"{table} is a view that takes {name}", _view_with_columns(table, expression)
        yield (
            f"jobs are written with a trigger that takes {name}",
            _trigger("_ftclassify_jobs", f"update _ftclassify_jobs set step = {expression}"),
        )
        yield f"messages are a view that takes {name}", _source_view(expression)
    yield "messages are an endless view", _source_view("1", ENDLESS)
    yield (
        "the migrations are an endless view",
        _replaced(
            "_sqlite_migrations",
            f"create view _sqlite_migrations as select 'x' as migration_set, i as name, i as"
            f" applied_at from ({ENDLESS})",
        ),
    )
    yield "the migrations are forgotten", _replaced("_sqlite_migrations", "select 1")
    yield (
        "an index of an expression",
        _run("create index evil on _ftclassify_jobs (instr(hex(step), hex(settings)))"),
    )
    yield (
        "an index of some rows",
        _run("create index evil on _ftclassify_jobs (id) where settings like '%a%b%c%'"),
    )
    yield "very many tables of our names", _many_tables
    for name, sql in LARGE.items():
        yield f"very many {name}", _run(_counted(sql))


LARGE = {
    "queued jobs": "insert into _ftclassify_jobs (kind, state, settings, created_at, updated_at)"
    " select 'predict', 'queued', '{}', '', '' from n",
    "running jobs": "insert into _ftclassify_jobs (kind, state, settings, created_at, updated_at)"
    " select 'train', 'running', '{\"task\": {\"source\": \"messages\"}}', '', '' from n",
    "finished jobs": "insert into _ftclassify_jobs (kind, state, settings, created_at, updated_at)"
    " select 'train', 'finished', '{\"task\": {\"source\": \"messages\"}}', '', '' from n",
    "events": "insert into _ftclassify_job_events (job_id, created_at, message, data)"
    " select 1, '', 'step ' || i || ' checkpoint', '{\"step\": 1, \"train_loss\": 1}' from n",
    "columns": "insert or ignore into _ftclassify_columns (source, column_name, classifier, role)"
    " select 'messages', 'c' || i, 'topics', 'label' from n",
    "spending": "insert or ignore into _ftclassify_spending"
    " select '2026-01-01', i, 1, 1, 1, 1, 1, 1 from n",
    "batches": "insert into _ftclassify_batches"
    " (job_id, tag, state, requests, batch_id, created_at, updated_at)"
    " select 1, 't' || i, 'running', 1, 'b' || i, '', '' from n",
    "tables to follow": "insert into _ftclassify_following"
    " select 'messages', 'u' || i, 1, '' from n",
    "rows of a queue": "insert or ignore into _ftclassify_review_rows select job_id, i, row_key,"
    " text_hash, suggested, likely, why, at_random, words, neighbours, state, claimed_by,"
    " claimed_until from _ftclassify_review_rows, n where place = 1",
    "changed labels": "insert into _ftclassify_label_changes (job_id, place, source, row_key,"
    " action, cells_before, cells_after, why, note, who, created_at) select job_id, place, source,"
    " row_key, action, cells_before, cells_after, why, note, who, created_at"
    " from _ftclassify_label_changes, n where id = 1",
    "settings": "insert into _ftclassify_settings select 'k' || i, 'v' from n",
    "evaluated rows": "insert or ignore into _ftclassify_evaluation_rows"
    " (evaluation_id, row_key, truth, chosen, score) select (select max(id) from"
    " _ftclassify_evaluations where classifier_id = 1), '[' || i || ']', '[0]', '[1]', 0.5 from n",
    "rows of splits": "insert or ignore into _ftclassify_split_rows"
    " select 1, '[' || (i + 1000000) || ']', i, 'train' from n",
}


def _counted(sql: str) -> str:
    rows = f"select 1 union all select i + 1 from n where i < {MANY}"
    return f"with recursive n(i) as ({rows}) {sql}"


def _many_tables(conn: sqlite3.Connection) -> None:
    conn.execute("begin")
    for number in range(1_200):
        conn.execute(f"create table _ftclassify_t{number} (x)")


def _run(sql: str) -> Mutation:
    def mutate(conn: sqlite3.Connection) -> None:
        conn.execute(sql)

    return mutate


def _replaced(table: str, sql: str) -> Mutation:
    def mutate(conn: sqlite3.Connection) -> None:
        conn.execute("pragma foreign_keys = off")
        conn.execute(f"drop table if exists {table}")
        conn.execute(sql)

    return mutate


def _columns(conn: sqlite3.Connection, table: str) -> list[str]:
    return [row[0] for row in conn.execute("select name from pragma_table_info(?)", [table])]


def _view_with_columns(table: str, expression: str | None = None) -> Mutation:
    """A view with the rows of the table, whose columns each take what the expression takes; or,
    without one, with rows that never end."""

    def mutate(conn: sqlite3.Connection) -> None:
        names = _columns(conn, table)
        conn.execute(f"alter table {table} rename to kept_rows")
        if expression is None:
            select = f"select {quote_all(names)} from kept_rows, ({ENDLESS})"
        else:
            cells = ", ".join(f"{expression} as {quote(name)}" for name in names)
            select = f"select {cells} from kept_rows"
        conn.execute(f"create view {table} as {select}")

    return mutate


def _computed(table: str) -> Mutation:
    return _run(f"alter table {table} add column evil as ({HOURS} + length('x'))")


def _checked(table: str) -> Mutation:
    """The same rows in a table that looks at each as it is written."""

    def mutate(conn: sqlite3.Connection) -> None:
        names = _columns(conn, table)
        conn.execute(f"alter table {table} rename to kept_rows")
        check = f"check ({quote(names[0])} is null or length('x') > 0)"
        conn.execute(f"create table {table} ({quote_all(names)}, {check})")
        conn.execute(f"insert into {table} select * from kept_rows")

    return mutate


def _trigger(table: str, what: str = f"insert into messages (message) {ENDLESS}") -> Mutation:
    def mutate(conn: sqlite3.Connection) -> None:
        for event in ("insert", "update", "delete"):
            conn.execute(f"create trigger evil_{event} after {event} on {table} begin {what}; end")

    return mutate


def _source_view(expression: str, rows: str = "select 1") -> Mutation:
    """What the classifiers learnt from is a view now."""

    def mutate(conn: sqlite3.Connection) -> None:
        names = _columns(conn, "messages")
        conn.execute("alter table messages rename to kept_messages")
        cells = ", ".join(f"{expression} as {quote(name)}" for name in names)
        conn.execute(f"create view messages as select {cells} from kept_messages, ({rows})")

    return mutate
