"""Rows that are probably labelled wrongly.

Confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in
Dataset Labels"): a model that has not seen the row gives it another label with at least the
confidence that it has, on average, in rows that carry that label. Averages of each label's own
serve as thresholds, so that a label that is hard to tell is not doubted for being hard.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.errors import TrainingError
from ..core.humanize import rows_text
from ..core.label_kinds import KINDS
from .codes import WARNING, Code, Section
from .registry import Deep, check
from .report import Finding, json_key
from .row_conditions import Seen
from .samples import DeepSample, deep_sample
from .scan import Facts

MOST = 50
"""Rows that are listed: somebody has to read them."""
LEAST_ROWS = 50
_LEAST_OF_LABEL = 5
_CLEARLY = 0.5
"""How much likelier than the given label, in probability, the suggested one must be."""
_AGREED = 0.5
"""Mean of that margin and of the suggested label's lead among the nearest texts. With labels
changed at random in 3-4% of the rows, rows are found with this recall and precision: SMS spam .69
and .96, banking77 .64 and .54, 488 messages with 7 topics .53 and .55, complaints .52 and .30
(there every model denies one in four of the labels that were left alone)."""
_MOST_CANDIDATES = 1_000
_NEIGHBOURS = 10
_CHUNK = 200
_TRUSTED = 0.8
"""Of the rows in which the model is that sure of a label, as many must have it, where a row may
have several."""
_LIKELY = 0.9
"""Probability from which on a label that a row lacks is suggested, where it may have several."""


@dataclass(frozen=True)
class LabelIssue:
    """A label that one row has (or lacks) against the model's judgement."""

    row: int
    given: str
    suggested: str
    probability: float
    margin: float


@check(
    Section.DEEP,
    Code(
        "likely-mislabelled",
        WARNING,
        "Rows whose label a cross-validated model denies.",
        "Read each beside the suggested label, the most likely first, and correct what is wrong.",
    ),
    deep=Deep("Looking for wrong labels", 6),
)
def mislabelled_findings(facts: Facts) -> Iterator[Finding]:
    sample = deep_sample(facts, _LEAST_OF_LABEL)
    if len(sample.rows) < LEAST_ROWS or len(sample.values) < KINDS[facts.task.kind].fewest:
        return
    try:
        doubts = _doubts(sample, facts.task.exclusive, facts.seed)
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
        f"{rows_text(len(doubts)).capitalize()} may well have a wrong label{sample.note}{more}.",
        seen=seen,
        rows_looked_at=len(sample.rows),
        rows=[_detail(sample, doubt) for doubt in listed],
    )


def _detail(sample: DeepSample, doubt: LabelIssue) -> dict[str, Any]:
    return {
        "key": json_key(sample.rows[doubt.row].key),
        "given": doubt.given,
        "suggested": doubt.suggested,
        "probability": round(doubt.probability, 4),
    }


def _doubts(sample: DeepSample, exclusive: bool, seed: int) -> list[LabelIssue]:
    import numpy as np

    from ..trainers.local import out_of_fold

    n, k = len(sample.rows), len(sample.values)
    texts = [row.text for row in sample.rows]
    if exclusive:
        targets = np.array([target[0] for target in sample.targets])
        logprobs, rows = out_of_fold(texts, targets, k, seed=seed, max_rows=n)
        return _wrong(sample, np.exp(logprobs), rows, targets[rows])
    indicators = np.zeros((n, k), dtype=np.int8)
    for i, target in enumerate(sample.targets):
        indicators[i, list(target)] = 1
    logprobs, rows = out_of_fold(texts, indicators, k, multilabel=True, seed=seed, max_rows=n)
    return _missing(sample, np.exp(logprobs), rows, indicators[rows])


def _wrong(sample: DeepSample, probabilities: Any, rows: Any, given: Any) -> list[LabelIssue]:
    """One label a row: the model is confident of another one, and the nearest texts agree."""
    import numpy as np

    k = probabilities.shape[1]
    every = np.arange(len(given))
    own = probabilities[every, given]
    counts = np.bincount(given, minlength=k)
    sums = np.bincount(given, weights=own, minlength=k)
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    suggested = confident.argmax(axis=1)
    margin = confident[every, suggested] - own
    candidates = np.flatnonzero((suggested != given) & (margin >= _CLEARLY))
    candidates = candidates[np.argsort(-margin[candidates], kind="stable")][:_MOST_CANDIDATES]
    if not len(candidates):
        return []
    texts = [sample.rows[row].text for row in rows]
    votes = neighbour_votes(texts, given, candidates)
    for_suggested = votes[np.arange(len(candidates)), suggested[candidates]]
    for_given = votes[np.arange(len(candidates)), given[candidates]]
    score = (margin[candidates] + for_suggested - for_given) / 2
    names = sample.names
    return [
        LabelIssue(
            int(rows[i]),
            names[given[i]],
            names[suggested[i]],
            float(probabilities[i, suggested[i]]),
            float(score[n]),
        )
        for n, i in enumerate(candidates)
        if score[n] >= _AGREED and not sample.rows[rows[i]].disputed
    ]


def neighbour_votes(texts: list[str], labels: Any, of: Any) -> Any:
    """Shares of the labels among the 10 texts most like each of `of`, weighted by likeness.

    Shape (len(of), labels). Cosine of TF-IDF word vectors: another kind of evidence than the
    model's, so that what both say is seldom the model's quirk.
    """
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    n_labels = int(labels.max()) + 1
    votes = np.zeros((len(of), n_labels))
    try:
        # Words in a fifth of all texts say little and cost most of the time.
        vectors = TfidfVectorizer(sublinear_tf=True, max_df=0.2).fit_transform(texts)
    except ValueError:  # no words
        return votes
    for start in range(0, len(of), _CHUNK):
        chunk = of[start : start + _CHUNK]
        likeness = (vectors[chunk] @ vectors.T).toarray()
        likeness[np.arange(len(chunk)), chunk] = 0
        nearest = np.argsort(-likeness, axis=1)[:, :_NEIGHBOURS]
        weights = np.take_along_axis(likeness, nearest, axis=1)
        shares = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
        lines = np.repeat(np.arange(start, start + len(chunk)), nearest.shape[1])
        np.add.at(votes, (lines, labels[nearest].ravel()), shares.ravel())
    return votes


def _missing(sample: DeepSample, probabilities: Any, rows: Any, given: Any) -> list[LabelIssue]:
    """Several labels a row: one that it lacks is as likely as where it is given, and most likely.

    Labels that a row has without need are not doubted: rare labels look unlikely everywhere.
    """
    import numpy as np

    counts = given.sum(axis=0)
    thresholds = (probabilities * given).sum(axis=0) / np.maximum(counts, 1)
    thresholds = np.maximum(np.where(counts > 0, thresholds, 1.0), _LIKELY)
    above = probabilities >= thresholds
    # Where the model is often wrong when it is sure, its word counts for nothing.
    trusted = (above & (given == 1)).sum(axis=0) >= _TRUSTED * np.maximum(above.sum(axis=0), 1)
    names = sample.names
    doubts = []
    for i, j in zip(*np.nonzero((given == 0) & above & trusted), strict=True):
        if sample.rows[rows[i]].disputed:
            continue
        p = float(probabilities[i, j])
        had = " + ".join(names[label] for label in np.flatnonzero(given[i]))
        doubts.append(LabelIssue(int(rows[i]), had, names[j], p, p))
    return doubts
