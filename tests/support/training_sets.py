"""Training sets of arrays, for tests of what learns from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from datasette_ftclassify.core.label_kinds import MULTICLASS, MULTILABEL
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.core.training_report import LocalReport
from datasette_ftclassify.trainers.base import TrainingSet
from datasette_ftclassify.trainers.local import training
from datasette_ftclassify.trainers.local.model import LocalModel


def training_set(
    texts: Sequence[str],
    targets: np.ndarray,
    n_labels: int,
    *,
    exclusive: bool = True,
    names: Sequence[str] | None = None,
    **more: Any,
) -> TrainingSet:
    """names: of the labels; None: numbers, from which nothing is learnt"""
    kind = MULTICLASS if exclusive else MULTILABEL
    labels = LabelSet(tuple(range(n_labels) if names is None else names), kind.name)
    return TrainingSet(texts, targets, labels, **more)


def fit(
    texts: Sequence[str],
    targets: np.ndarray,
    n_labels: int,
    *,
    exclusive: bool = True,
    names: Sequence[str] | None = None,
    chosen: np.ndarray | None = None,
    taught: Any = None,
    **settings: Any,
) -> tuple[LocalModel, LocalReport]:
    """A local classifier of these rows, and what is said of its training."""
    data = training_set(
        texts, targets, n_labels, exclusive=exclusive, names=names, chosen=chosen, taught=taught
    )
    return training.fit(data, **settings)[:2]
