"""The figures of an evaluation: each is declared once, in `figures`.

The evaluation computes them, a stored one is checked by them, and pages, commands and
docs/metrics.md show them with the names and sentences that they have here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from ..core.humanize import counted
from ..core.label_kinds import KINDS
from ..core.labels import named
from .result import Evaluation

Group = str
"""What a figure is for: one of GROUPS, or a kind of labels, by its name."""
GROUPS: dict[Group, str] = {
    "single": "one label a row",
    "two": "one of two labels",
    "several": "several labels",
}
"""One label a row; one of two labels, which has all figures of `single` as well; any number."""

Compute = Callable[[Any], "float | None"]
_F = TypeVar("_F", bound=Compute)


@dataclass(frozen=True)
class Metric:
    """One figure.

    key:      its name in JSON
    name:     on pages
    groups:   those that have it, with its place among the main figures, the smallest first; None:
              it is listed with all figures only
    help:     what it says, one sentence
    compute:  of `evaluation.SingleAnswers` or `MultilabelAnswers`; None: cannot be known
    best:     the value of a classifier without a fault
    low, high: the range of values
    interval: whether the ends of a 95% interval stand beside it as KEY_low and KEY_high
    optional: whether it may be None: without probabilities, or without rows of one of the labels
    compared: whether comparisons of classifiers show it
    always:   whether stored evaluations of all versions have it
    phrase:   in the one-line summary: by default its name, value and interval; "" leaves it out
    note:     below it on a page: by default `help`
    """

    key: str
    name: str
    groups: Mapping[Group, int | None]
    help: str
    compute: Compute
    best: float = 1.0
    low: float = 0.0
    high: float = 1.0
    interval: bool = False
    optional: bool = False
    always: bool = False
    compared: bool = False
    phrase: Callable[[Evaluation], str] | None = None
    note: Callable[[Evaluation], str] | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key, *([f"{self.key}_low", f"{self.key}_high"] if self.interval else []))

    @property
    def name_in_sentence(self) -> str:
        return self.name[:1].lower() + self.name[1:]

    def place(self, groups: Set[Group]) -> int | None:
        """Among the main figures of an evaluation of these groups."""
        places = [place for of, place in self.groups.items() if of in groups]
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


METRICS: dict[str, Metric] = {}
"""All by key, in the order in which they are declared in `figures`."""


def _number(result: Evaluation, key: str) -> float | None:
    """A figure by its key, which `stored.read_metrics` has seen to be a number."""
    value = cast("Mapping[str, object]", result).get(key)
    return float(value) if isinstance(value, (int, float)) else None


def metric(
    key: str, name: str, groups: Mapping[Group, int | None], help: str, **more: Any
) -> Callable[[_F], _F]:
    """Declares a function of the answers as a figure; `more` as `Metric` has it. Raises ValueError
    for a key that another figure has, or a group that there is none."""

    def declare(compute: _F) -> _F:
        new = Metric(key, name, groups, help, compute, **more)
        if unknown := groups.keys() - GROUPS.keys() - KINDS.keys():
            raise ValueError(f"{key} is a figure of {sorted(unknown)[0]}, which is no group")
        taken = {known for each in METRICS.values() for known in each.keys}
        if taken.intersection(new.keys):
            raise ValueError(f"Two figures are called {key}")
        METRICS[key] = new
        return compute

    return declare


def groups_of(result: Mapping[str, object] | Evaluation) -> set[Group]:
    """By what it holds, since files of earlier versions say no kind of labels."""
    kind = result.get("kind")
    own = {kind} if isinstance(kind, str) else set()
    if "subset_accuracy" in result:
        return {"several"} | own
    return {"single"} | ({"two"} if "positive_label" in result else set()) | own


def metrics_of(groups: Set[Group]) -> Sequence[Metric]:
    """The figures of an evaluation of these groups."""
    return [each for each in METRICS.values() if each.groups.keys() & groups]


def metrics_in(result: Evaluation) -> list[Metric]:
    """The figures that an evaluation has."""
    return [each for each in metrics_of(groups_of(result)) if each.key in result]


def main_metrics(result: Evaluation) -> Sequence[Metric]:
    """Those that say most of an evaluation, as far as it has them, the first first."""
    groups = groups_of(result)
    found = [(each.place(groups), each) for each in metrics_in(result)]
    placed = [(place, each) for place, each in found if place is not None]
    return [each for _, each in sorted(placed, key=lambda pair: pair[0])]


def test_rows(result: Evaluation) -> str:
    """`60 test rows`, and of how many different texts where some are copies of each other."""
    rows = counted(result["n_test"], "test row")
    # Evaluations of earlier versions do not say.
    distinct = result.get("n_distinct", result["n_test"])
    if distinct == result["n_test"]:
        return rows
    return f"{rows} ({counted(distinct, 'different text')})"


def interval_on_rows(low: float, high: float, result: Evaluation) -> str:
    return f"95% interval {low:.3f}–{high:.3f} on {test_rows(result)}"


def always_answering(result: Evaluation) -> str:
    """The answer of the baseline, in quotes, on one line."""
    names = result["majority_labels"] if "majority_labels" in result else [result["majority_label"]]
    return " + ".join(f"“{named(name, always=True)[1:-1]}”" for name in names) or "no label"
