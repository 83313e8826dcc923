"""What a file says that its models, jobs and batches cost, have cost, and may cost. All of them are
asked at the service that the operator has set up, by names that do not say which model it is."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from . import Mutation, Mutations

HOST = "host.invalid"
"""Stands for the host of the service, which is known when the server runs."""

AMOUNTS = {
    "nothing": 0, "less than nothing": -1e9, "endless": 1e308, "a text": "-9", "tiny": 1e-300,
}  # fmt: skip
BASES = ("gpt-4o-mini", "babbage-002", "", "no-such-model", "gpt-4.1-mini-untuned", "ft:free", None)
FORMAT = {"form": "chat", "labels": "name"}


def mutations() -> Mutations:
    for base in BASES:
        yield f"a model that is tuned from {base!r}", _asked("openai", base=base)
        yield f"a deployment of {base!r}", _asked("azure", base=base, deployment="gpt-4o-mini")
    for name, usd in AMOUNTS.items():
        yield f"{name} was spent", _asked("openai", then=_sql(SPENDING, usd))
        yield f"{name} is set aside", _asked("openai", then=_sql(RESERVED, usd))
        terms = json.dumps({"usd": usd, "limit_usd": usd, "most_usd": usd})
        yield f"an estimate of {name}", _asked("openai", then=_sql(ESTIMATE, terms))
        yield f"batches of {name}", _asked("openai", then=_sql(BATCH, usd))
        remote = json.dumps({"preparation": {"usd": usd, "model": "gpt-4o-mini"}, "agreed": True})
        yield f"a training prepared for {name}", _asked("openai", then=_sql(REMOTE, remote))
    yield "all jobs with one nonce", _asked("openai", then=_sql(NONCE, "00" * 16))


SPENDING = "insert or replace into _ftclassify_spending values (date('now'), 1, ?1, 1, 1, 0, 1, 0)"
RESERVED = "update _ftclassify_jobs set reserved = ?1"
ESTIMATE = "update _ftclassify_jobs set estimate = ?1"
REMOTE = "update _ftclassify_jobs set remote = ?1, kind = 'train'"
NONCE = "update _ftclassify_jobs set nonce = ?1"
BATCH = """
    insert into _ftclassify_batches (job_id, tag, state, requests, file_id, batch_id, usd,
        created_at, updated_at)
    select id, 'tag' || id, 'running', 9, 'file-1', 'batch_1', ?1, created_at, created_at
    from _ftclassify_jobs
"""


def _sql(statement: str, value: Any) -> Mutation:
    return lambda conn: [conn.execute(statement, [value])]


def _asked(
    trainer: str,
    *,
    base: str | None = "gpt-4o-mini",
    deployment: str | None = None,
    then: Mutation = lambda conn: None,
) -> Mutation:
    """All classifiers are asked at the service, and all jobs wait to be run."""
    header = {"model": "model-17", "host": HOST, "format": FORMAT, "base": base,
              "deployment": deployment}  # fmt: skip

    def mutate(conn: sqlite3.Connection) -> None:
        conn.execute(
            "update _ftclassify_classifiers set trainer = ?, header = ?",
            [trainer, json.dumps(header)],
        )
        conn.execute("update _ftclassify_jobs set state = 'queued', position = null")
        then(conn)

    return mutate
