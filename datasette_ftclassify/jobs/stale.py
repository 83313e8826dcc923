"""Answers in a table that are older than their text, their classifier or its minimum score, and how
they are made again: with the columns and the minimum score that they had."""

from __future__ import annotations

import math
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.database import Key, relation, stored_key
from ..core.errors import ClassifierNotFound, FtclassifyError, PredictError
from ..store.classifiers import Classifier, find_by_uid, find_classifier
from ..store.jobs.job import Job
from ..store.jobs.new_rows import end_following, list_following
from ..store.jobs.queries import newest_brief
from ..store.jobs.state import get_job
from ..store.minimum_scores import find_minimum
from ..store.schema import transaction
from ..trainers.access import Access
from .columns import label_scores_now
from .estimates import JobEstimate
from .fingerprints import STALE, Age, Fingerprints
from .new_rows import submit_follow
from .plan import Plan, PredictRequest
from .predict import submit_plan
from .rows import keys_of
from .settings import PredictSettings, settings_of

MOST_JOBS = 1_000
"""Predictions that are looked at, the newest of a file: most tables are written by one or two."""

AGES_TEXT: dict[Age, str] = {
    "text": "the text was changed",
    "classifier": "an earlier version, or another minimum score",
    "unknown": "not known what made it",
}

AGES: tuple[Age, ...] = (*AGES_TEXT, "current", "none")


@dataclass(frozen=True)
class Answers:
    """Columns of a table that a classifier filled, as its newest prediction there did.

    classifier: that its name stands for now
    settings:   of that prediction
    follower:   the job that classifies new and edited rows as they come; None: there is none
    """

    classifier: Classifier
    settings: PredictSettings
    follower: Job | None

    @property
    def column(self) -> str:
        """That the fingerprints are in: it tells these answers from others in the table."""
        assert self.settings.columns.fingerprint is not None
        return self.settings.columns.fingerprint

    def fingerprints(self, conn: sqlite3.Connection) -> Fingerprints | None:
        """Of answers that are up to date. None: none is, as a newer version is there."""
        then = self.settings
        if then.uid != self.classifier.uid:
            return None
        threshold = then.threshold
        if then.own_minimum or (threshold is None and then.wrong is None):
            minimum = find_minimum(conn, self.classifier)
            threshold = None if minimum is None else minimum.score
        return Fingerprints.of_classifier(conn, self.classifier, threshold, then.min_known)

    def request(self, **terms: Any) -> PredictRequest:
        """What makes the stale ones again, by the classifier as it is now.

        terms: how a service is asked, and for how much, see `PredictRequest`
        """
        then = self.settings
        fixed = None if then.own_minimum or then.wrong is not None else then.threshold
        scores = label_scores_now(then.columns.label_scores, self.classifier.labels)
        return PredictRequest(
            columns=replace(then.columns, label_scores=scores),
            stale=True,
            threshold=fixed,
            wrong=then.wrong,
            strength=then.strength or "likely",
            min_known=then.min_known,
            **{"on_error": then.on_error or "null", **terms},
        )

    def plan(self, conn: sqlite3.Connection) -> Plan:
        """Raises PredictError or SourceError where they cannot be made again."""
        return Plan.of(conn, self.classifier, self.settings.table, self.request())


def answers_in(
    conn: sqlite3.Connection, table: str, classifier: Classifier | None = None
) -> list[Answers]:
    """The answers in columns of a table of whose age something is known.

    classifier: only those of its name
    """
    found: dict[str, Answers] = {}
    followers = _followers(conn, table)
    here = relation(conn, table)
    for job in newest_brief(conn, MOST_JOBS, kind="predict"):
        try:
            settings = settings_of(job, PredictSettings)
            written = settings.columns.fingerprint
            column = None if written is None else here.column(written)
            if settings.table != table or column is None or column in found:
                continue
            follower = followers.get(column.lower())
            found[column] = Answers(_now(conn, settings), settings, follower)
        except FtclassifyError:
            continue  # the job was not written by this software, or the classifier is gone
    names = None if classifier is None else classifier.name
    return [one for one in found.values() if names in (None, one.classifier.name)]


def find_answers_in(
    conn: sqlite3.Connection,
    table: str,
    classifier: Classifier | None = None,
    column: str | None = None,
) -> Answers:
    """Those of a classifier's name, in whatever version, or of any; column: of their fingerprints,
    where there are several. Raises PredictError when there are none, or which is not clear."""
    found = answers_in(conn, table, classifier)
    chosen = [one for one in found if column is None or one.column.lower() == column.lower()]
    if len(chosen) == 1:
        return chosen[0]
    names = sorted({one.classifier.name for one in chosen})
    if len(names) > 1:
        raise PredictError(
            f"Several classifiers have written columns into {table}: choose one of "
            f"{', '.join(names)}.",
            fields=("classifier",),
        )
    if chosen:
        columns = ", ".join(one.column for one in chosen)
        raise PredictError(
            f"{names[0]} has written several columns into {table}: choose those of one of "
            f"{columns}.",
            fields=("columns_prefix",),
        )
    of = "" if classifier is None else f" of {classifier.name}"
    raise PredictError(
        f"{table} has no column fingerprint{of}, which tells what is stale: classify its rows "
        "first."
    )


def _followers(conn: sqlite3.Connection, table: str) -> dict[str, Job]:
    """By the column of fingerprints that they write."""
    found = {}
    for one in list_following(conn, table):
        try:
            job = get_job(conn, one.job_id)
            column = settings_of(job, PredictSettings).columns.fingerprint
        except FtclassifyError:
            continue
        if column is not None:
            found[column.lower()] = job
    return found


def _now(conn: sqlite3.Connection, settings: PredictSettings) -> Classifier:
    try:
        name = find_by_uid(conn, settings.uid).name
    except ClassifierNotFound:
        name = settings.classifier.rpartition("@")[0] or settings.classifier
    return find_classifier(conn, name)


@dataclass(frozen=True)
class Ages:
    """How old the answers of a table are.

    counts: rows by the age of their answer
    whole:  whether all rows were read in the time there was
    """

    counts: Counter[Age]
    whole: bool

    @property
    def stale(self) -> int:
        return sum(self.counts[age] for age in STALE)

    def to_dict(self) -> dict[str, Any]:
        counts: dict[str, int] = {age: self.counts[age] for age in AGES}
        return {"stale": self.stale, **counts, "whole": self.whole}


def count_ages(conn: sqlite3.Connection, plan: Plan, seconds: float = math.inf) -> Ages:
    """Reads the texts of the table. seconds: for so long at most"""
    end = time.monotonic() + seconds
    counts: Counter[Age] = Counter()
    for batch in plan.rows.ages(conn):
        counts.update(age for _, _, age in batch)
        if time.monotonic() > end:
            return Ages(counts, whole=False)
    return Ages(counts, whole=True)


@dataclass(frozen=True)
class StaleRow:
    """key: of the row's page, see `Relation.identity`"""

    key: Key
    text: str | None
    age: Age


def stale_rows(
    conn: sqlite3.Connection,
    plan: Plan,
    most: int,
    *,
    age: Age | None = None,
    after: Sequence[Any] | None = None,
    seconds: float = math.inf,
) -> tuple[list[StaleRow], list[Any] | None]:
    """The next rows whose answer is stale, and from where to go on; None: there are no more.

    age:   only answers of that age
    after: where to go on; None: at the first row
    seconds: after which no more are looked for
    """
    end = time.monotonic() + seconds
    wanted = STALE if age is None else {age}
    found: list[StaleRow] = []
    for batch in plan.rows.ages(conn, after):
        for key, text, its_age in batch:
            if its_age not in wanted:
                continue
            if len(found) == most:
                return _with_identity(conn, plan, found), stored_key(found[-1].key)
            found.append(StaleRow(key, text, its_age))
        if time.monotonic() > end:
            return _with_identity(conn, plan, found), stored_key(batch[-1][0])
    return _with_identity(conn, plan, found), None


def _with_identity(conn: sqlite3.Connection, plan: Plan, found: list[StaleRow]) -> list[StaleRow]:
    """Those found by the table's cursor, each with the key that people know it by."""
    keys = keys_of(conn, plan.target, (row.key for row in found))
    return [
        row if key is None else replace(row, key=key) for row, key in zip(found, keys, strict=True)
    ]


def submit_stale(
    conn: sqlite3.Connection,
    answers: Answers,
    plan: Plan,
    request: PredictRequest,
    *,
    estimate: JobEstimate | None = None,
    access: Access | None = None,
) -> Job:
    """A queued job that makes the stale answers again. Where new rows are classified as they come,
    and not by the classifier as it is now, they are from then on: that job goes through all rows,
    as the answers of all are stale."""
    follower = answers.follower
    if follower is None:
        return submit_plan(conn, plan, request, estimate=estimate, access=access)
    then = settings_of(follower, PredictSettings)
    request = replace(request, stale=False)
    if then == replace(plan.settings, stale=None):
        return submit_plan(conn, plan, replace(request, stale=True), access=access)
    with transaction(conn):
        end_following(conn, plan.target.name, then.uid)
        new = Plan.of(conn, plan.classifier, plan.target.name, request)
        return submit_follow(conn, new, request, access)
