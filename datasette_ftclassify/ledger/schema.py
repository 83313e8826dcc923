"""The ledger's tables. Never change a version that ledgers were made with: add one at the end."""

from __future__ import annotations

_FIRST = (
    """
    create table agreements (
        database text not null,          -- see keys.identity_of
        nonce text not null,             -- random, also in the job's row
        job integer not null,
        digest text not null,            -- of what was agreed to
        limit_usd real,                  -- for the job in all; NULL: none was set
        expected_usd real,               -- what it was said to cost
        agreed_at text not null,
        primary key (database, job, nonce)
    ) without rowid
    """,
    """
    create table spending (
        day text not null,               -- UTC
        database text not null,
        nonce text not null,             -- '': asked by SQL functions
        job integer not null,            -- 0: the same
        usd real not null default 0,
        requests integer not null default 0,
        input_tokens integer not null default 0,
        cached_tokens integer not null default 0,
        output_tokens integer not null default 0,
        trained_tokens integer not null default 0,
        repeats integer not null default 0, -- among the requests: their process died before it
                                            -- kept the answers, and they are asked again
        primary key (day, database, nonce)
    ) without rowid
    """,
    "create index spending_of_jobs on spending (database, nonce)",
    """
    create table under_way (
        holder text primary key,         -- a process's requests, a batch, or a training
        owner text,                      -- the process whose end is theirs; NULL: they outlive it
        day text not null,               -- of the last change, UTC
        database text not null,
        nonce text not null,
        job integer not null,
        usd real not null,
        requests integer not null,
        digest text not null default ''  -- of what they are for
    ) without rowid
    """,
)

_SECOND = (
    # Requests beside those that were spent on: the service refused them, or a batch left them out.
    "alter table spending add column unbilled integer not null default 0",
)

_THIRD = (
    """
    create table models (
        host text not null,
        name text not null,              -- under which it is asked there, such as a deployment's
        base text not null,              -- the model that it was tuned from, for price tables
        primary key (host, name)
    ) without rowid
    """,
)

_FOURTH = (
    # Batches and trainings were held by their names, which those of a copied file share.
    "update under_way set holder = holder || ' ' || nonce || ' ' || database where owner is null",
)

VERSIONS = (_FIRST, _SECOND, _THIRD, _FOURTH)
