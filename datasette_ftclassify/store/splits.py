"""Which rows were in which split when a classifier was trained."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any, TypedDict

from ..core.database import Key, Relation, key_text
from ..core.errors import ArtifactError
from ..core.examples import Split
from ..core.task import Task
from ..core.typed_json import read_stored
from ..core.untrusted_json import read_object
from .cell_size import at_most
from .classifiers import add_task, has_store, now
from .reviews import read_cells
from .schema import ensure_schema, transaction

LONGEST_KEY = 50_000
"""Bytes of a row's key as JSON."""


class StoredPlan(TypedDict, total=False):
    """How a split was made: by seed and shares (0-1), or as a column said; or as the rows of the
    classifier with that uid were divided before."""

    seed: int
    validation: float
    test: float
    split_column: str
    predictions_of: str
    version_of: str


Member = tuple[Key, int, Split]
"""A row's key, the hash of its normalised text, and its split."""


def add_split(
    conn: sqlite3.Connection, task: Task, plan: StoredPlan, members: Iterable[Member]
) -> int:
    """Stores the membership of a task's examples, once for equal ones; gives its id."""
    ensure_schema(conn)
    rows = _sorted(members)
    digest = _digest(task, plan, rows)
    found = _find(conn, digest)
    if found is not None:
        return found
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


def find_split(
    conn: sqlite3.Connection, task: Task, plan: StoredPlan, members: Iterable[Member]
) -> int | None:
    """The id of a split with these very members; None when no classifier has it."""
    return _find(conn, _digest(task, plan, _sorted(members))) if has_store(conn) else None


def split_plan(conn: sqlite3.Connection, split_id: int) -> StoredPlan:
    """How a stored split was made. Raises ArtifactError."""
    sql = f"select {at_most('plan')} from _ftclassify_splits where id = ?"
    row = conn.execute(sql, [split_id]).fetchone()
    stored = read_object(row and row[0], "plan of the split")
    return read_stored(
        StoredPlan, stored, "How the rows were divided was", "train the classifier again"
    )


def splits_of_rows(conn: sqlite3.Connection, split_id: int, keys: Iterable[Key]) -> dict[str, str]:
    """{key as text: split} of the rows that were there when the classifier was trained."""
    return {key: str(split) for key, split in _of_rows(conn, "split", split_id, keys)}


def hashes_of_rows(conn: sqlite3.Connection, split_id: int, keys: Iterable[Key]) -> dict[str, int]:
    """{key as text: hash of the text that it had} of the same rows."""
    return dict(_of_rows(conn, "text_hash", split_id, keys))


def _of_rows(
    conn: sqlite3.Connection, column: str, split_id: int, keys: Iterable[Key]
) -> Iterator[tuple[str, Any]]:
    sql = f"select {column} from _ftclassify_split_rows where split_id = ? and row_key = ?"
    for text in map(key_text, keys):
        row = conn.execute(sql, [split_id, text]).fetchone()
        if row is not None:
            yield text, row[0]


def keys_of_split(
    conn: sqlite3.Connection, split_id: int, split: Split, most: int
) -> list[tuple[Key, int]]:
    """(key, hash of the text that it had) of the rows of a split; of more than `most` the first
    ones."""
    found = conn.execute(
        f"select {at_most('row_key', LONGEST_KEY)}, text_hash from _ftclassify_split_rows"
        " where split_id = ? and split = ? limit ?",
        [split_id, split, most],
    )
    return [(key, hashed) for text, hashed in found.fetchall() if (key := _key(text)) is not None]


def _key(text: object) -> Key | None:
    try:
        return read_cells(text, LONGEST_KEY)
    except ArtifactError:
        return None


def text_hashes(conn: sqlite3.Connection, split_id: int) -> set[int]:
    """Of the texts of all rows that were in a split."""
    found = conn.execute(
        "select text_hash from _ftclassify_split_rows where split_id = ?", [split_id]
    )
    return {hashed for (hashed,) in found}


def knows_training_rows(conn: sqlite3.Connection, split_id: int) -> bool:
    """Whether the rows that were trained on are noted: in a published copy they are not."""
    sql = "select 1 from _ftclassify_split_rows where split_id = ? and split = 'train' limit 1"
    return conn.execute(sql, [split_id]).fetchone() is not None


def _sorted(members: Iterable[Member]) -> list[tuple[str, int, Split]]:
    return sorted((key_text(key), text_hash, split) for key, text_hash, split in members)


def _digest(task: Task, plan: StoredPlan, rows: list[tuple[str, int, Split]]) -> str:
    return sha256(json.dumps([task.to_dict(), plan, rows], sort_keys=True).encode()).hexdigest()


def _find(conn: sqlite3.Connection, digest: str) -> int | None:
    row = conn.execute("select id from _ftclassify_splits where digest = ?", [digest]).fetchone()
    return None if row is None else int(row[0])


class Membership:
    """What a classifier has seen: asked by key where the source has one, else by text.

    source: None: one with a primary key
    """

    def __init__(
        self, conn: sqlite3.Connection, split_id: int, source: Relation | None = None
    ) -> None:
        self._has_keys = source is None or bool(source.identity)
        self._stable = source is None or bool(source.primary_key)
        self._by_key: dict[str, tuple[int, Split]] = {}
        self._tested: set[int] = set()
        self._seen: dict[int, Split] = {}
        rows = conn.execute(
            "select row_key, text_hash, split from _ftclassify_split_rows where split_id = ?",
            [split_id],
        )
        for key, text_hash, split in rows:
            self._by_key[key] = (text_hash, split)
            if split == "test":
                self._tested.add(text_hash)
            else:
                self._seen[text_hash] = split

    def __len__(self) -> int:
        return len(self._by_key)

    def count(self, split: str) -> int:
        """How many rows were in a split."""
        return sum(one == split for _, one in self._by_key.values())

    def is_test(self, key: Key, text_hash: int) -> bool:
        """Whether a row belongs to the test split, as it reads now.

        A row edited since then still does, unless its new text was trained on. Where keys may have
        moved to other rows since (a rowid after VACUUM), the text decides as soon as the two
        disagree.
        """
        known = self._by_key.get(key_text(key)) if self._has_keys else None
        if known is not None and known[0] == text_hash:
            return known[1] == "test"
        if not self._stable:
            return text_hash in self._tested and text_hash not in self._seen
        return known is not None and known[1] == "test" and text_hash not in self._seen

    def split_of(self, key: Key, text_hash: int) -> Split | None:
        """The split of a row as it reads now; None for a row that was not there, and for one that
        may not be told from a row of the test."""
        if self.is_test(key, text_hash):
            return "test"
        if text_hash in self._seen:
            return self._seen[text_hash]
        known = self._by_key.get(key_text(key)) if self._stable else None
        if known is None or known[1] == "test" or self.is_tested(text_hash):
            return None
        return known[1]

    def is_tested(self, text_hash: int) -> bool:
        """Whether a row with this text was in the test split."""
        return text_hash in self._tested
