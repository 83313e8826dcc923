"""The pictures and tables of an evaluation on a classifier's page, and its learning curve."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.training_report import TrainingReport
from ..metrics.counts import confusion_cells
from ..metrics.result import Bin, Evaluation, LabelFigures
from . import charts, headline_figures

MOST_LABELS = 300
"""Labels whose figures are shown, the weakest ones."""


@dataclass(frozen=True)
class Threshold:
    """A minimum score that could be asked for: how many of the scored test rows would get an answer
    (`rows`, and `coverage`, 0-1), and how many of those answers are right (`precision`, 0-1); `x`
    is where the score stands in the histogram."""

    score: float
    rows: int
    coverage: float
    precision: float
    x: float


class LabelRow(LabelFigures):
    name: str


@dataclass(frozen=True)
class Pictures:
    """Of an evaluation and a training.

    by_label:    reliability is of the labels that were given, not of rows
    labels:      figures of each, the weakest first; `more_labels` are not among them
    """

    tiles: list[headline_figures.Tile]
    figures: list[headline_figures.Row]
    confusion: charts.Confusion | None
    reliability: charts.Reliability | None
    by_label: bool
    scores: charts.Histogram | None
    thresholds: list[Threshold]
    curve: charts.Lines | None
    labels: list[LabelRow]
    more_labels: int


def pictures_of(metrics: Evaluation | None, report: TrainingReport) -> Pictures | None:
    """`read_metrics` and `read_report` have seen to it that they can be drawn."""
    if metrics is None:
        return None
    labels = _label_rows(metrics)
    answers = _answer_bins(metrics)
    return Pictures(
        tiles=headline_figures.tiles(metrics),
        figures=headline_figures.all_figures(metrics),
        confusion=_confusion(metrics),
        reliability=charts.reliability(metrics["reliability"]),
        by_label="row_reliability" in metrics,
        scores=charts.histogram(
            [charts.HistogramBin(b["low"], b["high"], b["count"]) for b in answers]
        ),
        thresholds=thresholds(metrics),
        curve=_learning_curve(report),
        labels=labels[:MOST_LABELS],
        more_labels=len(labels[MOST_LABELS:]),
    )


def _confusion(metrics: Evaluation) -> charts.Confusion | None:
    found = metrics.get("confusion")
    if not found:
        return None
    return charts.confusion(found["labels"], confusion_cells(found), found.get("left_out", 0))


def _answer_bins(metrics: Evaluation) -> list[Bin]:
    """Bins of the scores of whole answers. With several labels a row, the other ones are of single
    labels."""
    return metrics["reliability"] if "confusion" in metrics else metrics.get("row_reliability", [])


def thresholds(metrics: Evaluation) -> list[Threshold]:
    """The lowest first."""
    bins = _answer_bins(metrics)
    total = sum(b["count"] for b in bins)
    across = charts.Axis.across(0, 1)
    rows, right, found = 0, 0.0, []
    for b in reversed(bins):
        rows += b["count"]
        right += b["count"] * (b["accuracy"] or 0.0)
        if rows:
            x = round(across(b["low"]), 2)
            found.append(Threshold(b["low"], rows, rows / total, right / rows, x))
    return found[::-1]


def _learning_curve(report: TrainingReport) -> charts.Lines | None:
    curve = report.get("learning_curve")
    points = curve["points"] if curve else []
    if not points:
        return None
    line = [(p["rows"], p["score"]) for p in points]
    band = [(p["rows"], p["low"], p["high"]) for p in points]
    name = points[0]["metric"].replace("_", " ")
    return charts.lines({name: line}, bands={name: band}, share=True)


def _label_rows(metrics: Evaluation) -> list[LabelRow]:
    """Each label's figures, the weakest first: that is where work pays. Labels that no test row has
    come last, since nothing was measured of them."""
    rows: list[LabelRow] = [{**each, "name": name} for name, each in metrics["labels"].items()]
    return sorted(rows, key=lambda r: (not r["support"], r["f1"], -r["support"], r["name"]))
