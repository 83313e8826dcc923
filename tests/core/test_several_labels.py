"""Several labels a row: what is right is told as right, and scores are judged as they are shown."""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing
from html import unescape
from pathlib import Path

import pytest
from sample_databases import rows
from visiting import ROOT, get, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.compare import compare
from datasette_ftclassify.jobs.evaluate import evaluate_classifier
from datasette_ftclassify.jobs.load_classifier import load_answerer
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.evaluations import paired_counts, row_results
from datasette_ftclassify.store.schema import ensure_schema

WORDS = {"water": "pipe leak drain", "noise": "loud party drill", "bins": "waste glass paper"}
CARD = "/several/-/ftclassify/classifiers"


def several(path: Path, written: str) -> sqlite3.Connection:
    """300 messages with one to three labels, written in any order: as JSON, or with semicolons."""
    dice = random.Random(5)
    conn = connect(path, must_exist=False)
    with conn:
        conn.execute("create table messages (id integer primary key, message text, topics text)")
        for number in range(300):
            labels = dice.sample(sorted(WORDS), dice.choice([1, 1, 2, 3]))
            words = [word for label in sorted(labels) for word in WORDS[label].split()]
            dice.shuffle(words)
            cell = json.dumps(labels) if written == "json" else "; ".join([*labels, labels[0]])
            said = f"{' '.join(words)} in the street, message {number}"
            conn.execute("insert into messages values (?, ?, ?)", [number, said, cell])
    return conn


@pytest.fixture(scope="module", params=["json", "delimited"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp(request.param) / "several.db"
    with closing(several(found, request.param)) as conn:
        task = define(conn, "messages", text=["message"], labels=["topics"])
        assert task.kind == "multilabel"
        for name in ("first", "second"):
            train_classifier(conn, task, TrainRequest(name=name, curve=False))
        predict_rows(conn, find_classifier(conn, "first"), "messages", PredictRequest())
    return found


def test_the_order_of_labels_in_a_cell_makes_no_row_wrong(path: Path):
    with closing(connect(path)) as conn:
        first, second = (find_classifier(conn, name) for name in ("first", "second"))
        metrics = evaluate_classifier(conn, first)
        wrong = round(metrics["n_test"] * (1 - metrics["subset_accuracy"]))
        assert metrics["subset_accuracy"] > 0.8
        assert row_results(conn, first, wrong=True)[1] == wrong
        counts = paired_counts(conn, first, second)
        found = compare(conn, first, second)
        assert counts == {name: found.differences[0].pairs[name] for name in counts}
        assert counts["both"] == metrics["n_test"] - wrong


def test_rows_of_an_earlier_version_are_put_in_order(path: Path, tmp_path: Path):
    copy = tmp_path / "old.db"
    copy.write_bytes(path.read_bytes())
    with closing(connect(copy)) as old:
        first = find_classifier(old, "first")
        _, wrong = row_results(old, first, wrong=True)
        stored = rows(old, "select evaluation_id, row_key, truth from _ftclassify_evaluation_rows")
        mixed = [(json.dumps(json.loads(t)[::-1]), e, k) for e, k, t in stored]
        with old:
            old.executemany(
                "update _ftclassify_evaluation_rows set truth = ?"
                " where evaluation_id = ? and row_key = ?",
                mixed,
            )
            old.execute("delete from _sqlite_migrations where name like '%_truth_in_order'")
        assert row_results(old, first, wrong=True)[1] > wrong
        ensure_schema(old)
        assert row_results(old, first, wrong=True)[1] == wrong
        again = rows(old, "select evaluation_id, row_key, truth from _ftclassify_evaluation_rows")
        assert again == stored


async def test_facets_and_links_are_of_labels_and_not_of_lists(path: Path):
    ds = serve(path)
    page = unescape((await ds.client.get(f"{CARD}/first@1")).text)
    assert "/several/messages?_facet_array=first_label" in page
    with closing(connect(path)) as conn:
        job = rows(conn, "select max(id) from _ftclassify_jobs where kind = 'predict'")[0][0]
    page = unescape((await get(ds, f"/several/-/ftclassify/jobs/{job}", ROOT)).text)
    assert "/several/messages?_facet_array=first_label&first_label__notnull=1" in page
    facets = "_facet_array=first_label&_size=0&_extra=facet_results"
    table = await ds.client.get(f"/several/messages.json?{facets}")
    found = table.json()["facet_results"]
    found = found.get("results", found)["first_label"]["results"]
    assert {result["value"] for result in found} == set(WORDS)


async def test_the_page_says_from_which_score_each_label_is_given(path: Path):
    ds = serve(path)
    data = (await ds.client.get(f"{CARD}/first.json")).json()
    with closing(connect(path)) as conn:
        thresholds = load_answerer(conn, find_classifier(conn, "first")).predictor.thresholds
    assert thresholds is not None
    given = {name: label["threshold"] for name, label in data["metrics"]["labels"].items()}
    assert given == pytest.approx(dict(zip(sorted(WORDS), thresholds.tolist(), strict=True)))
    page = (await ds.client.get(f"{CARD}/first")).text
    assert "Threshold" in page
    assert "For the labels that it gave" in page
    assert "exactly the labels it was given" in page
    assert "Minimum score <output" in page
    for value in given.values():
        assert f'<td class="ft-number">{value:.3f}</td>' in page
