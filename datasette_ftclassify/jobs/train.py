"""Training: from a task to a stored classifier that has been evaluated."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import EvaluationError, TrainingError
from ..examples import Example, Record, read_records
from ..labels import LabelSet
from ..splits import SplitPlan, SplitReport, Splitter, split_examples, text_hash
from ..store.classifiers import Classifier, add_classifier, check_name, find_by_id
from ..store.jobs import Job, add_job, save_progress
from ..store.schema import transaction
from ..store.splits import Member, add_split
from ..tasks import Task
from ..trainers.base import Learner, Progress, TrainerOptions, TrainingSet, no_progress
from ..trainers.registry import get_trainer
from .evaluate import evaluate_classifier
from .lease import Lease, leased


@dataclass(frozen=True)
class TrainResult:
    """A new classifier; its metrics on the test split, None where there are no test rows."""

    classifier: Classifier
    metrics: dict[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        classifier = self.classifier
        return {
            "classifier": classifier.name,
            "version": classifier.version,
            "trainer": classifier.trainer,
            "kind": classifier.labels.kind,
            "labels": list(classifier.labels.values),
            "rows": classifier.report["rows"],
            "left_out": classifier.report["left_out"],
            "shared_with_train": classifier.report["shared_with_train"],
            "report": classifier.report,
            "metrics": self.metrics,
        }


def train_classifier(
    conn: sqlite3.Connection,
    task: Task,
    *,
    name: str | None = None,
    trainer: str = "local",
    plan: SplitPlan | None = None,
    options: TrainerOptions | None = None,
    curve: bool = True,
    progress: Progress = no_progress,
) -> TrainResult:
    """Splits the task's rows, trains on them, stores the classifier, evaluates it.

    `name` defaults to the source's; an existing name gets a new version. The local trainer
    learns from train and validation rows alike, since it validates by cross-validation.
    `curve` adds a learning curve, by a quick local recipe, to the classifier's report.
    Raises TrainingError when the rows do not suffice, JobError when another process is at it.
    """
    job = submit_train(
        conn, task, name=name, trainer=trainer, plan=plan, options=options, curve=curve
    )
    with leased(conn, job.id) as lease:
        result = run_train(lease, progress)
        lease.result = result.to_dict()
    return result


def submit_train(
    conn: sqlite3.Connection,
    task: Task,
    *,
    name: str | None = None,
    trainer: str = "local",
    plan: SplitPlan | None = None,
    options: TrainerOptions | None = None,
    curve: bool = True,
) -> Job:
    """A queued job that does what `train_classifier` says."""
    get_trainer(trainer)
    plan = plan or SplitPlan()
    settings = {
        "task": task.to_dict(),
        "name": check_name(_name_for(task) if name is None else name),
        "trainer": trainer,
        "plan": asdict(plan),
        "options": asdict(options or TrainerOptions(seed=plan.seed)),
        "curve": curve,
    }
    return add_job(conn, "train", settings)


def _name_for(task: Task) -> str:
    """A name from the source's, which may hold what a classifier's name may not."""
    plain = "".join(c if c.isprintable() and c != "@" else "_" for c in task.source)
    return plain.strip()[:100] or "classifier"


def run_train(lease: Lease, progress: Progress) -> TrainResult:
    """Runs a claimed job. A classifier that an interrupted attempt stored is not trained again."""
    conn, job = lease.conn, lease.job

    def tell(step: str, share: float) -> None:
        lease.check()
        progress(step, share)

    if job.classifier_id is None:
        _train(conn, job, tell)
    classifier = find_by_id(conn, int(job.classifier_id or 0))
    tell("evaluating", 1.0)
    try:
        metrics = evaluate_classifier(conn, classifier)
    except EvaluationError:
        metrics = None
    return TrainResult(classifier, metrics)


def _train(conn: sqlite3.Connection, job: Job, tell: Progress) -> None:
    settings = job.settings
    task = Task.from_dict(settings["task"])
    plan = SplitPlan(**settings["plan"])
    tell("reading rows", 0.0)
    data = read_split(conn, task, plan)
    training = [e for e in data.examples if e.split != "test"]
    training_set = as_training_set(training, data.labels)
    options = TrainerOptions(**settings["options"])
    trainer = get_trainer(settings["trainer"])
    if not isinstance(trainer, Learner):
        raise TrainingError(f"The trainer {trainer.name} does not train in this process.")
    trained = trainer.train(training_set, options, tell)
    about = _about_rows(training, data)
    if settings["curve"]:
        about["learning_curve"] = _learning_curve(training_set, plan.seed, tell)
    tell("storing", 1.0)
    # One transaction: a job that was killed has either stored its classifier and knows it, or not.
    with transaction(conn):
        classifier = add_classifier(
            conn,
            name=settings["name"],
            trainer=settings["trainer"],
            labels=data.labels,
            task=task,
            split_id=add_split(conn, task, data.plan, data.members),
            seed=plan.seed,
            training_rows=len(training),
            header=trained.header,
            parts=trained.parts,
            report={**trained.report, **about},
        )
        job.classifier_id = classifier.id
        job.step = "evaluating"
        save_progress(conn, job)


@dataclass(frozen=True)
class SplitData:
    """The examples of a task with their splits, and the record of who is where."""

    examples: list[Example]
    members: list[Member]
    labels: LabelSet
    report: SplitReport
    plan: dict[str, Any]


def read_split(conn: sqlite3.Connection, task: Task, plan: SplitPlan) -> SplitData:
    """Reads all examples of the task and divides them. Raises TrainingError when there are none."""
    splitter = Splitter(plan, split_column=task.split_column is not None)
    records = _usable(conn, task)
    for record in records:
        splitter.add(record)
    report = SplitReport(left_out=splitter.left_out)
    examples = list(split_examples(records, splitter, report))
    if not examples:
        raise TrainingError(_no_examples(conn, task))
    report.shared = sum(map(splitter.shares_train, records))
    members = [(e.key, text_hash(e.text), e.split) for e in examples]
    described = {"seed": plan.seed, "validation": plan.validation, "test": plan.test}
    if task.split_column:
        described["split_column"] = task.split_column  # type: ignore[assignment]
    return SplitData(
        examples, members, task.label_set(v for e in examples for v in e.labels), report, described
    )


def _no_examples(conn: sqlite3.Connection, task: Task) -> str:
    if any(record.labels.problem == "invalid" for record in read_records(conn, task)):
        return (
            f"The cells of {', '.join(task.labels)} are neither JSON arrays nor 0 and 1: several "
            "labels in one cell need a delimiter (--delimiter), one label a cell another kind."
        )
    split = f" and train, validation or test in {task.split_column}" if task.split_column else ""
    return (
        f"{task.source} has no row with both a text and a label{split}: look at the findings of "
        "datasette ftclassify check."
    )


def _usable(conn: sqlite3.Connection, task: Task) -> list[Record]:
    return [record for record in read_records(conn, task) if record.usable]


def as_training_set(examples: list[Example], labels: LabelSet) -> TrainingSet:
    """Raises TrainingError when fewer than two labels are left to tell apart."""
    import numpy as np

    seen = Counter(label for example in examples for label in example.labels)
    if len(labels) < 2 and not labels.multilabel:
        raise TrainingError(
            f"All rows have the label {labels.names[0]}: a classifier needs at least two labels."
        )
    if len(seen) < (1 if labels.multilabel else 2):
        raise TrainingError("The training rows have fewer than two labels: look at the split.")
    if labels.multilabel:
        targets = np.zeros((len(examples), len(labels)), dtype=np.int8)
        for row, example in enumerate(examples):
            targets[row, labels.positions(example.labels)] = 1
    else:
        targets = np.array([labels.positions(e.labels)[0] for e in examples], dtype=np.int32)
    return TrainingSet([e.text for e in examples], targets, labels)


def _about_rows(training: list[Example], data: SplitData) -> dict[str, Any]:
    counts = Counter(label for example in training for label in example.labels)
    majority = max(range(len(data.labels)), key=lambda i: counts[data.labels.values[i]])
    return {
        "rows": dict(data.report.rows),
        "left_out": dict(data.report.left_out),
        "shared_with_train": data.report.shared,
        "majority": majority,
        "label_counts": [counts[value] for value in data.labels.values],
    }


def _learning_curve(data: TrainingSet, seed: int, progress: Progress) -> dict[str, Any]:
    """Scores at growing numbers of rows, and what they say about labelling more."""
    from ..trainers.local.curve import curve_sentence, learning_curve

    points = learning_curve(
        data.texts,
        data.targets,
        len(data.labels),
        multilabel=data.labels.multilabel,
        seed=seed,
        progress=progress,
    )
    return {"points": points, "summary": curve_sentence(points)}
