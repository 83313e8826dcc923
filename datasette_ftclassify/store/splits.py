"""Who was in which split when a classifier was trained."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from ..examples import Split
from ..sql import Key, key_text
from ..tasks import Task
from .classifiers import add_task, now
from .schema import ensure_schema, transaction

Member = tuple[Key, int, Split]
"""A row's key, the hash of its normalised text, and its split."""


def add_split(
    conn: sqlite3.Connection, task: Task, plan: dict[str, Any], members: Iterable[Member]
) -> int:
    """Stores the membership of a task's examples, once for equal ones; gives its id."""
    ensure_schema(conn)
    rows = sorted((key_text(key), text_hash, split) for key, text_hash, split in members)
    digest = sha256(json.dumps([task.to_dict(), plan, rows], sort_keys=True).encode()).hexdigest()
    found = conn.execute("select id from _ftclassify_splits where digest = ?", [digest]).fetchone()
    if found is not None:
        return int(found[0])
    with transaction(conn):
        cursor = conn.execute(
            "insert into _ftclassify_splits (task_id, plan, digest, created_at)"
            " values (?, ?, ?, ?)",
            [add_task(conn, task), json.dumps(plan), digest, now()],
        )
        split_id = cursor.lastrowid
        assert split_id is not None
        conn.executemany(
            "insert into _ftclassify_split_rows (split_id, row_key, text_hash, split)"
            " values (?, ?, ?, ?)",
            ((split_id, *row) for row in rows),
        )
    return split_id


class Membership:
    """What a classifier has seen: asked by key where the source has one, else by text."""

    def __init__(self, conn: sqlite3.Connection, split_id: int) -> None:
        self._by_key: dict[str, tuple[int, str]] = {}
        self._tested: set[int] = set()
        self._seen: set[int] = set()
        rows = conn.execute(
            "select row_key, text_hash, split from _ftclassify_split_rows where split_id = ?",
            [split_id],
        )
        for key, text_hash, split in rows:
            self._by_key[key] = (text_hash, split)
            (self._tested if split == "test" else self._seen).add(text_hash)

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def held_back(self) -> int:
        """How many rows were in the test split."""
        return sum(split == "test" for _, split in self._by_key.values())

    def is_test(self, key: Key | None, text_hash: int, *, stable: bool = True) -> bool:
        """Whether a row belongs to the test split, as it reads now.

        A row edited since then still does, unless its new text was trained on. `key` is None for
        a source without keys; `stable` is False where keys may have moved to other rows since (a
        rowid after VACUUM): there the text decides as soon as the two disagree.
        """
        known = None if key is None else self._by_key.get(key_text(key))
        if known is not None and known[0] == text_hash:
            return known[1] == "test"
        if key is None or not stable:
            return text_hash in self._tested and text_hash not in self._seen
        return known is not None and known[1] == "test" and text_hash not in self._seen
