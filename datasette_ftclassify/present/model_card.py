"""The model card of a classifier: what it is for, what it was made of, how good it is, and where
it fails.

`docs/publishing.md` says what each part is. The page, Markdown and JSON show the same card.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..core.errors import ArtifactError
from ..core.examples import SPLITS
from ..core.humanize import percent
from ..core.untrusted_json import object_or_empty, text_or_none, texts_of
from ..metrics.counts import confusion_cells, mistakes
from ..metrics.registry import main_metrics, metrics_in
from ..metrics.result import Evaluation
from ..store.artifacts import load_parts
from ..store.card_notes import CardNotes, card_notes
from ..store.classifiers import Classifier
from ..store.minimum_scores import MinimumScore, find_minimum
from ..store.splits import split_plan
from ..store.summaries import summarise

SHOWN = 5
"""Labels and confusions that are listed."""

SOURCE_KEYS = ("source", "source_url", "license", "license_url")
"""What Datasette's metadata say of where a table comes from."""

_HUGGING_FACE = {
    "accuracy": ("accuracy", {}),
    "macro_f1": ("f1", {"average": "macro"}),
    "micro_f1": ("f1", {"average": "micro"}),
    "f1": ("f1", {}),
    "precision": ("precision", {}),
    "recall": ("recall", {}),
}
"""Our figures by the names that Hugging Face has for them, with arguments."""


@dataclass(frozen=True)
class Figure:
    """low, high: the ends of a 95% interval, or None; text, interval: as they are written"""

    key: str
    name: str
    value: float | None
    text: str
    low: float | None
    high: float | None
    interval: str
    help: str


@dataclass(frozen=True)
class LabelFigures:
    name: str
    test_rows: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Confusion:
    """So many test rows of the label `truth` were answered with `chosen`; None: with nothing."""

    truth: str
    chosen: str | None
    count: int


@dataclass(frozen=True)
class ModelCard:
    """labels:        with their training rows; None: an earlier version did not note them
    rows:          of each split; empty: not known
    figures:       the main ones first; empty: it was not evaluated, and `problem` may say why
    minimum_score: from which score it answers, and what that promises; None: it always answers
    cost_usd:      of the training; None: nothing, or not published
    software:      versions that trained it, by package
    sha256:        of all that it was trained to; of two files with the same classifier it is equal
    """

    title: str
    name: str
    version: int
    uid: str
    created_at: str
    trainer: str
    kind: str
    recipe: str | None
    model: str | None
    notes: CardNotes
    table: str
    text: tuple[str, ...]
    label_columns: tuple[str, ...]
    where: str | None
    origin: Mapping[str, str]
    labels: tuple[tuple[str, int | None], ...]
    rows: Mapping[str, int]
    split: str
    figures: tuple[Figure, ...]
    problem: str | None
    weakest: tuple[LabelFigures, ...]
    confusions: tuple[Confusion, ...]
    minimum_score: str | None
    cost_usd: float | None
    software: Mapping[str, str]
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "notes": asdict(self.notes),
            "labels": [{"name": name, "training_rows": n} for name, n in self.labels],
            "huggingface": hugging_face(self),
        }


def model_card(
    conn: sqlite3.Connection, classifier: Classifier, origin: Mapping[str, object] | None = None
) -> ModelCard:
    """origin: what is known of where the table comes from, by SOURCE_KEYS

    Raises ArtifactError where the file is damaged.
    """
    summary, report, task = summarise(conn, classifier), classifier.report, classifier.task
    known = {key: str((origin or {}).get(key) or "") for key in SOURCE_KEYS}
    return ModelCard(
        title=classifier.title,
        name=classifier.name,
        version=classifier.version,
        uid=classifier.uid,
        created_at=classifier.created_at,
        trainer=classifier.trainer,
        kind=classifier.labels.kind,
        recipe=text_or_none(report.get("recipe")) or None,
        model=text_or_none(report.get("model")) or None,
        notes=card_notes(conn, classifier),
        table=task.source,
        text=task.text,
        label_columns=task.labels,
        where=task.where,
        origin={key: value for key, value in known.items() if value},
        labels=_labels(classifier),
        rows=_counts(report.get("rows")),
        split=_split(conn, classifier),
        figures=tuple(_figures(summary.metrics)),
        problem=None if summary.metrics is not None else summary.headline(),
        weakest=tuple(_weakest(summary.metrics)),
        confusions=tuple(_confusions(summary.metrics)),
        minimum_score=_promise(find_minimum(conn, classifier)),
        cost_usd=_amount(report.get("usd")),
        software={name[:100]: version[:100]
                  for name, version in texts_of(report.get("software")).items()},
        sha256=fingerprint(conn, classifier),
    )  # fmt: skip


def hugging_face(card: ModelCard) -> dict[str, Any]:
    """The card's metadata by the names that Hugging Face's cards have."""
    metrics = []
    for figure in card.figures:
        if figure.value is not None:
            kind, arguments = _HUGGING_FACE.get(figure.key, (figure.key, {}))
            one = {"type": kind, "value": round(figure.value, 6), "name": figure.name}
            metrics.append(one | ({"args": arguments} if arguments else {}))
    result = {
        "task": {"type": "text-classification", "name": f"{card.kind} text classification"},
        "dataset": {"type": "table", "name": card.table, "split": "test"},
        "metrics": metrics,
    }
    found: dict[str, Any] = {
        "model_name": card.title,
        "pipeline_tag": "text-classification",
        "library_name": "datasette-ftclassify",
        "tags": ["text-classification", "datasette", "sqlite", card.kind],
    }
    if license := card.origin.get("license"):
        # Of the data: what licence the model has, nobody has said.
        found |= {"license": "other", "license_name": f"data: {license}"}
        if link := card.origin.get("license_url"):
            found["license_link"] = link
    if card.model:
        found["base_model"] = card.model
    return found | {"model-index": [{"name": card.title, "results": [result] if metrics else []}]}


def fingerprint(conn: sqlite3.Connection, classifier: Classifier) -> str:
    """SHA-256, in hexadecimal, of the labels, the task and the stored arrays.

    Raises ArtifactError.
    """
    found = hashlib.sha256()
    parts = load_parts(conn, classifier)
    about = repr((classifier.labels.kind, classifier.labels.names, classifier.task.to_dict()))
    for name, data in [("", about.encode()), *sorted(parts.items())]:
        found.update(f"{name}:{len(data)}:".encode())
        found.update(data)
    return found.hexdigest()


def _amount(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def _counts(value: object) -> dict[str, int]:
    found = object_or_empty(value)
    return {split: found[split] for split in SPLITS if type(found.get(split)) is int}


def _labels(classifier: Classifier) -> tuple[tuple[str, int | None], ...]:
    names, counts = classifier.labels.names, classifier.report.get("label_counts")
    if not isinstance(counts, Sequence) or len(counts) != len(names):
        return tuple((name, None) for name in names)
    return tuple(
        (name, count if type(count) is int else None)
        for name, count in zip(names, counts, strict=True)
    )


def _split(conn: sqlite3.Connection, classifier: Classifier) -> str:
    if classifier.task.split_column is not None:
        return f"by the column {classifier.task.split_column}"
    try:
        plan = split_plan(conn, classifier.split_id)
    except ArtifactError:
        return "not known"
    validation, test = plan.get("validation", -1), plan.get("test", -1)
    if not (0 <= validation < 1 and 0 <= test < 1):
        return "not known"
    return (
        f"at random (seed {classifier.seed}), {percent(validation)} validation and "
        f"{percent(test)} test, each label by itself; equal texts and near copies in the same part"
    )


def _figures(metrics: Evaluation | None) -> list[Figure]:
    if metrics is None:
        return []
    every = {one.key: one for one in metrics_in(metrics)}
    main = {one.key: one for one in main_metrics(metrics)}
    found = []
    for one in (main | every).values():
        value = metrics.get(one.key)
        low, high = one.ends(metrics) or (None, None)
        number = float(value) if isinstance(value, (int, float)) else None
        found.append(
            Figure(one.key, one.name, number, one.text(metrics), low, high,
                   one.interval_text(metrics), one.help)
        )  # fmt: skip
    return found


def _weakest(metrics: Evaluation | None) -> list[LabelFigures]:
    if metrics is None:
        return []
    rows = [
        LabelFigures(name, f["support"], f["precision"], f["recall"], f["f1"])
        for name, f in metrics["labels"].items()
        if f["support"]
    ]
    return sorted(rows, key=lambda row: (row.f1, -row.test_rows, row.name))[:SHOWN]


def _confusions(metrics: Evaluation | None) -> list[Confusion]:
    found = None if metrics is None else metrics.get("confusion")
    if not found:
        return []
    names = found["labels"]
    return [
        Confusion(names[i], names[j] if j < len(names) else None, count)
        for i, j, count in mistakes(confusion_cells(found))[:SHOWN]
    ]


def _promise(minimum: MinimumScore | None) -> str | None:
    if minimum is None:
        return None
    if minimum.score is None:
        said = "Each label is given from a probability of its own"
        if minimum.least is not None and minimum.figure:
            said += f", for a {minimum.figure} of at least {percent(minimum.least)}"
    else:
        said = f"It answers from a score of {minimum.score:.3f}"
    if minimum.wrong is not None:
        at_most = "at most" if minimum.strength == "guaranteed" else "about"
        said += f", so that {at_most} {percent(minimum.wrong, 1)} of its answers are wrong"
    if minimum.coverage is not None:
        said += f"; {percent(minimum.coverage)} of the rows held out got an answer"
    return f"{said}. This holds for texts like those it was trained on."
