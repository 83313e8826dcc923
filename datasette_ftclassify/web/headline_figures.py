"""How good a classifier is, in a few figures, each with its interval and the baseline; and whether
another one of the same task is better."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from ..core.humanize import counted
from ..metrics.registry import Metric, main_metrics, metrics_in
from ..metrics.result import Evaluation, Pairs, PairsSaid
from ..store.classifiers import Classifier
from ..store.evaluations import paired_counts


@dataclass(frozen=True)
class Tile:
    """A figure that says much. low, high: the ends of a 95% interval, 0-1, or None."""

    name: str
    value: str
    note: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Row:
    """A figure in the list of all."""

    name: str
    value: str
    interval: str
    help: str


def tiles(metrics: Evaluation) -> list[Tile]:
    """The figures that say most. Raises what a stranger's damaged figures raise."""
    *found, last = (_tile(metric, metrics) for metric in main_metrics(metrics))
    if metrics["abstained"]:
        found.append(Tile("Without an answer", f"{metrics['abstained']:,}", "they count as wrong"))
    return [*found, last]


def all_figures(metrics: Evaluation) -> list[Row]:
    """Every figure that the evaluation has."""
    return [
        Row(each.name, each.text(metrics), each.interval_text(metrics), each.help)
        for each in metrics_in(metrics)
    ]


def faultless(metrics: Evaluation | None) -> bool:
    """Whether every test row was answered right."""
    if metrics is None:
        return False
    return metrics.get("subset_accuracy", metrics.get("accuracy")) == 1.0


def _tile(metric: Metric, metrics: Evaluation) -> Tile:
    note = metric.note(metrics) if metric.note else metric.help
    low, high = metric.ends(metrics) or (None, None)
    return Tile(metric.name, metric.text(metrics), note, low, high)


def comparison(conn: sqlite3.Connection, this: Classifier, other: Classifier) -> PairsSaid | None:
    """Of the test rows on which both were evaluated: counts as `metrics.comparison` has them,
    `this` being the first, and a `sentence`. None where they have none in common, and for labels of
    other columns: to be right is not the same there."""
    from ..metrics.comparison import compare_counts

    if this.task.labels != other.task.labels:
        return None
    found = compare_counts(**paired_counts(conn, this, other))
    return {**found, "sentence": _sentence(found)} if found["rows"] else None


def _sentence(found: Pairs) -> str:
    """Whether the other one is better than this one, as far as that is significant."""
    from ..metrics.comparison import SURE, p_value_text

    gains, losses = found["only_second"], found["only_first"]
    rows = f"{counted(found['rows'], 'test row')} in common"
    if not gains and not losses:
        return f"No difference: of {rows}, the same are right"
    counts = f"of {rows}, it alone is right on {gains:,}, this one alone on {losses:,}"
    shown = p_value_text(found, "texts_second", "texts_first")
    if found["p_value"] >= SURE:
        return f"No significant difference ({shown}): {counts}"
    better = found["texts_second"] > found["texts_first"]
    return f"{'Better' if better else 'Worse'}: {counts} ({shown})"
