"""Rows that are probably labelled wrongly: see `suspicion`.

With one label a row, a model that has not seen the row is confident of another one, and the texts
nearest to it agree; with several, it is confident of one that the row lacks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.database import json_key
from ..core.errors import LabelError, TrainingError
from ..core.label_kinds import KINDS
from ..core.labels import LabelSet
from .codes import WARNING, Code, Section
from .registry import Deep, check
from .report import Finding
from .report_data import MislabelledRow
from .row_conditions import Seen
from .scan import Facts
from .suspicion import doubted_text, judge, missing_labels, suspects

MOST = 1_000
"""Rows that are listed."""
LEAST_ROWS = 50


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
        "Rows whose label a cross-validated model contradicts.",
        "Review them one by one with the suggested label, and correct what is wrong.",
    ),
    deep=Deep("Looking for wrong labels", 6),
)
def mislabelled_findings(facts: Facts) -> Iterator[Finding]:
    if len(facts.deep) < LEAST_ROWS or len(facts.counts) < KINDS[facts.task.kind].fewest:
        return
    try:
        doubts, judged = _doubts(facts, facts.label_set())
    except (LabelError, TrainingError):  # which other findings say, as too little to train on
        return
    if not doubts:
        return
    doubts.sort(key=lambda d: (-d.score, d.row))
    listed = doubts[:MOST]
    seen = Seen()
    for row in dict.fromkeys(doubt.row for doubt in listed):
        seen.add(facts.deep[row].key)
    count = len({doubt.row for doubt in doubts})
    more = f" The {MOST:,} most likely are listed." if len(doubts) > MOST else ""
    yield facts.finding(
        "likely-mislabelled",
        doubted_text(count, judged, facts.usable) + more,
        count=count,
        seen=seen,
        rows_looked_at=judged,
        rows=[_detail(facts, doubt) for doubt in listed],
    )


def _detail(facts: Facts, doubt: LabelIssue) -> MislabelledRow:
    return {
        "key": json_key(facts.deep[doubt.row].key),
        "given": doubt.given,
        "suggested": doubt.suggested,
        "probability": round(doubt.probability, 4),
    }


def _doubts(facts: Facts, labels: LabelSet) -> tuple[list[LabelIssue], int]:
    """And how many rows were judged."""
    import numpy as np

    texts = [row.text for row in facts.deep]
    targets = labels.label_kind.as_array(
        [labels.positions(row.labels) for row in facts.deep], len(labels)
    )
    chances, rows = judge(texts, targets, len(labels), labels.exclusive, facts.seed)
    disputed = np.array([facts.deep[row].disputed for row in rows], dtype=np.bool_)
    find = _wrong if labels.exclusive else _missing
    some = [texts[row] for row in rows]
    return find(some, rows, labels.names, chances, targets[rows], disputed), len(rows)


def _wrong(
    texts: list[str], rows: Any, names: Sequence[str], chances: Any, given: Any, disputed: Any
) -> list[LabelIssue]:
    """One label a row: the model is confident of another one, and the nearest texts agree."""
    found = suspects(texts, given, chances, disputed)
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


def _missing(
    texts: list[str], rows: Any, names: Sequence[str], chances: Any, given: Any, disputed: Any
) -> list[LabelIssue]:
    """Several labels a row: one that it lacks is most likely."""
    import numpy as np

    doubts = []
    for i, j in zip(*missing_labels(given, chances, disputed), strict=True):
        p = float(chances[i, j])
        had = " + ".join(names[label] for label in np.flatnonzero(given[i]).tolist())
        doubts.append(LabelIssue(int(rows[i]), had, names[j], p, p))
    return doubts
