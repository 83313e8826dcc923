"""Texts of megabytes in tables of ours: what is read of them is short enough for a page."""

from __future__ import annotations

from contextlib import closing

import pytest

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import ArtifactError, JobError
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.review.build import submit_review
from datasette_ftclassify.jobs.review.changes import change_row
from datasette_ftclassify.jobs.review.shown import show_row
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.settings import ReviewSettings
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.store.label_changes import list_changes
from datasette_ftclassify.store.reviews import list_rows

LONG = "x" * 5_000_000
MOST = 200_000
"""Characters of one record, each of whose texts may be on a page several times."""


@pytest.fixture(scope="module")
def reviewed(trained_file, tmp_path_factory):
    """A file with a queue, of which one row was skipped with a note; and the queue's job."""
    path = tmp_path_factory.mktemp("reviewed") / "town.db"
    path.write_bytes(trained_file.read_bytes())
    with closing(connect(path)) as conn:
        task = define(conn, "messages", text=["message"], labels=["topic"])
        job = run_job(conn, submit_review(conn, ReviewSettings(task, "audit", rows=5)).id)
        row = show_row(conn, job, 1)
        change_row(conn, job, 1, None, seen=row.seen, who="ann", note="unclear")
    return path, job.id


@pytest.mark.parametrize(
    ("table", "column"),
    [
        *(("review_rows", name) for name in (
            "row_key", "suggested", "likely", "why", "words", "neighbours", "state", "claimed_by",
        )),
        *(("label_changes", name) for name in (
            "source", "action", "cells_before", "cells_after", "why", "note", "who", "created_at",
            "undone_by", "undone_at",
        )),
    ],
)  # fmt: skip
def test_a_record_of_a_review_is_short_or_damaged(reviewed, table, column):
    path, job_id = reviewed
    with closing(connect(path)) as conn:
        conn.execute(f"update _ftclassify_{table} set {column} = ?", [LONG])
        try:
            read = [*list_rows(conn, job_id), *list_changes(conn, job_id)]
        except ArtifactError as error:
            read = [error]
        conn.rollback()
    assert max(len(repr(record)) for record in read) < MOST


@pytest.mark.parametrize("field", ["source", "template", "where", "delimiter", "split_column"])
def test_no_task_and_no_settings_have_a_text_that_is_longer_than_a_page(reviewed, field):
    path, job_id = reviewed
    with closing(connect(path)) as conn:
        for table, column in (("tasks", "definition"), ("jobs", "settings")):
            where = "$.task." if table == "jobs" else "$."
            sql = f"update _ftclassify_{table} set {column} = json_set({column}, ?, ?)"
            conn.execute(sql, [where + field, LONG[:900_000]])
        with pytest.raises(ArtifactError, match="damaged"):
            find_classifier(conn, "topics")
        with pytest.raises(JobError, match="damaged"):
            get_job(conn, job_id)
        conn.rollback()
