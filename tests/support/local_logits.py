"""The logits of a local model's text, by which its explanations are judged."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from datasette_ftclassify.trainers.local.model import LocalModel


def logits_of(model: LocalModel, text: str) -> npt.NDArray[np.float64]:
    """One for each label, before beta calibration, shape (n_labels,)."""
    vector = None if model.embedding is None else model.embedding.row(text)
    scores = model._scores(text, vector)
    if len(scores) == model.n_labels:
        return scores
    return np.array([-0.5, 0.5]) * scores[0]
