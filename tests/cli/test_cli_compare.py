"""An untrained model and a tuned one, side by side on the same rows, before and after paying."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from commands import says
from service_training import MODEL, quick_to_ask

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.spending import spent_on_classifier

pytestmark = pytest.mark.usefixtures("vocabularies")

TASK = ["messages", "--text", "message", "--label", "topic"]


def train(db: Path, name: str, trainer: str, *more: object) -> dict:
    given = ["--name", name, "--trainer", trainer, "--no-curve", "--yes", "--json", *more]
    return json.loads(says("train", db, *TASK, *given))


def prompted(db: Path, *more: object) -> dict:
    return train(db, "base", "prompted", "--model", MODEL, *more)


def test_what_tuning_brings_is_told_on_the_same_rows(db, openai_server):
    base = prompted(db)
    assert openai_server.jobs_created == 0
    assert base["rows"]["test"] == base["metrics"]["n_test"] == 48
    with quick_to_ask():
        moved = says("move", db, "base", "--trainer", "openai", "--model", MODEL, "--yes", "--json")
    compared = json.loads(moved)["comparison"]
    assert (
        json.loads(says("classifiers", "compare", db, "base", "base-openai", "--json")) == compared
    )
    first, second = compared["classifiers"]
    assert (first["trainer"], second["trainer"]) == ("prompted", "openai")
    assert first["accuracy_high"] < second["accuracy_low"]
    (pair,) = compared["pairs"]
    assert pair["p_adjusted"] == pair["p_value"] < 0.001
    assert pair["differences"]["accuracy_low"] > 0
    assert compared["baseline"]["accuracy"] < second["accuracy"]
    # USD 0.40 and 1.60 for a million tokens, and twice as much for a fine-tuned model.
    assert 0 < first["usd_per_1000"] < second["usd_per_1000"] < 1
    assert (first["local"], first["bytes"]) == (False, None)
    told = says("classifiers", "compare", db, "base", "base-openai")
    assert "On the same 48 test rows" in told
    assert "base-openai@1 is better (" in told


def test_an_untuned_model_is_asked_at_its_own_price(db, openai_server):
    prompted(db)
    with closing(connect(db)) as conn:
        spent = spent_on_classifier(conn, find_classifier(conn, "base").id)
    assert 40 < spent.requests <= 48  # equal texts are one question
    # USD 0.40 and 1.60 for a million tokens; its fine-tunes cost twice as much.
    expected = 0.4 * spent.input_tokens + 1.6 * spent.output_tokens
    assert spent.usd == pytest.approx(expected / 1e6)
    given = ["--classifier", "base", "--batch", "--yes", "--json"]
    told = json.loads(says("predict", db, "messages", *given))["spent"]
    expected = 0.4 * told["input_tokens"] + 1.6 * told["output_tokens"]
    assert told["usd"] == pytest.approx(0.5 * expected / 1e6)
    assert openai_server.batches_created == 1


def test_two_that_share_no_answered_row_are_not_compared(db):
    train(db, "one", "local", "--seed", 1)
    prompted(db)
    with closing(connect(db)) as conn, conn:
        conn.execute("delete from _ftclassify_answers")
        conn.execute("delete from _ftclassify_evaluation_rows")
    told = says("classifiers", "compare", db, "one", "base", code=1)
    assert "test row in common: evaluate both" in told
    assert "No classifier called two" in says("classifiers", "compare", db, "one", "two", code=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", MODEL, "--epochs", 2], "The option epochs means nothing"),
        (["--model", MODEL, "--suffix", "x"], "The option suffix means nothing"),
        (["--model", MODEL, "--describe", "Noise", "loud", "--system", "x"], "either that or them"),
        (["--model", MODEL, "--describe", "Noise", " "], "The description of Noise is empty"),
        (["--model", "babbage-002"], "name a chat model"),
        ([], "Name the model that prompted is to ask (--model)"),
    ],
)
def test_what_means_nothing_to_an_untuned_model_is_refused(db, openai_server, options, words):
    told = says("train", db, *TASK, "--trainer", "prompted", "--yes", *options, code=1)
    assert words in told
    assert len(told.splitlines()) == 1
    assert openai_server.log == []
