"""A kind of labels is declared once: it is trained, evaluated, predicted, asked and shown."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from visiting import ROOT, get, seen, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import LabelError, TaskError
from datasette_ftclassify.core.label_kinds import KINDS, OneLabel
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.core.task import Task, define
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.train import TrainResult, train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.metrics.answers import SingleAnswers
from datasette_ftclassify.metrics.registry import METRICS, metric
from datasette_ftclassify.sql.functions import register

OFF_BY = "how many places the answers are off, on average"


def median(logprobs: np.ndarray) -> np.ndarray:
    """The first label by which half of the probability is reached."""
    return (np.exp(logprobs).cumsum(axis=-1) >= 0.5 - 1e-9).argmax(axis=-1)


@pytest.fixture
def ordinal() -> Iterator[OneLabel]:
    """Ordered labels, such as one to five stars; and a figure for them."""
    kind = OneLabel("ordinal", "one label of an order", best=median)
    KINDS[kind.name] = kind

    @metric("off_by", "Mean error", {kind.name: 4}, OFF_BY, best=0.0, high=math.inf)
    def _off_by(answers: SingleAnswers) -> float:
        return float(np.abs(answers.truth - answers.chosen)[answers.chosen >= 0].mean())

    yield kind
    del KINDS["ordinal"], METRICS["off_by"]


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """150 reviews of one to five stars, of whose words some say little."""
    words = ("awful", "poor", "fair", "good", "superb")
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("create table reviews (id integer primary key, body text, stars integer)")
        for number in range(150):
            stars = number * 7 % 5
            near = words[min(max(stars + number % 3 - 1, 0), 4)]
            body = f"{near} {words[stars] if number % 2 else 'hat'} no {number} of {number % 11}"
            conn.execute("insert into reviews values (?, ?, ?)", [number, body, stars + 1])
    return path


def train(conn: sqlite3.Connection) -> TrainResult:
    task = define(conn, "reviews", text=["body"], labels=["stars"], kind="ordinal")
    return train_classifier(conn, task, TrainRequest(name="stars", curve=False))


async def test_a_kind_of_one_declaration_goes_from_training_to_columns(
    ordinal: OneLabel, reviews: Path
) -> None:
    with closing(connect(reviews)) as conn:
        result = train(conn)
        figures: Any = result.metrics
        assert result.classifier.labels.kind == figures["kind"] == "ordinal"
        assert 0 < figures["off_by"] < 2
        predict_rows(conn, result.classifier, "reviews")
        rows = conn.execute(
            "select body, stars_label, stars_score, stars_logprobs from reviews"
        ).fetchall()
        register(conn)
        ask = "select ft_classify(?, 'stars'), ft_classify_json(?, 'stars')"
        moved = 0
        for body, label, score, logprobs in rows:
            names, values = zip(*json.loads(logprobs).items(), strict=True)
            best = int(median(np.array(values)))
            assert (label, score) == (int(names[best]), pytest.approx(math.exp(values[best]), 1e-4))
            assert type(label) is int  # as in its cell
            moved += label != int(names[int(np.argmax(values))])
            answer, as_json = conn.execute(ask, [body, body]).fetchone()
            assert answer == json.loads(as_json)["label"] == label
        assert moved  # else the median would say nothing that the most probable label does not
    page = await get(serve(reviews, writers=ROOT), "/shop/-/ftclassify/classifiers/stars", ROOT)
    assert f"Mean error {figures['off_by']:.3f} {OFF_BY}" in seen(page.text)
    form = await get(
        serve(reviews, writers=ROOT),
        "/shop/-/ftclassify/train?table=reviews&text=body&label=stars",
        ROOT,
    )
    assert "ordinal: one label of an order" in seen(form.text)


def test_a_file_with_a_kind_that_is_not_known_is_damaged_in_words(
    ordinal: OneLabel, reviews: Path
) -> None:
    with closing(connect(reviews)) as conn:
        task = define(conn, "reviews", text=["body"], labels=["stars"], kind="ordinal")
    labels = LabelSet.of([1, 2, 3], "ordinal")
    assert Task.from_dict(task.to_dict()) == task
    assert LabelSet.from_dict(labels.to_dict()) == labels
    del KINDS["ordinal"]
    try:
        with pytest.raises(TaskError, match="damaged"):
            Task.from_dict(task.to_dict())
        with pytest.raises(LabelError, match="damaged"):
            LabelSet.from_dict(labels.to_dict())
    finally:
        KINDS["ordinal"] = ordinal


@pytest.mark.parametrize("kind", [None, 3, ["multiclass"], {}])
def test_a_kind_that_is_no_name_is_damaged(kind: object) -> None:
    task = Task("t", ("text",), ("label",), "binary").to_dict()
    with pytest.raises(TaskError, match="damaged"):
        Task.from_dict({**task, "kind": kind})
    with pytest.raises(LabelError, match="damaged"):
        LabelSet.from_dict({"values": ["a", "b"], "kind": kind})
