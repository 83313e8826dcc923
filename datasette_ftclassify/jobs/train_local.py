"""Training in this process: from the rows to a stored classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from ..core.database import path_of
from ..core.humanize import counted, rows_text
from ..core.job_events import (
    CARRIED_OVER,
    CHOSEN_ROWS,
    CURVE,
    DOUBT,
    FIGURES,
    NOT_USED,
    RECIPE,
    ROWS_READ,
    STEP,
    STORED,
)
from ..core.task import Task
from ..core.training_report import LearningCurve, chosen_text
from ..metrics.result import Evaluation
from ..store.classifiers import add_classifier, find_by_uid
from ..store.evaluations import OUT_OF_FOLD, add_evaluation
from ..store.jobs.queries import training_figures
from ..store.jobs.state import add_event, save_progress
from ..store.reports import calibration_text
from ..store.schema import transaction
from ..store.splits import add_split
from ..trainers.base import Capabilities, Progress, Trained, TrainerOptions, TrainingSet, within
from .lease import Lease
from .minimum_scores import carry_over
from .out_of_fold import judge_held_out, why_not_used, without_chosen
from .teaching import taught_by
from .train_request import TrainRequest, read_rows
from .train_rows import TextSample, about_rows, as_training_set

Train = Callable[[TrainingSet, TrainerOptions, Progress], Trained]


def train_here(
    lease: Lease,
    task: Task,
    request: TrainRequest,
    able: Capabilities,
    train: Train,
    report_progress: Progress,
) -> None:
    """Stores a classifier and notes it in the job. Raises as `train_classifier` does.

    able, train: of the trainer
    """
    from ..trainers.encoders.made_here import note_use

    conn, job = lease.conn, lease.job
    trained_by = 0.65 if request.curve else 0.95
    report_progress("reading rows", 0.0)
    sample = None if able.needs_examples else TextSample(request.plan.seed)
    data = read_rows(conn, task, request, None if sample is None else sample.see)
    training = data.of("train", "validation")
    tested, known = len(data.of("test")), counted(len(data.labels), "label")
    read = f"read {rows_text(len(training))} for training and {tested:,} for the test, {known}"
    add_event(conn, job, ROWS_READ, read)
    training_set = as_training_set(training, data.labels, sample, data.chosen)
    training_set = replace(training_set, noted=_noting_epochs(lease))
    asked = 0.0
    if request.teacher is not None:
        asked = 0.3 * trained_by
        noted = _noting(lease, within(report_progress, 0.0, asked))
        taught = taught_by(conn, find_by_uid(conn, request.teacher), request.plan.seed, noted)
        training_set = replace(training_set, taught=taught)
    noted = _noting(lease, within(report_progress, asked, trained_by))
    trained = train(training_set, request.chosen, noted)
    said_of = trained.report
    told = [(RECIPE, said_of.get("why")), (RECIPE, calibration_text(said_of))]
    about = about_rows(training, data)
    told += [(CHOSEN_ROWS, chosen_text(about))]
    told += [(DOUBT, warning) for warning in said_of.get("warnings") or ()]
    for kind, said in told:
        if isinstance(said, str):
            add_event(conn, job, kind, said)
    if request.curve and able.trains:
        noted = _noting(lease, within(report_progress, trained_by, 0.95))
        recipe = trained.report.get("recipe")
        curve = _learning_curve(training_set, request.chosen.seed, recipe, noted)
        about["learning_curve"] = curve
        if curve["summary"]:
            add_event(conn, job, CURVE, curve["summary"])
    report_progress("storing", 0.95)
    judged = None
    if trained.held_out is not None:
        judged = judge_held_out(
            training,
            data.labels,
            without_chosen(trained.held_out, training_set.chosen),
            about["majority"],
            request.plan.seed,
        )
    if request.only_if_better and request.version_of is not None:
        rows = [] if judged is None else judged.rows
        if why := why_not_used(conn, request.version_of, data.labels, rows):
            about["not_used"] = why
            about["version_said"] = [*about.get("version_said", ()), why]
            add_event(conn, job, NOT_USED, why)
    note_use(trained.header, path_of(conn))
    # One transaction: a job that was killed has either stored its classifier and knows it, or not.
    with transaction(conn):
        classifier = add_classifier(
            conn,
            name=str(request.name),
            trainer=trained.trainer or request.trainer,
            labels=data.labels,
            task=task,
            split_id=add_split(conn, task, data.plan, data.members),
            seed=request.plan.seed,
            training_rows=len(training) if able.trains else 0,
            header=trained.header,
            parts=trained.parts,
            report={**trained.report, **about},
        )
        if judged is not None:
            names = {"classifier": classifier.name, "version": classifier.version}
            figures = cast("Evaluation", {**names, "kind": data.labels.kind, **judged.figures})
            add_evaluation(conn, classifier, OUT_OF_FOLD, figures, judged.rows)
        add_event(conn, job, STORED, f"stored as {classifier.title}")
        if carried := carry_over(conn, classifier):
            add_event(conn, job, CARRIED_OVER, carried)
        job.classifier_id = classifier.id
        job.step = "evaluating"
        save_progress(conn, job)
    trained.stored()


def _noting(lease: Lease, report_progress: Progress) -> Progress:
    """Reports a trainer's steps, and notes each as an event when it begins. What stands in
    parentheses behind a step, such as its rate, changes while it is the same one."""
    begun: set[str] = set()

    def noted(step: str, share: float) -> None:
        report_progress(step, share)
        name = step.partition(" (")[0]
        if name not in begun and share < 1:
            begun.add(name)
            add_event(lease.conn, lease.job, STEP, name)

    return noted


def _noting_epochs(lease: Lease) -> Callable[[dict[str, float]], None]:
    """Adds an event for each, which the job's page draws while it is trained."""
    conn, job = lease.conn, lease.job

    def noted(point: dict[str, float]) -> None:
        if point not in training_figures(conn, job.id):
            message = f"epoch {point['epoch']}: validation loss {point['valid_loss']:.3f}"
            add_event(conn, job, FIGURES, message, data=point)

    return noted


def _learning_curve(
    data: TrainingSet, seed: int, trained_as: str | None, progress: Progress
) -> LearningCurve:
    """Scores at growing numbers of rows, and what they say about labelling more; `same_recipe`:
    whether they are of the recipe that was trained."""
    from ..trainers.local.learning_curves import curve_sentence, learning_curve

    points = learning_curve(data, seed=seed, recipe=trained_as, progress=progress)
    same = bool(points) and points[0]["recipe"] == trained_as
    return {"points": points, "summary": curve_sentence(points), "same_recipe": same}
