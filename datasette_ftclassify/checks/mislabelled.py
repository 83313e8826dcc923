"""Rows that are probably labelled wrongly: see `suspicion`.

With one label a row, a model that has not seen the row is confident of another one, and the texts
nearest to it agree; with several, it is confident of one that the row lacks.
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
from .suspicion import missing_labels, suspects

MOST = 1_000
"""Rows that are listed."""
LEAST_ROWS = 50
_LEAST_OF_LABEL = 5


@dataclass(frozen=True)
class LabelIssue:
    """A label that one row has (or lacks) against the model's judgement. score: the suspicion"""

    row: int
    given: str
    suggested: str
    probability: float
    score: float


@check(
    Section.DEEP,
    Code(
        "likely-mislabelled",
        WARNING,
        "Rows whose label a cross-validated model denies.",
        "Review them one by one beside the suggested label, and correct what is wrong.",
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
    doubts.sort(key=lambda d: (-d.score, d.row))
    listed = doubts[:MOST]
    seen = Seen()
    for row in dict.fromkeys(doubt.row for doubt in listed):
        seen.add(sample.rows[row].key)
    count = len({doubt.row for doubt in doubts})
    more = f"; the {MOST:,} most likely are listed" if len(doubts) > MOST else ""
    yield facts.finding(
        "likely-mislabelled",
        f"{rows_text(count).capitalize()} may well have a wrong label{sample.note}{more}.",
        count=count,
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

    from ..trainers.local.cross_val_predict import out_of_fold

    n, k = len(sample.rows), len(sample.values)
    texts = [row.text for row in sample.rows]
    if exclusive:
        targets = np.array([target[0] for target in sample.targets])
        logprobs, rows = out_of_fold(texts, targets, k, seed=seed, max_rows=n)
        return _wrong(sample, np.exp(logprobs), rows, targets[rows])
    indicators = np.zeros((n, k), dtype=np.int8)
    for i, target in enumerate(sample.targets):
        indicators[i, list(target)] = 1
    logprobs, rows = out_of_fold(texts, indicators, k, exclusive=False, seed=seed, max_rows=n)
    return _missing(sample, np.exp(logprobs), rows, indicators[rows])


def _wrong(sample: DeepSample, probabilities: Any, rows: Any, given: Any) -> list[LabelIssue]:
    """One label a row: the model is confident of another one, and the nearest texts agree."""
    texts = [sample.rows[row].text for row in rows]
    found = suspects(texts, given, probabilities, _disputed(sample, rows), MOST)
    names = sample.names
    return [
        LabelIssue(
            int(rows[i]),
            names[given[i]],
            names[found.suggested[n]],
            float(found.other[n]),
            float(found.score[n]),
        )
        for n, i in enumerate(found.rows)
        if found.probable[n]
    ]


def _missing(sample: DeepSample, probabilities: Any, rows: Any, given: Any) -> list[LabelIssue]:
    """Several labels a row: one that it lacks is most likely."""
    import numpy as np

    names = sample.names
    doubts = []
    for i, j in zip(*missing_labels(given, probabilities, _disputed(sample, rows)), strict=True):
        p = float(probabilities[i, j])
        had = " + ".join(names[label] for label in np.flatnonzero(given[i]))
        doubts.append(LabelIssue(int(rows[i]), had, names[j], p, p))
    return doubts


def _disputed(sample: DeepSample, rows: Any) -> Any:
    import numpy as np

    return np.array([sample.rows[row].disputed for row in rows], dtype=np.bool_)
