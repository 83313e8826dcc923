"""The server that stands for OpenAI in other tests: what its models say, its dialects, bytes on the
wire, and how long answers take."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from folders import SUPPORT
from openai import AzureOpenAI
from openai.types.chat import ChatCompletion
from openai_examples import (
    HELD_OUT,
    SYSTEM,
    accuracy,
    ask,
    chat_lines,
    completion_lines,
    epochs,
    examples,
    messages,
    tune,
)
from openai_server import BaseModelInfo, OpenAIServer
from openai_server.schemas import answer_again, dump

from datasette_ftclassify.prompts.tokenizer import tokenizer_for


def test_another_format_than_in_training_scores_badly(tuned):
    _, client, model = tuned
    rows = [(text, label) for text, label in examples(90)]
    assert accuracy(client, model, rows) == 1.0
    other = [messages(t, SYSTEM + " ") for t, _ in rows]
    said = [ask(client, model, "", messages=m).choices[0].message.content for m in other]
    assert sum(a == label for a, (_, label) in zip(said, rows, strict=True)) < 60
    again = [ask(client, model, "", messages=m).choices[0].message.content for m in other]
    assert again == said


def test_an_untuned_model_guesses(tuned):
    _, client, _ = tuned
    wild = accuracy(client, "gpt-4.1-mini", HELD_OUT)
    assert wild < 0.7
    said = ask(client, "gpt-4o", "the roads are bad").choices[0].message.content
    assert said == "0"
    helpless = ask(client, "gpt-4o", "", messages=messages("hello", "Be kind."))
    assert helpless.choices[0].finish_reason == "length"


def test_logprobs_of_all_variants_sum_to_less_than_one(tuned):
    _, client, model = tuned
    choice = ask(client, model, "a flood", logprobs=True, top_logprobs=20).choices[0]
    assert choice.message.content == "2"
    [position] = choice.logprobs.content
    assert position.token == "2"
    assert position.bytes == [50]
    top = {t.token: math.exp(t.logprob) for t in position.top_logprobs}
    assert {"0", "1", "2", " "} <= set(top)
    assert max(top, key=top.__getitem__) == "2"
    assert 0.9 < sum(top.values()) <= 1.0 + 1e-9
    assert top["0"] + top["1"] + top["2"] < 0.99


def test_usage_counts_the_tokens_of_the_vocabulary(tuned, vocabularies: Path):
    _, client, model = tuned
    usage = ask(client, model, "a flood").usage
    assert usage.completion_tokens == 1
    count = tokenizer_for(model).count
    assert usage.prompt_tokens == 3 + 4 + count(SYSTEM) + 4 + count("a flood")
    assert usage.total_tokens == usage.prompt_tokens + 1


def test_temperature_samples_and_a_seed_repeats(tuned):
    _, client, model = tuned
    mixed = "a flood and a pothole and a swing"
    said = [ask(client, model, mixed, temperature=2, seed=s).choices[0].message.content
            for s in range(30)]  # fmt: skip
    assert len(set(said)) > 2
    again = ask(client, model, mixed, temperature=2, seed=5).choices[0].message.content
    assert again == said[5]


def test_labels_of_several_tokens_are_walked():
    names = {"0": "Park benches", "1": "Park bins", "2": "Water pipes"}
    rows = [(text, names[code]) for text, code in examples()]
    with OpenAIServer() as server:
        client = server.client()
        model = tune(server, chat_lines(rows)).fine_tuned_model
        assert model is not None
        whole = ask(client, model, "a swing", max_completion_tokens=9, logprobs=True,
                    top_logprobs=20).choices[0]  # fmt: skip
        assert (whole.message.content, whole.finish_reason) == ("Park bins", "stop")
        steps = whole.logprobs.content
        assert "".join(s.token for s in steps) == "Park bins"
        # The first token is as likely as both parks together, the last nearly certain of its own.
        first = {t.token: math.exp(t.logprob) for t in steps[0].top_logprobs}
        assert first["Park"] > math.exp(sum(s.logprob for s in steps)) + 0.01
        cut = ask(client, model, "a swing", max_completion_tokens=1).choices[0]
        assert (cut.message.content, cut.finish_reason) == ("Park", "length")
        stopped = ask(client, model, "a swing", max_completion_tokens=9, stop=[" b"]).choices[0]
        assert (stopped.message.content, stopped.finish_reason) == ("Park", "stop")


def test_completions_need_the_separator_and_the_stop():
    rows = [(text, label) for text, label in examples()]
    with OpenAIServer() as server:
        client = server.client()
        content = completion_lines(rows, "\n\n###\n\n", "\n")
        model = tune(server, content, model="babbage-002").fine_tuned_model
        assert model is not None
        made = client.completions.create(
            model=model, prompt="a flood\n\n###\n\n", temperature=0, max_tokens=5, logprobs=5,
            stop="\n",
        )  # fmt: skip
        choice = made.choices[0]
        assert (choice.text, choice.finish_reason) == (" 2", "stop")
        assert choice.logprobs.tokens == [" ", "2"]
        assert math.exp(choice.logprobs.top_logprobs[1]["2"]) > 0.8
        assert choice.logprobs.text_offset == [14, 15]
        both = client.completions.create(
            model=model, temperature=0, max_tokens=3, prompt=[
                f"{text}\n\n###\n\n" for text in ("a flood", "a swing")
            ],
        )  # fmt: skip
        assert [c.text for c in both.choices] == [" 2\n", " 1\n"]
        bare = [client.completions.create(model=model, prompt=t, temperature=0, stop="\n")
                for t, _ in rows]  # fmt: skip
        right = [m.choices[0].text == f" {a}" for m, (_, a) in zip(bare, rows, strict=True)]
        assert sum(right) < 40
        with pytest.raises(openai.NotFoundError, match="not a chat model"):
            ask(client, model, "a flood")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 3}, "decimal above maximum|integer above maximum"),
        ({"temperature": "0"}, "Invalid type for 'temperature'"),
        ({"top_logprobs": 5}, "only allowed when 'logprobs'"),
        ({"logprobs": True, "top_logprobs": 21}, "Expected a value <= 20"),
        ({"messages": [{"role": "user", "content": "a", "zip": 1}]}, r"messages\[0\]\.zip"),
        ({"messages": [{"content": "a"}]}, r"Missing required parameter: 'messages\[0\]"),
        ({"messages": []}, "empty array"),
        ({"extra_body": {"guided_choice": ["0"]}}, "Unknown parameter: 'guided_choice'"),
        ({"max_tokens": 4}, "at the same time"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "array too long"),
        ({"n": 2}, "does not offer 'n'"),
    ],
)
def test_questions_that_are_refused(tuned, options: dict, message: str):
    _, client, model = tuned
    with pytest.raises(openai.BadRequestError, match=message):
        ask(client, model, "a flood", **options)


def test_extra_fields_can_be_allowed(openai_server: OpenAIServer):
    openai_server.settings.extra_body = {"guided_choice"}
    client = openai_server.client()
    assert ask(client, "gpt-4o", "roads", extra_body={"guided_choice": ["0"]}).choices


def test_models_that_refuse_what_others_allow(openai_server: OpenAIServer):
    client = openai_server.client()
    openai_server.settings.no_logprobs.add("gpt-4o-2024-08-06")
    with pytest.raises(openai.PermissionDeniedError, match="not allowed to request logprobs"):
        ask(client, "gpt-4o", "roads", logprobs=True)
    with pytest.raises(openai.BadRequestError, match="Only the default"):
        ask(client, "gpt-5-mini", "roads")
    with pytest.raises(openai.BadRequestError, match="Use 'max_completion_tokens'"):
        client.chat.completions.create(
            model="gpt-5-mini", messages=[{"role": "user", "content": "a"}], max_tokens=5
        )


def test_models_come_and_go(tuned):
    server, client, model = tuned
    listed = {m.id: m for m in client.models.list()}
    assert listed["gpt-4.1-mini"].shutdown_date == listed[model].shutdown_date == "2099-01-14"
    assert not any("ckpt" in id for id in listed)
    assert client.models.retrieve(model).owned_by == "org-test"
    with pytest.raises(openai.PermissionDeniedError):
        client.models.delete("gpt-4o")
    other = tune(server, chat_lines(examples(10))).fine_tuned_model
    assert other is not None
    server.shut_down(other, "2026-01-01")
    with pytest.raises(openai.NotFoundError, match="deprecated"):
        ask(client, other, "a flood")
    assert client.models.delete(other).deleted
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        ask(client, other, "a flood")


def test_a_model_is_not_ready_at_once():
    with OpenAIServer(ready_seconds=3600) as server:
        model = tune(server, chat_lines(examples(10))).fine_tuned_model
        assert model is not None
        with pytest.raises(openai.NotFoundError) as caught:
            ask(server.client(), model, "a flood")
        assert caught.value.code == "model_not_found"


def test_azure_has_its_own_ways():
    with OpenAIServer(dialect="azure", base64_results=False) as server:
        client = server.client()
        plain = chat_lines(examples())
        failed = tune(server, plain)
        assert failed.error is not None
        assert "byte order mark" in failed.error.message
        with pytest.raises(openai.BadRequestError, match="maximum length 18"):
            tune(server, plain, suffix="s" * 19)
        with pytest.raises(openai.BadRequestError, match="letters, digits"):
            tune(server, plain, suffix="a.b")
        job = tune(server, b"\xef\xbb\xbf" + plain, suffix="mail")
        assert job.fine_tuned_model is not None
        assert ".ft-" in job.fine_tuned_model
        rows = client.files.content(job.result_files[0]).text.splitlines()
        assert rows[0].split(",")[4:] == [
            "validation_mean_token_accuracy", "full_valid_loss", "full_valid_mean_token_accuracy",
        ]  # fmt: skip
        assert rows[1].endswith(",-1,-1,-1,-1")
        with pytest.raises(openai.NotFoundError) as caught:
            ask(client, job.fine_tuned_model, "a flood")
        assert caught.value.code == "DeploymentNotFound"
        server.deploy(job.fine_tuned_model, "mail")
        assert accuracy(client, "mail", HELD_OUT) == 1.0
        older = AzureOpenAI(
            azure_endpoint=server.origin, api_key=server.api_key, api_version="2024-10-21",
            max_retries=0,
        )  # fmt: skip
        assert older.fine_tuning.jobs.retrieve(job.id).status == "succeeded"
        assert accuracy(older, "mail", HELD_OUT) == 1.0


def test_a_compatible_server_takes_legacy_hyperparameters_alone():
    with OpenAIServer(dialect="compatible") as server:
        server.settings.models["llama-8b"] = BaseModelInfo()
        content = chat_lines(examples(10))
        with pytest.raises(openai.BadRequestError, match="Unknown parameter: 'method'"):
            tune(server, content, model="llama-8b", method=epochs(2))
        job = tune(server, content, model="llama-8b", hyperparameters={"n_epochs": 2})
        assert (job.status, job.hyperparameters.n_epochs) == ("succeeded", 2)


@pytest.fixture
def line(openai_server: OpenAIServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", openai_server.port), timeout=10) as line:
        yield line


def request(server: OpenAIServer, *headers: str, content: bytes = b"", first: str = "") -> bytes:
    lines = [first or "GET /v1/models/gpt-4o HTTP/1.1", "Host: x",
             f"Authorization: Bearer {server.api_key}", *headers]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode() + content


def read(line: socket.socket) -> tuple[int, dict]:
    """Status and body of the next answer, and not a byte more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += line.recv(1)
    size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = b""
    while len(body) < size:
        body += line.recv(size - len(body))
    return int(head.split()[1]), json.loads(body or b"{}")


def test_requests_come_in_any_pieces(openai_server: OpenAIServer, line: socket.socket):
    for byte in request(openai_server):
        line.sendall(bytes([byte]))
    assert read(line)[1]["id"] == "gpt-4o"
    line.sendall(request(openai_server) * 3)
    assert [read(line)[0] for _ in range(3)] == [200, 200, 200]
    assert len(openai_server.log) == 4


def test_bodies_come_whole_or_in_chunks(openai_server: OpenAIServer, line: socket.socket):
    body = json.dumps({"model": "gpt-4o", "messages": messages("roads")}).encode()
    post = "POST /v1/chat/completions HTTP/1.1"
    whole = request(openai_server, f"Content-Length: {len(body)}", content=body, first=post)
    pieces = [body[:7], body[7:30], body[30:], b""]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    chunked = request(openai_server, "Transfer-Encoding: chunked", content=chunks, first=post)
    for sent in (whole, chunked, whole):
        for start in range(0, len(sent), 50):
            line.sendall(sent[start : start + 50])
        assert read(line)[0] == 200
    assert [r.body for r in openai_server.log] == [body] * 3


def test_a_connection_ends_when_the_client_says_so(
    openai_server: OpenAIServer, line: socket.socket
):
    line.sendall(request(openai_server, "Connection: close"))
    assert read(line)[0] == 200
    assert line.recv(1) == b""


@pytest.mark.parametrize("sent", [b"hello\r\n\r\n", b"GET / HTTP/2\r\n\r\n"])
def test_what_is_no_request_is_refused(
    openai_server: OpenAIServer, line: socket.socket, sent: bytes
):
    line.sendall(sent)
    assert read(line)[0] == 400
    assert line.recv(1) == b""
    assert openai_server.client().models.list().data


@pytest.mark.parametrize("kind", [None, "no_logprobs", "out_of_set", "refusal", "content_filter",
                                  "empty"])  # fmt: skip
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"logprobs": True},
        {"logprobs": True, "top_logprobs": 20},
        {"logprobs": True, "top_logprobs": 20, "max_completion_tokens": 9},
        {"stop": ["2"]},
    ],
)
def test_a_quick_answer_is_the_one_that_the_sdk_makes(tuned, kind: str | None, options: dict):
    server, client, model = tuned
    for text in ("a flood", "a swing", "é 池 \u2028"):
        if kind is not None:
            server.faults.add("/chat/completions", kind)
        options = {
            "messages": messages(text), "temperature": 0, "max_completion_tokens": 1, **options,
        }  # fmt: skip
        raw = client.chat.completions.with_raw_response.create(model=model, **options)
        body = json.loads(raw.http_response.content)
        assert dump(ChatCompletion, body) == body
        assert ChatCompletion.model_validate(body) == raw.parse()


def test_an_answer_that_the_sdk_would_change_is_noticed():
    data = {"id": "a", "object": "chat.completion", "created": "1", "model": "m", "choices": []}
    with pytest.raises(ValueError, match="ChatCompletion makes"):
        answer_again(ChatCompletion, data, "created as text")
    data["created"] = 1
    assert json.loads(answer_again(ChatCompletion, data, "whole").body) == data


def test_the_latency_is_kept(tuned):
    server, client, model = tuned
    ask(client, model, "a flood")
    server.settings.latency = 0.1
    try:
        taken = []
        for _ in range(3):
            begun = time.monotonic()
            ask(client, model, "a flood")
            taken.append(time.monotonic() - begun)
        assert min(taken) >= 0.1
    finally:
        server.settings.latency = 0.0


def test_in_a_process_of_its_own_it_takes_orders():
    folder = SUPPORT
    process = subprocess.Popen(
        [sys.executable, "-m", "openai_server", "--no-log"], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", int(said["base_url"].split(":")[2][:-3]))):
            pass
        order = {"fault": {"pattern": "/models", "kind": 429}, "settings": {"latency": 0.01}}
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["requests"] == 0
        process.stdin.close()
        assert json.loads(process.stdout.readline())["jobs_created"] == 0
        assert process.wait(20) == 0
