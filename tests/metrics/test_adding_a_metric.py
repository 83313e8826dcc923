"""A figure is declared once: it is computed, stored, checked, shown and documented from there."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from commands import run
from folders import ROOT as FOLDER
from sklearn.metrics import matthews_corrcoef
from visiting import ROOT, get, seen, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import ArtifactError
from datasette_ftclassify.core.label_kinds import MULTILABEL
from datasette_ftclassify.jobs.evaluate import evaluate_classifier
from datasette_ftclassify.metrics import evaluate, headline
from datasette_ftclassify.metrics.answers import SingleAnswers
from datasette_ftclassify.metrics.registry import METRICS, groups_of, metric, metrics_of
from datasette_ftclassify.metrics.result import Evaluation
from datasette_ftclassify.metrics.stored import read_metrics
from datasette_ftclassify.store.classifiers import find_classifier

HELP = "how far the answers go along with the truth, whatever the sizes of the labels"


@pytest.fixture
def matthews() -> Iterator[None]:
    """One declaration more."""

    @metric("matthews", "Matthews correlation", {"single": 4}, HELP, low=-1.0)
    def _matthews(answers: SingleAnswers) -> float:
        return float(matthews_corrcoef(answers.truth, answers.chosen))

    yield
    del METRICS["matthews"]


def some(labels: int = 3) -> dict[str, Any]:
    """An evaluation of 40 rows, half of which are right, with that many labels."""
    truth = np.arange(40) % labels
    chosen = np.where(np.arange(40) % 4 < 2, truth, (truth + 1) % labels)
    logprobs = np.log(np.full((40, labels), 0.1) + np.eye(labels)[chosen] * (1 - 0.1 * labels))
    return evaluate([f"label {i}" for i in range(labels)], truth, logprobs)


async def test_a_figure_of_one_declaration_is_everywhere(matthews: None, trained: Path) -> None:
    with closing(connect(trained)) as conn:
        found = evaluate_classifier(conn, find_classifier(conn, "topics"))
    value = found["matthews"]
    assert 0.5 < value <= 1
    assert f"; matthews correlation {value:.3f}; " in headline(found)
    line = rf"Matthews correlation +{value:.3f}\b"
    for words in (["evaluate", trained, "topics"], ["classifiers", "show", trained, "topics"]):
        told = run(*words).stdout
        assert re.search(line, told)
        assert HELP in told
        as_json = run(*map(str, words), "--json").stdout
        data = json.loads(as_json)
        assert data.get("metrics", data)["matthews"] == value
    address = "/town/-/ftclassify/classifiers/topics"
    page = seen((await get(serve(trained, writers=ROOT), address, ROOT)).text)
    assert f"Matthews correlation {value:.3f} {HELP}" in page  # a tile
    assert page.count(HELP) == 2  # and the list of all figures
    data = (await get(serve(trained), f"{address}.json", ROOT)).json()
    assert data["metrics"]["matthews"] == value
    made = runpy.run_path(str(FOLDER / "docs" / "make_tables.py"))["render"]
    text = (FOLDER / "docs" / "metrics.md").read_text(encoding="utf-8")
    row = f"| `matthews` | Matthews correlation | one label a row | 1 | {HELP} |"
    assert row in made("metrics.md", text)


def test_an_evaluation_of_before_is_read_without_the_new_figure(request) -> None:
    before = json.dumps(some())
    request.getfixturevalue("matthews")
    assert "matthews" not in read_metrics(before)
    assert "matthews" not in headline(read_metrics(before))


@pytest.mark.parametrize("value", [1.5, -1.01, float("nan"), 10**400, "0.5", True, [1], None])
def test_a_strangers_figure_is_possible_or_damaged(matthews: None, value: object) -> None:
    for key in ("matthews", "accuracy_low", "macro_f1"):
        with pytest.raises(ArtifactError, match=r"damaged|JSON|no number|too"):
            read_metrics(json.dumps({**some(), key: value}))
    assert read_metrics(json.dumps({**some(), "matthews": -0.5}))["matthews"] == -0.5


def test_no_field_of_another_type_is_read() -> None:
    figures = {key for each in METRICS.values() for key in each.keys}
    for key in get_type_hints(Evaluation).keys() - figures:
        with pytest.raises(ArtifactError, match=f"{key} makes no sense"):
            read_metrics(json.dumps({**some(), key: [{}]}))


@pytest.mark.parametrize("labels", [2, 3])
def test_every_figure_of_a_kind_is_in_an_evaluation_and_no_other(labels: int) -> None:
    result = some(labels)
    flags = np.eye(3, dtype=bool)[np.arange(30) % 3]
    several = evaluate(["a", "b", "c"], flags, np.log(np.full((30, 3), 0.4)), kind=MULTILABEL)
    of_one = {"single", "two"} if labels == 2 else {"single"}
    for found, groups in ((result, of_one), (several, {"several"})):
        assert groups_of(found) == groups
        figures = {key for each in metrics_of(groups) for key in each.keys}
        every = {key for each in METRICS.values() for key in each.keys}
        assert figures <= found.keys()
        assert not (every - figures) & found.keys()
        assert read_metrics(json.dumps(found)) == found


def test_a_key_belongs_to_one_figure() -> None:
    with pytest.raises(ValueError, match="Two figures"):
        metric("accuracy_low", "Another", {"single": None}, "it is taken")(len)  # type: ignore[arg-type]
    assert "accuracy_low" not in METRICS


def test_a_figure_of_a_group_that_there_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no group"):
        metric("new", "New", {"singel": None}, "it is misspelt")(len)  # type: ignore[arg-type]
    assert "new" not in METRICS
