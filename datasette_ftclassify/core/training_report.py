"""What is stored with a classifier about its training: for people, and for what comes after it.

A trainer may add to it whatever is JSON; these are the parts that something reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from .humanize import counted, one_or_more, rows_text
from .labels import LabelValue

Header = Mapping[str, Any]
"""What a trainer stores beside a model's parts, by which it builds the model again: JSON of the
trainer's own form (trainers come from other packages, too), which it alone reads and checks. What
others want to know of it: `NeededEncoder` and `service_model.ServiceModel`."""


@dataclass(frozen=True)
class NeededEncoder:
    """A sentence encoder without which a classifier cannot answer. Both may be any text in a file
    of somebody else.

    digest: by which its files are found
    """

    digest: str
    name: str

    @classmethod
    def read(cls, header: Header) -> NeededEncoder | None:
        said = header.get("embedding")
        if not isinstance(said, Mapping) or not isinstance(said.get("encoder"), str):
            return None
        return cls(said["encoder"], str(said.get("name")))


class _Interval(TypedDict):
    score: float
    low: float
    high: float


class CurveScore(_Interval, total=False):
    gain_low: float
    gain_high: float


class _Point(CurveScore):
    rows: int
    metric: str


class CurvePoint(_Point, total=False):
    """Of a learning curve: see `trainers.local.learning_curves.learning_curve`."""

    labels: int
    baseline: float
    all_rows: int
    recipe: str


class _Curve(TypedDict):
    points: list[CurvePoint]
    summary: str


class LearningCurve(_Curve, total=False):
    """summary: what it says about labelling more, in a sentence
    same_recipe: whether it is of the recipe that was trained"""

    same_recipe: bool


class AboutRows(TypedDict, total=False):
    """rows:             by split; `left_out` by the value of a split column that names none
    shared_with_train:   rows of validation and test whose text, or a near copy, is in train
    majority:            position of the most frequent label; `label_counts` rows of each
    labels_said, texts_said: what is to be said of how they were read
    label_variants:      labels that only look different
    left_out_new, predicted_labels: rows that came since, and rows with a predicted label, of a
                         training on the rows of an earlier classifier
    chosen_rows:         training rows that have a label because a review queue chose them for what
                         a model said of them; `chosen_left_out` others that were left out for it,
                         being test rows, or copies of those
    software:            versions by name
    version_of:          of a new version the earlier one; `version_said` says what changed
    not_used:            why the name stands for the version before this one
    """

    rows: dict[str, int]
    left_out: dict[str, int]
    shared_with_train: int
    majority: int
    label_counts: list[int]
    labels_said: list[str]
    texts_said: list[str]
    label_variants: list[list[LabelValue]]
    left_out_new: int
    chosen_rows: int
    chosen_left_out: int
    predicted_labels: int
    learning_curve: LearningCurve | None
    software: dict[str, str]
    version_of: str
    version_changes: Any
    version_said: list[str]
    not_used: str


class _Tried(TypedDict):
    recipe: str


class TriedRecipe(_Tried, total=False):
    """A recipe that was compared, and its score in cross-validation, 0-1."""

    score: float | None
    embedding: bool


class Calibration(TypedDict, total=False):
    """How scores were calibrated by rows that were held out: see
    `trainers.local.calibrate_model`."""

    method: str
    applied: bool
    rows: int
    temperature: float
    ece_before: float
    ece_after: float | None
    log_loss_after: float
    micro_f1: float
    macro_f1: float
    micro_f1_at_half: float
    macro_f1_at_half: float
    said: str


class AboutEncoder(TypedDict, total=False):
    """A sentence encoder that a classifier needs to answer."""

    name: str
    digest: str
    dimensions: int
    bytes: int
    licence: str | None
    revision: str | None


class AboutTeacher(TypedDict):
    """A classifier whose answers were there to learn from; `used`: whether that helped."""

    name: str
    rows: int
    used: bool


class TrainingReport(AboutRows, total=False):
    """why:         what was trained and why, in a sentence or two
    recipe:         the local one that was chosen of `recipes`, by `metric`
    embeddings:     folder or name of a model
    points:         what the epochs of a fine-tuning on this machine came to, as events have them
    shutdown_date:  day on which the model is retired, as the service says
    checkpoint:     step of the checkpoint that this is
    usd:            what the training cost
    calibration:    a Calibration, of the trainers that come along
    service, checkpoints: see `service_model`
    """

    why: str | None
    warnings: list[str]
    recipe: str | None
    recipes: list[TriedRecipe] | None
    metric: str | None
    points: Any
    embeddings: str | None
    model: str | None
    shutdown_date: str | None
    checkpoint: int
    usd: float | None
    calibration: Any
    service: Any
    checkpoints: Any


class LocalReport(TrainingReport, total=False):
    """Of the trainers on this machine, which add what another's report may have in another form."""

    encoder: AboutEncoder
    teacher: AboutTeacher
    n_rows: int
    n_features: int
    seconds: float


def chosen_text(report: Mapping[str, Any]) -> str | None:
    """What is said of the rows that review queues chose; None where there are none."""
    rows, left_out = report.get("chosen_rows") or 0, report.get("chosen_left_out") or 0
    said = []
    if rows:
        have = counted(rows, "training row has its", "training rows have their")
        them = one_or_more(rows, "it", "them")
        said.append(
            f"{have} label because a review queue chose {them} by a model's answers. "
            "Such rows are trained on, and left out of calibration, minimum scores, figures of "
            "cross-validation and the test: figures on hard rows say nothing about the others."
        )
    if left_out:
        are = one_or_more(left_out, "is", "are")
        said.append(
            f"{rows_text(left_out).capitalize()} that queues chose {are} among the test rows, or "
            "copies of those, and left out."
        )
    return " ".join(said) or None
