"""Wrong labels and leaks: planted ones are found, and clean data stays clean."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from checking import SUBJECTS, Row, check, clean_rows, codes, found, sentence
from click.testing import CliRunner
from sample_databases import messages

from datasette_ftclassify.checks import scan, suspicion
from datasette_ftclassify.cli.check import check as check_command
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.check import run_check, submit_check
from datasette_ftclassify.jobs.lease import leased
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.deletion import delete_classifier


def test_rows_with_a_wrong_label() -> None:
    rows = clean_rows(100)
    for number in (30, 91, 200):
        text, label = rows[number]
        rows[number] = (text, "port" if label != "port" else "garden")
    finding = found(check(rows, deep=True), "likely-mislabelled")
    assert {row["key"][0] for row in finding.details["rows"]} == {31, 92, 201}
    first = finding.details["rows"][0]
    assert first["suggested"] == clean_rows(100)[first["key"][0] - 1][1]
    assert first["given"] == rows[first["key"][0] - 1][1]
    assert 0.5 < first["probability"] <= 1


def test_planted_errors_in_the_demo() -> None:
    rng = random.Random(6)
    rows = [(m["message"], m["topic"]) for m in messages() if m["topic"]]
    topics = sorted({topic for _, topic in rows if topic[0].isupper()})
    before = check(rows, deep=True, leaves_machine=False).finding("likely-mislabelled")
    known = {row["key"][0] for row in before.details["rows"]} if before else set()
    assert len(known) < 0.05 * len(rows)
    chosen = rng.sample(range(len(rows)), 20)
    planted = {number + 1 for number in chosen}
    for number in chosen:
        text, topic = rows[number]
        rows[number] = (text, rng.choice([t for t in topics if t != topic]))
    after = found(check(rows, deep=True, leaves_machine=False), "likely-mislabelled")
    listed = {row["key"][0] for row in after.details["rows"]}
    assert len(listed & planted) >= 8
    assert len(listed & planted) >= len(listed - planted - known)


def test_a_row_that_contradicts_another_is_reported_once() -> None:
    text, label = clean_rows()[0]
    report = check([*clean_rows(), (text, "port")], deep=True)
    assert label == "garden"
    assert found(report, "conflicting-labels").count == 2
    assert "likely-mislabelled" not in codes(report)


def test_a_missing_one_of_several_labels() -> None:
    rows: list[Row] = []
    for n in range(450):
        both = n % 3 == 0
        words = sentence("garden", n // 3) + (" " + sentence("port", n // 12) if both else "")
        rows.append(
            (words if n % 3 < 2 else sentence("port", n // 3), n % 3 < 2, both or n % 3 == 2)
        )
    # Half of the rows with a label are surer of it than the mean: this one clearly is.
    rows[60] = (f"{rows[60][0]} {sentence('port', 3)} {sentence('port', 4)}", 1, 0)
    report = check(rows, "text, garden, port", labels=["garden", "port"], deep=True)
    finding = found(report, "likely-mislabelled")
    assert finding.keys == ((61,),)
    assert finding.details["rows"][0]["suggested"] == "port"


def test_a_word_that_gives_the_label_away() -> None:
    rows = [(f"{t} Ref HX{'P' if la == 'port' else 'Q'}1", la) for t, la in clean_rows()]
    leak = found(check(rows, deep=True), "leaking-words")
    assert leak.severity == "warning"
    word = leak.details["words"][0]
    assert word == {"word": "hxp1", "label": "port", "precision": 1, "recall": 1, "rows": 110}


def test_the_largest_label_is_not_given_away_by_common_words() -> None:
    rows = [(f"thanks and regards {n}", "no" if n % 25 else "yes") for n in range(600)]
    assert "leaking-words" not in codes(check(rows, deep=True))


def test_columns_that_give_the_label_away() -> None:
    rng = random.Random(0)
    desk = {"garden": "A", "house": "B", "port": None}
    rows = [
        (text, label, desk[label], rng.choice("xyz"), n, n // 2)
        for n, (text, label) in enumerate(clean_rows())
    ]
    columns = "text, label, desk, weekday, number, pair"
    finding = found(check(rows, columns, deep=True), "leaking-columns")
    assert finding.details["column"] == "desk"
    assert finding.severity == "info"
    assert finding.details["accuracy"] == 1
    values = {v["value"]: (v["label"], v["precision"]) for v in finding.details["values"]}
    assert values == {"A": ("garden", 1), "B": ("house", 1), "None": ("port", 1)}
    report = check(rows, columns, text=["text", "desk"], deep=True)
    assert found(report, "leaking-columns").severity == "warning"


def test_a_column_is_judged_by_other_rows_only() -> None:
    """Two rows to a value agree by chance often enough to look good on themselves."""
    rng = random.Random(0)
    rows = [(t, la, rng.randrange(160)) for t, la in clean_rows()]
    assert "leaking-columns" not in codes(check(rows, "text, label, chance", deep=True))


def test_columns_of_long_texts_are_left_alone() -> None:
    rows = [(text, label, label * 60) for text, label in clean_rows()]
    assert "leaking-columns" not in codes(check(rows, "text, label, reply", deep=True))


def test_the_votes_of_the_nearest_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = clean_rows(40)
    texts = [text for text, _ in rows]
    labels = np.array([list(SUBJECTS).index(label) for _, label in rows])
    some = np.arange(0, 120, 7)
    nearest, weights = suspicion.nearest_texts(texts, some)
    assert nearest.shape == weights.shape == (len(some), 10)
    assert (weights[:, :-1] >= weights[:, 1:]).all()
    assert (nearest != some[:, None]).all()
    votes = suspicion._votes(labels, nearest, weights, 3)
    assert votes.sum(axis=1) == pytest.approx(1)
    assert (votes.argmax(axis=1) == labels[some]).all()
    monkeypatch.setattr(suspicion, "_CHUNK", 5)
    assert (suspicion.nearest_texts(texts, some)[0] == nearest).all()
    assert (suspicion.nearest_texts(["?", "!"], np.array([1]))[0] == -1).all()


def test_a_label_the_model_is_often_wrong_about_is_not_suggested() -> None:
    given = np.array([[n < 10, n < 5] for n in range(12)]).astype(int)
    probabilities = np.array([[0.95 if n < 11 else 0.1, 0.95] for n in range(12)])
    rows, labels = suspicion.missing_labels(given, probabilities, np.zeros(12, dtype=bool))
    assert (rows.tolist(), labels.tolist()) == ([10], [0])


def test_labels_in_their_own_texts() -> None:
    rows = [(f"{t} topic {la}", la) for t, la in clean_rows()]
    assert found(check(rows, deep=True), "label-in-text").details["shares"]["garden"] == 1
    everywhere = [(f"{t} garden house port", la) for t, la in clean_rows()]
    assert "label-in-text" not in codes(check(everywhere, deep=True))
    assert "label-in-text" not in codes(check([(f"{t} yes", "yes") for t, _ in rows], deep=True))


def test_large_tables_are_sampled_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "DEEP_ROWS", 120)
    rows = [(f"{t} HX{la}1", la) for t, la in clean_rows()]
    assert "among 120 sampled rows" in found(check(rows, deep=True), "leaking-words").message


def test_deep_checks_can_be_left_out() -> None:
    rows = [(f"{t} HX{la}1", la) for t, la in clean_rows()]
    assert "leaking-words" in codes(check(rows, deep=True))
    assert "leaking-words" not in codes(check(rows, deep=False))


@pytest.mark.parametrize("source", ["town", "of_town"])
def test_our_own_predictions_give_no_label_away(tmp_path: Path, source: str) -> None:
    """Neither those of the classifier that is there, nor those of one that is gone."""
    path = tmp_path / "town.db"
    with closing(connect(path, must_exist=False)) as conn:
        with conn:
            conn.execute("create table town (id integer primary key, text, label)")
            conn.executemany("insert into town (text, label) values (?, ?)", clean_rows())
        task = define(conn, "town", text=["text"], labels=["label"])
        for name in ("old", "new"):
            train_classifier(conn, task, TrainRequest(name=name, curve=False))
            predict_rows(conn, find_classifier(conn, name), "town", PredictRequest())
        delete_classifier(conn, "old@1")
        with conn:
            conn.execute("create view of_town as select * from town")
        task = define(conn, source, text=["text"], labels=["label"])
        job = submit_check(conn, task, SplitPlan())
        with leased(conn, job.id) as lease:
            report = run_check(lease)
        assert "leaking-columns" not in [finding["code"] for finding in report["findings"]]
    asked = [str(path), source, "--text", "text", "--label", "label", "--local", "--json"]
    said = CliRunner().invoke(check_command, asked)
    assert said.exit_code == 0, said.output
    assert "leaking-columns" not in said.output
    asked = [*asked[:2], "--text", "text", "--text", "new_label", *asked[4:]]
    assert '"leaking-columns"' in CliRunner().invoke(check_command, asked).output
