"""A minimum score is obeyed wherever a classifier answers in SQL, at once and by every function."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sample_databases import answer, rows, value

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import ArtifactError
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.deletion import delete_classifier
from datasette_ftclassify.store.minimum_scores import MinimumScore, find_minimum, set_minimum

DRAIN = "The drain on Mill Lane is blocked and the road floods"
UNSURE = "hello"


@pytest.fixture
def conn(trained: Path) -> Iterator[object]:
    with closing(connect(trained)) as conn:
        register(conn)
        yield conn


def keep(conn, score: float | None = None, name: str = "topics", **more) -> None:
    minimum = MinimumScore("fixed", score, **more)
    set_minimum(conn, find_classifier(conn, name), minimum)


def test_below_it_there_is_no_label_and_the_score_stays(conn):
    sure, unsure = (value(conn, "select ft_score(?)", [text]) for text in (DRAIN, UNSURE))
    assert unsure < sure
    keep(conn, (sure + unsure) / 2)
    for text, label in ((DRAIN, "Water and drains"), (UNSURE, None)):
        ((single, array, many),) = rows(
            conn,
            "select ft_classify(:t), ft_labels(:t), ft_classify_many(json_array(:t, null))",
            {"t": text},
        )
        assert single == label
        assert array == (None if label is None else json.dumps([label]))
        assert json.loads(many) == [label, None]
    assert value(conn, "select ft_score(?)", [UNSURE]) == unsure
    assert value(conn, "select ft_logprob(?)", [UNSURE]) == pytest.approx(math.log(unsure))


def test_an_answer_of_just_that_score_is_given(conn):
    score = value(conn, "select ft_score(?)", [UNSURE])
    keep(conn, score)
    assert value(conn, "select ft_classify(?)", [UNSURE]) is not None
    keep(conn, math.nextafter(score, 1))
    assert value(conn, "select ft_classify(?)", [UNSURE]) is None


def test_json_says_why_and_what_it_would_be(conn):
    likeliest = value(conn, "select ft_classify(?)", [UNSURE])
    keep(conn, 0.999)
    for call in ("ft_classify_json", "ft_explain"):
        said = answer(conn, f"select {call}(?)", [UNSURE])
        assert said["label"] is None
        assert said["minimum_score"] == 0.999
        assert "0.999 is the minimum score" in said["reason"]
        assert said["likeliest"] == likeliest
    assert said["words"] is not None
    assert "minimum_score" not in answer(conn, "select ft_classify_json(?, 'urgent')", [DRAIN])


def test_a_change_is_seen_at_once_by_another_connection(conn, trained: Path):
    assert value(conn, "select ft_classify(?)", [DRAIN]) is not None
    with closing(connect(trained)) as other:
        keep(other, 1.0)
        assert value(conn, "select ft_classify(?)", [DRAIN]) is None
        set_minimum(other, find_classifier(other, "topics"), None)
        assert value(conn, "select ft_classify(?)", [DRAIN]) is not None


def test_thresholds_of_labels_are_obeyed_and_one_can_be_never_given(conn):
    labels = find_classifier(conn, "subjects").labels
    text = "The drain in our street is blocked, the street floods"
    assert "street" in json.loads(value(conn, "select ft_classify(?, 'subjects')", [text]))
    keep(conn, None, "subjects", thresholds=(0.0,) * len(labels))
    every = json.loads(value(conn, "select ft_classify(?, 'subjects')", [text]))
    assert every == list(labels.values)
    never = tuple(None if name == "street" else 0.0 for name in labels.names)
    keep(conn, None, "subjects", thresholds=never)
    assert "street" not in json.loads(value(conn, "select ft_labels(?, 'subjects')", [text]))


@pytest.mark.parametrize(
    "damage",
    [
        "score = 1.5", "score = -1", "score = 'x'", "score = null", "score = x'00'",
        "thresholds = '[0.5]'", "strength = x'00'", "set_at = zeroblob(10)", "wrong = 9e99",
        "score = zeroblob(1000000)", "coverage = '0.5x'",
    ],
)  # fmt: skip
def test_a_damaged_one_answers_nothing_and_says_so(conn, damage: str):
    keep(conn, 0.0)
    with conn:
        conn.execute(f"update _ftclassify_minimum_scores set {damage}")
    assert value(conn, "select ft_classify(?)", [DRAIN]) is None
    said = answer(conn, "select ft_classify_json(?)", [DRAIN])
    assert "minimum score of topics@1 is damaged" in said["error"]
    with pytest.raises(ArtifactError, match="damaged"):
        find_minimum(conn, find_classifier(conn, "topics"))
    set_minimum(conn, find_classifier(conn, "topics"), None)
    assert value(conn, "select ft_classify(?)", [DRAIN]) is not None


@pytest.mark.parametrize(
    "damage",
    [
        {"labels": None}, {"labels": []}, {"labels": [["a"]]}, {"first": "b"}, {"first": [1]},
        {"first": ["x"] * 9}, {"first": ["x" * 501]}, {"levels": []}, {"levels": [7]},
        {"levels": 0.5}, {"origin": 3},
    ],
)  # fmt: skip
def test_a_damaged_tree_of_labels_is_one_too(conn, damage: dict[str, object]):
    others = [["a"]] * (len(find_classifier(conn, "topics").labels) - 1)
    whole = {"origin": "'/'", "labels": [["a"], *others], "levels": [0.5]}
    if "first" in damage:
        damage = {"labels": [damage["first"], *others]}
    keep(conn, 0.0)
    for tree, sound in ((whole, True), ({**whole, **damage}, False)):
        with conn:
            conn.execute("update _ftclassify_minimum_scores set tree = ?", [json.dumps(tree)])
        assert (value(conn, "select ft_classify(?)", [DRAIN]) is not None) is sound


def test_thresholds_of_another_number_of_labels_are_damaged(conn):
    for thresholds in ((), (0.5,), None):
        keep(conn, None, "subjects", thresholds=thresholds)
        assert value(conn, "select ft_classify(?, 'subjects')", [DRAIN]) is None


def test_a_file_of_an_older_version_has_none(conn):
    with conn:
        conn.execute("drop table _ftclassify_minimum_scores")
    assert find_minimum(conn, find_classifier(conn, "topics")) is None
    assert value(conn, "select ft_classify(?)", [DRAIN]) == "Water and drains"


def test_it_goes_with_its_classifier(conn):
    keep(conn, 0.5)
    delete_classifier(conn, "topics")
    assert value(conn, "select count(*) from _ftclassify_minimum_scores") == 0


def test_an_attached_database_has_its_own(conn, trained: Path, tmp_path: Path):
    keep(conn, 1.0)
    with closing(connect(tmp_path / "other.db", must_exist=False)) as other:
        register(other)
        other.execute("attach ? as a", [str(trained)])
        assert value(other, "select ft_classify(?, 'topics')", [DRAIN]) is None


def test_ft_score_of_a_label_is_its_probability(conn):
    full = answer(conn, "select ft_classify_json(?)", [DRAIN])
    for label, logprob in full["logprobs"].items():
        score = value(conn, "select ft_score(?, 'topics', ?)", [DRAIN, label])
        assert score == pytest.approx(math.exp(logprob), abs=1e-5)
        assert value(conn, "select ft_score(?, null, ?)", [DRAIN, label]) == score
    for gone in ("no such label", None, 7, 1.5, b"x", ""):
        assert value(conn, "select ft_score(?, 'topics', ?)", [DRAIN, gone]) is None
    assert value(conn, "select ft_score(null, 'topics', 'Water and drains')") is None
    assert value(conn, "select ft_score(?, 'no such', 'Water and drains')", [DRAIN]) is None


def test_a_label_that_is_a_number_is_named_as_a_number_or_a_text(conn):
    one = value(conn, "select ft_score(?, 'urgent', 1)", [DRAIN])
    assert one == value(conn, "select ft_score(?, 'urgent', '1')", [DRAIN])
    zero = value(conn, "select ft_score(?, 'urgent', 0)", [DRAIN])
    assert one + zero == pytest.approx(1)


def test_of_several_labels_each_has_a_probability_of_its_own(conn):
    text = "The drain in our street is blocked, the street floods"
    labels = find_classifier(conn, "subjects").labels.names
    scores = [value(conn, "select ft_score(?, 'subjects', ?)", [text, label]) for label in labels]
    assert all(0 <= score <= 1 for score in scores)
    assert scores[labels.index("street")] == max(scores)
