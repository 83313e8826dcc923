"""How good a classifier is, in a few figures, each with its interval and the baseline; and whether
another one of the same task is better."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from ..metrics.headline import test_rows
from ..store.classifiers import Classifier
from ..store.evaluations import paired_counts


def tiles(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """{"name", "value", "note", "low", "high"} of the figures that say most; the last two are the
    ends of a 95 % interval, 0-1, or None. Raises what a stranger's damaged figures raise."""
    several = "subset_accuracy" in metrics
    main = "subset_accuracy" if several else "accuracy"
    low, high = float(metrics[f"{main}_low"]), float(metrics[f"{main}_high"])
    rows = test_rows(metrics)
    interval = f"95 % interval {low:.3f}–{high:.3f} on {rows}"
    accuracy = _tile(
        "All labels of a row right" if several else "Accuracy", metrics[main], interval, low, high
    )
    baseline = _baseline(metrics, several)
    macro = _tile("Macro F1", metrics["macro_f1"], "mean over the labels, each counting the same")
    if several:
        micro = _tile("Micro F1", metrics["micro_f1"], f"over all labels of {rows}")
        found = [micro, macro, accuracy, baseline]
    else:
        found = [accuracy, baseline, macro]
    if metrics["abstained"]:
        found.append({
            **_tile("Without an answer", 0.0, "they count as wrong"),
            "value": f"{metrics['abstained']:,}",
        })  # fmt: skip
    return [*found, _calibration(metrics)]


def faultless(metrics: Mapping[str, Any] | None) -> bool:
    """Whether every test row was answered right."""
    found = metrics or {}
    return bool(found.get("subset_accuracy", found.get("accuracy")) == 1.0)


def _tile(
    name: str, value: float, note: str, low: float | None = None, high: float | None = None
) -> dict[str, Any]:
    return {"name": name, "value": f"{value:.3f}", "note": note, "low": low, "high": high}


def _baseline(metrics: Mapping[str, Any], several: bool) -> dict[str, Any]:
    names = metrics["majority_labels"] if several else [metrics["majority_label"]]
    said = " + ".join(f"“{name[:60]}{'…' * (len(name) > 60)}”" for name in names) or "no label"
    value = metrics["majority_subset_accuracy" if several else "majority_accuracy"]
    return _tile("For comparison", value, f"always answering {said}")


def _calibration(metrics: Mapping[str, Any]) -> dict[str, Any]:
    if metrics["ece"] is None:
        return {**_tile("Calibration error", 0.0, "no probabilities to check"), "value": "–"}
    note = "how far the scores are from the share that is right, on average"
    if metrics["n_scored"] < metrics["n_test"]:
        note += f", on {metrics['n_scored']:,} rows with scores"
    return _tile("Calibration error", metrics["ece"], note)


def comparison(
    conn: sqlite3.Connection, this: Classifier, other: Classifier
) -> dict[str, Any] | None:
    """Of the test rows on which both were evaluated: counts as `metrics.comparison` has them,
    `this` being the first, and a `sentence`. None where they have none in common, and for labels of
    other columns: to be right is not the same there."""
    from ..metrics.comparison import compare_counts

    if this.task.labels != other.task.labels:
        return None
    found = compare_counts(**paired_counts(conn, this, other))
    return {**found, "sentence": _sentence(found)} if found["rows"] else None


def _sentence(found: Mapping[str, Any]) -> str:
    """Whether the other one is better than this one, as far as that is significant."""
    from ..metrics.comparison import SURE, p_value_text

    gains, losses = found["only_second"], found["only_first"]
    rows = f"{found['rows']:,} test row{'' if found['rows'] == 1 else 's'} in common"
    if not gains and not losses:
        return f"No difference: of {rows}, the same are right"
    counts = f"of {rows}, it alone is right on {gains:,}, this one alone on {losses:,}"
    shown = p_value_text(found, "texts_second", "texts_first")
    if found["p_value"] >= SURE:
        return f"No significant difference ({shown}): {counts}"
    better = found["texts_second"] > found["texts_first"]
    return f"{'Better' if better else 'Worse'}: {counts} ({shown})"
