"""The steps from a trained model's scores to probabilities, and what is said of them.

One temperature (labels that exclude each other) or Platt scaling of each label, and beta
calibration on top where that makes rows likelier that it was not fitted on.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from ...core.humanize import rows_text
from ...core.training_report import Calibration
from ...metrics.scores import calibration_error
from ..base import HeldOut
from . import beta
from .calibration import calibrate, expected_calibration_error, platt_each
from .features import FloatArray
from .group_folds import Rows
from .linear import Array, log_sigmoid, log_softmax, recalibrated
from .model import LocalModel, as_stored
from .recipes import Targets
from .thresholds import across_halves, choose_thresholds, f1_scores


class Known(Protocol):
    """All rows: whether each has exactly one label, targets (n, labels), numbers of near copies."""

    @property
    def exclusive(self) -> bool: ...
    @property
    def targets(self) -> Targets: ...
    @property
    def groups(self) -> Rows: ...


class Unseen(Protocol):
    """Those that were held out, see `selection.Trial`."""

    @property
    def rows(self) -> Rows: ...
    @property
    def logits(self) -> FloatArray: ...
    @property
    def usable(self) -> npt.NDArray[np.bool_]: ...


def calibrate_model(
    model: LocalModel, data: Known, trial: Unseen
) -> tuple[Calibration, HeldOut | None]:
    """Changes the model. Gives a report, safe for JSON, and what cross-validation answered, each
    row calibrated by other rows; None where no row was held out.

    The report: method ("temperature", "platt" or "beta"), applied, rows that it was fitted on,
    ece_before and ece_after, log_loss_before and log_loss_after (after: by what other rows gave;
    before: without beta calibration), said (a sentence or two for people).
    """
    targets, groups = data.targets[trial.rows], data.groups[trial.rows]
    fit = _exclusive if data.exclusive else _several
    report, held_out = fit(model, data, trial, targets, groups)
    return {**report, "said": _said(report)}, held_out


def _exclusive(
    model: LocalModel, data: Known, trial: Unseen, targets: Targets, groups: npt.NDArray[np.intp]
) -> tuple[Calibration, HeldOut | None]:
    labels = targets.argmax(axis=1)
    model.temperature, report = calibrate(trial.logits, labels, trial.usable)
    if not report["applied"]:
        report["method"] = "none"
    if not len(labels):
        return report, None

    def base(rows: beta.Mask) -> beta.Base:
        divisor, _ = calibrate(trial.logits[rows], labels[rows], trial.usable[rows])
        return lambda logits: log_softmax(logits.astype(np.float64) / divisor)

    found, model.beta = beta.out_of_fold(trial.logits, targets, trial.usable, groups, base, True)
    held_out = HeldOut(trial.rows, found, None, groups, trial.usable)
    if report["applied"]:
        known = found[trial.usable].astype(np.float64)
        report["ece_after"] = expected_calibration_error(known, labels[trial.usable])
        report["log_loss_after"] = float(beta.losses(known, targets[trial.usable], True).mean())
    if model.beta is not None:
        report["method"] = "beta"
    return report, held_out


def _several(
    model: LocalModel, data: Known, trial: Unseen, targets: Targets, groups: npt.NDArray[np.intp]
) -> tuple[Calibration, HeldOut | None]:
    if not len(targets):
        return {"method": "none", "applied": False, "rows": 0}, None
    logits = trial.logits.astype(np.float64)
    absent = np.asarray(data.targets.any(axis=0) & ~targets.any(axis=0))
    slopes, intercepts = platt_each(logits, targets, absent)
    model.weights = as_stored(model.weights * slopes)
    model.bias = (model.bias * slopes + intercepts).astype(np.float32)
    if model.embedding_weights is not None:
        model.embedding_weights = (model.embedding_weights * slopes).astype(np.float32)

    def base(rows: beta.Mask) -> beta.Base:
        each, more = platt_each(logits[rows], targets[rows], absent)
        return lambda scores: log_sigmoid(scores * each + more)

    found, model.beta = beta.out_of_fold(logits, targets, trial.usable, groups, base, False)
    answered = log_sigmoid(logits * slopes + intercepts)
    if model.beta is not None:
        answered = recalibrated(answered, model.beta, False)
    # In the scale in which the model answers; figures are of what other rows gave.
    model.thresholds = choose_thresholds(np.exp(answered), targets)
    chances: Array = np.exp(found.astype(np.float64))
    given = across_halves(
        chances, targets, lambda half: choose_thresholds(chances[half], targets[half]), groups
    )
    micro, macro = f1_scores(given, targets)
    half_micro, half_macro = f1_scores(chances >= 0.5, targets)
    report: Calibration = {
        "method": "platt" if model.beta is None else "beta",
        "applied": True,
        "rows": len(targets),
        "ece_after": calibration_error(chances[given], targets[given] == 1),
        "log_loss_after": float(beta.losses(found, targets, False).mean()),
        "micro_f1": micro,
        "macro_f1": macro,
        "micro_f1_at_half": half_micro,
        "macro_f1_at_half": half_macro,
    }
    return report, HeldOut(trial.rows, found, given, groups, trial.usable)


def _said(report: Calibration) -> str:
    """Whether the scores can be read as probabilities."""
    rows, error = report["rows"], report.get("ece_after")
    if rows < beta.MIN_ROWS or not report["applied"] or error is None:
        says = "says only roughly" if report["applied"] else "does not say"
        return (
            f"Scores are not calibrated: that takes {beta.MIN_ROWS} rows, and {rows_text(rows)} "
            "could be held out. The higher a score, the surer the answer, but it "
            f"{says} how often such answers are right."
        )
    each = " label by label" if report["method"] == "beta" else ""
    return (
        f"Scores are calibrated{each} on {rows_text(rows)} that were held out. There they differ "
        f"by {error:.3f} on average from how often answers are right (expected calibration error)."
    )
