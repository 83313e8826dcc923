"""Parts of the sentences about an evaluation."""

from __future__ import annotations

from ..core.humanize import counted
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


def always_answering(result: Evaluation, most: int | None = None) -> str:
    """The answer of the baseline, in quotes; of each label `most` characters."""
    names = result["majority_labels"] if "majority_labels" in result else [result["majority_label"]]
    shown = (name if most is None or len(name) <= most else f"{name[:most]}…" for name in names)
    return " + ".join(f"“{name}”" for name in shown) or "no label"
