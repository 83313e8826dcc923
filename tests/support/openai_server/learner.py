"""The model behind every tuned model: it learns from what was uploaded, and how it was put.

TF-IDF and logistic regression over whole answers. What surrounds the texts in training (the
system message, the separator after a prompt) is part of what was learnt: asked in another form,
the model answers badly, and in the same bad way each time.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np

from .examples import Example

PASSES = 1
"""Of the optimiser through the examples, an epoch: small models are slower learners."""


@dataclass(frozen=True)
class EpochResult:
    """Cross-entropy in nats and accuracy of answers, 0-1, after an epoch."""

    train_loss: float
    train_accuracy: float
    valid_loss: float | None
    valid_accuracy: float | None


class Learner:
    """Knows a distribution over the answers it was trained on.

    answers: the distinct answers of the training file, (K,)
    """

    def __init__(
        self, examples: Sequence[Example], epochs: int, validation: Sequence[Example] = ()
    ) -> None:
        self.answers = sorted({e.answer for e in examples})
        self._frames = {e.frame for e in examples}
        texts = [e.text for e in examples]
        self._prefix = _shared_start(texts)
        self._suffix = _separator(texts)
        self.history: list[EpochResult] = []
        self._weights: list[tuple[np.ndarray, np.ndarray]] = []
        self._fit(examples, epochs, validation)

    @property
    def epochs(self) -> int:
        return len(self.history)

    def knows_form(self, frame: tuple[tuple[str, str], ...], text: str) -> bool:
        """Whether a request looks as the training examples did."""
        framed = text.startswith(self._prefix) and text.endswith(self._suffix)
        return frame in self._frames and framed

    def probabilities(
        self, frame: tuple[tuple[str, str], ...], text: str, epoch: int | None = None
    ) -> np.ndarray:
        """Of each answer, (K,), after the epoch (counted from 1; None: the last).

        In an unknown form: nearly flat, its peak a matter of the text's checksum.
        """
        if not self.knows_form(frame, text):
            noise = np.random.default_rng(zlib.crc32(text.encode())).random(len(self.answers))
            return np.asarray(noise / noise.sum())
        coef, intercept = self._weights[(epoch or self.epochs) - 1]
        columns, values = self._row(self._core(text))
        scores = values @ coef[columns] + intercept
        return _normalised(scores)

    def _row(self, text: str) -> tuple[list[int], np.ndarray]:
        """What `self._vectorizer.transform` makes of one text, 30 times as fast."""
        terms = self._vectorizer.vocabulary_
        found = Counter(terms[term] for term in self._analyze(text) if term in terms)
        idf = self._idf
        values = np.array([(1 + log(n)) * idf[column] for column, n in found.items()])
        return list(found), values / (sqrt(values @ values) or 1.0)

    def _core(self, text: str) -> str:
        return text[len(self._prefix) : len(text) - len(self._suffix)]

    def _fit(self, examples: Sequence[Example], epochs: int, validation: Sequence[Example]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._vectorizer = TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, max_features=60_000, token_pattern=r"\w+|[^\w\s]"
        )
        try:
            rows = self._vectorizer.fit_transform([self._core(e.text) for e in examples])
        except ValueError:  # no word in any text
            self._vectorizer.set_params(vocabulary=["nothing"])
            rows = self._vectorizer.fit_transform(["nothing"] * len(examples))
        self._analyze = self._vectorizer.build_analyzer()
        self._idf = self._vectorizer.idf_.tolist()
        index = {answer: i for i, answer in enumerate(self.answers)}
        targets = np.array([index[e.answer] for e in examples])
        known = [e for e in validation if e.answer in index]
        held_rows = self._vectorizer.transform([self._core(e.text) for e in known] or [""])
        held = np.array([index[e.answer] for e in known], dtype=int)
        model = self._model()
        for _ in range(epochs):
            self._weights.append(self._epoch(model, rows, targets))
            scores = self._quality(rows, targets)
            held_scores = self._quality(held_rows, held) if known else (None, None)
            self.history.append(EpochResult(*scores, *held_scores))

    def _model(self) -> Any:
        from sklearn.linear_model import SGDClassifier

        return SGDClassifier(loss="log_loss", alpha=1e-5, random_state=0)

    def _epoch(self, model: Any, rows: Any, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The coefficients (F, K) and intercepts (K,) after one more epoch."""
        if len(self.answers) == 1:
            return np.zeros((rows.shape[1], 1)), np.zeros(1)
        for _ in range(PASSES):
            model.partial_fit(rows, targets, classes=np.arange(len(self.answers)))
        coef, intercept = model.coef_, model.intercept_
        if len(self.answers) == 2:
            coef, intercept = np.vstack([-coef, coef]), np.concatenate([-intercept, intercept])
        return np.ascontiguousarray(coef.T, dtype=np.float32), intercept.copy()

    def _quality(self, rows: Any, targets: np.ndarray) -> tuple[float, float]:
        coef, intercept = self._weights[-1]
        probabilities = _normalised(np.asarray(rows @ coef) + intercept)
        loss = -float(np.log(probabilities[np.arange(len(targets)), targets]).mean())
        return loss, float((probabilities.argmax(axis=1) == targets).mean())


def _normalised(scores: np.ndarray) -> np.ndarray:
    """Probabilities from the scores of one classifier for each answer, along the last axis."""
    each = 1 / (1 + np.exp(-np.minimum(np.maximum(scores, -30), 30)))
    return np.asarray(each / each.sum(axis=-1, keepdims=True))


def _shared_start(texts: Sequence[str]) -> str:
    """What all texts begin with when it looks like a template: it has a sign besides letters."""
    start = _common(texts)
    return start if re.search(r"[\n:#>|=]", start) else ""


def _separator(texts: Sequence[str]) -> str:
    """The signs that all texts end in after white space; words before them may be chance."""
    end = _common([text[::-1] for text in texts])[::-1]
    match = re.search(r"\s[\W_]*$", end)
    return match[0] if match and match[0].strip() else ""


def _common(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)
    length = next((i for i, char in enumerate(first) if char != last[i : i + 1]), len(first))
    return first[:length]
