"""Deleting classifiers, with all that belongs to them and to nothing else."""

from __future__ import annotations

import sqlite3

from .aliases import note_deletion
from .classifiers import default_name, find_row, has_store, highest_version, not_found, resolve_name
from .schema import ensure_schema, transaction


def delete_classifier(conn: sqlite3.Connection, name: str) -> list[str]:
    """Deletes all versions of `name`, or the one of `name@version`; gives their titles.

    Works on damaged ones, too. Columns with predictions stay. When the default goes, the newest
    classifier left takes over.
    """
    row = None
    if has_store(conn):
        name = resolve_name(conn, name)
        row = find_row(conn, name, "main")
    if row is None:
        raise not_found(conn, name, "main")
    ensure_schema(conn)
    found, version = row[2], row[3]
    only = "" if found == name else " and version = :version"
    gone = conn.execute(
        "select id, name || '@' || version from _ftclassify_classifiers"
        f" where name = :name{only} order by version desc",
        {"name": found, "version": version},
    ).fetchall()
    with transaction(conn):
        for classifier_id, _ in gone:
            _delete_version(conn, classifier_id)
        if not highest_version(conn, found):
            note_deletion(conn, found)
            if default_name(conn) == found:
                _next_default(conn)
    return [title for _, title in gone]


def _delete_version(conn: sqlite3.Connection, classifier_id: int) -> None:
    conn.execute(
        "delete from _ftclassify_batch_keys where batch_id in (select b.id from"
        " _ftclassify_batches b join _ftclassify_jobs j on j.id = b.job_id"
        " where j.classifier_id = ?)",
        [classifier_id],
    )
    for table in ("job_events", "batches"):
        conn.execute(
            f"delete from _ftclassify_{table} where job_id in"
            " (select id from _ftclassify_jobs where classifier_id = ?)",
            [classifier_id],
        )
    conn.execute(
        "delete from _ftclassify_evaluation_rows where evaluation_id in"
        " (select id from _ftclassify_evaluations where classifier_id = ?)",
        [classifier_id],
    )
    for table in ("artifacts", "evaluations", "answers", "jobs"):
        conn.execute(f"delete from _ftclassify_{table} where classifier_id = ?", [classifier_id])
    conn.execute("delete from _ftclassify_classifiers where id = ?", [classifier_id])
    # A training at a service notes its split before there is a classifier.
    noted = "case when json_valid(remote) then json_extract(remote, '$.preparation.split_id') end"
    used = (
        "select split_id from _ftclassify_classifiers"
        f" union select {noted} from _ftclassify_jobs where {noted} is not null"
    )
    conn.execute(f"delete from _ftclassify_split_rows where split_id not in ({used})")
    conn.execute(f"delete from _ftclassify_splits where id not in ({used})")


def delete_job(conn: sqlite3.Connection, job_id: int) -> None:
    """Deletes a job that has no batches, with its events; what it spent stays."""
    with transaction(conn):
        conn.execute("delete from _ftclassify_job_events where job_id = ?", [job_id])
        conn.execute("delete from _ftclassify_jobs where id = ?", [job_id])


def _next_default(conn: sqlite3.Connection) -> None:
    conn.execute("delete from _ftclassify_settings where key = 'default'")
    conn.execute(
        "insert into _ftclassify_settings (key, value)"
        " select 'default', name from _ftclassify_classifiers order by id desc limit 1"
    )
