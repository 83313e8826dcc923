"""Undoing changes that were made as one."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from ...core.database import Key, relation, row_condition, schema_version
from ...core.errors import ReviewError
from ...core.humanize import counted
from ...store.change_batches import changes_of, get_batch, mark_batch_undone
from ...store.jobs.job import Job
from ...store.jobs.state import get_job
from ...store.label_changes import Change, mark_undone
from ...store.schema import ensure_schema, transaction
from ...store.shared_answers import settle
from .build import queue_facts
from .changes import people_of, write_cells
from .rows import exact


@dataclass(frozen=True)
class UndoneBatch:
    """restored: keys of the rows that hold their old labels again; kept: how many rows hold
    something else by now, which somebody wrote, or are gone, and were left alone"""

    restored: list[Key]
    kept: int

    @property
    def said(self) -> str:
        """For people, without the full stop."""
        have = counted(len(self.restored), "row has its old label", "rows have their old labels")
        are = counted(self.kept, "row changed since is", "rows changed since are")
        return f"{have} again{f', {are} left alone' if self.kept else ''}"


def undo_batch(conn: sqlite3.Connection, batch_id: int, who: str, of: Job | str) -> UndoneBatch:
    """Writes the old labels back, all or, where the table refuses one, none.

    of: the job of the queue, or the table whose labels were merged
    Raises ReviewError where the table refuses, for a change that is not of that, and where it was
    undone already; SourceError when the table is gone.
    """
    ensure_schema(conn)
    with exact(conn), transaction(conn):
        batch = get_batch(conn, batch_id)
        if isinstance(of, str):
            if batch.source.lower() != of.lower() or batch.job_id is not None:
                raise ReviewError(f"Table {of} has no merge {batch_id}.")
        else:
            task = queue_facts(of)[1].task  # the permissions that count are those of its table
            own = (of.id, task.source, task.labels)
            if (batch.job_id, batch.source, batch.columns) != own:
                raise ReviewError(f"This queue has no change {batch_id} of many rows.")
        if batch.undone_at is not None:
            raise ReviewError(f"{batch.undone_by} has undone that already.")
        source = relation(conn, batch.source)
        source.require_columns(batch.columns)
        if not source.primary_key and batch.schema_version != schema_version(conn):
            raise ReviewError(
                f"{source.name} has no primary key, and tables of the file were changed since, so "
                "its rows may have other numbers (VACUUM): nothing is undone. The labels that they "
                "had are in _ftclassify_label_changes."
            )
        restored, kept = [], 0
        for change in list(changes_of(conn, batch_id)):
            row = row_condition(source, change.key)
            written = change.action != "label" or (
                row is not None
                and write_cells(conn, source, batch.columns, row, change.after, change.before)
            )
            if written:
                restored.append(change.key)
            kept += not written
            _reopen(conn, change, who)
        mark_batch_undone(conn, batch_id, who)
        return UndoneBatch(restored, kept)


def _reopen(conn: sqlite3.Connection, change: Change, who: str) -> None:
    mark_undone(conn, change, who)
    if change.job_id:
        settle(conn, change.job_id, change.place, people_of(get_job(conn, change.job_id)))
