"""Encoders that are fine-tuned here: what is kept while they are trained, what answers, and what a
file of somebody else can reach."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_encoder import write_weights

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.label_kinds import MULTICLASS, MULTILABEL
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.core.training_report import NeededEncoder
from datasette_ftclassify.jobs.load_classifier import load_answerer
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.sweep import Sweep, price_sweep, submit_sweep
from datasette_ftclassify.jobs.sweep_result import sweep_result
from datasette_ftclassify.jobs.train import TrainResult, train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.queries import training_figures
from datasette_ftclassify.trainers.access import Access
from datasette_ftclassify.trainers.base import TrainerOptions, TrainingSet, no_progress
from datasette_ftclassify.trainers.encoders import made_here
from datasette_ftclassify.trainers.encoders.vector_store import store_path
from datasette_ftclassify.trainers.local.linear import log_sigmoid, log_softmax
from datasette_ftclassify.trainers.local.text_vectors import GivenVectors

for _package in ("torch", "transformers", "onnxscript", "onnxruntime"):
    pytest.importorskip(_package)

from datasette_ftclassify.trainers.finetuning import export, loop  # noqa: E402
from datasette_ftclassify.trainers.finetuning.training import divide  # noqa: E402
from datasette_ftclassify.trainers.finetuning.words import choose, logits_of, mixed_model, words_of  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_loaded")

ANIMALS = re.findall(r"\w+", "cat dog cow pig hen fox rat ant bee elk owl jay yak gnu cod eel")
TOOLS = re.findall(r"\w+", "saw awl adz axe hoe jig peg pin pry rod tap vom wad nut vise file")
WORDS = ANIMALS + TOOLS
PAIRS = [(i + j, f"{a} {WORDS[j]}") for i, a in enumerate(WORDS) for j in range(i + 1, i + 9)
         if j < len(WORDS)]  # fmt: skip
TEXTS = [(f"The {pair}", "title") if i % 2 else (f"the {pair}", "lower") for i, pair in PAIRS]
"""What an encoder sees and the plain classifier does not, which reads all in lower case."""
TOPICS = [(f"{a} {b}", kind) for kind, words in (("animal", ANIMALS), ("tool", TOOLS))
          for i, a in enumerate(words) for b in words[i + 1 :]]  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tiny") / "tiny-bert"
    return str(write_weights(folder, [*WORDS, "The", "the"]))


@pytest.fixture(scope="module", autouse=True)
def rates_of_a_small_model() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "RATE", 1e-2)
        patch.setattr(loop, "HEAD_RATE", 1e-1)
        yield


def a_table(path: Path, rows: list[tuple[str, str]] = TEXTS) -> Path:
    with closing(connect(path, must_exist=False)) as conn:
        conn.execute("create table things (id integer primary key, body text, kind text)")
        conn.executemany("insert into things (body, kind) values (?, ?)", rows)
        conn.commit()
    return path


def train(path: Path, weights: str, **more: Any) -> TrainResult:
    with closing(connect(path)) as conn:
        task = define(conn, "things", text=["body"], labels=["kind"])
        options = TrainerOptions(encoder=weights, epochs=2)
        request = TrainRequest(trainer="encoder", curve=False, options=options, **more)
        return train_classifier(conn, task, request)


@pytest.fixture(scope="module")
def once(weights: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainResult]:
    """A file with a classifier of two epochs; its encoder is beside it."""
    folder = tmp_path_factory.mktemp("once")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTCLASSIFY_VECTORS", str(folder / "vectors.db"))
        return a_table(folder / "things.db"), train(folder / "things.db", weights)


@pytest.fixture
def things(once: tuple[Path, TrainResult], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of all of it that a test may change."""
    shutil.copytree(once[0].parent, tmp_path / "all")
    monkeypatch.setenv("FTCLASSIFY_VECTORS", str(tmp_path / "all/vectors.db"))
    return tmp_path / "all/things.db"


def digest_of(result: TrainResult) -> str:
    return str(result.classifier.header["embedding"]["encoder"])


def chances(path: Path, texts: list[str]) -> np.ndarray:
    with closing(connect(path)) as conn:
        predictor = load_answerer(conn, find_classifier(conn, "things")).predictor
        return np.exp(predictor.log_probabilities(texts))


def test_two_epochs_make_a_classifier_with_a_curve_and_calibrated_scores(once) -> None:
    path, result = once
    assert result.metrics is not None
    assert result.metrics["accuracy"] > 0.5
    report = result.classifier.report
    assert [point["epoch"] for point in report["points"]] == [1, 2]
    assert all(0 < point["valid_loss"] < 1 for point in report["points"])
    assert "for 2 epochs" in report["why"]
    assert "8 bits" in report["why"]
    assert "student" in report["why"]
    assert f"Then it was trained on all {report['n_rows']} rows" in report["why"]
    assert report["calibration"]["method"] == "temperature"
    with closing(connect(path)) as conn:
        assert training_figures(conn, 1) == report["points"]
        # The validation rows of the split are those that were held out, and no text is in both.
        sql = "select count(*) from _ftclassify_split_rows where split = 'validation'"
        held = re.search(r"on (\d+) rows that were held out", report["why"])
        assert held
        assert int(held[1]) == conn.execute(sql).fetchone()[0]


def test_it_answers_without_torch_from_the_folder_that_its_hash_names(things: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(('torch', 'transformers', 'onnx', 'safetensors'))\n"
        "from datasette_ftclassify.core.database import connect\n"
        "from datasette_ftclassify.sql.functions import register\n"
        f"conn = connect({str(things)!r}); register(conn)\n"
        "print(conn.execute(\"select ft_classify('The yak hen')\").fetchone()[0])"
    )
    store_path().unlink()  # which may be deleted at any time
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout == "title\n", found.stderr


@pytest.mark.parametrize("again", [False, True], ids=["held out", "all rows"])
def test_killed_in_the_middle_it_goes_on_to_the_same_weights(
    again: bool, once, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTCLASSIFY_VECTORS", str(tmp_path / "vectors.db"))
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    path = a_table(tmp_path / "things.db")
    steps = once[1].classifier.report["points"][0]["step"]
    killed_at = (again, 3 if again else steps + 2)
    begun, step = list[tuple[bool, int]](), loop._Loop._step

    def killing(self: Any, rows: Any) -> float:
        begun.append((self.plan.last is not None, self.state.step))
        if child == 0 and begun[-1] == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, rows)

    monkeypatch.setattr(loop._Loop, "_step", killing)
    child = os.fork()
    if not child:
        try:
            train(path, weights)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    with closing(connect(path)) as conn:
        drawn = [point["epoch"] for point in training_figures(conn, 1)]
        assert drawn == ([1, 2] if again else [1]), "the page draws them meanwhile"
    result = train(path, weights)
    assert begun[0] == killed_at, "only what was not done yet"
    assert len(begun) == len(set(begun))
    whole = once[1].classifier.report["points"]
    assert result.classifier.report["points"] == whole
    with closing(connect(path)) as conn:
        assert conn.execute("select count(*) from _ftclassify_jobs").fetchone()[0] == 1
        assert training_figures(conn, 1) == whole
    assert not list(made_here.trainings_folder().iterdir()), "it is stored: nothing is left"
    texts = [text for text, _ in TEXTS[:20]]
    resumed = chances(path, texts)
    monkeypatch.setenv("FTCLASSIFY_VECTORS", str(once[0].parent / "vectors.db"))
    np.testing.assert_allclose(resumed, chances(once[0], texts), atol=1e-6)


def test_where_words_do_as_well_no_encoder_is_needed(weights: str, tmp_path: Path) -> None:
    result = train(a_table(tmp_path / "things.db", TOPICS), weights)
    assert result.classifier.trainer == "local"
    assert NeededEncoder.read(result.classifier.header) is None
    assert "is not used" in result.classifier.report["why"]
    assert result.metrics is not None
    assert result.metrics["accuracy"] > 0.9
    assert not list(made_here.models_folder().glob("*"))
    assert not list(made_here.trainings_folder().iterdir())


def test_words_are_mixed_in_as_far_as_held_out_rows_say(weights: str) -> None:
    rng = np.random.default_rng(0)
    targets = np.eye(3)[rng.integers(0, 3, 200)]
    held, words = (4 * targets + rng.normal(0, 3, (200, 3)) for _ in range(2))
    mix = choose(held.astype(np.float32), words.astype(np.float32), targets, True)
    assert mix.share > 0.1
    assert mix.losses[2] < min(mix.losses[:2])
    assert not mix.alone
    noise = rng.normal(0, 3, (200, 3)).astype(np.float32)
    assert choose(held.astype(np.float32), noise, targets, True).share <= 0.1


@pytest.mark.parametrize("kind", [MULTICLASS.name, MULTILABEL.name])
@pytest.mark.parametrize("n_labels", [2, 3])
def test_the_mixed_model_answers_as_what_was_judged(kind: str, n_labels: int) -> None:
    """The words' logits added to the encoder's, which are zero here."""
    texts = [text for text, _ in TOPICS[::3]]
    place = np.array([WORDS.index(text.split()[0]) % n_labels for text in texts])
    exclusive = kind == MULTICLASS.name
    targets = place if exclusive else np.eye(n_labels, dtype=np.int8)[place]
    data = TrainingSet(texts, targets, LabelSet(tuple("abc"[:n_labels]), kind))
    words = words_of(data, np.arange(len(texts)), 0)
    weights = np.zeros((1, n_labels), dtype=np.float32)
    tuned = loop.Tuned(None, weights, weights[0], weights, [], 1, 1)
    vectors = GivenVectors(lambda keys: dict.fromkeys(keys, np.ones(1, dtype=np.float32)), 1)
    mixed = mixed_model(tuned, vectors, words, 0.5, exclusive)
    logits = 0.5 * logits_of(words, texts[:30]).astype(np.float64)
    wanted = log_softmax(logits) if exclusive else log_sigmoid(logits)
    np.testing.assert_allclose(mixed.log_probabilities(texts[:30]), wanted, atol=0.02)


def test_another_process_that_trains_the_same_may_delete_the_checkpoints(
    once, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTCLASSIFY_VECTORS", str(tmp_path / "vectors.db"))
    judge = loop._Loop._judge

    def deleting(self: Any) -> None:
        judge(self)
        shutil.rmtree(self.plan.folder)

    monkeypatch.setattr(loop._Loop, "_judge", deleting)
    result = train(a_table(tmp_path / "things.db"), weights)
    assert result.classifier.report["points"] == once[1].classifier.report["points"]


def test_no_near_copy_of_a_row_that_is_trained_on_is_held_out() -> None:
    texts = [text for text, _ in TEXTS[:200]]
    texts[100:150] = texts[:50]
    validation = np.arange(200) >= 100
    labels = LabelSet(("a", "b"), MULTICLASS.name)
    data = TrainingSet(texts, np.arange(200) % 2, labels, validation=validation)
    divided = divide(data, 0)
    assert divided.held.tolist() == list(range(150, 200))
    assert sorted([*divided.train, *divided.held]) == list(range(200))


def test_a_damaged_checkpoint_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from datasette_ftclassify.trainers.finetuning import checkpoint

    path = tmp_path / "checkpoint.safetensors"
    assert checkpoint.read(path) is None
    checkpoint.write(path, {"a": torch.ones(3)}, {"step": 4})
    tensors, state = checkpoint.read(path) or ({}, {})
    assert (tensors["a"].tolist(), state) == ([1, 1, 1], {"step": 4})
    whole = path.read_bytes()
    for damaged in (whole[:-4], b"", b"\x80\x04K\x01.", whole.replace(b"state", b"stale")):
        path.write_bytes(damaged)
        assert checkpoint.read(path) is None


def test_8_bits_that_answer_otherwise_are_not_used(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "LEAST_SAME", 1.1)
    result = train(a_table(tmp_path / "things.db"), weights)
    assert "stored in 32 bits" in result.classifier.report["why"]
    (place,) = made_here.models_folder().iterdir()
    assert not (place / "single.onnx").exists()
    assert made_here.databases_of(place.name) == [str(tmp_path / "things.db")]


def test_a_sweep_compares_seeds_of_it(weights: str, tmp_path: Path) -> None:
    with closing(connect(a_table(tmp_path / "things.db"))) as conn:
        task = define(conn, "things", text=["body"], labels=["kind"])
        variants = [f"encoder encoder={weights} epochs=1"]
        sweep = Sweep.of(task, SplitPlan(), variants, name="kinds", seeds=2)
        for job in submit_sweep(conn, sweep, price_sweep(conn, sweep, Access()), access=Access()):
            run_job(conn, job.id, access=Access())
        tried = {one.trainer: one for one in sweep_result(conn, sweep.id).tried}
        assert len(tried["encoder"].figures) == len(tried["local"].figures) == 2


@pytest.mark.parametrize("cls", [False, True])
def test_several_labels_a_row_and_the_first_token_are_learnt_too(
    weights: str, tmp_path: Path, cls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = np.random.default_rng(0)
    targets = chance.integers(0, 2, (64, 3)).astype(np.float32)
    # Token 3 is [SEP]; of each label there is a token of its own in the text.
    tokens = [[2, *(10 + np.flatnonzero(row)).tolist(), 3] for row in targets]
    train, held = loop.Rows(tokens[:48], targets[:48]), loop.Rows(tokens[48:], targets[48:])
    plan = loop.Plan(Path(weights), cls, False, 12, 0, tmp_path)
    tuned = loop.fine_tune(plan, train, held, no_progress)
    first, best = tuned.points[0], tuned.points[tuned.best - 1]
    assert best["valid_loss"] < first["valid_loss"]
    assert best["valid_accuracy"] > 0.7
    assert tuned.held.shape == (16, 3)
