"""The figures of an evaluation: each is declared once, in `figures`.

The evaluation computes them, a stored one is checked by them, and pages, commands and
docs/metrics.md show them with the names and sentences that they have here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from .result import Evaluation

Kind = Literal["single", "binary", "multilabel"]
"""One label a row; one of two labels, which has all figures of `single` as well; any number."""

Compute = Callable[[Any], "float | None"]
_F = TypeVar("_F", bound=Compute)


@dataclass(frozen=True)
class Metric:
    """One figure.

    key:      its name in JSON
    name:     on pages
    kinds:    those that have it, with its place among the main figures, the smallest first; None:
              it is listed with all figures only
    help:     what it says, one sentence
    compute:  of `evaluation.SingleAnswers` or `MultilabelAnswers`; None: cannot be known
    best:     the value of a classifier without a fault
    low, high: the range of values
    interval: whether the ends of a 95% interval stand beside it as KEY_low and KEY_high
    optional: whether it may be None: without probabilities, or without rows of one of the labels
    always:   whether stored evaluations of all versions have it
    phrase:   in the one-line summary: by default its name, value and interval; "" leaves it out
    note:     below it on a page: by default `help`
    """

    key: str
    name: str
    kinds: Mapping[Kind, int | None]
    help: str
    compute: Compute
    best: float = 1.0
    low: float = 0.0
    high: float = 1.0
    interval: bool = False
    optional: bool = False
    always: bool = False
    phrase: Callable[[Evaluation], str] | None = None
    note: Callable[[Evaluation], str] | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key, *([f"{self.key}_low", f"{self.key}_high"] if self.interval else []))

    def place(self, kind: Kind) -> int | None:
        """Among the main figures of that kind."""
        places = [place for of, place in self.kinds.items() if of in _SAME[kind]]
        return next((place for place in places if place is not None), None)

    def is_possible(self, value: object) -> bool:
        """Whether a stored value can be one of this figure."""
        if type(value) not in (int, float):
            return False
        number = float(value)  # type: ignore[arg-type]
        return math.isfinite(number) and self.low <= number <= self.high

    def value(self, result: Evaluation) -> float | None:
        return _number(result, self.key)

    def text(self, result: Evaluation) -> str:
        """The value for people; `–` where it is not known."""
        value = self.value(result)
        return "–" if value is None else f"{value:.3f}"

    def ends(self, result: Evaluation) -> tuple[float, float] | None:
        """Of its interval, where it has one."""
        low, high = (_number(result, f"{self.key}_{end}") for end in ("low", "high"))
        return None if low is None or high is None else (low, high)

    def interval_text(self, result: Evaluation) -> str:
        """`0.826–0.979`, or nothing."""
        ends = self.ends(result)
        return f"{ends[0]:.3f}–{ends[1]:.3f}" if ends else ""


_SAME: dict[Kind, set[Kind]] = {
    "single": {"single"},
    "binary": {"single", "binary"},
    "multilabel": {"multilabel"},
}
METRICS: dict[str, Metric] = {}
"""All by key, in the order in which they are declared in `figures`."""


def _number(result: Evaluation, key: str) -> float | None:
    """A figure by its key, which `stored.read_metrics` has seen to be a number."""
    value = cast("Mapping[str, object]", result).get(key)
    return float(value) if isinstance(value, (int, float)) else None


def metric(
    key: str, name: str, kinds: Mapping[Kind, int | None], help: str, **more: Any
) -> Callable[[_F], _F]:
    """Declares a function of the answers as a figure; `more` as `Metric` has it. Raises ValueError
    for a key that another figure has."""

    def declare(compute: _F) -> _F:
        new = Metric(key, name, kinds, help, compute, **more)
        taken = {known for each in METRICS.values() for known in each.keys}
        if taken.intersection(new.keys):
            raise ValueError(f"Two figures are called {key}")
        METRICS[key] = new
        return compute

    return declare


def kind_of(result: Mapping[str, object] | Evaluation) -> Kind:
    """By what it holds, since files of earlier versions say no kind."""
    if "subset_accuracy" in result:
        return "multilabel"
    return "binary" if "positive_label" in result else "single"


def metrics_of(kind: Kind) -> Sequence[Metric]:
    """The figures of classifiers of that kind."""
    return [each for each in METRICS.values() if each.kinds.keys() & _SAME[kind]]


def main_metrics(result: Evaluation) -> Sequence[Metric]:
    """Those that say most of an evaluation, as far as it has them, the first first."""
    kind = kind_of(result)
    found = [(each.place(kind), each) for each in metrics_of(kind) if each.key in result]
    placed = [(place, each) for place, each in found if place is not None]
    return [each for _, each in sorted(placed, key=lambda pair: pair[0])]
