"""Our own tables, as migrations.

They live beside the user's data, so that a copy of the file is a copy of the work. A published
copy may be read by an old SQLite: nothing here needs one newer than 3.34.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timezone

from .review_tables import CHANGE_BATCHES, REVIEWS
from .tables import check_tables, check_triggers

TABLES = tuple(
    f"_ftclassify_{name}"
    for name in (
        "tasks", "splits", "split_rows", "classifiers", "artifacts", "evaluations", "jobs",
        "job_events", "columns", "settings", "answers", "spending", "batches", "following",
        "evaluation_rows", "batch_keys", "minimum_scores", "review_rows", "label_changes",
        "change_batches",
    )
)  # fmt: skip


def ensure_schema(conn: sqlite3.Connection) -> None:
    """Creates or upgrades the `_ftclassify_*` tables. Does nothing when they are up to date.

    Leaves every setting of the connection as it is, since the user's rows are written with it:
    sqlite_utils.Database would switch recursive triggers on. What was applied is noted where
    sqlite-utils notes it, so that its command `migrate --list` shows ours, too.
    Raises ArtifactError when something else stands in the place of our tables.
    """
    check_tables(conn)
    if not _pending(conn):
        return
    # Another process may be at it: whoever comes second finds nothing left to do.
    with transaction(conn):
        for statement in _NOTES:
            conn.execute(statement)
        for name in _pending(conn):
            for statement in _MIGRATIONS[name]:
                conn.execute(statement)
            conn.execute(
                "insert into _sqlite_migrations (migration_set, name, applied_at) values (?, ?, ?)",
                [_SET, name, str(datetime.now(timezone.utc))],
            )


def _pending(conn: sqlite3.Connection) -> list[str]:
    found = conn.execute(
        "select 1 from sqlite_master where name = '_sqlite_migrations' and type = 'table'"
    )
    if found.fetchone() is None:
        return list(_MIGRATIONS)
    rows = conn.execute("select name from _sqlite_migrations where migration_set = ?", [_SET])
    applied = {row[0] for row in rows.fetchall()}
    return [name for name in _MIGRATIONS if name not in applied]


@contextmanager
def transaction(
    conn: sqlite3.Connection, meanwhile: Callable[[], AbstractContextManager[None]] = nullcontext
) -> Iterator[None]:
    """All or nothing. Inside another one it is part of that; else no other process writes in it.

    meanwhile: entered while the disk confirms what was written, which may take milliseconds in
               which this thread runs no Python

    Raises ArtifactError when our tables have triggers: a file that somebody else made would run
    theirs here.
    """
    if conn.in_transaction:
        yield
        return
    check_triggers(conn)
    conn.execute("begin immediate")
    with conn:
        yield
        with meanwhile():
            conn.commit()


_MAIN_JOB = (
    """
    create table _ftclassify_tasks (
        id integer primary key,
        definition text not null unique, -- JSON, see tasks.Task
        created_at text not null
    )
    """,
    """
    create table _ftclassify_splits (
        id integer primary key,
        task_id integer not null references _ftclassify_tasks(id),
        plan text not null,              -- JSON: seed and shares, or the column that gave it
        digest text not null unique,     -- of the members, so that equal splits are kept once
        created_at text not null
    )
    """,
    """
    create table _ftclassify_split_rows (
        split_id integer not null references _ftclassify_splits(id),
        row_key text not null,           -- JSON array of the primary key's values
        text_hash integer not null,      -- of the normalised text the row had
        split text not null,             -- train, validation or test
        primary key (split_id, row_key)
    ) without rowid
    """,
    """
    create table _ftclassify_classifiers (
        id integer primary key,
        uid text not null unique,        -- names this very training, wherever the file goes
        name text not null,
        version integer not null,
        trainer text not null,
        kind text not null,
        labels text not null,            -- JSON, see labels.LabelSet
        task_id integer not null references _ftclassify_tasks(id),
        split_id integer not null references _ftclassify_splits(id),
        seed integer not null,
        training_rows integer not null,
        header text not null,            -- JSON: what the trainer needs to load the artifact
        report text not null,            -- JSON: how it was trained, for people
        created_at text not null,
        unique (name, version)
    )
    """,
    """
    create table _ftclassify_artifacts (
        id integer primary key,
        classifier_id integer not null references _ftclassify_classifiers(id),
        part text not null,
        data blob not null,              -- plain arrays and UTF-8 text, never anything executable
        unique (classifier_id, part)
    )
    """,
    """
    create table _ftclassify_evaluations (
        id integer primary key,
        classifier_id integer not null references _ftclassify_classifiers(id),
        split text not null,
        metrics text not null,           -- JSON, see evaluation.evaluate
        created_at text not null
    )
    """,
    """
    create table _ftclassify_jobs (
        id integer primary key,
        kind text not null,              -- train, evaluate or predict
        state text not null,             -- queued, running, paused, finished, failed, cancelled
        wanted text,                     -- pause or cancel, asked of whoever runs it
        step text not null default '',   -- what it is doing
        settings text not null,          -- JSON: what was asked for
        classifier_id integer,           -- used, or made
        position text,                   -- JSON: the key of the last row committed
        total integer,                   -- rows to do, once that is known
        done integer not null default 0,
        skipped integer not null default 0,
        result text,                     -- JSON: what a finished job did
        error text,                      -- why it failed
        owner text,                      -- the process that runs it
        lease_until real,                -- Unix time: until then nobody else may
        created_at text not null,
        started_at text,
        updated_at text not null
    )
    """,
    """
    create table _ftclassify_job_events (
        id integer primary key,
        job_id integer not null references _ftclassify_jobs(id),
        created_at text not null,
        message text not null
    )
    """,
    """
    create table _ftclassify_columns (
        source text not null,            -- the table that predictions were written to
        column_name text not null,
        classifier text not null,        -- the classifier's name
        role text not null,              -- label, score, logprob or logprobs
        primary key (source, column_name)
    ) without rowid
    """,
    """
    create table _ftclassify_settings (
        key text primary key,
        value text not null
    ) without rowid
    """,
)

_SERVICES = (
    # JSON: what a training at a service has done so far, with the service's ids
    "alter table _ftclassify_jobs add column remote text",
    # JSON: what it was expected to cost when it was confirmed
    "alter table _ftclassify_jobs add column estimate text",
    # rows that got no label, and why they did not is in the reason column
    "alter table _ftclassify_jobs add column failed integer not null default 0",
    # JSON: figures, such as the loss at a step
    "alter table _ftclassify_job_events add column data text",
    # names an event that is told once, such as the service's id of it
    "alter table _ftclassify_job_events add column event_key text",
    """
    create unique index _ftclassify_job_events_key
        on _ftclassify_job_events (job_id, event_key) where event_key is not null
    """,
    """
    create table _ftclassify_answers (
        classifier_id integer not null references _ftclassify_classifiers(id),
        input blob not null,             -- first 16 bytes of the SHA-256 of the text
        labels text,                     -- JSON array; NULL for an abstention
        how text,                        -- exact, folded or nearest
        reason text,                     -- why it is an abstention
        raw text,                        -- what the model said
        logprobs text,                   -- JSON array in the label set's order, or NULL
        other real,                      -- probability of an answer outside the label set
        created_at text not null,
        primary key (classifier_id, input)
    ) without rowid
    """,
    """
    create table _ftclassify_spending (
        day text not null,               -- UTC
        job_id integer not null,         -- 0: asked by SQL functions
        usd real not null,
        requests integer not null,
        input_tokens integer not null,
        cached_tokens integer not null,  -- among the input tokens
        output_tokens integer not null,
        trained_tokens integer not null,
        primary key (day, job_id)
    ) without rowid
    """,
    """
    create table _ftclassify_batches (
        id integer primary key,
        job_id integer not null references _ftclassify_jobs(id),
        tag text not null unique,        -- names the batch, also to the service
        state text not null,             -- prepared, uploaded, running, ended or done
        requests integer not null,
        after_position text,             -- of an older version: JSON, the row before its rows
        position text,                   -- of an older version: JSON, its last row
        file_id text,
        batch_id text,
        done integer not null default 0,
        detail text,
        created_at text not null,
        updated_at text not null
    )
    """,
)

_FOLLOWING = """
create table _ftclassify_following (
    source text not null,            -- the table whose new rows are classified as they come
    uid text not null,               -- of the classifier
    job_id integer not null,         -- which goes on whenever there are new rows
    created_at text not null,
    primary key (source, uid)
) without rowid
"""

_EVALUATION_ROWS = """
    create table _ftclassify_evaluation_rows (
        evaluation_id integer not null references _ftclassify_evaluations(id),
        row_key text not null,           -- JSON array of the primary key's values
        truth text not null,             -- JSON array of positions in the label set
        chosen text,                     -- the same; NULL for an abstention
        score real,                      -- probability of what was chosen, 0-1
        primary key (evaluation_id, row_key)
    ) without rowid
"""

# They stood in the order of the cell, so that equal sets of labels looked different.
_TRUTH_IN_ORDER = """
    update _ftclassify_evaluation_rows set truth = (
        select '[' || coalesce(group_concat(position, ', '), '') || ']'
        from (select distinct value as position from json_each(truth) order by value)
    ) where instr(truth, ',') and json_valid(truth)
"""

_RESERVATIONS = (
    # seconds on the owner's machine, by a clock that nobody sets: see owners.lease_ends
    "alter table _ftclassify_jobs add column lease_clock real",
    # of an earlier version, which kept here what is in the ledger of the installation now
    "alter table _ftclassify_jobs add column reserved real not null default 0",
    # USD that the batch may cost; NULL when no price is known
    "alter table _ftclassify_batches add column usd real",
    """
    create table _ftclassify_batch_keys (
        batch_id integer primary key references _ftclassify_batches(id),
        keys blob not null               -- of its questions, 16 bytes each, until it is done
    )
    """,
    "create index _ftclassify_job_events_job on _ftclassify_job_events (job_id)",
)

_MINIMUM_SCORES = """
    create table _ftclassify_minimum_scores (
        classifier_id integer primary key references _ftclassify_classifiers(id),
        strength text not null,          -- likely, guaranteed or fixed
        score real,                      -- 0-1: below it no label is given; NULL for multilabel
        thresholds text,                 -- multilabel: JSON array in the label set's order
        wrong real,                      -- promised share of wrong answers, 0-1
        figure text,                     -- precision or recall: what was asked for of each label
        least real,                      -- how much of it, 0-1
        coverage real,                   -- share of the held-out rows that gets an answer, 0-1
        set_by text,                     -- id of the actor; NULL on the command line
        set_at text not null
    )
"""

_SET = "datasette-ftclassify"

# As sqlite-utils makes it, which shares it with other software; one of an earlier version of it has
# no id, and the two names as its primary key.
_NOTES = (
    """
    create table if not exists _sqlite_migrations (
        "id" integer primary key, "migration_set" text, "name" text, "applied_at" text
    )
    """,
    """
    create unique index if not exists "idx__sqlite_migrations_migration_set_name"
        on _sqlite_migrations ("migration_set", "name")
    """,
)

_MIGRATIONS: dict[str, tuple[str, ...]] = {
    "m001_main_job": _MAIN_JOB,
    "m002_services": _SERVICES,
    "m003_following": (_FOLLOWING,),
    "m004_evaluation_rows": (_EVALUATION_ROWS,),
    "m005_reservations": _RESERVATIONS,
    # random: names this very job to the ledger of an installation
    "m006_nonces": ("alter table _ftclassify_jobs add column nonce text",),
    "m007_truth_in_order": (_TRUTH_IN_ORDER,),
    # the same number for rows whose texts are equal or near copies; NULL: not known
    "m008_text_groups": ("alter table _ftclassify_evaluation_rows add column text_group integer",),
    # seconds since 1970, by the rate of the process that runs it; NULL: not known
    "m009_ends_at": ("alter table _ftclassify_jobs add column ends_at real",),
    "m010_probabilities": (
        # 0-1, of the row's own labels; NULL: not known
        "alter table _ftclassify_evaluation_rows add column truth_score real",
        # JSON array: positions of labels, each followed by its probability, the largest first
        "alter table _ftclassify_evaluation_rows add column probabilities text",
        # 0: kept besides a random sample of the rows, which figures are of; NULL: in the sample
        "alter table _ftclassify_evaluation_rows add column sampled integer",
    ),
    "m011_minimum_scores": (_MINIMUM_SCORES,),
    "m012_reviews": REVIEWS,
    # one of core/job_events.py; NULL: of an earlier version
    "m013_event_kinds": ("alter table _ftclassify_job_events add column kind text",),
    # JSON, see minimum_scores.KeptTree; NULL: no group answers below the minimum score
    "m014_label_trees": ("alter table _ftclassify_minimum_scores add column tree text",),
    "m015_change_batches": CHANGE_BATCHES,
    # SQLite's, when the keys of the rows were read: rowids hold as long; NULL: not known
    "m016_schema_versions": (
        "alter table _ftclassify_change_batches add column schema_version integer",
    ),
}


def upsert(table: str, key: Sequence[str], others: Sequence[str]) -> str:
    """SQL that inserts a row of these columns, or changes the one that has its key. Unlike
    `replace`, it is no deletion that triggers are not told of: counts of rows stay right."""
    columns = [*key, *others]
    changes = ", ".join(f"{name} = excluded.{name}" for name in others)
    return (
        f"insert into {table} ({', '.join(columns)}) values ({', '.join('?' * len(columns))})"
        f" on conflict ({', '.join(key)}) do update set {changes}"
    )
