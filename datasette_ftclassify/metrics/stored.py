"""Figures of an evaluation that come from a file: whoever reads them finds the types and ranges
that `evaluate` gives, or is told that they are damaged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from ..core.errors import ArtifactError
from ..core.labels import MAX_LABELS, MAX_NAME
from ..core.untrusted_json import LARGEST, JsonObject, read_object
from . import figures  # noqa: F401  (the figures declare themselves)
from .counts import MOST_CELLS
from .registry import groups_of, metrics_of
from .result import Evaluation

MOST_BINS = 100
MOST_REASONS = 100

Check = Callable[[Any], bool]


def read_metrics(text: object) -> Evaluation:
    """The figures in a JSON text. Raises ArtifactError, also for one that is too large."""
    metrics = read_object(text, "evaluation")
    groups = groups_of(metrics)
    checks = _COMMON | (_SEVERAL if "several" in groups else _SINGLE)
    for name, check in checks.items():
        _expect(check(metrics.get(name)), name)
    for name, check in _MAY_BE.items():
        _expect(name not in metrics or check(metrics[name]), name)
    for metric in metrics_of(groups):
        unknown = metric.key in metrics and metrics[metric.key] is None
        _expect(not unknown or metric.optional, metric.key)
        for key in metric.keys:
            if key in metrics or (metric.always and not unknown):
                _expect(unknown or metric.is_possible(metrics.get(key)), key)
    return cast(Evaluation, metrics)


def _expect(sensible: object, name: str) -> None:
    if not sensible:
        raise ArtifactError(f"The evaluation is damaged: {name} makes no sense.")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST


def _is_share(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def _is_share_or_none(value: Any) -> bool:
    return value is None or _is_share(value)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_NAME


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MAX_LABELS and all(map(_is_name, value))


def _are_counts(value: Any) -> bool:
    """By reason."""
    return (
        isinstance(value, dict)
        and len(value) <= MOST_REASONS
        and all(map(_is_name, value))
        and all(map(_is_count, value.values()))
    )


def _are_figures(value: Any) -> bool:
    """Of each label."""
    return (
        isinstance(value, dict)
        and len(value) <= MAX_LABELS
        and all(map(_is_name, value))
        and all(isinstance(row, dict) and _fits(row, _FIGURES) for row in value.values())
    )


def _are_bins(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MOST_BINS
        and all(isinstance(row, dict) and _fits(row, _BIN) for row in value)
        and all(_is_share(row.get("accuracy")) for row in value if row["count"])
        and all(_is_share(row.get("confidence")) for row in value if row["count"])
    )


def _fits(data: JsonObject, checks: Mapping[str, Check]) -> bool:
    return all(check(data.get(name)) for name, check in checks.items())


def _is_confusion(value: Any) -> bool:
    """See `counts.confusion_cells`."""
    if not isinstance(value, dict) or not _are_names(value.get("labels")):
        return False
    size = len(value["labels"])
    if "cells" in value:
        cells = value["cells"]
        return (
            isinstance(cells, list)
            and len(cells) % 3 == 0
            and len(cells) <= 3 * MOST_CELLS
            and all(map(_is_count, cells))
            and all(row < size for row in cells[::3])
            and all(column <= size for column in cells[1::3])
        )
    matrix = value.get("matrix")
    if not isinstance(matrix, list) or len(matrix) != size:
        return False
    widths = {len(row) if isinstance(row, list) else -1 for row in matrix}
    return (
        len(widths) <= 1
        and widths <= {size, size + 1}
        and all(_is_count(cell) for row in matrix for cell in row)
    )


_FIGURES: dict[str, Check] = {
    "precision": _is_share, "recall": _is_share, "f1": _is_share, "support": _is_count,
    "threshold": _is_share_or_none,
}  # fmt: skip
_BIN: dict[str, Check] = {"low": _is_share, "high": _is_share, "count": _is_count}
_MAY_BE: dict[str, Check] = {
    "classifier": _is_name,
    "version": _is_count,
    "positive_label": _is_name,
    "missing": _is_count,
    "held_back": _is_count,
    "unknown_labels": _is_count,
    "abstained_reasons": _are_counts,
    "confusion": _is_confusion,
    "row_reliability": _are_bins,
}
_COMMON: dict[str, Check] = {
    "n_test": _is_count,
    "n_scored": _is_count,
    "abstained": _is_count,
    "labels": _are_figures,
    "reliability": _are_bins,
}
_SINGLE: dict[str, Check] = {"majority_label": _is_name}
_SEVERAL: dict[str, Check] = {"majority_labels": _are_names}
