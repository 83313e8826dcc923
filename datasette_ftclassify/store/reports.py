"""The report of a training, as it is in a file."""

from __future__ import annotations

from types import NoneType
from typing import Any

from ..core.errors import ArtifactError
from ..core.training_report import CurvePoint, LearningCurve, TrainingReport
from ..core.typed_json import read_typed_dict
from ..core.untrusted_json import LARGEST, JsonObject, read_object

MOST_POINTS = 100
MOST_TEXT = 10_000


def read_report(text: object) -> TrainingReport:
    """The report in a JSON text; what is read of it has the types that training gives it.

    Raises ArtifactError.
    """
    report = read_object(text, "report")
    try:
        read: TrainingReport = read_typed_dict(TrainingReport, report)
    except TypeError as error:
        raise ArtifactError(f"The report is damaged: {error}.") from None
    if not isinstance(calibration_text(read), (str, NoneType)):
        raise ArtifactError("The report is damaged: calibration says no text.")
    texts = (
        read.get("why"), read.get("model"), read.get("shutdown_date"), read.get("recipe"),
        calibration_text(read), read.get("not_used"),
    )  # fmt: skip
    if any(text is not None and len(text) > MOST_TEXT for text in texts):
        raise ArtifactError("The report is damaged: a text in it is too long.")
    curve = read.get("learning_curve")
    if curve is not None and not _is_sensible(curve):
        raise ArtifactError("The report is damaged: its learning curve makes no sense.")
    return read


def calibration_text(report: JsonObject) -> Any:
    """Whether the scores are calibrated, in a sentence; None where nobody said it."""
    calibration = report.get("calibration")
    return calibration.get("said") if isinstance(calibration, dict) else None


def _is_sensible(curve: LearningCurve) -> bool:
    return (
        len(curve["points"]) <= MOST_POINTS
        and len(curve["summary"]) <= MOST_TEXT
        and all(map(_is_point, curve["points"]))
    )


def _is_point(point: CurvePoint) -> bool:
    return (
        0 <= point["rows"] < LARGEST
        and len(point["metric"]) <= 100
        and all(0 <= share <= 1 for share in (point["score"], point["low"], point["high"]))
    )
