"""The report of a training, as it is in a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import ArtifactError
from ..core.untrusted_json import LARGEST, read_object

MOST_POINTS = 100
MOST_TEXT = 10_000
_SHARES = ("score", "low", "high")
_TEXTS = ("why", "model", "shutdown_date", "recipe")


def read_report(text: object) -> dict[str, Any]:
    """The report in a JSON text; what pages draw of it has the types that training gives it.

    Raises ArtifactError.
    """
    report = read_object(text, "report")
    for name in _TEXTS:
        if not _is_text(report.get(name)):
            raise ArtifactError(f"The report is damaged: {name} is no text.")
    if not _is_text(calibration_text(report)):
        raise ArtifactError("The report is damaged: calibration says no text.")
    if report.get("learning_curve") is not None:
        _check_curve(report["learning_curve"])
    return report


def _is_text(value: object) -> bool:
    return value is None or (isinstance(value, str) and len(value) <= MOST_TEXT)


def calibration_text(report: Mapping[str, Any]) -> Any:
    """Whether the scores are calibrated, in a sentence; None where nobody said it."""
    calibration = report.get("calibration")
    return calibration.get("said") if isinstance(calibration, dict) else None


def _check_curve(curve: Any) -> None:
    points = curve.get("points") if isinstance(curve, dict) else None
    if (
        not isinstance(points, list)
        or len(points) > MOST_POINTS
        or not all(isinstance(point, dict) and _is_point(point) for point in points)
        or not isinstance(curve.get("summary"), str)
        or len(curve["summary"]) > MOST_TEXT
    ):
        raise ArtifactError("The report is damaged: its learning curve makes no sense.")


def _is_point(point: dict[str, Any]) -> bool:
    return (
        type(point.get("rows")) is int
        and 0 <= point["rows"] < LARGEST
        and isinstance(point.get("metric"), str)
        and len(point["metric"]) <= 100
        and all(type(point.get(name)) in (int, float) and 0 <= point[name] <= 1 for name in _SHARES)
    )
