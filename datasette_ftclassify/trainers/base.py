"""What a trainer is, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..labels import LabelSet
from ..predictions import Predictor

if TYPE_CHECKING:
    import numpy as np

Progress = Callable[[str, float], None]
"""Called with what is being done and how far along it is, 0-1."""


def no_progress(step: str, share: float) -> None:
    """For callers who do not look."""


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
    """The outcome of a training: a predictor, its storable form, and a report for people."""

    predictor: Predictor
    header: Mapping[str, Any]
    parts: Mapping[str, bytes]
    report: dict[str, Any]


@dataclass(frozen=True)
class TrainerOptions:
    """What a user may say about a training.

    seed:       of everything random
    embeddings: folder or hub name of a static embedding model; None: TF-IDF alone
    """

    seed: int = 0
    embeddings: str | None = None


@dataclass(frozen=True)
class Capabilities:
    """What a trainer can do, and what it takes. Commands and pages follow this, not names.

    trains:             makes a model of its own from examples; False: asks a ready one
    needs_examples:     cannot work without labelled rows
    scores_every_label: its answers carry a probability for each label
    leaves_machine:     texts are sent somewhere else
    costs_money:        training or answering is paid for
    """

    trains: bool
    needs_examples: bool
    scores_every_label: bool
    leaves_machine: bool
    costs_money: bool


class Trainer(Protocol):
    """Turns a training set into a classifier, and a stored one back into a predictor.

    name:  short, lower case, unique; stored with every classifier it makes
    title: for people, one line
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def train(
        self, data: TrainingSet, options: TrainerOptions, progress: Progress = no_progress
    ) -> Trained:
        """Raises TrainingError when the data do not suffice."""

    def load(self, header: Mapping[str, Any], parts: Mapping[str, bytes]) -> Predictor:
        """From what `Trained` held, after a way through a file that anyone may have written.

        Raises ArtifactError when it is damaged.
        """
