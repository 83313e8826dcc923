"""Every figure that is one number, in the order of docs/metrics.md. A new one is a function of the
answers, here or in a file that is imported here."""

from __future__ import annotations

import math

from ..core.humanize import rows_text
from .answers import Answers, SeveralAnswers, SingleAnswers
from .registry import always_answering, interval_on_rows, metric, test_rows
from .result import Evaluation

_BASELINE = "what always giving the most frequent label would score"


@metric(
    "micro_f1",
    "Micro F1",
    {"several": 1},
    "F1 over all labels of all rows together",
    always=True,
    compared=True,
    note=lambda result: f"over all labels of {test_rows(result)}",
    phrase=lambda result: f"micro F1 {result['micro_f1']:.3f}, macro F1 {result['macro_f1']:.3f}",
)
def _micro_f1(answers: SeveralAnswers) -> float:
    return float(answers.pooled.f1[0])


@metric(
    "accuracy",
    "Accuracy",
    {"single": 1},
    "the share of rows that were answered right",
    interval=True,
    always=True,
    compared=True,
    note=lambda result: interval_on_rows(result["accuracy_low"], result["accuracy_high"], result),
)
def _accuracy(answers: SingleAnswers) -> float:
    return answers.right / answers.rows


@metric(
    "subset_accuracy",
    "All labels of a row right",
    {"several": 3},
    "the share of rows with exactly the right labels",
    interval=True,
    always=True,
    compared=True,
    note=lambda result: interval_on_rows(
        result["subset_accuracy_low"], result["subset_accuracy_high"], result
    ),
)
def _subset_accuracy(answers: SeveralAnswers) -> float:
    return answers.right / answers.rows


@metric(
    "majority_accuracy",
    "Baseline",
    {"single": 2},
    _BASELINE,
    always=True,
    note=lambda result: f"always answering {always_answering(result)}",
    phrase=lambda result: (
        f"always answering {always_answering(result)} would score {result['majority_accuracy']:.3f}"
    ),
)
def _majority_accuracy(answers: SingleAnswers) -> float:
    return int(answers.tally.support[answers.common]) / answers.rows


@metric(
    "majority_subset_accuracy",
    "Baseline",
    {"several": 4},
    _BASELINE,
    always=True,
    note=lambda result: f"always answering {always_answering(result)}",
    phrase=lambda result: (
        f"always answering {always_answering(result)} would score "
        f"{result['majority_subset_accuracy']:.3f}"
    ),
)
def _majority_subset_accuracy(answers: SeveralAnswers) -> float:
    return answers.commonest[1] / answers.rows


@metric(
    "macro_f1",
    "Macro F1",
    {"single": 3, "several": 2},
    "mean over the labels, each counting the same",
    always=True,
    compared=True,
    phrase=lambda result: "" if "micro_f1" in result else f"macro F1 {result['macro_f1']:.3f}",
)
def _macro_f1(answers: Answers) -> float:
    return float(answers.tally.f1[answers.averaged].mean())


@metric(
    "weighted_f1",
    "Weighted F1",
    {"single": None},
    "mean over the labels, each counting as often as rows have it",
)
def _weighted_f1(answers: SingleAnswers) -> float:
    return float(answers.tally.f1 @ answers.tally.support / answers.rows)


@metric(
    "precision",
    "Precision",
    {"two": None},
    "of the rows that got the positive label, the share that has it",
)
def _precision(answers: SingleAnswers) -> float:
    return float(answers.tally.precision[answers.positive])


@metric(
    "recall",
    "Recall",
    {"two": None},
    "of the rows that have the positive label, the share that got it",
)
def _recall(answers: SingleAnswers) -> float:
    return float(answers.tally.recall[answers.positive])


@metric("f1", "F1", {"two": None}, "the harmonic mean of precision and recall")
def _f1(answers: SingleAnswers) -> float:
    return float(answers.tally.f1[answers.positive])


@metric(
    "auroc",
    "Area under the ROC curve",
    {"two": None},
    "how often a row with the positive label scores above one without",
    optional=True,
    compared=True,
)
def _auroc(answers: SingleAnswers) -> float | None:
    return answers.ranking[0]


@metric(
    "average_precision",
    "Average precision",
    {"two": None},
    "precision over all thresholds, weighted by the recall that each adds",
    optional=True,
)
def _average_precision(answers: SingleAnswers) -> float | None:
    return answers.ranking[1]


@metric(
    "micro_precision",
    "Micro precision",
    {"several": None},
    "of all labels that were given, the share that is right",
)
def _micro_precision(answers: SeveralAnswers) -> float:
    return float(answers.pooled.precision[0])


@metric(
    "micro_recall",
    "Micro recall",
    {"several": None},
    "of all labels that rows have, the share that was given",
)
def _micro_recall(answers: SeveralAnswers) -> float:
    return float(answers.pooled.recall[0])


@metric(
    "hamming_loss",
    "Hamming loss",
    {"several": None},
    "the share of single labels that are wrong",
    best=0.0,
)
def _hamming_loss(answers: SeveralAnswers) -> float:
    return float(answers.wrong.mean() / len(answers.labels))


@metric(
    "log_loss",
    "Log loss",
    {"single": None, "several": None},
    "how little probability the right label got; 0 is best",
    best=0.0,
    high=math.inf,
    optional=True,
)
def _log_loss(answers: Answers) -> float | None:
    return answers.scores.log_loss


def _calibration(result: Evaluation) -> str:
    if result["ece"] is None:
        return "no probabilities to check"
    text = f"expected calibration error {result['ece']:.3f}"
    if result["n_scored"] < result["n_test"]:
        text += f" on {rows_text(result['n_scored'])} with probabilities"
    return text


def _calibration_note(result: Evaluation) -> str:
    if result["ece"] is None:
        return "no probabilities to check"
    note = "how far the scores are from the share that is right, on average"
    if result["n_scored"] < result["n_test"]:
        note += f", on {rows_text(result['n_scored'])} with scores"
    return note


@metric(
    "ece",
    "Calibration error",
    {"single": 9, "several": 9},
    "how far the scores are from the share that is right, on average",
    best=0.0,
    always=True,
    phrase=_calibration,
    note=_calibration_note,
    optional=True,
)
def _ece(answers: Answers) -> float | None:
    return answers.scores.ece
