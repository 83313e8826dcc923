"""Rows that are probably labelled wrongly.

Confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in
Dataset Labels"): a model that has not seen the row gives it another label with at least the
confidence that it has, on average, in rows that carry that label. Averages of each label's own
serve as thresholds, so that a label that is hard to tell is not doubted for being hard.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import TrainingError
from .conditions import Seen
from .report import Finding, json_key, rows_text
from .samples import DeepSample, deep_sample
from .scan import Facts

MOST = 50
"""Rows that are listed: somebody has to read them."""
LEAST_ROWS = 50
_LEAST_OF_LABEL = 5
_CLEARLY = 0.5
"""How much likelier than the given label, in probability, the suggested one must be."""


@dataclass(frozen=True)
class Doubt:
    """A label that one row has (or lacks) against the model's judgement."""

    row: int
    given: str
    suggested: str
    probability: float
    margin: float


def mislabelled_findings(facts: Facts, seed: int) -> Iterator[Finding]:
    sample = deep_sample(facts, _LEAST_OF_LABEL)
    if len(sample.rows) < LEAST_ROWS or len(sample.values) < (1 if facts.task.multilabel else 2):
        return
    try:
        doubts = _doubts(sample, facts.task.multilabel, seed)
    except TrainingError:  # too little of something to train on, which other findings say
        return
    if not doubts:
        return
    doubts.sort(key=lambda d: (-d.margin, d.row))
    listed = doubts[:MOST]
    seen = Seen()
    for row in dict.fromkeys(doubt.row for doubt in listed):
        seen.add(sample.rows[row].key)
    more = f"; the {MOST} most likely are listed" if len(doubts) > MOST else ""
    yield facts.finding(
        "likely-mislabelled",
        "warning",
        len(doubts),
        f"{rows_text(len(doubts)).capitalize()} probably have a wrong label{sample.note}{more}.",
        "Read them beside the suggested label, the most likely first, and correct what is wrong.",
        seen=seen,
        rows_looked_at=len(sample.rows),
        rows=[_detail(sample, doubt) for doubt in listed],
    )


def _detail(sample: DeepSample, doubt: Doubt) -> dict[str, Any]:
    return {
        "key": json_key(sample.rows[doubt.row].key),
        "given": doubt.given,
        "suggested": doubt.suggested,
        "probability": round(doubt.probability, 4),
    }


def _doubts(sample: DeepSample, multilabel: bool, seed: int) -> list[Doubt]:
    import numpy as np

    from ..trainers.local import out_of_fold

    n, k = len(sample.rows), len(sample.values)
    texts = [row.text for row in sample.rows]
    if not multilabel:
        targets = np.array([target[0] for target in sample.targets])
        logprobs, rows = out_of_fold(texts, targets, k, seed=seed, max_rows=n)
        return _wrong(sample, np.exp(logprobs), rows, targets[rows])
    indicators = np.zeros((n, k), dtype=np.int8)
    for i, target in enumerate(sample.targets):
        indicators[i, list(target)] = 1
    logprobs, rows = out_of_fold(texts, indicators, k, multilabel=True, seed=seed, max_rows=n)
    return _missing(sample, np.exp(logprobs), rows, indicators[rows])


def _wrong(sample: DeepSample, probabilities: Any, rows: Any, given: Any) -> list[Doubt]:
    """One label a row: the suggested one is above its threshold, and clearly above the given."""
    import numpy as np

    k = probabilities.shape[1]
    own = probabilities[np.arange(len(given)), given]
    counts = np.bincount(given, minlength=k)
    sums = np.bincount(given, weights=own, minlength=k)
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    suggested = confident.argmax(axis=1)
    best = confident[np.arange(len(given)), suggested]
    margin = best - own
    names = sample.names
    return [
        Doubt(int(rows[i]), names[given[i]], names[suggested[i]], float(best[i]), float(margin[i]))
        for i in np.flatnonzero((suggested != given) & (margin >= _CLEARLY))
    ]
