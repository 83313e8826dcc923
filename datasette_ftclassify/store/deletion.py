"""Deleting classifiers, with all that belongs to them and to nothing else.

A job that a process runs, or of which something goes on at a service and is billed there, is never
deleted: the caller cancels it first.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import ClassVar

from ..core.errors import ArtifactError, ClassifierInUse, ClassifierNotFound, JobError
from ..core.humanize import counted
from .aliases import note_deletion
from .card_notes import NOTES
from .cell_size import fits
from .classifiers import (
    default_name,
    find_classifier,
    has_store,
    is_taken,
    not_found,
    resolve_name,
    untried,
)
from .jobs.job import Job
from .jobs.remote_cancel import goes_on_elsewhere
from .jobs.state import ask_job, get_job
from .jobs.states import UNFINISHED
from .schema import ensure_schema, transaction
from .settings import SETTING
from .version_numbers import keep_version_numbers, split_title


@dataclass(frozen=True)
class Deletion:
    """What deleting does, or did.

    titles:   NAME@VERSION of what is deleted, newest first
    answers:  the version that answers for the name afterwards; None: there is none left
    default:  the default's name afterwards; `changed`: whether it was another one before
    hidden:   whether whoever reads this may not know the default
    busy:     jobs that must be cancelled before; `others`: how many paused or queued ones go, too
    """

    titles: tuple[str, ...]
    answers: str | None
    default: str | None
    changed: bool
    busy: tuple[Job, ...]
    others: int
    hidden: bool = False

    losses: ClassVar[str] = (
        "Its evaluations, its jobs and the answers kept of a service are deleted with it. Columns "
        "with its predictions stay. An encoder that was fine-tuned for it stays, too, since a copy "
        "of this file may need it."
    )

    @property
    def consequence(self) -> str:
        """Who will answer, in a sentence; empty where that stays as it is."""
        if self.changed and self.default is None and not self.hidden:
            return "Then there is no default."
        if self.changed:
            return f"{self.default or 'Another classifier'} becomes the default."
        return f"{self.answers} will answer for that name." if self.answers else ""

    @property
    def done(self) -> str:
        """What was deleted, and who answers now."""
        said = f"Deleted {', '.join(self.titles)}."
        if self.others:
            said += f" {counted(self.others, 'unfinished job')} went with it."
        if self.changed and self.default is None and not self.hidden:
            return f"{said} There is no default now."
        if self.changed:
            return f"{said} {self.default or 'Another classifier'} is the default now."
        return f"{said} {self.answers} answers for that name now." if self.answers else said

    def in_use(self) -> ClassifierInUse:
        name = self.titles[0] if len(self.titles) == 1 else self.titles[0].rpartition("@")[0]
        jobs = "; ".join(map(self.busy_text, self.busy))
        return ClassifierInUse(
            f"{name} is in use and was not deleted: {jobs}.", tuple(job.id for job in self.busy)
        )

    @staticmethod
    def busy_text(job: Job) -> str:
        """What keeps a classifier from being deleted."""
        what = f"job {job.id} ({job.kind})"
        if job.state == "running" and not job.interrupted:
            return f"{what} is being cancelled" if job.wanted == "cancel" else f"{what} is running"
        return f"{what} goes on at a service, where it is billed"


def plan_deletion(conn: sqlite3.Connection, name: str) -> Deletion:
    """What deleting all versions of `name`, or the one of `name@version`, would do.

    Reads no more of a classifier than its name and version: it may be damaged.
    Raises ClassifierNotFound.
    """
    gone, left, was_first = _versions(conn, name)
    found = gone[0][1]
    jobs = _unfinished(conn, [id for id, *_ in gone])
    busy = tuple(job for job in jobs if _is_busy(conn, job))
    default = default_name(conn)
    lost = default == found and not left
    return Deletion(
        titles=tuple(f"{one}@{version}" for _, one, version in gone),
        answers=f"{found}@{left[0][2]}" if left and was_first else None,
        default=_newest_name(conn, besides=found) if lost else default,
        changed=lost,
        busy=busy,
        others=len(jobs) - len(busy),
    )


def delete_classifier(conn: sqlite3.Connection, name: str) -> Deletion:
    """Deletes all versions of `name`, or the one of `name@version`; says what that did.

    Works on damaged ones, too. Columns with predictions stay. When the default goes, the newest
    classifier left takes over. The numbers of deleted versions are not given again.
    Raises ClassifierNotFound, and ClassifierInUse while jobs are busy with it: see cancel_jobs.
    """
    plan_deletion(conn, name)  # there is one, before the file is changed
    ensure_schema(conn)
    with transaction(conn):
        plan = plan_deletion(conn, name)
        if plan.busy:
            raise plan.in_use()
        gone, *_ = _versions(conn, name)
        keep_version_numbers(conn, gone[0][1])
        for classifier_id, _, _ in gone:
            _delete_version(conn, classifier_id)
        if not is_taken(conn, gone[0][1]):
            note_deletion(conn, gone[0][1])
        if plan.changed:
            conn.execute("delete from _ftclassify_settings where key = 'default'")
            if plan.default is not None:
                conn.execute(SETTING, ["default", plan.default])
    return plan


def cancel_jobs(conn: sqlite3.Connection, name: str) -> None:
    """Requests the cancellation of the jobs that use the classifier, once each. Those that run,
    here or at a service, end some time later."""
    with transaction(conn):
        for job in plan_deletion(conn, name).busy:
            if job.wanted != "cancel" or job.interrupted:
                ask_job(conn, job.id, "cancel")


def _versions(
    conn: sqlite3.Connection, name: str
) -> tuple[list[tuple[int, str, int]], list[tuple[int, str, int]], bool]:
    """(id, name, version) of what the name stands for, and of the other versions of that name, the
    one that answers for it first; and whether that is among the former."""
    if not has_store(conn):
        raise not_found(conn, name, "main")
    name = resolve_name(conn, name)
    sql = (
        "select c.id, c.name, c.version from _ftclassify_classifiers c where c.name = ?"
        f" order by {untried('main')}, c.version desc"
    )
    gone: list[tuple[int, str, int]] = conn.execute(sql, [name]).fetchall()
    if gone:
        return gone, [], True
    base, version = split_title(name)
    every: list[tuple[int, str, int]] = conn.execute(sql, [base]).fetchall()
    gone = [row for row in every if str(row[2]) == version]
    if not gone:
        raise not_found(conn, name, "main")
    return gone, [row for row in every if row not in gone], every[0] in gone


def _unfinished(conn: sqlite3.Connection, classifier_ids: list[int]) -> list[Job]:
    """The jobs of classifiers that have not ended; without damaged ones."""
    found = []
    states = ", ".join("?" * len(UNFINISHED))
    sql = f"select id from _ftclassify_jobs where classifier_id = ? and state in ({states})"
    for classifier_id in classifier_ids:
        for (job_id,) in conn.execute(sql, [classifier_id, *UNFINISHED]).fetchall():
            try:
                found.append(get_job(conn, job_id))
            except JobError:
                continue
    return found


def _is_busy(conn: sqlite3.Connection, job: Job) -> bool:
    return (job.state == "running" and not job.interrupted) or goes_on_elsewhere(conn, job)


def _delete_version(conn: sqlite3.Connection, classifier_id: int) -> None:
    conn.execute(
        "delete from _ftclassify_following where uid in"
        " (select uid from _ftclassify_classifiers where id = ?)",
        [classifier_id],
    )
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
    for table in ("minimum_scores", "artifacts", "evaluations", "answers", "jobs"):
        conn.execute(f"delete from _ftclassify_{table} where classifier_id = ?", [classifier_id])
    conn.execute(
        "delete from _ftclassify_settings where key in"
        " (select ? || uid from _ftclassify_classifiers where id = ?)",
        [NOTES, classifier_id],
    )
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


def _newest_name(conn: sqlite3.Connection, besides: str) -> str | None:
    """Of a classifier that can be read."""
    rows = conn.execute(
        f"select name from _ftclassify_classifiers where name <> ? and {fits('name')}"
        " group by name order by max(id) desc limit 50",
        [besides],
    )
    for (name,) in rows.fetchall():
        try:
            return find_classifier(conn, str(name)).name
        except (ArtifactError, ClassifierNotFound):
            continue
    return None
