"""What a trainer is, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ..core.labels import LabelSet
from ..core.prediction import Predictor

if TYPE_CHECKING:
    import numpy as np

Progress = Callable[[str, float], None]
"""Called with what is being done and how far along it is, 0-1."""


def no_progress(step: str, share: float) -> None:
    """For callers that show no progress."""


@dataclass(frozen=True)
class TrainingSet:
    """Rendered examples: texts, their labels' positions, and the labels.

    targets: int (n,) for binary and multiclass, 0 or 1 (n, K) for multilabel
    """

    texts: Sequence[str]
    targets: np.ndarray
    labels: LabelSet


@dataclass(frozen=True)
class Trained:
    """The outcome of a training in this process: a predictor, its storable form, and a report for
    people."""

    predictor: Predictor
    header: Mapping[str, Any]
    parts: Mapping[str, bytes]
    report: dict[str, Any]


@dataclass(frozen=True)
class TrainerOptions:
    """What a user may say about a training. A trainer ignores nothing silently: it raises
    TrainingError for an option that it does not know what to do with.

    seed:          of everything random
    embeddings:    folder or hub name of a static embedding model; None: TF-IDF alone
    model:         the service's model to tune, or to ask
    epochs:        times that every example is learnt from; None: chosen by the number of rows
    batch_size:    examples a step; None: the service chooses
    learning_rate: factor on the service's own rate; None: the service chooses
    suffix:        goes into the tuned model's name
    wandb:         project at Weights & Biases that the service reports to
    format:        `ExportFormat.to_dict()` of prompts and answers; None: the trainer chooses
    descriptions:  what labels mean, by name, for models that are prompted without training
    extra:         further fields of the request that creates the training, as they are
    """

    seed: int = 0
    embeddings: str | None = None
    model: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    suffix: str | None = None
    wandb: str | None = None
    format: Mapping[str, Any] | None = None
    descriptions: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class ChecksOptions(Protocol):
    """What a trainer may be besides: one that looks at the options before a job is noted."""

    def check_options(self, options: TrainerOptions) -> None:
        """Raises TrainingError for an option that it does not know what to do with."""


@dataclass(frozen=True)
class Limits:
    """What a trainer takes; None: no limit, or not known.

    examples:   the fewest training rows
    file_bytes: of one training file
    suffix:     characters
    epochs, batch_size: (least, most)
    """

    examples: int = 2
    file_bytes: int | None = None
    suffix: int | None = None
    epochs: tuple[int, int] | None = None
    batch_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Capabilities:
    """What a trainer can do, and what it takes. Commands and pages follow this, not names.

    trains:             makes a model of its own from examples; False: prompts a ready one
    needs_examples:     cannot work without labelled rows
    scores_every_label: its answers carry a probability for each label
    leaves_machine:     texts are sent somewhere else
    costs_money:        training or answering is paid for
    says_anything:      answers are text, and may lie outside the label set
    batch:              takes many requests at once, for less money and within a day
    cancels:            a training can be ended while it runs
    deploys:            a trained model answers once somebody has deployed it, under a name that is
                        then given
    """

    trains: bool
    needs_examples: bool
    scores_every_label: bool
    leaves_machine: bool
    costs_money: bool
    says_anything: bool = False
    batch: bool = False
    cancels: bool = True
    deploys: bool = False
    limits: Limits = Limits()


class Trainer(Protocol):
    """What every trainer says of itself. It is besides either a `Learner` (in this
    process) or a `Service` (somewhere else, see `service`).

    name:  short, lower case, unique; stored with every classifier it makes
    title: for people, one line
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...


@runtime_checkable
class Learner(Trainer, Protocol):
    """A trainer that works in this process: from a training set to a predictor, and from a stored
    one back."""

    def train(
        self, data: TrainingSet, options: TrainerOptions, progress: Progress = no_progress
    ) -> Trained:
        """Raises TrainingError when the data do not suffice."""

    def load(self, header: Mapping[str, Any], parts: Mapping[str, bytes]) -> Predictor:
        """From what `Trained` held, after a way through a file that anyone may have written.

        Raises ArtifactError when it is damaged.
        """
