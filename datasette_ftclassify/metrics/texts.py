"""Parts of the sentences about an evaluation."""

from __future__ import annotations

from ..core.humanize import counted
from ..core.labels import named
from .result import Evaluation


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
