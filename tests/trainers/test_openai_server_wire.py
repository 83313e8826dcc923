"""The server that stands for OpenAI: bytes on the wire, quick answers, and how long they take."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from folders import SUPPORT
from openai.types.chat import ChatCompletion
from openai_examples import ask, messages
from openai_server import OpenAIServer
from openai_server.schemas import answer_again, dump


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
