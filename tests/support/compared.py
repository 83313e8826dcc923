"""Classifiers of one task whose answers a test chooses, without a training of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from datasette_ftclassify.metrics.result import Evaluation
from datasette_ftclassify.store.artifacts import load_parts
from datasette_ftclassify.store.classifiers import Classifier, add_classifier
from datasette_ftclassify.store.evaluations import (
    OUT_OF_FOLD,
    TEST,
    RowResult,
    add_evaluation,
    evaluation_text,
    judged_rows,
)
from datasette_ftclassify.store.evaluations import metrics_of as stored_metrics

Answer = Callable[[int, RowResult], RowResult]
"""From the place of a row and what the first classifier answered to what another one does."""


def clone(
    conn: sqlite3.Connection,
    first: Classifier,
    name: str,
    answer: Answer,
    trainer: str = "local",
    *,
    out_of_fold: bool = False,
) -> Classifier:
    """The same classifier by another name, evaluated with other answers; also out of fold."""
    made = add_classifier(
        conn,
        name=name,
        trainer=trainer,
        labels=first.labels,
        task=first.task,
        split_id=first.split_id,
        seed=first.seed,
        training_rows=first.training_rows,
        header=first.header,
        parts=load_parts(conn, first),
        report=first.report,
    )
    for split in [TEST, OUT_OF_FOLD] if out_of_fold else [TEST]:
        metrics = stored_metrics(first, str(evaluation_text(conn, first, split)))
        judged = judged_rows(conn, first, split)
        rows = [answer(place, row) for place, row in enumerate(judged)]
        add_evaluation(conn, made, split, cast("Evaluation", metrics), rows)
    return made


def right(place: int, row: RowResult) -> RowResult:
    return replace(row, chosen=row.truth, score=0.9)


def none(place: int, row: RowResult) -> RowResult:
    return replace(row, chosen=None, score=None)
