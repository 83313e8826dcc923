"""The settings of jobs, by kind: what makes two jobs the same one. How fast and for how much money
a job runs is not among it.

They are stored as JSON in a file that may be from an older version, or from somebody else.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from ..core.database import Params
from ..core.errors import JobError
from ..core.splits import SplitPlan
from ..core.task import Task
from ..core.typed_json import read_dataclass, read_stored
from ..core.untrusted_json import JsonObject
from ..store.jobs.job import Job
from .columns import Columns
from .train_request import TrainRequest

T = TypeVar("T")


def settings_of(job: Job, kind: type[T]) -> T:
    """The settings of a job. Raises JobError for what was not written as those of this kind."""
    return read_stored(
        kind,
        job.settings,
        f"The settings of job {job.id} were",
        "cancel it, and start a new one",
        JobError,
    )


@dataclass(frozen=True)
class TrainSettings:
    """The same words as `TrainRequest.settings` writes."""

    task: Task
    request: TrainRequest

    @classmethod
    def from_dict(cls, data: JsonObject) -> TrainSettings:
        words = {**data}
        return cls(Task.from_dict(words.pop("task")), read_dataclass(TrainRequest, words))


@dataclass(frozen=True)
class PredictSettings:
    """Which rows of a table get which columns.

    classifier: its title, for people; uid: by which it is found
    threshold:  the minimum score; None: every label is written
    wrong, strength: the share of wrong answers that it came from, and what that promises
    min_known:  how much a text must be like the training rows; None: every text is answered
    on_error:   see `PredictRequest`; None: the model is not at a service
    stale:      only rows whose answer is stale; None: whatever they have
    own_minimum: whether the threshold is the one that was kept with the classifier
    """

    classifier: str
    uid: str
    table: str
    columns: Columns
    where: str | None
    params: Params
    unlabelled: bool
    overwrite: bool
    threshold: float | None = None
    wrong: float | None = None
    strength: str | None = None
    min_known: float | None = None
    on_error: str | None = None
    stale: bool | None = None
    own_minimum: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """Without what is None and was unknown to earlier versions: their jobs are the same one."""
        later = ("threshold", "wrong", "strength", "min_known", "on_error", "stale", "own_minimum")
        said = {
            name: value for name, value in asdict(self).items()
            if name not in later or value is not None
        }  # fmt: skip
        return {**said, "columns": self.columns.to_dict()}


@dataclass(frozen=True)
class CheckSettings:
    """model, trainer, leaves_machine: arguments of `run_checks`, see `submit_check`
    fields: what a page needs to show its form as it was"""

    task: Task
    plan: SplitPlan
    model: str | None = None
    leaves_machine: bool | None = None
    trainer: str | None = None
    fields: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluateSettings:
    classifier_id: int


@dataclass(frozen=True)
class AskSettings:
    """once: random; no two requests are the same job"""

    classifier: str
    uid: str
    once: str


@dataclass(frozen=True)
class ReviewSettings:
    """What a review queue is made of.

    queue:      its kind, one of `review.queues.QUEUES`
    classifier: uid of the one whose answers choose the rows; other: that it is compared with
    rows:       at most so many; None: as the kind has it
    people:     how many label each row, without seeing each other's answers; 1: whoever comes
    once:       random; another queue of the same kind is another job
    """

    task: Task
    queue: str
    classifier: str | None = None
    other: str | None = None
    rows: int | None = None
    seed: int = 0
    people: int = 1
    once: str = ""
