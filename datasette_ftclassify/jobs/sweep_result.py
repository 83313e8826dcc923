"""The result of a sweep: which of its classifiers is the best, by rows that none of them has seen
and that are not the test rows."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

from ..core.database import Key, key_text
from ..core.errors import FtclassifyError, SourceError
from ..core.humanize import counted, rows_text
from ..store.classifiers import Classifier, find_by_id
from ..store.evaluations import VALIDATION, judged_rows
from ..store.jobs.job import Job
from ..store.out_of_fold import read_out_of_fold
from ..store.splits import splits_of_rows
from .load_classifier import service_of
from .sweep import sweep_jobs

_Row = tuple[tuple[int, ...], tuple[int, ...] | None]
"""(truth, answer) as positions of labels."""


@dataclass(frozen=True)
class Trained:
    """One training.

    classifier: None: there is none (yet), as `state` says
    figure:     0-1, of `rows` answers; None: it has none
    """

    job: Job
    seed: int
    classifier: Classifier | None = None
    figure: float | None = None
    rows: int = 0

    @property
    def state(self) -> str:
        return self.job.shown_state


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
                    "job": one.job.id,
                    "state": one.state,
                    "seed": one.seed,
                    "classifier": one.classifier and one.classifier.title,
                    "figure": one.figure,
                    "rows": one.rows,
                    "error": one.job.error,
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
    jobs: tuple[Job, ...] = field(repr=False, default=())

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
    jobs = _newest_of_each(sweep_jobs(conn, sweep_id, table))
    if not jobs:
        raise SourceError(f"There is no sweep {sweep_id} in this file.")
    found = [(job, _classifier(conn, job)) for job in jobs]
    made = [one for _, one in found if one is not None]
    validated = any(service_of(one) is not None for one in made)
    rows = {one.id: _rows(conn, one, validated=validated) for one in made}
    exclusive = all(one.labels.exclusive for one in made)
    by_name: dict[str, list[Trained]] = {}
    for job, classifier in found:
        answers = [] if classifier is None else rows[classifier.id]
        figure = _figure(answers, exclusive=exclusive) if answers else None
        seed = _seed(job)
        by_name.setdefault(str(job.settings.get("name")), []).append(
            Trained(job, seed, classifier, figure, len(answers))
        )
    tried = [_tried(name, trained) for name, trained in by_name.items()]
    tried.sort(key=lambda one: -1.0 if one.mean is None else one.mean, reverse=True)
    best = tried[0].best
    return SweepResult(
        sweep_id,
        jobs[0].table or "?",
        "accuracy" if exclusive else "micro F1",
        "held out for validation" if validated else "out of fold",
        tuple(tried),
        _baseline(rows[best.classifier.id])
        if best is not None and best.classifier is not None and exclusive
        else None,
        sum(one.state in ("queued", "running", "interrupted", "paused") for t in tried
            for one in t.trained),
        bool(made) and any((one.report.get("rows") or {}).get("test") for one in made),
        tuple(jobs),
    )  # fmt: skip


def _newest_of_each(jobs: Sequence[Job]) -> list[Job]:
    """One for each variant and seed, the newest, in the order in which they were queued."""
    found: dict[tuple[str, int], Job] = {}
    for job in jobs:
        found.setdefault((str(job.settings.get("name")), _seed(job)), job)
    return sorted(found.values(), key=lambda job: job.id)


def _seed(job: Job) -> int:
    options = job.settings.get("options")
    seed = options.get("seed") if isinstance(options, dict) else None
    return seed if isinstance(seed, int) else 0


def _classifier(conn: sqlite3.Connection, job: Job) -> Classifier | None:
    if job.classifier_id is None or job.state != "finished":
        return None
    try:
        return find_by_id(conn, job.classifier_id)
    except FtclassifyError:
        return None  # it was deleted since


def _rows(conn: sqlite3.Connection, classifier: Classifier, *, validated: bool) -> list[_Row]:
    """Answers to rows that it has not seen.

    validated: of the validation rows alone, which all classifiers of the sweep can answer
    """
    stored = judged_rows(conn, classifier, VALIDATION)
    if stored:
        return [(row.truth, row.chosen) for row in stored]
    found = read_out_of_fold(conn, classifier)
    if found is None:
        return []
    sampled: list[tuple[Key, _Row]] = [
        (key, (truth, chosen))
        for key, truth, chosen, drawn in zip(
            found.keys, found.truth, found.chosen, found.sampled.tolist(), strict=True
        )
        if drawn
    ]
    if not validated:
        return [row for _, row in sampled]
    splits = splits_of_rows(conn, classifier.split_id, [key for key, _ in sampled])
    return [row for key, row in sampled if splits.get(key_text(key)) == "validation"]


def _figure(rows: Sequence[_Row], *, exclusive: bool) -> float:
    if exclusive:
        return sum(truth == chosen for truth, chosen in rows) / len(rows)
    both = sum(len(set(truth) & set(chosen or ())) for truth, chosen in rows)
    said = sum(len(truth) + len(chosen or ()) for truth, chosen in rows)
    return 2 * both / said if said else 0.0


def _baseline(rows: Sequence[_Row]) -> float | None:
    if not rows:
        return None
    return Counter(truth for truth, _ in rows).most_common(1)[0][1] / len(rows)


def _tried(name: str, trained: Sequence[Trained]) -> Tried:
    settings = trained[0].job.settings
    options = settings.get("options")
    said = {k: v for k, v in options.items() if k != "seed"} if isinstance(options, dict) else {}
    text = " ".join(f"{k}={v}" for k, v in said.items() if v not in (None, {}))
    return Tried(name, str(settings.get("trainer")), text, tuple(trained))
