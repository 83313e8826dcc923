"""A copy of the town's messages for readers, and what they must not find in it."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

from stored import add

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.publish import PublishedCopy, publish_copy
from datasette_ftclassify.store.answers import CachedAnswer, input_key, keep_answers
from datasette_ftclassify.store.jobs.state import add_job

CANARY = "canary"
"""Part of a key, an actor, a host, an id and a text of a table that stays behind."""

KEPT = "The bin is full"
"""What the classifier at a service was asked about; it answered `a`."""


def publish_town(trained_file: Path, folder: Path) -> PublishedCopy:
    """trained_file: see the fixture; the copy has a classifier at a service (`paid`) besides"""
    path = Path(shutil.copy(trained_file, folder / "private.db"))
    with closing(connect(path)) as conn:
        host = f"{CANARY}-host.example"
        paid = add(
            conn, "paid", trainer="openai", parts={},
            header={"model": f"ft:x:{CANARY}-org::1", "base": "x", "host": host},
            report={"service": {"host": host, "job": f"ftjob-{CANARY}"}, "usd": 1.5},
        )  # fmt: skip
        with conn:
            said = CachedAnswer(("a",), "exact", None, f"{CANARY}-said")
            keep_answers(conn, paid.id, {input_key(KEPT): said})
            conn.execute("create table t (id integer primary key, text, label)")
            conn.execute("insert into t (text, label) values (?, 'a')", [KEPT])
            conn.execute("create table secrets (text)")
            conn.execute("insert into secrets values (?)", [f"{CANARY}-text"])
            add_job(conn, "predict", {"table": "t", "actor": f"{CANARY}-actor", "host": host})
    assert path.read_bytes().count(CANARY.encode()) > 5
    return publish_copy(path, folder / "town.db", tables=["messages", "t"])
