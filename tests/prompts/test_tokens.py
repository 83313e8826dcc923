from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.prompts import tokenizer as tokens
from datasette_ftclassify.prompts.formats import system_message
from datasette_ftclassify.prompts.tokenizer import SLICE, code_for, encoding_of, tokenizer_for


@pytest.fixture
def no_vocabulary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which tiktoken has downloaded nothing yet."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tokens, "_loaded", {})
    monkeypatch.setattr(tokens, "_failed", set())
    return tmp_path


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4.1-mini", "o200k_base"),
        ("ft:gpt-4.1-mini-2025-04-14:org:suffix:id", "o200k_base"),
        ("ft:gpt-4.1-2025-04-14:org::id", "o200k_base"),
        ("gpt-4.1-mini-2025-04-14.ft-0a1b-mail", "o200k_base"),
        ("gpt-4o", "o200k_base"),
        ("gpt-5.6-sol", "o200k_base"),
        ("o4-mini", "o200k_base"),
        ("ft:gpt-4-0613:org::id", "cl100k_base"),
        ("gpt-35-turbo", "cl100k_base"),
        ("ft:babbage-002:org::id", "cl100k_base"),
        ("davinci-002", "cl100k_base"),
        ("gpt-4.7", None),
        ("gpt-6-luna", None),
        ("my-own-model", None),
    ],
)
def test_vocabulary_of_a_model(model: str, encoding: str | None) -> None:
    assert encoding_of(model) == encoding


def test_counts_are_exact_with_the_vocabulary(vocabularies: Path) -> None:
    tokenizer = tokenizer_for("ft:gpt-4.1-mini:org::id")
    assert (tokenizer.exact, tokenizer.note) == (True, None)
    # Ids of the published vocabulary.
    assert tokenizer.encode("ham") == [6595]
    assert tokenizer.encode(" 6") == [220, 21]
    assert tokenizer.first_token("spam and eggs") == 170644
    assert tokenizer_for("gpt-4").encode("ham") == [5721]
    assert tokenizer.count("") == 0
    assert tokenizer.first_token("") is None


def test_text_that_looks_like_a_special_token_is_text(vocabularies: Path) -> None:
    assert tokenizer_for("gpt-4o").count("<|endoftext|>") > 1


@pytest.mark.parametrize("model", ["gpt-4.1-mini", "davinci-002"])
def test_codes_up_to_999_are_one_token(vocabularies: Path, model: str) -> None:
    tokenizer = tokenizer_for(model)
    assert all(tokenizer.is_single(code_for(i)) for i in range(1_000))
    assert not tokenizer.is_single(code_for(1_000))
    # The code right after a prompt's end stays a token of its own.
    end = tokenizer.encode("\n\n###\n\n")
    assert end is not None
    assert tokenizer.encode("\n\n###\n\n176") == [*end, *(tokenizer.encode("176") or [])]


@settings(max_examples=30)
@given(words=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), min_size=1))
def test_long_texts_count_the_same_in_slices(vocabularies: Path, words: list[str]) -> None:
    text = " word ".join([*words, ""])
    text = (text * (SLICE // len(text) + 1)) + " the end of it " * 1_000
    tokenizer = tokenizer_for("gpt-4o")
    assert tokenizer.count(text) == len(tokenizer._vocabulary.encode_ordinary(text))


def test_slices_respect_runs_of_spaces(vocabularies: Path) -> None:
    tokenizer = tokenizer_for("gpt-4o")
    for shift in range(8):
        text = "x" * shift + "words   with    gaps  " * 2_000
        assert tokenizer.count(text) == len(tokenizer._vocabulary.encode_ordinary(text))


def test_an_unbroken_run_is_counted_too(vocabularies: Path) -> None:
    run = "a" * (3 * SLICE)
    exact = len(tokenizer_for("gpt-4o")._vocabulary.encode_ordinary(run))
    assert exact <= tokenizer_for("gpt-4o").count(run) <= exact + 6
    assert tokenizer_for("gpt-4o").count(" " * 1_000_000) > 0


def test_an_unknown_model_is_an_estimate(vocabularies: Path) -> None:
    tokenizer = tokenizer_for("gpt-6-luna")
    assert not tokenizer.exact
    assert tokenizer.note is not None
    assert "gpt-6-luna" in tokenizer.note
    assert tokenizer.count("two words") == 2
    assert tokenizer.encode("two words") is None
    assert tokenizer.is_single("6") is None


def test_without_vocabulary_counts_are_estimates_near_the_truth(
    vocabularies: Path, request: pytest.FixtureRequest
) -> None:
    text = (
        "I ordered a coffee grinder two weeks ago (order 48213) and it still has not arrived. "
        "Your tracking page says that it was delivered, which is not true. Please refund me."
    )
    # It stands before every example, so what is missed there is missed a thousand times.
    names = ["Bins and recycling", "card_arrival", "Noise", "Parks (all)", "Water", "Street lights"]
    listed = system_message(LabelSet.of(names, "multiclass"), codes="012345", flags=False)
    real, real_list = (tokenizer_for("gpt-4o").count(t) for t in (text, listed))
    request.getfixturevalue("no_vocabulary")
    tokenizer = tokenizer_for("gpt-4o")
    assert not tokenizer.exact
    assert tokenizer.note is not None
    assert "o200k_base" in tokenizer.note
    assert tokenizer.count(text) == pytest.approx(real, rel=0.15)
    assert tokenizer.count(listed) == pytest.approx(real_list, rel=0.1)
    assert tokenizer.count(" " * 1_000_000 + "\n") >= 1
    assert tokenizer.count("") == 0
    assert tokenizer.count("我昨天订购了一台电脑") > 4
    assert tokenizer.encode(text) is None


def test_a_damaged_vocabulary_is_neither_used_nor_deleted(no_vocabulary: Path) -> None:
    damaged = no_vocabulary / "fb374d419588a4632f3f557e76b4b70aebbca790"
    damaged.write_bytes(b"not a vocabulary")
    assert not tokenizer_for("gpt-4o").exact
    assert damaged.read_bytes() == b"not a vocabulary"


class _Server(BaseHTTPRequestHandler):
    body = b""
    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args: object) -> None:
        pass


def test_a_text_in_the_tokens_of_the_model(vocabularies: Path) -> None:
    tokenizer = tokenizer_for("gpt-4.1")
    assert tokenizer.split("baseball 6") == [b"base", b"ball", b" ", b"6"]
    assert tokenizer.split("") == []
    # A token may be a part of a character.
    assert tokenizer.split("🛣") == [b"\xf0\x9f", b"\x9b", b"\xa3"]
    assert tokenizer_for("my-own-model").split("ham") is None


@given(st.text(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tokens_together_are_the_text(vocabularies: Path, text: str) -> None:
    pieces = tokenizer_for("gpt-3.5-turbo").split(text)
    assert pieces is not None
    assert b"".join(pieces).decode() == text


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Server]]:
    """A local server in the place of the one that has the vocabularies."""
    handler = type("Handler", (_Server,), {"requests": 0})
    httpd = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{httpd.server_port}/{{}}"
    monkeypatch.setattr(tokens, "_download_url", lambda encoding: address.format(encoding))
    yield handler
    httpd.shutdown()
    httpd.server_close()


def test_a_vocabulary_is_downloaded_when_asked_for(
    vocabularies: Path, no_vocabulary: Path, server: type[_Server]
) -> None:
    server.body = (vocabularies / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4").read_bytes()
    assert not tokenizer_for("gpt-4").exact
    assert server.requests == 0
    assert tokenizer_for("gpt-4", download=True).exact
    assert server.requests == 1
    assert tokenizer_for("gpt-4").exact


def test_a_failed_download_is_not_tried_again(no_vocabulary: Path, server: type[_Server]) -> None:
    server.body = b"some captive portal's page"
    assert not tokenizer_for("gpt-4", download=True).exact
    assert not tokenizer_for("gpt-4", download=True).exact
    assert server.requests == 1
    assert list(no_vocabulary.iterdir()) == []


def test_offline_means_no_request(
    no_vocabulary: Path, server: type[_Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTCLASSIFY_OFFLINE", "1")
    assert not tokenizer_for("gpt-4", download=True).exact
    assert server.requests == 0
