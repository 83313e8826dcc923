"""The result of a sweep: which of its classifiers is the best, by rows that none of them has seen
and that are not the test rows."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from ..core.database import key_text
from ..core.errors import FtclassifyError, SourceError
from ..core.humanize import counted, rows_text, shortened
from ..store.classifiers import Classifier, find_by_id
from ..store.evaluations import VALIDATION, RowResult, judged_rows
from ..store.jobs.job import Job
from ..store.out_of_fold import read_out_of_fold
from ..store.splits import splits_of_rows
from .as_published import without_places
from .load_classifier import service_of
from .sweep import MOST_TRAININGS, sweep_jobs


@dataclass(frozen=True)
class Trained:
    """One training.

    job:        its id; name, trainer, said, seed: by its settings; state, error: as of `Job`
    classifier: None: there is none (yet), as `state` says
    figure:     0-1, of `rows` answers; None: it has none
    """

    job: int
    name: str
    trainer: str
    said: str
    seed: int
    source: str | None
    state: str
    error: str | None
    classifier: Classifier | None = None
    figure: float | None = None
    rows: int = 0

    @classmethod
    def of(cls, conn: sqlite3.Connection, job: Job) -> Trained:
        settings = without_places(job.settings, job.settings)
        given = settings.get("options")
        options = {**given} if isinstance(given, dict) else {}
        seed = options.pop("seed", None)
        return cls(
            job.id,
            str(settings.get("name")),
            str(settings.get("trainer")),
            shortened(" ".join(f"{k}={v}" for k, v in options.items() if v not in (None, {})), 500),
            seed if isinstance(seed, int) else 0,
            job.table,
            job.shown_state,
            without_places(job.error, job.settings),
            _classifier(conn, job),
        )


@dataclass(frozen=True)
class Tried:
    """One variant, with all its seeds."""

    name: str
    trainer: str
    said: str
    trained: tuple[Trained, ...]

    @property
    def figures(self) -> list[float]:
        return [one.figure for one in self.trained if one.figure is not None]

    @property
    def mean(self) -> float | None:
        return mean(self.figures) if self.figures else None

    @property
    def best(self) -> Trained | None:
        """Of its seeds; of equal ones the first."""
        known = [one for one in self.trained if one.figure is not None]
        return max(known, key=lambda one: (one.figure or 0.0, -one.seed)) if known else None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "trainer": self.trainer,
            "options": self.said,
            "mean": self.mean,
            "lowest": min(self.figures, default=None),
            "highest": max(self.figures, default=None),
            "trainings": [
                {
                    "job": one.job,
                    "state": one.state,
                    "seed": one.seed,
                    "classifier": one.classifier and one.classifier.title,
                    "figure": one.figure,
                    "rows": one.rows,
                    "error": one.error,
                }
                for one in self.trained
            ],
        }


@dataclass(frozen=True)
class SweepResult:
    """What has come of a sweep so far.

    metric:   of the figures: accuracy, or of several labels a row micro-averaged F1
    split:    which rows were answered, for people
    tried:    the best first; those without a figure last
    baseline: the figure of always answering the most frequent label of these rows; None: there are
              no rows, or a row may have several labels
    open:     trainings that have not ended
    has_test: whether rows were held back that can judge the chosen one
    """

    id: str
    source: str
    metric: str
    split: str
    tried: tuple[Tried, ...]
    baseline: float | None
    open: int
    has_test: bool

    @property
    def chosen(self) -> Classifier | None:
        """None before all trainings have ended, and where none has a figure."""
        best = self.tried[0].best if self.tried and not self.open else None
        return None if best is None else best.classifier

    @property
    def why(self) -> str:
        """Why that one, or why none, for people."""
        if self.open:
            return f"{counted(self.open, 'training')} to go; then the best is chosen."
        if self.chosen is None:
            return "None of the trainings has a figure to choose by."
        first, *others = self.tried
        rows = max(one.rows for one in first.trained)
        said = f"{self.chosen.title} is chosen: {first.name} has the highest {self.metric}, "
        said += f"{_range(first)}, of answers to {rows_text(rows)} {self.split}"
        if len(first.figures) > 1:
            said += f", and of its {counted(len(first.figures), 'seed')} this one has the best"
        known = [one for one in others if one.figures]
        if not known:
            return f"{said}."
        said += f". Next is {known[0].name} with {_range(known[0])}"
        within = max(known[0].figures) >= min(first.figures)
        if within and len(first.figures) > 1:
            said += ": the seeds of one differ by as much, so it may as well be the better one"
        return f"{said}."

    def to_dict(self) -> dict[str, Any]:
        return {
            "sweep": self.id,
            "table": self.source,
            "metric": self.metric,
            "split": self.split,
            "variants": [one.to_dict() for one in self.tried],
            "baseline": self.baseline,
            "open": self.open,
            "chosen": None if self.chosen is None else self.chosen.title,
            "why": self.why,
        }


def _range(tried: Tried) -> str:
    figures = tried.figures
    text = f"{mean(figures):.3f}"
    if len(figures) > 1:
        text += f" in the mean ({min(figures):.3f} to {max(figures):.3f})"
    return text


def sweep_result(conn: sqlite3.Connection, sweep_id: str, table: str | None = None) -> SweepResult:
    """Of a table alone, where it is given. Raises SourceError when there is no such sweep."""
    found = _newest_of_each(conn, sweep_jobs(conn, sweep_id, table))
    if not found:
        raise SourceError(f"There is no sweep {sweep_id} in this file.")
    made = [one.classifier for one in found if one.classifier is not None]
    validated = any(service_of(one) is not None for one in made)
    rows = {one.id: _rows(conn, one, validated=validated) for one in made}
    exclusive = all(one.labels.exclusive for one in made)
    by_name: dict[str, list[Trained]] = {}
    for one in found:
        answers = [] if one.classifier is None else rows[one.classifier.id]
        figure = _figure(answers, exclusive=exclusive) if answers else None
        judged = replace(one, figure=figure, rows=len(answers))
        by_name.setdefault(one.name, []).append(judged)
    tried = [
        Tried(name, trained[0].trainer, trained[0].said, tuple(trained))
        for name, trained in by_name.items()
    ]
    tried.sort(key=lambda one: -1.0 if one.mean is None else one.mean, reverse=True)
    best = tried[0].best
    return SweepResult(
        sweep_id,
        found[0].source or "?",
        "accuracy" if exclusive else "micro F1",
        "held out for validation" if validated else "out of fold",
        tuple(tried),
        _baseline(rows[best.classifier.id])
        if best is not None and best.classifier is not None and exclusive
        else None,
        sum(one.state in ("queued", "running", "interrupted", "paused") for t in tried
            for one in t.trained),
        bool(made) and any((one.report.get("rows") or {}).get("test") for one in made),
    )  # fmt: skip


def _newest_of_each(conn: sqlite3.Connection, jobs: Iterable[Job]) -> list[Trained]:
    """One for each variant and seed, the newest, in the order in which they were queued; as many as
    a sweep has."""
    found: dict[tuple[str, int], Trained] = {}
    for job in jobs:
        one = Trained.of(conn, job)
        found.setdefault((one.name, one.seed), one)
        if len(found) == MOST_TRAININGS:
            break
    return sorted(found.values(), key=lambda one: one.job)


def _classifier(conn: sqlite3.Connection, job: Job) -> Classifier | None:
    if job.classifier_id is None or job.state != "finished":
        return None
    try:
        return find_by_id(conn, job.classifier_id)
    except FtclassifyError:
        return None  # it was deleted since


def _rows(conn: sqlite3.Connection, classifier: Classifier, *, validated: bool) -> list[RowResult]:
    """Answers to rows that it has not seen.

    validated: of the validation rows alone, which all classifiers of the sweep can answer
    """
    stored = judged_rows(conn, classifier, VALIDATION)
    if stored:
        return stored
    found = read_out_of_fold(conn, classifier)
    drawn = [] if found is None else found.drawn()
    if not validated:
        return drawn
    splits = splits_of_rows(conn, classifier.split_id, [row.key for row in drawn])
    return [row for row in drawn if splits.get(key_text(row.key)) == "validation"]


def _figure(rows: Sequence[RowResult], *, exclusive: bool) -> float:
    if exclusive:
        return sum(row.right for row in rows) / len(rows)
    both = sum(len(set(row.truth) & set(row.chosen or ())) for row in rows)
    said = sum(len(row.truth) + len(row.chosen or ()) for row in rows)
    return 2 * both / said if said else 0.0


def _baseline(rows: Sequence[RowResult]) -> float | None:
    if not rows:
        return None
    return Counter(row.truth for row in rows).most_common(1)[0][1] / len(rows)
