"""Sentence embeddings: used when they help, carried along, and never downloaded."""

from __future__ import annotations

import builtins
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from local_logits import logits_of
from training_sets import fit

from datasette_ftclassify.core.errors import ArtifactError, TrainingError
from datasette_ftclassify.trainers.local import selection
from datasette_ftclassify.trainers.local.model import LocalModel
from datasette_ftclassify.trainers.local.requested_vectors import from_model, load
from datasette_ftclassify.trainers.local.serialization import from_parts, to_parts

model2vec = pytest.importorskip("model2vec")
from tokenizers import Tokenizer  # noqa: E402
from tokenizers.models import WordLevel  # noqa: E402
from tokenizers.pre_tokenizers import Whitespace  # noqa: E402

ANIMALS = re.findall(r"\w+", "cat dog cow pig hen fox rat ant bee elk owl jay yak gnu cod eel")
TOOLS = re.findall(r"\w+", "saw awl adz axe hoe jig peg pin pry rod tap vom wad nut")


def static_model() -> model2vec.StaticModel:
    """Vectors in which animals point one way and tools another."""
    chooser = np.random.default_rng(0)
    words = ["[UNK]", *ANIMALS, *TOOLS]
    vectors = chooser.normal(0, 0.3, size=(len(words), 8))
    vectors[1 : len(ANIMALS) + 1, 0] += 2
    vectors[len(ANIMALS) + 1 :, 1] += 2
    tokenizer = Tokenizer(WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return model2vec.StaticModel(vectors.astype(np.float32), tokenizer, normalize=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("vectors")
    static_model().save_pretrained(path)
    return str(path)


def rows(words: list[str]) -> list[str]:
    return [f"{a} {b}" for a, b in zip(words[::2], words[1::2], strict=False)]


@pytest.fixture(scope="module")
def trained(folder) -> tuple[LocalModel, dict]:
    texts = rows(ANIMALS) + rows(TOOLS)
    names = np.array([0] * len(rows(ANIMALS)) + [1] * len(rows(TOOLS)))
    return fit(texts, names, 2, exclusive=True, embeddings=folder)


def test_vectors_are_those_of_model2vec(folder):
    texts = ["cat dog", "saw", "", "nothing known", "cat cat unknown saw"]
    ours = load(folder).rows(texts)
    np.testing.assert_allclose(ours, static_model().encode(texts), atol=2e-3)


def test_a_quantised_vocabulary_and_token_weights_are_resolved():
    plain = static_model()
    n = len(plain.embedding)
    weighted = model2vec.StaticModel(
        plain.embedding[::-1].copy(),
        plain.tokenizer,
        normalize=True,
        weights=np.linspace(0.5, 2, n),
        token_mapping=np.arange(n)[::-1].copy(),
    )
    texts = ["cat dog", "saw peg cat"]
    np.testing.assert_allclose(from_model(weighted).rows(texts), weighted.encode(texts), atol=2e-3)


def test_embeddings_are_used_when_they_help(trained, folder):
    model, report = trained
    assert model.embedding is not None
    assert report["embeddings"] == Path(folder).name
    assert "on vectors" in report["recipe"]
    assert any("on vectors" not in row["recipe"] for row in report["recipes"])
    # No text of the training rows has these pairs' letters: only the vectors tell.
    assert model.log_probabilities(["yak elk", "nut peg"]).argmax(axis=1).tolist() == [0, 1]


TWO = [f"{word} {n}" for n in range(20) for word in ("yes please", "never ever")]


def test_embeddings_that_do_harm_are_not_carried_along_and_that_is_said(folder, monkeypatch):
    mix = selection.mix

    def badly(recipe, scores, scales):
        return (-1 if recipe.embedding else 1) * mix(recipe, scores, scales)

    monkeypatch.setattr(selection, "mix", badly)
    model, report = fit(TWO, np.arange(40) % 2, 2, exclusive=True, embeddings=folder)
    assert model.embedding is None
    assert report["embeddings"] is None
    assert "vectors" not in to_parts(model)[1]
    assert any("The embeddings are not used" in warning for warning in report["warnings"])


def test_embeddings_that_were_asked_for_are_used_where_they_do_no_harm(folder):
    model, report = fit(TWO, np.arange(40) % 2, 2, exclusive=True, embeddings=folder)
    assert report["embeddings"] == Path(folder).name
    assert model.embedding is not None
    texts = [f"word{n}" for n in range(12)]  # one row a label: no fold can tell
    model, report = fit(texts, np.arange(12), 12, exclusive=True, embeddings=folder)
    assert model.embedding is not None
    assert "no held-out row could tell" in report["why"]


def test_the_stored_classifier_needs_no_model(trained):
    header, parts = to_parts(trained[0])
    loaded = from_parts(json.loads(json.dumps(header)), parts)
    asked = ["yak elk", "", "\x00", "bad \ud800 cat", "🎉 peg", "cat " * 1_000]
    np.testing.assert_array_equal(
        loaded.log_probabilities(asked), trained[0].log_probabilities(asked)
    )


def test_contributions_with_embeddings_add_up_too(trained):
    model, _ = trained
    text = "A yak, elk and peg"
    total = sum(amount for _, amount in model.explain(text, 0, top=99))
    logits = logits_of(model, text)
    bias = float(model.bias[0]) / model.temperature
    assert total == pytest.approx(logits[0] - logits[1] + bias, abs=1e-4)
    assert dict(model.explain(text, 0))["yak"] > 0 > dict(model.explain(text, 0))["peg"]


@pytest.mark.parametrize(
    ("name", "blob"),
    [
        ("tokenizer", b"{}"),
        ("tokenizer", b"\xff"),
        ("tokenizer", b"[" * 100_000),
        ("vectors", b"\x00"),
        ("embedding_weights", b""),
    ],
)
def test_damaged_embeddings_are_refused(trained, name, blob):
    header, parts = to_parts(trained[0])
    header["sizes"] = {**header["sizes"], name: len(blob)}
    with pytest.raises(ArtifactError):
        from_parts(header, {**parts, name: blob}).log_probabilities_one("cat")


def test_a_token_without_a_vector_is_left_out(trained):
    header, parts = to_parts(trained[0])
    shorter = parts["vectors"][: 2 * 8 * 5]
    header["embedding"] = {**header["embedding"], "n_tokens": 5}
    header["sizes"] = {**header["sizes"], "vectors": len(shorter)}
    model = from_parts(header, {**parts, "vectors": shorter})
    assert np.isfinite(model.log_probabilities_one("axe cat")).all()


def test_vectors_that_are_not_finite_are_refused(trained):
    header, parts = to_parts(trained[0])
    vectors = np.frombuffer(parts["vectors"], dtype="<f2").copy()
    vectors[3] = np.nan
    with pytest.raises(ArtifactError, match="vectors"):
        from_parts(header, {**parts, "vectors": vectors.tobytes()})


def test_a_stored_classifier_answers_without_the_extra(trained, monkeypatch):
    header, parts = to_parts(trained[0])
    for package in ("tokenizers", "model2vec"):
        monkeypatch.setitem(sys.modules, package, None)
    loaded = from_parts(header, parts)
    assert loaded.log_probabilities(["yak elk", "nut peg"]).argmax(axis=1).tolist() == [0, 1]
    assert loaded.explain("A yak, elk and peg", 0)


def test_a_missing_model2vec_package_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("model2vec"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(TrainingError, match=r"datasette-ftclassify\[embeddings\]"):
        load("anything")


def test_a_model_that_is_not_here_is_not_downloaded(monkeypatch, tmp_path):
    import socket

    def no_network(*args, **kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(TrainingError, match="hf download some/model"):
        load("some/model")
    with pytest.raises(TrainingError, match="not a model2vec model"):
        load(str(tmp_path))
