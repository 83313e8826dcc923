"""A classifier without a labelled row, made of the labels' names and meanings, and what replaces
it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import run
from sample_databases import answer, value
from tiny_encoder import write_encoder
from training_sets import fit, training_set
from visiting import get, send, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import TrainingError
from datasette_ftclassify.core.task import Task, define
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.train import (
    TrainResult,
    run_submitted,
    submit_train,
    train_classifier,
)
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.trainers.base import TrainerOptions
from datasette_ftclassify.trainers.encoders import known
from datasette_ftclassify.trainers.local.label_names import by_name, label_texts
from datasette_ftclassify.trainers.local.learning_curves import learning_curve
from datasette_ftclassify.trainers.local.recipes import Base, Recipe
from datasette_ftclassify.trainers.local.selection import _as_good, _likeliest
from datasette_ftclassify.trainers.local.serialization import to_parts

pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.usefixtures("nothing_loaded")

ANIMALS = ["cat", "dog", "cow", "pig", "hen", "fox"]
TOOLS = ["saw", "axe", "hoe", "awl", "pry", "rod"]
BOTH = {"animal": "", "tool": ""}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Every word has something in common with every other, and with its kind."""
    kinds = (["animal", "beast", *ANIMALS], ["tool", *TOOLS])
    vectors = {
        word: [1.0, *np.eye(2)[kind], 0.01 * place]
        for kind, words in enumerate(kinds)
        for place, word in enumerate(words)
    }
    return str(write_encoder(tmp_path_factory.mktemp("encoder"), vectors))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A table whose rows nobody has labelled."""
    path = tmp_path / "things.db"
    with closing(connect(path, must_exist=False)) as conn:
        conn.execute("create table things (id integer primary key, body text, kind text)")
        words = [(word,) for pair in zip(ANIMALS, TOOLS, strict=True) for word in pair]
        conn.executemany("insert into things (body) values (?)", words)
        conn.commit()
    return path


def task_of(conn: Any, **changes: Any) -> Task:
    return define(conn, "things", text=["body"], labels=["kind"], **changes)


def by_names(
    conn: Any, descriptions: dict[str, str], encoder: str | None, **changes: Any
) -> TrainResult:
    options = TrainerOptions(encoder=encoder, descriptions=descriptions)
    request = TrainRequest(trainer="names", options=options)
    return train_classifier(conn, task_of(conn, **changes), request)


def test_names_alone_answer_and_the_first_labels_replace_them(path: Path, folder: str) -> None:
    with closing(connect(path)) as conn:
        made = by_names(conn, BOTH, folder)
        assert made.classifier.report["untrained"] is True
        assert made.classifier.training_rows == 0
        assert made.metrics is None
        register(conn)
        told = answer(conn, "select ft_classify_json('a cow and a hen')")
        assert told["label"] == "animal"
        assert told["score"] > 0.6
        predict_rows(conn, find_classifier(conn, "things"), "things")
        found = conn.execute("select body, things_label from things").fetchall()
        assert {(word, label) for word, label in found} == {
            *((word, "animal") for word in ANIMALS), *((word, "tool") for word in TOOLS)
        }  # fmt: skip
        conn.execute("update things set kind = things_label where id <= 10")
        conn.commit()
        options = TrainerOptions(encoder=folder)
        again = train_classifier(conn, task_of(conn), TrainRequest(options=options, curve=False))
        assert (again.classifier.version, again.classifier.trainer) == (2, "local")
        assert again.classifier.report["encoder"]
        assert value(conn, "select ft_classify('pry rod')") == "tool"


def test_a_meaning_tells_what_a_code_does_not(path: Path, folder: str) -> None:
    with closing(connect(path)) as conn:
        with pytest.raises(TrainingError, match=r"The label A1 has a name that says nothing"):
            by_names(conn, {"A1": "", "tool": ""}, folder)
        by_names(conn, {"A1": "animal, beast", "B2": "tool"}, folder)
        register(conn)
        assert value(conn, "select ft_classify('fox')") == "A1"


def test_several_labels_a_row_are_told_by_names_too(path: Path, folder: str) -> None:
    with closing(connect(path)) as conn:
        by_names(conn, BOTH, folder, kind="multilabel")
        register(conn)
        assert value(conn, "select ft_classify('cat')") == '["animal"]'
        assert value(conn, "select ft_classify('saw')") == '["tool"]'


@pytest.mark.parametrize("descriptions", [{}, {"animal": ""}])
def test_one_label_is_not_enough(path: Path, folder: str, descriptions: dict[str, str]) -> None:
    with closing(connect(path)) as conn, pytest.raises(TrainingError):
        by_names(conn, descriptions, folder)


def test_the_encoder_that_was_used_last_is_the_usual_one(path: Path, folder: str) -> None:
    with closing(connect(path)) as conn:
        options = TrainerOptions(descriptions=BOTH)
        request = TrainRequest(trainer="names", options=options)
        with pytest.raises(TrainingError, match="No sentence encoder is known"):
            submit_train(conn, task_of(conn), request)
        known.use_encoder(folder)
        made = train_classifier(conn, task_of(conn), request)
        assert made.classifier.report["encoder"]["name"] == Path(folder).name


def test_a_command_makes_one_and_says_that_it_is_not_trained(path: Path, folder: str) -> None:
    done = run(
        "train", path, "things", "--text", "body", "--label", "kind", "--trainer", "names",
        "--encoder", folder, "--describe", "animal", "", "--describe", "tool", "for work",
    )  # fmt: skip
    assert "Not trained: 2 labels, 1 of them with what they mean" in done.output


async def test_a_page_does_not_offer_it_where_no_encoder_is_known(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "nobody"))
    datasette = serve(path, grants={"ftclassify-train": {"id": "ann"}})
    shown = (await get(datasette, "/things/-/ftclassify/train.json?table=things", "ann")).json()
    offers = {offer["name"]: offer["missing"] for offer in shown["trainers"]}
    assert offers["local"] is None
    assert offers["names"].startswith("No sentence encoder is known on this machine.")


async def test_a_page_makes_one_of_a_list_of_labels(path: Path, folder: str) -> None:
    known.use_encoder(folder)
    datasette = serve(path, grants={"ftclassify-train": {"id": "ann"}})
    page = "/things/-/ftclassify/train"
    shown = (await get(datasette, f"{page}.json?table=things", "ann")).json()
    offer = next(offer for offer in shown["trainers"] if offer["name"] == "names")
    descriptions, encoder = offer["settings"]
    assert descriptions["name"] == "names-descriptions"
    assert encoder["name"] == "names-encoder"  # which was named on this machine
    assert "needs no labelled rows" in offer["can"]
    html = (await get(datasette, f"{page}?table=things", "ann")).text
    assert "<dt>Sentence encoder</dt><dd" in html
    fields = {"table": "things", "text": "body", "label": "kind", "trainer": "names",
              "names-descriptions": "animal\ntool: for work"}  # fmt: skip
    done = (await send(datasette, page, fields, "ann")).json()
    assert done["ok"], done
    with closing(connect(path)) as conn:
        run_submitted(conn, get_job(conn, done["job"]["id"]))
    shown_page = await get(datasette, "/things/-/ftclassify/classifiers/things")
    assert shown_page.status_code == 200
    assert "Not trained" in shown_page.text


NAMES = [
    "card_arrival",
    "exchangeRate",
    "Lost password",
    "refund-request",
    "street noise",
    "parking",
]
WORDS = [
    "card arrival delivery envelope", "exchange rate currency euro",
    "lost password login reset", "refund request money returned",
    "street noise music loud", "parking ticket garage meter",
]  # fmt: skip
FILLER = "please can you tell me what to do about the my is a it was with for today"


def table(rows: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Each text has one word of its label, seldom twice the same one."""
    chooser = np.random.default_rng(seed)
    given = np.arange(rows) % len(WORDS)
    texts = [
        " ".join(
            chooser.permutation([*chooser.choice(FILLER.split(), 6), chooser.choice(words.split())])
        )
        for words in (WORDS[label] for label in given)
    ]
    return texts, given


def accuracy(names: list[str] | None, rows: int) -> tuple[float, str]:
    texts, given = table(rows, 1)
    model, report = fit(texts, given, len(WORDS), exclusive=True, names=names)
    asked, wanted = table(300, 2)
    right = model.log_probabilities(asked).argmax(axis=1) == wanted
    return float(right.mean()), report["recipe"]


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        (["card_arrival", "topUp"], ["card arrival", "top up"]),
        (["Straße 12", "дорога"], ["straße 12", "дорога"]),
        (["0", "1", "A3"], None),
        (["C17", "C18", "other"], None),
        (["", "--", "none"], None),
    ],
)
def test_the_words_of_a_label_are_told_from_a_code(names, texts):
    assert label_texts(names) == texts


def test_names_help_where_rows_are_few():
    without, _ = accuracy(None, 18)
    with_names, recipe = accuracy(NAMES, 18)
    assert with_names > without + 0.05
    assert "label names" in recipe


def test_codes_as_labels_change_nothing():
    texts, given = table(36, 1)
    plain, _ = fit(texts, given, 6, exclusive=True)
    coded, _ = fit(texts, given, 6, exclusive=True, names=["0", "1", "A3", "B4", "x", "-"])
    assert to_parts(plain) == to_parts(coded)


def test_names_that_mislead_are_left_out():
    """As cross-validation tells: each label is called by another one's words."""
    without, _ = accuracy(None, 90)
    misled, recipe = accuracy([*NAMES[1:], NAMES[0]], 90)
    assert "label names" not in recipe
    assert misled == without


def test_the_learning_curve_is_of_the_recipe_with_names():
    texts, given = table(36, 1)
    _, report = fit(texts, given, 6, exclusive=True, names=NAMES)
    assert "label names" in report["recipe"]
    points = learning_curve(training_set(texts, given, 6, names=NAMES), recipe=report["recipe"])
    assert {point["recipe"] for point in points} == {report["recipe"]}
    score = next(row["score"] for row in report["recipes"] if row["recipe"] == report["recipe"])
    assert points[-1]["score"] == pytest.approx(score, abs=1e-3)


def test_of_recipes_that_are_as_often_right_the_one_with_fitting_probabilities_is_taken():
    """A few texts share all words with a name: scores by likeness are too sure there."""
    chooser = np.random.default_rng(0)
    targets = np.eye(3, dtype=np.int8)[chooser.integers(0, 3, 200)]
    fitting = targets + chooser.normal(size=(200, 3))
    spiky = np.where(chooser.random((200, 1)) < 0.1, 30 * fitting, fitting).astype(np.float32)
    plain, calm, sure = (
        Recipe(name, ((Base(name, by_name, 1.0, names=name != "plain"), 1.0),))
        for name in ("plain", "calm", "sure")
    )
    found = {1: [fitting.astype(np.float32)], 2: [spiky]}
    chosen, why = _likeliest((plain, calm, sure), found, targets, 2, "Chose sure.")
    assert chosen == 1
    assert "Chose calm: about as often right" in why
    assert _likeliest((plain, calm, sure), {2: [spiky]}, targets, 2, "Chose sure.") == (
        2, "Chose sure.",
    )  # fmt: skip
    few, many = (np.arange(200) < 3).astype(float), (np.arange(200) < 8).astype(float)
    assert _as_good(few, np.arange(200))
    assert not _as_good(many, np.arange(200))
