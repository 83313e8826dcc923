"""The request of a prediction, and its meaning for the database as it is now."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.database import Params, check_condition, relation
from ..core.errors import PredictError
from ..core.labels import LabelSet, LabelValue
from ..core.numbers import Range
from ..store.classifiers import Classifier
from ..store.jobs.job import Job
from ..store.jobs.state import save_progress
from ..store.minimum_scores import MinimumScore, find_minimum
from ..store.schema import transaction
from .columns import Columns, check_columns, usual_columns
from .cursor import MOST_STARTS, RowCursor, RowsMoved, start_over
from .fingerprints import STALE, Age, Fingerprints
from .load_classifier import TrainedModel, measures_known, service_of
from .row_updates import RowUpdates
from .rows import AnswersOf, Batch, Rows, find_target
from .settings import PredictSettings

ON_ERROR = ("null", "fail")
MOST_CONCURRENCY = 512
"""Requests at once: more would be no faster here, and a file that somebody else made may say it."""
CONCURRENCY = Range(1, MOST_CONCURRENCY, whole=True)

MAX_ERRORS = 0.2
"""The share of rows without an answer beyond which a prediction is not worth going on with."""


@dataclass(frozen=True)
class PredictRequest:
    """Which rows of a table to classify, and how.

    columns:     None: named after the classifier
    where, params: only rows that meet the condition; the values of its :names
    unlabelled:  only rows without a label
    stale:       only rows whose answer is older than their text, the classifier or its minimum
                 score; needs the column `fingerprint`
    overwrite:   allow writing to columns that were not made for predictions
    threshold:   the minimum score (0-1) of a label; below it a row gets none, and keeps its score.
                 None: the one that is kept with the classifier, 0: every label is written
    wrong:       in its place the share of wrong answers (0-1) that may be, where a row has one
                 label; `strength` is what that promises, see `metrics.minimum_scores`
    min_known:   how much a text must be like the training rows (0-1, see `Recognizer`); below it a
                 row gets no label. Local models alone can say it

    For classifiers whose model is at a service:

    concurrency: the most requests at once; None: 32
    limit_usd:   what the whole job may cost; None: half as much again as the estimate
    on_error:    what a row gets that has no answer: `null`, a label of the set, or `fail`, which
                 ends the job
    max_errors:  the share (0-1) of such rows beyond which the job fails, once there are 50 rows
    batch:       through the service's batch API: for less money, within a day
    """

    columns: Columns | None = None
    where: str | None = None
    params: Params = field(default_factory=dict)
    unlabelled: bool = False
    stale: bool = False
    overwrite: bool = False
    threshold: float | None = None
    wrong: float | None = None
    strength: str = "likely"
    min_known: float | None = None
    concurrency: int | None = None
    limit_usd: float | None = None
    on_error: str = "null"
    max_errors: float = MAX_ERRORS
    batch: bool = False

    def settings(
        self, conn: sqlite3.Connection, classifier: Classifier, table: str
    ) -> PredictSettings:
        """What makes two prediction jobs the same one; for the rest see `terms`."""
        columns = self.columns or usual_columns(classifier, min_known=self.min_known)
        threshold = self._threshold(conn, classifier)
        own = self.wrong is None and self.threshold is None and threshold is not None
        columns = columns.with_group(own and _groups(conn, classifier) is not None)
        return PredictSettings(
            classifier=classifier.title,
            uid=classifier.uid,
            table=relation(conn, table).name,
            columns=columns,
            where=self.where,
            params=dict(self.params),
            unlabelled=self.unlabelled,
            overwrite=self.overwrite,
            threshold=threshold,
            wrong=self.wrong,
            strength=None if self.wrong is None else self.strength,
            min_known=self.min_known,
            on_error=None if service_of(classifier) is None else self.on_error,
            stale=self.stale or None,
            own_minimum=own or None,
        )

    def _threshold(self, conn: sqlite3.Connection, classifier: Classifier) -> float | None:
        if self.wrong is not None:
            if self.threshold is not None:
                raise PredictError(
                    "Choose a minimum score or a share of wrong answers, not both.",
                    fields=("wrong", "min_score"),
                )
            from .minimum_scores import MinimumChoice, resolve

            check_threshold(classifier, 0.0)
            return resolve(conn, classifier, MinimumChoice(self.strength, self.wrong)).score
        if self.threshold is not None:
            return self.threshold
        minimum = find_minimum(conn, classifier)
        return None if minimum is None else minimum.score

    def terms(self) -> dict[str, Any]:
        """What may be agreed anew when a job goes on."""
        return {"concurrency": self.concurrency, "max_errors": self.max_errors, "batch": self.batch}


class Plan:
    """A request, resolved against its table. It keeps no connection.

    Raises PredictError when the table cannot be written, SourceError when it does not fit."""

    def __init__(
        self, conn: sqlite3.Connection, classifier: Classifier, settings: PredictSettings
    ) -> None:
        self.settings = settings
        where, params = settings.where, settings.params
        self.classifier = classifier
        self.columns = settings.columns
        self.on_error = settings.on_error or "null"
        self.default = default_labels(classifier.labels, self.on_error)
        self.threshold = check_threshold(classifier, settings.threshold)
        self.min_known = check_min_known(classifier, settings.min_known)
        self.target = find_target(conn, classifier, settings.table)
        check_condition(conn, self.target, where, params)
        check_roles(classifier, self.columns, self.threshold, self.min_known)
        check_columns(conn, self.target, self.columns, classifier, settings.overwrite)
        self.row_cursor = RowCursor(conn, self.target)
        roles = [role for role, _ in self.columns.items()]
        self._fingerprint_at = roles.index("fingerprint") if "fingerprint" in roles else None
        self.updates = RowUpdates(
            self.target, self.columns, classifier, overwrite=settings.overwrite
        )
        self.groups = _groups(conn, classifier) if settings.own_minimum else None
        self.fingerprints = Fingerprints.of_classifier(
            conn, classifier, self.threshold, self.min_known
        )
        self.rows = self.rows_of(STALE if settings.stale else None)
        self._tries = 0

    def rows_of(self, ages: Collection[Age] | None) -> Rows:
        """The rows that are meant; ages: only those whose answer has one of these. Raises
        PredictError where no column tells."""
        settings, only = self.settings, None
        if ages is not None:
            if self.columns.fingerprint is None:
                raise PredictError(
                    "Stale answers are recognised by the column fingerprint: write it, too."
                )
            only = AnswersOf(
                self.fingerprints, frozenset(ages), self.columns.fingerprint,
                tuple(name for role, name in self.columns.items() if role != "fingerprint"),
            )  # fmt: skip
        where, params, unlabelled = settings.where, settings.params, settings.unlabelled
        return Rows(self.target, self.classifier, where, params, unlabelled, only)

    def mark(self, cells: list[Any], text: str | None) -> list[Any]:
        """The cells of a row with the fingerprint of its answer in their midst."""
        if self._fingerprint_at is not None:
            cells[self._fingerprint_at] = self.fingerprints.of(text)
        return cells

    @classmethod
    def of(
        cls, conn: sqlite3.Connection, classifier: Classifier, table: str, request: PredictRequest
    ) -> Plan:
        """What is asked for now, to be shown, agreed to and queued. The job makes its own."""
        return cls(conn, classifier, request.settings(conn, classifier, table))

    def begin(self, conn: sqlite3.Connection, job: Job) -> None:
        """Finds the job's place and counts the rows: all or nothing. Raises PredictError when the
        first of them cannot be written. The columns are made with the first rows, see `write`."""
        # Before the transaction: a condition may take long, and nobody else could write meanwhile.
        total = self.rows.count(conn)
        first = self.rows.after(conn, self.row_cursor.now(conn, job.position), 1)
        if self.updates.triggers(conn):
            # One may move a row behind the others, where it would be met again and again.
            self.rows.end_at_the_last(conn)
        with transaction(conn):
            if job.position is not None and self.updates.are_missing(conn):
                start_over(conn, job, "the table has lost what was written, and is another one")
            self.row_cursor.begin(conn, job)
            job.step = "classifying"
            job.total = total + (job.rows_done if self.rows.only else 0)
            save_progress(conn, job)
            self.updates.rehearse(conn, first[0][0] if first else None)
            self.row_cursor.note_version(conn)

    def write(
        self, conn: sqlite3.Connection, updates: Sequence[list[Any]], batch: Batch
    ) -> dict[int, str]:
        """See RowUpdates.write. Raises RowsMoved when the rows may be other ones by now, or some of
        them have another text: these are left as they are where that goes on.

        batch: the rows, as they were read; empty: nobody has written anything since
        """
        self.row_cursor.check(conn)
        changed = self.rows.changed(conn, batch)
        self._tries = self._tries + 1 if changed else 0
        if 0 < self._tries <= MOST_STARTS:
            raise RowsMoved
        kept = self.updates.write(conn, updates, changed)
        self.row_cursor.note_version(conn)  # ours may be the columns that are new
        return kept

    def finish(self, conn: sqlite3.Connection) -> None:
        """Call when all rows are through."""
        with transaction(conn):
            self.row_cursor.check(conn)
            self.updates.finish(conn)

    def find_place(self, conn: sqlite3.Connection, job: Job) -> None:
        """Goes on, after RowsMoved, behind the last row that was written. Raises as
        `RowCursor.begin` does."""
        with transaction(conn):
            self.row_cursor.begin(conn, job)
            save_progress(conn, job)


def check_roles(
    classifier: TrainedModel, columns: Columns, threshold: float | None, min_known: float | None
) -> None:
    """Raises PredictError for columns that nothing would be written into."""
    here, title = service_of(classifier) is None, classifier.title
    if columns.known and not here:
        raise PredictError(
            f"{title} is at a service, which does not say how familiar a text is: leave out the "
            "column known."
        )
    always = threshold is None and min_known is None
    if here and (columns.raw or (columns.reason and always)):
        raise PredictError(
            f"{title} always answers with a label: leave out the columns raw and reason."
        )


def _groups(conn: sqlite3.Connection, classifier: Classifier) -> MinimumScore | None:
    """The minimum score that is kept with it, where groups of labels answer below that."""
    kept = find_minimum(conn, classifier)
    return None if kept is None or kept.tree is None else kept


def check_threshold(classifier: TrainedModel, threshold: Any) -> float | None:
    """The minimum score. Raises PredictError when it is none, or cannot be applied."""
    if threshold is None:
        return None
    if not classifier.labels.exclusive:
        raise PredictError(
            f"{classifier.title} may give a row several labels, each with its own threshold: leave "
            "out the minimum score.",
            fields=("min_score",),
        )
    if not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
        raise PredictError("The minimum score must be from 0 to 1.", fields=("min_score",))
    return float(threshold)


def check_min_known(classifier: TrainedModel, least: Any) -> float | None:
    """How much a text must be like the training rows. Raises PredictError when it is no share, or
    cannot be applied."""
    if least is None:
        return None
    fields = ("min_known",)
    if not isinstance(least, (int, float)) or not 0 <= least <= 1:
        raise PredictError("The minimum of known must be from 0 to 1.", fields=fields)
    if service_of(classifier) is not None:
        raise PredictError(
            f"{classifier.title} is at a service, which does not say how familiar a text is: leave "
            "out the minimum of known.",
            fields=fields,
        )
    if not measures_known(classifier):
        raise PredictError(
            f"{classifier.title} does not say how familiar a text is: an earlier version trained "
            "it, or too few rows could be held out. Train a new version, or leave out the minimum "
            "of known.",
            fields=fields,
        )
    return float(least)


def default_labels(labels: LabelSet, on_error: str) -> tuple[LabelValue, ...] | None:
    """What a row without an answer gets. Raises PredictError when it is no label of the set."""
    if on_error in ON_ERROR:
        return None
    if on_error not in labels.names:
        raise PredictError(
            "A row without an answer must get null, fail or one of the labels "
            f"{', '.join(labels.names[:20])}, not {on_error}.",
            fields=("on_error",),
        )
    return (labels.values[labels.names.index(on_error)],)
