"""Classifiers that read texts through a sentence encoder: when it is used, what is stored, and who
may answer."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from local_logits import logits_of
from sample_databases import answer, rows, value
from tiny_encoder import write_encoder
from training_sets import fit

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import AccessError, ArtifactError, TrainingError
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.publish import publish_copy
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.present.publishing import stays
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.jobs.events import job_events
from datasette_ftclassify.trainers.base import TrainerOptions
from datasette_ftclassify.trainers.encoders import known
from datasette_ftclassify.trainers.encoders.encode import BATCH
from datasette_ftclassify.trainers.encoders.encoder import Encoder
from datasette_ftclassify.trainers.encoders.known import use_encoder
from datasette_ftclassify.trainers.encoders.vector_store import opened_store, store_path
from datasette_ftclassify.trainers.local.explain import WHOLE_TEXT
from datasette_ftclassify.trainers.local.model import LocalModel
from datasette_ftclassify.trainers.local.serialization import from_parts, to_parts

pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.usefixtures("nothing_loaded")

ANIMALS = re.findall(r"\w+", "cat dog cow pig hen fox rat ant bee elk owl jay yak gnu cod eel")
TOOLS = re.findall(r"\w+", "saw awl adz axe hoe jig peg pin pry rod tap vom wad nut")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An encoder for which animals point one way and tools another."""
    chooser = np.random.default_rng(0)
    vectors = {
        word: [*(2.0 * np.eye(2)[kind]), *chooser.normal(0, 0.3, 4)]
        for kind, words in enumerate((ANIMALS, TOOLS))
        for word in words
    }
    return str(write_encoder(tmp_path_factory.mktemp("encoder"), vectors))


def pairs(words: list[str]) -> list[str]:
    return [f"{a} {b}" for a, b in zip(words[::2], words[1::2], strict=False)]


TEXTS = pairs(ANIMALS) + pairs(TOOLS)
KINDS = np.array([0] * len(pairs(ANIMALS)) + [1] * len(pairs(TOOLS)))


Once = tuple[LocalModel, dict[str, Any]]


def trained(folder: str, **options: Any) -> Once:
    return fit(TEXTS, KINDS, 2, exclusive=True, encoder=folder, **options)


@pytest.fixture(scope="module")
def once(folder: str) -> Once:
    return trained(folder)


def test_an_encoder_is_used_where_it_helps_and_is_reported(folder: str, once: Once) -> None:
    model, report = once
    assert "on vectors" in report["recipe"]
    about = report["encoder"]
    assert (about["dimensions"], about["name"]) == (6, Path(folder).name)
    assert about["bytes"] == sum(
        (Path(folder) / name).stat().st_size for name in ("model.onnx", "vocab.txt")
    )
    # No text of the training rows has these pairs' letters: only the vectors tell.
    asked = ["yak elk", "nut peg", ""]
    assert model.log_probabilities(asked[:2]).argmax(axis=1).tolist() == [0, 1]
    one_by_one = [model.log_probabilities_one(text) for text in asked]
    np.testing.assert_array_equal(model.log_probabilities(asked), one_by_one)


def test_what_is_answered_and_then_asked_how_known_it_is_is_encoded_once(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one and in chunks as predictions go; the vectors are kept nowhere else."""
    # Twice as many texts, so that some can be held out and `known` is measured.
    texts = TEXTS + pairs(ANIMALS[1:]) + pairs(TOOLS[1:])
    targets = np.array([*KINDS, *[0] * len(pairs(ANIMALS[1:])), *[1] * len(pairs(TOOLS[1:]))])
    model, _ = fit(texts, targets, 2, exclusive=True, encoder=folder)
    assert model.centroids is not None
    asked: list[str] = []
    whole = Encoder.row

    def row(self: Encoder, text: str) -> Any:
        asked.append(text)
        return whole(self, text)

    monkeypatch.setattr(Encoder, "row", row)
    store_path().unlink()
    model.known("yak elk", model.log_probabilities_one("yak elk"))
    chunk = ["nut peg", "elk yak", "rod tap"]
    for text, found in zip(chunk, model.log_probabilities(chunk), strict=True):
        assert model.known(text, found) is not None
    assert sorted(asked) == sorted(["yak elk", *chunk])


def test_several_labels_a_row_may_have_an_encoder_too(folder: str) -> None:
    targets = np.eye(2, dtype=np.int8)[KINDS]
    model, report = fit(TEXTS, targets, 2, exclusive=False, encoder=folder)
    assert report["encoder"]
    assert model.log_probabilities(["yak elk"])[0].argmax() == 0


def test_an_encoder_that_says_nothing_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    chooser = np.random.default_rng(1)
    noise = {str(n): list(chooser.normal(size=6)) for n in range(60)}
    folder = str(write_encoder(tmp_path / "noise", noise))
    texts = [f"{word} {n}" for n in range(30) for word in ("yes please", "never ever")]
    model, report = fit(texts, np.arange(60) % 2, 2, exclusive=True, encoder=folder)
    means = {row["embedding"]: row["score"] for row in report["recipes"]}
    assert means[False] == 1.0
    plain, _ = fit(texts, np.arange(60) % 2, 2, exclusive=True)
    accuracy = (model.log_probabilities(texts).argmax(axis=1) == np.arange(60) % 2).mean()
    assert accuracy == 1.0
    assert plain.embedding is None


def test_a_stored_classifier_has_the_hash_alone_and_answers_the_same(
    folder: str, once: Once
) -> None:
    model, _ = once
    use_encoder(folder)
    header, parts = to_parts(model)
    assert "vectors" not in parts
    assert folder not in json.dumps(header), "where it is on this machine is nobody's business"
    loaded = from_parts(json.loads(json.dumps(header)), parts)
    asked = ["yak elk", "", "\x00", "bad \ud800 cat", "🎉 peg", "cat " * 1_000]
    np.testing.assert_array_equal(loaded.log_probabilities(asked), model.log_probabilities(asked))


def test_without_the_encoder_nothing_is_answered(once: Once) -> None:
    header, parts = to_parts(once[0])
    with pytest.raises(AccessError, match="needs the sentence encoder"):
        from_parts(header, parts)


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": "/etc/passwd"}, {"encoder": "A" * 64}, {"encoder": None}, {"encoder": 5},
        {"name": "x; rm -rf ~"}, {"name": "a\nb"}, {"name": "n" * 201}, {"name": None},
        {"dimensions": 7}, {"dimensions": True},
    ],
)  # fmt: skip
def test_what_a_file_says_of_an_encoder_is_checked(
    folder: str, once: Once, change: dict[str, Any]
) -> None:
    header, parts = to_parts(once[0])
    use_encoder(folder)
    header["embedding"] = {**header["embedding"], **change}
    with pytest.raises(ArtifactError, match="damaged"):
        from_parts(header, parts)


def test_what_the_encoder_adds_is_one_part_of_an_explanation(once: Once) -> None:
    model, _ = once
    text = "A yak, elk and peg"
    parts = model.explain(text, 0, top=99)
    assert WHOLE_TEXT in dict(parts)
    logits = logits_of(model, text)
    bias = float(model.bias[0]) / model.temperature
    assert sum(amount for _, amount in parts) == pytest.approx(
        logits[0] - logits[1] + bias, abs=1e-4
    )


def test_a_text_has_one_vector(folder: str) -> None:
    from datasette_ftclassify.trainers.local.trainer import LocalTrainer

    both = TrainerOptions(embeddings="somewhere", encoder=folder)
    with pytest.raises(TrainingError, match="one vector"):
        LocalTrainer().check_options(both)


@pytest.fixture
def things(tmp_path: Path) -> Path:
    """A table of animals and tools, all labelled."""
    path = tmp_path / "things.db"
    with closing(connect(path, must_exist=False)) as conn:
        conn.execute("create table things (id integer primary key, body text, kind text)")
        kinds = ["animal" if kind == 0 else "tool" for kind in KINDS]
        conn.executemany(
            "insert into things (body, kind) values (?, ?)", zip(TEXTS, kinds, strict=True)
        )
        conn.commit()
    return path


def train_things(path: Path, folder: str) -> None:
    with closing(connect(path)) as conn:
        task = define(conn, "things", text=["body"], labels=["kind"])
        request = TrainRequest(curve=False, options=TrainerOptions(encoder=folder))
        train_classifier(conn, task, request)


def test_a_job_says_how_much_is_encoded_and_queries_answer_as_long_as_the_encoder_is_here(
    folder: str, things: Path, tmp_path: Path
) -> None:
    train_things(things, folder)
    with closing(connect(things)) as conn:
        said = [event.message for event in job_events(conn, 1)]
        assert sum("encoding" in message for message in said) == 1, said
        assert any(re.match(r"encoding \d+ texts by .* MB of vectors to store$", m) for m in said)
        register(conn)
        assert value(conn, "select ft_classify('yak elk')") == "animal"
        assert value(conn, "select ft_classify_many(json_array('yak elk', 'nut peg'))")
    known._loaded.clear()
    store_path().unlink()
    elsewhere = shutil.copy(things, tmp_path / "elsewhere.db")
    with closing(connect(elsewhere)) as conn:
        register(conn)
        assert rows(conn, "select ft_classify('yak'), ft_score('yak')") == [(None, None)]
        told = answer(conn, "select ft_classify_json('yak')")["error"]
        assert "needs the sentence encoder" in told


def test_a_training_that_is_killed_while_it_encodes_loses_at_most_a_batch(
    folder: str, things: Path
) -> None:
    with closing(connect(things)) as conn:
        more = [(f"{a} {b}", "animal") for a in ANIMALS for b in ANIMALS]
        conn.executemany("insert into things (body, kind) values (?, ?)", more)
        conn.commit()
    killed_at, row = 3 * BATCH + 10, Encoder.row
    child = os.fork()
    if not child:
        done: list[str] = []

        def killing(self: Encoder, text: str) -> np.ndarray:
            done.append(text)
            if len(done) > killed_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return row(self, text)

        Encoder.row = killing  # type: ignore[method-assign]
        try:
            train_things(things, folder)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    with opened_store() as store:
        assert [each.vectors for each in store.encoders()] == [3 * BATCH]
    train_things(things, folder)
    with closing(connect(things)) as conn:
        assert len(conn.execute("select id from _ftclassify_jobs").fetchall()) == 1
        said = " ".join(event.message for event in job_events(conn, 1))
        first, second = map(int, re.findall(r"encoding (\d+) texts", said))
        assert first - second == 3 * BATCH


def test_a_published_copy_says_which_encoder_it_needs(
    folder: str, things: Path, tmp_path: Path
) -> None:
    train_things(things, folder)
    copy = publish_copy(things, tmp_path / "public.db")
    assert copy.packages == ("datasette-ftclassify-serve[encoder]",)
    assert copy.encoders == {"things@1": f"{Path(folder).name} (0 MB)"}
    assert any("not the sentence encoder" in line for line in stays(copy))
    assert folder.encode() not in (tmp_path / "public.db").read_bytes()
    with closing(connect(tmp_path / "public.db")) as conn:
        register(conn)
        assert value(conn, "select ft_classify('yak elk')") == "animal"
