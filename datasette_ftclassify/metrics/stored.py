"""Figures of an evaluation that come from a file: whoever reads them finds the types and ranges
that `evaluate` gives, or is told that they are damaged."""

from __future__ import annotations

from typing import cast, get_type_hints

from ..core.errors import ArtifactError
from ..core.typed_json import read_value
from ..core.untrusted_json import read_object
from . import figures  # noqa: F401  (the figures declare themselves)
from .registry import METRICS, groups_of, metrics_of
from .result import Evaluation

_KINDS = get_type_hints(Evaluation, include_extras=True)


def read_metrics(text: object) -> Evaluation:
    """The figures in a JSON text. Raises ArtifactError, also for one that is too large."""
    metrics = read_object(text, "evaluation")
    groups = groups_of(metrics)
    by_range = {key for metric in METRICS.values() for key in metric.keys}
    needed = {"majority_labels" if "several" in groups else "majority_label"}
    needed |= Evaluation.__required_keys__
    for name, kind in _KINDS.items():
        if name not in by_range and (name in metrics or name in needed):
            _expect(_is_one(kind, metrics.get(name)), name)
    for metric in metrics_of(groups):
        unknown = metric.key in metrics and metrics[metric.key] is None
        _expect(not unknown or metric.optional, metric.key)
        for key in metric.keys:
            if key in metrics or (metric.always and not unknown):
                _expect(unknown or metric.is_possible(metrics.get(key)), key)
    return cast(Evaluation, metrics)


def _is_one(kind: object, value: object) -> bool:
    try:
        read_value(kind, value)
    except TypeError:
        return False
    return True


def _expect(sensible: object, name: str) -> None:
    if not sensible:
        raise ArtifactError(f"The evaluation is damaged: {name} makes no sense.")
