"""From log-probabilities to an answer, and to the JSON that stands in a column."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import HOSTILE_NAMES

from datasette_ftclassify.core.label_kinds import KINDS, MULTILABEL, LabelKind, joint_logprobs
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.core.prediction import LISTED_ALL, LISTED_MOST, Answerer, LogprobsJson

PROBABILITIES = st.lists(st.floats(1e-9, 1 - 1e-9), min_size=1, max_size=6)


class Told:
    """A predictor that says what it was told, whatever the text."""

    def __init__(self, logprobs: Any, multilabel: bool = False, thresholds: Any = None) -> None:
        self.row = np.asarray(logprobs, dtype=float)
        self.n_labels = len(self.row)
        self.multilabel = multilabel
        self.thresholds = None if thresholds is None else np.asarray(thresholds)

    def log_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        return np.tile(self.row, (len(texts), 1))

    def log_probabilities_one(self, text: str) -> np.ndarray:
        return self.row

    def explain(self, text: str, label: int, top: int = 8) -> list[tuple[str, float]]:
        return []


@given(PROBABILITIES, st.data())
def test_joint_probability(probabilities: list[float], data: st.DataObject) -> None:
    on = data.draw(
        st.lists(st.booleans(), min_size=len(probabilities), max_size=len(probabilities))
    )
    product = math.prod(p if there else 1 - p for p, there in zip(probabilities, on, strict=True))
    found = joint_logprobs(np.log([probabilities]), np.array([on]))
    assert found.shape == (1,)
    assert math.isclose(found[0], math.log(product), rel_tol=1e-6, abs_tol=1e-9)


@given(st.lists(st.floats(1e-6, 1 - 1e-6), min_size=1, max_size=5))
def test_all_answers_together_are_certain(probabilities: list[float]) -> None:
    every = np.array(list(itertools.product([False, True], repeat=len(probabilities))))
    rows = np.tile(np.log(probabilities), (len(every), 1))
    assert math.isclose(np.exp(joint_logprobs(rows, every)).sum(), 1, rel_tol=1e-6)


@pytest.mark.filterwarnings("error")
def test_extremes() -> None:
    rows = np.array([[0.0, -math.inf], [0.0, -math.inf], [-1e-300, -1e300]])
    on = np.array([[True, False], [False, False], [True, False]])
    found = joint_logprobs(rows, on)
    assert found[0] == 0.0
    assert -30 < found[1] < -20  # certain, and yet not chosen: hardly possible, but a number
    assert found[2] == pytest.approx(0, abs=1e-12)
    tiny = joint_logprobs(np.array([[-50.0]]), np.array([[False]]))
    assert tiny[0] == pytest.approx(-math.exp(-50), rel=1e-9)


def test_thresholds() -> None:
    rows = np.log([[0.5, 0.49, 0.2], [0.9, 0.1, 0.3]])
    assert MULTILABEL.choose(rows).tolist() == [[1, 0, 0], [1, 0, 0]]
    own = MULTILABEL.choose(rows, np.array([0.6, 0.4, 0.2999]))
    assert own.tolist() == [[0, 1, 0], [1, 0, 1]]


@pytest.mark.parametrize("kind", KINDS.values())
@given(data=st.data())
def test_answers_come_back_from_arrays_as_they_were(kind: LabelKind, data: st.DataObject) -> None:
    one = st.integers(0, 4).map(lambda position: (position,))
    several = st.sets(st.integers(0, 4)).map(lambda positions: tuple(sorted(positions)))
    answer = st.none() | (one if kind.exclusive else several)
    rows = data.draw(st.lists(answer, min_size=1, max_size=6))
    assert kind.as_positions(kind.as_array(rows, 5)) == rows


@pytest.mark.parametrize("kind", KINDS.values())
@given(data=st.data())
def test_one_row_is_answered_as_many_are(kind: LabelKind, data: st.DataObject) -> None:
    row = st.lists(st.floats(-9, 0), min_size=3, max_size=3)
    logprobs = np.array(data.draw(st.lists(row, min_size=1, max_size=4)))
    together = kind.as_positions(kind.choose(logprobs))
    assert [kind.choose_one(each) for each in logprobs] == together


def test_one_label() -> None:
    labels = LabelSet.of([1, 2, 3], "multiclass")
    answerer = Answerer(Told(np.log([0.2, 0.7, 0.1])), labels)
    answer = answerer.answer("x")
    assert answer.labels == (2,)
    assert answer.score == pytest.approx(0.7)
    assert answer.logprob == pytest.approx(math.log(0.7))
    assert answerer.answers(["x", "y"]) == [answer, answer]
    assert answerer.answers([]) == []
    assert labels.cell(answer.labels) == 2


def test_several_labels() -> None:
    labels = LabelSet(("b", "a", "🦉"), "multilabel")
    answerer = Answerer(Told(np.log([0.8, 0.3, 0.6]), True, [0.5, 0.5, 0.5]), labels)
    answer = answerer.answer("x")
    assert answer.labels == ("b", "🦉")
    assert answer.score == pytest.approx(0.8 * 0.7 * 0.6)
    assert answerer.answers(["x"]) == [answer]
    assert labels.cell(answer.labels) == '["b", "🦉"]'
    assert labels.cell(()) == "[]"


NUMBERS = st.floats(max_value=0, allow_nan=False, allow_infinity=False)


def no_constants(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


@given(
    st.lists(
        st.tuples(st.text(), NUMBERS),
        min_size=1,
        max_size=LISTED_ALL,
        unique_by=lambda pair: pair[0],
    )
)
def test_logprobs_are_json(pairs: list[tuple[str, float]]) -> None:
    given = dict(pairs)
    labels = LabelSet.of(list(given), "multiclass")
    written = LogprobsJson(labels)([given[name] for name in labels.names])
    back = json.loads(written, parse_constant=no_constants)
    assert list(back) == list(labels.names)
    for name, logprob in back.items():
        assert logprob == pytest.approx(given[name], rel=1e-5, abs=1e-300)


@pytest.mark.parametrize("name", ["many", *HOSTILE_NAMES, "%d %s"])
def test_of_many_labels_the_most_probable_are_written(name: str) -> None:
    names = tuple(f"{name} {n}" for n in range(LISTED_ALL + 1))
    logprobs = [-1.0 - (7 * n % len(names)) for n in range(len(names))]
    logprobs[3] = -math.inf
    written = json.loads(LogprobsJson(LabelSet(names, "multiclass"))(logprobs))
    most = sorted(zip(logprobs, names, strict=True), reverse=True)[:LISTED_MOST]
    assert list(written.items()) == [(name, logprob) for logprob, name in most]


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, "%d %(x)s %%", "\\", "\n", "a\x00b", "\u2028"])
def test_logprobs_of_any_name(name: str) -> None:
    labels = LabelSet((name, "other"), "multiclass")
    assert json.loads(LogprobsJson(labels)([-0.5, -1e-12])) == {name: -0.5, "other": -1e-12}
