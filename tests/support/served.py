"""A database with a classifier whose model is at a service, for the tests of those who ask it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openai_server import OpenAIServer

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.core.task import Task
from datasette_ftclassify.export import ExportFormat
from datasette_ftclassify.store.answers import CachedAnswer, input_key, keep_answers
from datasette_ftclassify.store.classifiers import Classifier, add_classifier
from datasette_ftclassify.store.splits import add_split
from datasette_ftclassify.trainers.access import Access, Endpoint
from datasette_ftclassify.trainers.base import TrainerOptions
from datasette_ftclassify.trainers.decisions.trainer import DecisionsTrainer
from datasette_ftclassify.trainers.service import FineTunedModel, TrainingSpec

TOPICS = LabelSet(("Parks", "Roads", "Water"), "multiclass")
SEVERAL = LabelSet(TOPICS.values, "multilabel")
WORDS = {
    "Parks": "swing bench meadow playground bin",
    "Roads": "pothole tarmac kerb junction lorry",
    "Water": "flood drain leak pipe sewer",
}


@dataclass
class TrainingLog:
    """Of a training that nobody interrupts."""

    state: Mapping[str, Any] = field(default_factory=dict)
    tag: str = "test"
    wanted: str | None = None

    def save(self, **changes: Any) -> None: ...

    def event(self, message: str, **more: Any) -> None: ...

    def report_progress(self, step: str, share: float) -> None: ...

    def wait(self, seconds: float) -> None: ...

    def check(self) -> None: ...


def endpoint_of(server: OpenAIServer) -> Endpoint:
    return Endpoint(api_key=server.api_key, base_url=server.base_url)


def access_to(server: OpenAIServer, **limits: float) -> Access:
    return Access(endpoints={"decisions": endpoint_of(server)}, **limits)


def order(labels: LabelSet, **options: Any) -> TrainingSpec:
    return TrainingSpec(
        model="", epochs=1, labels=labels, codec=ExportFormat().bind(labels),
        options=TrainerOptions(**options), write=lambda split, folder: None,
    )  # fmt: skip


def tuned(server: OpenAIServer, labels: LabelSet = TOPICS, **options: Any) -> FineTunedModel:
    return DecisionsTrainer().train(order(labels, **options), TrainingLog(), endpoint_of(server))


def teach(server: OpenAIServer) -> None:
    """What the three topics are."""
    pairs = [
        (f"report {i} about a {word}", label)
        for label, words in WORDS.items() for i, word in enumerate(words.split())
    ]  # fmt: skip
    server.teach([text for text, _ in pairs], [label for _, label in pairs], epochs=8)


def serve(
    path: Path, server: OpenAIServer, labels: LabelSet = TOPICS, name: str = "topics"
) -> Classifier:
    """Adds a decisions classifier to the file, which is made if need be."""
    made = tuned(server, labels)
    task = Task(source="reports", text=("text",), labels=("label",), kind=labels.kind)
    with closing(connect(path, must_exist=False)) as conn:
        with conn:
            conn.execute("create table if not exists reports (text, label)")
        return add_classifier(
            conn, name=name, trainer="decisions", labels=labels, task=task,
            split_id=add_split(conn, task, {}, []), seed=0, training_rows=0,
            header=made.header, parts={}, report=made.report,
        )  # fmt: skip


def keep(path: Path, classifier: Classifier, answers: Mapping[str, CachedAnswer]) -> None:
    """Puts answers into the file, as predict does."""
    with closing(sqlite3.connect(path)) as conn, conn:
        keep_answers(conn, classifier.id, {input_key(t): a for t, a in answers.items()})
