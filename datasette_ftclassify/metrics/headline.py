"""An evaluation in one line, for a page, a terminal or a commit message."""

from __future__ import annotations

from ..core.humanize import rows_text
from ..core.training_report import TrainingReport
from .registry import Metric, main_metrics, test_rows
from .result import Evaluation


def headline(result: Evaluation) -> str:
    """The doubt and the baseline stand beside the figure, whatever the kind of the classifier."""
    *parts, last = filter(None, (_phrase(metric, result) for metric in main_metrics(result)))
    parts[0] += f" on {test_rows(result)}"
    if result["abstained"]:
        parts.append(f"{rows_text(result['abstained'])} got no answer and count as wrong")
    return "; ".join([*parts, last])


def _phrase(metric: Metric, result: Evaluation) -> str:
    if metric.phrase is not None:
        return metric.phrase(result)
    interval = metric.interval_text(result)
    return f"{metric.name_in_sentence} {metric.text(result)}" + (
        f" (95% interval {interval})" if interval else ""
    )


def easier_test_rows(result: Evaluation | None, report: TrainingReport) -> str | None:
    """A warning where the accuracy in cross-validation is below the whole interval of that on the
    test rows; None otherwise."""
    if not result or "accuracy_low" not in result or report.get("metric") != "accuracy":
        return None
    tried = {each["recipe"]: each.get("score") for each in report.get("recipes") or ()}
    score = tried.get(report.get("recipe") or "")
    if score is None or not 0 <= score < result["accuracy_low"]:
        return None
    return (
        "The test rows seem easier than the others: in cross-validation on the rows that it was "
        f"trained on, the accuracy was {score:.3f}. Texts that are near copies of very many "
        "others, such as one form letter filled in, are always trained on and never tested."
    )
