"""The request of a training, and its meaning for a database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..core.errors import TrainingError
from ..core.examples import Record, Split
from ..core.labels import LabelSet
from ..core.splits import SplitPlan
from ..core.task import Task
from ..store.classifiers import check_name, find_by_uid
from ..trainers.base import TrainerOptions, check_options
from ..trainers.registry import get_trainer
from .train_rows import SplitData, read_as_split_before, read_split
from .version_rows import read_new_version


@dataclass(frozen=True)
class TrainRequest:
    """How a task is to be trained.

    name:           of the classifier, an existing one gets a new version; None: the source's
    plan:           how the rows are divided
    options:        for the trainer; `options.format` may hold some of a format's fields alone, and
                    the trainer chooses the others. None: the plan's seed and nothing else
    curve:          add a learning curve, by a quick local recipe (trainers in this process only)
    limit_usd:      what the training and its evaluation may cost together; None: no limit
    like:           uid of a classifier whose rows and split are taken instead of a new split
    version_of:     uid of a classifier of which this is a new version, see `version_rows`
    only_if_better: with `version_of`: the name goes on standing for the version before unless this
                    one is as good, see `out_of_fold` (trainers in this process only)
    on_predictions: with `like`: rows without a label get the one which that classifier wrote
    teacher:        uid of a classifier whose answers for rows without a label are learnt from, too,
                    see `teaching`
    continue_from:  uid of a classifier whose model is trained further
    sweep:          id of the sweep that it belongs to: its test rows are left alone, see `sweep`
    host:           the one that the rows may be sent to, where the user chose one
    """

    name: str | None = None
    trainer: str = "local"
    plan: SplitPlan = field(default_factory=SplitPlan)
    options: TrainerOptions | None = None
    curve: bool = True
    limit_usd: float | None = None
    like: str | None = None
    version_of: str | None = None
    only_if_better: bool = False
    on_predictions: bool = False
    teacher: str | None = None
    continue_from: str | None = None
    host: str | None = None
    sweep: str | None = None

    @property
    def chosen(self) -> TrainerOptions:
        """The options, written out."""
        return self.options or TrainerOptions(seed=self.plan.seed)

    @property
    def judged_by(self) -> Split:
        """The rows that the classifier answers for its figures."""
        return "test" if self.sweep is None else "validation"

    def settings(self, task: Task) -> dict[str, Any]:
        """The words of a job. The limit is none of them: raised, it is still the same training.

        Raises TrainingError for a trainer that there is not, or options that it has no use for."""
        check_options(get_trainer(self.trainer), self.chosen)
        words: dict[str, Any] = {
            "task": task.to_dict(),
            "name": check_name(_name_for(task) if self.name is None else self.name),
            "trainer": self.trainer,
            "plan": asdict(self.plan),
            "options": self.chosen.to_dict(),
            "curve": self.curve,
        }
        others = (
            "like", "version_of", "only_if_better", "on_predictions", "teacher", "continue_from",
            "host", "sweep",
        )  # fmt: skip
        return words | {name: getattr(self, name) for name in others if getattr(self, name)}


def _name_for(task: Task) -> str:
    """A name from the source's, which may hold what a classifier's name may not."""
    plain = "".join(c if c.isprintable() and c != "@" else "_" for c in task.source)
    return plain.strip()[:100] or "classifier"


def read_rows(
    conn: sqlite3.Connection,
    task: Task,
    request: TrainRequest,
    see: Callable[[Record], None] | None = None,
) -> SplitData:
    """Reads the rows that a request means, each with its split. Raises TrainingError when they do
    not suffice.

    see: as of `read_split`; not called where the split was made before
    """
    if request.version_of is not None:
        return read_new_version(conn, task, find_by_uid(conn, request.version_of))
    if request.like is not None:
        first = find_by_uid(conn, request.like)
        return read_as_split_before(conn, first, on_predictions=request.on_predictions)
    trainer = get_trainer(request.trainer)
    descriptions = None if trainer.capabilities.needs_examples else request.chosen.descriptions
    return read_split(conn, task, request.plan, descriptions, see)


def check_continued(
    conn: sqlite3.Connection, request: TrainRequest, labels: LabelSet, fmt: Mapping[str, Any]
) -> None:
    """Raises TrainingError when a model cannot be trained further on these rows: it answers with
    other labels, or was asked in other words."""
    if request.continue_from is None:
        return
    first = find_by_uid(conn, request.continue_from)
    if first.labels != labels:
        names = set(first.labels.names) ^ set(labels.names)
        raise TrainingError(
            f"{first.title} has other labels than these rows ({', '.join(sorted(names)[:5])}): "
            "only a model with the same labels can be trained further. Train from the start.",
            fields=("continue_from",),
        )
    if first.at_service.format != dict(fmt):
        raise TrainingError(
            f"{first.title} was trained with another format of prompts and answers: leave out the "
            "options that change it, or train from the start.",
            fields=("continue_from",),
        )


def continued(conn: sqlite3.Connection, request: TrainRequest, first_uid: str) -> TrainRequest:
    """The request with the model and format of the classifier that it goes on from.

    Raises TrainingError when that classifier's model is not such a trainer's, or another model was
    asked for, too.
    """
    first = find_by_uid(conn, first_uid)
    model, fmt = first.at_service.model, first.at_service.format
    if first.trainer != request.trainer or model is None or fmt is None:
        raise TrainingError(
            f"{first.title} was trained by {first.trainer}: {request.trainer} cannot go on from it."
        )
    if request.chosen.model is not None:
        raise TrainingError("Give either a model, or a classifier to continue from.")
    given = request.chosen.format or {}
    options = replace(request.chosen, model=model, format={**fmt, **given})
    return replace(request, options=options, continue_from=first.uid)
