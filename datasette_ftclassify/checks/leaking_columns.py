"""Columns beside the text that give the label away.

`handled_by` or `closed_reason` often follows from the label, or the label from it. Within the text
such a column is a leak; outside it may be the better classifier, and must stay out of the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..core.database import condition, quote
from ..core.labels import unlabelled_sql
from ..core.sqlite_errors import SQLITE_ERRORS
from .codes import MILD, Code, Section
from .registry import Deep, check
from .report import Finding
from .report_data import LeakingColumn, LeakingValue
from .scan import Facts

ACCURACY = 0.95
ERRORS_LEFT = 0.2
"""Of the errors of always giving the commonest label, at most this share may remain."""
MOST_COLUMNS = 60
_LEAST_ROWS = 20
_LONGEST = 200
"""Mean characters of a column's values: longer ones are texts, and costly to group by."""
_PURE = 10
"""Values of a column to name."""


@check(
    Section.DEEP,
    Code(
        "leaking-columns",
        MILD,
        "A column that gives the label away.",
        "Leave it out of the text unless it is known before the label.",
    ),
    deep=Deep("Looking for columns that give labels away", 1),
)
def column_findings(facts: Facts) -> Iterator[Finding]:
    """One finding a column. Only for tasks with one label column."""
    task = facts.task
    if len(task.labels) > 1 or facts.usable < _LEAST_ROWS or facts.too_many_labels:
        return
    ours = {*task.labels, *facts.source.identity, task.split_column}
    single_text = set(task.text) if len(task.text) == 1 else set()
    # A classifier's answers follow from the label; as a part of the text they do give it away.
    ours.update(column for column in facts.predicted if column not in task.text)
    columns = [c for c in facts.source.columns if c not in ours | single_text]
    for column in columns[:MOST_COLUMNS]:
        try:
            result = _predicts(facts, column)
        except SQLITE_ERRORS:  # a generated column or a view may fail on a row of its own
            continue
        if result is not None:
            yield _finding(facts, column, result)


def _finding(facts: Facts, column: str, result: LeakingColumn) -> Finding:
    in_text = column in facts.task.text
    advice = (
        "Leave it out of the text unless it is known before the label."
        if in_text
        else "Keep it out of the text; if it is known in advance, a rule may replace the "
        "classifier."
    )
    return facts.finding(
        "leaking-columns",
        f"The column {column}{' in the text' if in_text else ''} alone tells the label in "
        f"{result['accuracy']:.0%} of the rows (the most frequent label: "
        f"{result['baseline']:.0%}).",
        advice,
        count=1,
        severity="warning" if in_text else "info",
        column=column,
        **result,
    )


def _predicts(facts: Facts, column: str) -> LeakingColumn | None:
    """How often the commonest label among the *other* rows with the same value is right.

    Leaving the row itself out keeps columns of nearly unique values from looking good.
    """
    task = facts.task
    label, value = quote(task.labels[0]), quote(column)
    source = (
        f"from {quote(facts.source.name)} where {condition(task.where)}"
        f" and not ({unlabelled_sql(task.labels)})"
    )
    length = facts.conn.execute(
        f"select avg(length(v)) from (select {value} as v {source} limit 1000)", dict(task.params)
    ).fetchone()[0]
    if length is None or length > _LONGEST:
        return None
    distinct, rows = facts.conn.execute(
        f"select count(distinct {value}), count(*) {source}", dict(task.params)
    ).fetchone()
    if distinct < 2 or distinct * 2 > rows or rows < _LEAST_ROWS:
        return None
    groups = facts.conn.execute(
        f"select {value}, {label}, count(*) {source} group by 1, 2 order by 1, 3 desc",
        dict(task.params),
    )
    right, labels, values = _count(groups)
    baseline = max(labels.values()) / rows
    accuracy = right / rows
    if accuracy < ACCURACY or 1 - accuracy > ERRORS_LEFT * (1 - baseline):
        return None
    return {
        "accuracy": round(accuracy, 4),
        "baseline": round(baseline, 4),
        "distinct": distinct,
        "values": _best(values, labels),
    }


def _count(groups: Any) -> tuple[int, dict[Any, int], list[tuple[Any, Any, int, int]]]:
    """Rows told right, rows by label, and (value, its commonest label, their rows, its rows)."""
    right = 0
    labels: dict[Any, int] = {}
    values: list[tuple[Any, Any, int, int]] = []
    current: list[tuple[Any, int]] = []
    last: object = None

    def close() -> None:
        nonlocal right
        if not current:
            return
        (best, most), rest = current[0], current[1:]
        second = rest[0][1] if rest else 0
        right += most if most - 1 > second else 0
        if len(values) < 1_000:
            values.append((last, best, most, sum(n for _, n in current)))

    for value, label, n in groups:
        labels[label] = labels.get(label, 0) + n
        if value != last:
            close()
            current, last = [], value
        current.append((label, n))
    close()
    return right, labels, values


def _best(values: list[tuple[Any, Any, int, int]], labels: dict[Any, int]) -> list[LeakingValue]:
    """The values with the most rows: what each says, how surely, and how much of that label."""
    most = sorted(values, key=lambda v: -v[2])[:_PURE]
    return [
        {
            "value": str(value)[:100],
            "label": str(label)[:100],
            "precision": round(n / rows, 4),
            "recall": round(n / labels[label], 4),
            "rows": n,
        }
        for value, label, n, rows in most
    ]
