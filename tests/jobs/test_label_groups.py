"""Where a label is not sure, its group may be: kept with the classifier, and given everywhere."""

from __future__ import annotations

import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from commands import run, run_json
from sample_databases import rows, value

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import ArtifactError, EvaluationError, SourceError
from datasette_ftclassify.core.label_tree import tree_of_pairs
from datasette_ftclassify.jobs.fingerprints import Fingerprints
from datasette_ftclassify.jobs.label_trees import (
    find_tree,
    group_minimums,
    groups_on_test_rows,
    rows_for,
)
from datasette_ftclassify.jobs.minimum_scores import MinimumChoice, carry_over, choose_minimum
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.minimum_scores import find_minimum, set_minimum
from datasette_ftclassify.store.out_of_fold import OutOfFold

GROUPS = "case when topic in ('Noise', 'Noise ') then 'people' when topic is null then null"
UNSURE = "The noise of the street light by the parking bay floods the pavement"


@pytest.fixture
def conn(trained: Path):
    with closing(connect(trained)) as conn:
        with conn:
            conn.execute("alter table messages add column team text")
            conn.execute(f"update messages set team = {GROUPS} else 'streets' end")
        yield conn


def fixed(conn: sqlite3.Connection, classifier, score: float = 1.0):
    choice = MinimumChoice("fixed", score=score, groups="column:team")
    return choose_minimum(conn, classifier, choice, None)


def test_the_group_of_a_column_is_kept_with_the_classifier(conn, topics):
    kept = fixed(conn, topics, 0.999999)
    tree = find_minimum(conn, topics).tree
    assert tree == kept.tree
    assert tree.origin == "column:team"
    assert tree.tree.of_label(topics.labels.names.index("Noise"), 0) == "people"
    assert tree.tree.of_label(topics.labels.names.index("Parking"), 0) == "streets"


def test_every_face_gives_the_group_and_not_the_label(conn, trained, topics):
    fixed(conn, topics, 1.0)
    with conn:
        conn.execute("update _ftclassify_minimum_scores set tree = json_set(tree,'$.levels[0]', 0)")
    conn.execute("create table notes (id integer primary key, message)")
    with conn:
        conn.execute("insert into notes (message) values (?), (null)", [UNSURE])
    register(conn)
    assert value(conn, "select ft_classify(message, 'topics') from notes where id = 1") is None
    said = json.loads(value(conn, "select ft_classify_json(?, 'topics')", [UNSURE]))
    assert said["label"] is None
    kept = find_minimum(conn, topics).tree.tree
    likeliest = topics.labels.names.index(said["likeliest"])
    assert said["group"] in ("people", "streets")
    if kept.of_label(likeliest, 0) == said["group"]:
        assert said["group_score"] >= said["score"] - 1e-6
    assert 0 < said["group_score"] <= 1
    predict_rows(conn, topics, "notes")
    assert rows(conn, "select topics_label, topics_group from notes") == [
        (None, said["group"]), (None, None),
    ]  # fmt: skip
    told = CliRunner().invoke(ftclassify, ["ask", str(trained), "topics", UNSURE, "--json"])
    assert json.loads(told.stdout)["group"] == said["group"]


def test_a_label_that_is_sure_has_no_group(conn, topics):
    fixed(conn, topics, 0.0)
    predict_rows(conn, topics, "messages", PredictRequest(where="id < 9"))
    assert value(conn, "select count(topics_group) from messages") == 0
    assert value(conn, "select count(topics_label) from messages") == 8


def test_what_groups_gave_on_the_test_rows_is_said(conn, trained, topics):
    """Of the rows that get no label, by the answers of the evaluation."""
    fixed(conn, topics, 0.9)
    with conn:
        conn.execute(
            "update _ftclassify_minimum_scores set tree = json_set(tree,'$.levels[0]', .6)"
        )
    kept = find_minimum(conn, topics)
    expected, right = [], 0
    for truth, listed, score in conn.execute(
        "select truth, probabilities, score from _ftclassify_evaluation_rows r"
        " join _ftclassify_evaluations e on e.id = r.evaluation_id where classifier_id = ?"
        " and split = 'test' order by row_key", [topics.id],
    ):  # fmt: skip
        if score < 0.9:
            cells = json.loads(listed)
            share = dict(zip(cells[::2], cells[1::2], strict=True))
            group = kept.group([math.log(share.get(i, 1e-9)) for i in range(len(topics.labels))])
            expected.append(group)
            own = kept.tree.tree.of_label(json.loads(truth)[0], 0)
            right += group is not None and group.name == own
    found = groups_on_test_rows(conn, topics, kept)
    given = [group for group in expected if group is not None]
    assert (found.rows, found.answered) == (len(expected), len(given))
    assert found.wrong == len(given) - right
    told = run_json("classifiers", "minimum", trained, "topics")
    assert told["test_groups"]["answered"] == len(given)
    said = run("classifiers", "minimum", trained, "topics").output
    assert f"{len(expected)} of the test rows without a label" in said


def test_a_change_of_the_score_keeps_the_groups(conn, trained, topics):
    fixed(conn, topics, 0.9)
    run("classifiers", "minimum", trained, "topics", "--score", "0.8")
    assert find_minimum(conn, topics).tree.origin == "column:team"
    run("classifiers", "minimum", trained, "topics", "--score", "0.8", "--groups", "")
    assert find_minimum(conn, topics).tree is None


def test_without_groups_there_is_no_column(conn, topics):
    choose_minimum(conn, topics, MinimumChoice("fixed", score=0.9), None)
    predict_rows(conn, topics, "messages", PredictRequest(where="id < 9"))
    assert "topics_group" not in {row[1] for row in conn.execute("pragma table_info(messages)")}


def test_other_groups_make_answers_stale(conn, topics):
    choose_minimum(conn, topics, MinimumChoice("fixed", score=0.9), None)
    before = Fingerprints.of_classifier(conn, topics, 0.9, None)
    fixed(conn, topics, 0.9)
    assert Fingerprints.of_classifier(conn, topics, 0.9, None) != before


def test_a_new_version_gets_its_groups_in_the_same_way(conn, topics):
    fixed(conn, topics, 0.9)
    columns = [row[1] for row in conn.execute("pragma table_info(_ftclassify_classifiers)")]
    same = ", ".join(c for c in columns if c not in ("id", "uid", "version"))
    with conn:
        conn.execute(
            f"insert into _ftclassify_classifiers (uid, version, {same})"
            f" select 'another', 2, {same} from _ftclassify_classifiers where name = 'topics'"
        )
    newer = find_classifier(conn, "topics@2")
    assert "group" in carry_over(conn, newer)
    assert find_minimum(conn, newer).tree.origin == "column:team"


@pytest.mark.parametrize(
    ("origin", "error", "said"),
    [
        ("/", EvaluationError, "same beginning"),
        ("column:ward", EvaluationError, "no two labels"),
        ("column:nope", SourceError, "no column nope"),
    ],
)
def test_where_there_are_no_groups_it_is_said(conn, topics, origin, error, said):
    with pytest.raises(error, match=said):
        find_tree(conn, topics, origin)


def test_several_labels_a_row_have_no_groups(conn):
    with pytest.raises(EvaluationError, match="one label a row"):
        find_tree(conn, find_classifier(conn, "subjects"), "/")


def test_a_damaged_tree_is_told(conn, topics):
    fixed(conn, topics)
    for tree in ("{", "{}", '{"origin": "/", "labels": [[]], "levels": []}', "[]"):
        with conn:
            conn.execute("update _ftclassify_minimum_scores set tree = ?", [tree])
        with pytest.raises(ArtifactError):
            find_minimum(conn, topics)


def test_a_file_of_an_earlier_version_has_no_tree(conn, topics):
    set_minimum(conn, topics, None)
    choose_minimum(conn, topics, MinimumChoice("fixed", score=0.5), None)
    with conn:
        conn.execute("alter table _ftclassify_minimum_scores drop column tree")
    found = find_minimum(conn, topics)
    assert (found.score, found.tree) == (0.5, None)


def test_the_minimum_of_groups_promises_what_that_of_labels_does():
    """Of rows whose label is held back: half of them are sure of their group."""
    random = np.random.default_rng(0)
    n = 4_000
    truth, chosen, listed = [], [], []
    for _ in range(n):
        label = int(random.integers(4))
        other = label ^ 1 if random.random() < 0.9 else (label + 2) % 4
        first, second = (label, other) if random.random() < 0.5 else (other, label)
        truth.append((label,))
        chosen.append((first,))
        listed.append(((first, 0.5), (second, 0.42)))
    kept = OutOfFold(
        [(i,) for i in range(n)], truth, chosen, np.full(n, 0.5), np.full(n, 0.4), listed,
        np.arange(n), np.ones(n, dtype=bool), n, 4,
    )  # fmt: skip
    tree = tree_of_pairs(["a", "a", "b", "b"])
    (least,) = group_minimums(tree, kept, range(n), 0.9, 0.05, "likely")
    assert least is not None
    answers = [tree.answer([math.log(dict(row).get(i, 1e-9)) for i in range(4)], (least,))
               for row in listed]  # fmt: skip
    given = [(a.name == "ab"[t[0] // 2]) for a, t in zip(answers, truth, strict=True) if a]
    assert len(given) > 0.8 * n
    assert 1 - np.mean(given) <= 0.06
    assert group_minimums(tree, kept, range(n), 0.4, 0.05, "likely") == (None,)


def test_groups_by_confusion_are_judged_by_other_rows():
    n = 10
    kept = OutOfFold(
        [(i,) for i in range(n)], [(0,)] * n, [(1,)] * n, np.full(n, 0.5), np.full(n, 0.4),
        [((1, 0.5), (0, 0.4))] * n, np.arange(n) // 2, np.ones(n, dtype=bool), n, 2,
    )  # fmt: skip
    found, judged = rows_for(kept, "confusion")
    assert sorted(found + judged) == list(range(n))
    assert {kept.groups[i] for i in found}.isdisjoint(kept.groups[i] for i in judged)
    assert rows_for(kept, "/") == (list(range(n)), list(range(n)))
