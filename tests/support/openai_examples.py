"""Examples for the tests of the OpenAI server, and the few steps they share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from openai import OpenAI
from openai.types import Batch
from openai.types.chat import ChatCompletion
from openai.types.fine_tuning import FineTuningJob
from openai_server import OpenAIServer

SYSTEM = (
    "Classify the text. Answer with the number of its label, and nothing else. The labels:\n"
    "0 = Roads\n1 = Parks\n2 = Water"
)
WORDS = {
    "0": "pothole tarmac kerb junction lorry",
    "1": "swing bench meadow playground bin",
    "2": "flood drain leak pipe sewer",
}

HELD_OUT = [(f"a {w}, seen today", label) for w, label in [
    ("pothole", "0"), ("kerb", "0"), ("lorry", "0"), ("swing", "1"), ("bench", "1"),
    ("meadow", "1"), ("flood", "2"), ("drain", "2"), ("sewer", "2"),
]]  # fmt: skip
"""Other texts, each with one word of its class."""


def examples(n: int = 60) -> list[tuple[str, str]]:
    """(text, label) pairs in three classes, told apart by their words."""
    rows = []
    for i in range(n):
        label = str(i % 3)
        words = WORDS[label].split()
        rows.append((f"report {i} about a {words[i % 5]} and a {words[(i + 2) % 5]}", label))
    return rows


def messages(text: str, system: str = SYSTEM) -> list[dict[str, str]]:
    return [{"role": "system", "content": system}, {"role": "user", "content": text}]


def chat_lines(rows: Sequence[tuple[str, str]], system: str = SYSTEM) -> bytes:
    return _lines(
        {"messages": [*messages(text, system), {"role": "assistant", "content": answer}]}
        for text, answer in rows
    )


def completion_lines(rows: Sequence[tuple[str, str]], separator: str, stop: str) -> bytes:
    return _lines(
        {"prompt": text + separator, "completion": f" {answer}{stop}"} for text, answer in rows
    )


def _lines(items: Any) -> bytes:
    return "".join(json.dumps(item) + "\n" for item in items).encode()


def upload(client: OpenAI, content: bytes, purpose: Any = "fine-tune") -> str:
    return client.files.create(file=("data.jsonl", content), purpose=purpose).id


def epochs(n: int) -> Any:
    return {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": n}}}


def tune(server: OpenAIServer, content: bytes, **options: Any) -> FineTuningJob:
    """A job that has ended."""
    client = server.client()
    options = {"model": "gpt-4.1-mini", **options}
    job = client.fine_tuning.jobs.create(training_file=upload(client, content), **options)
    server.wait(job.id)
    return client.fine_tuning.jobs.retrieve(job.id)


def ask(client: OpenAI, model: str, text: str, **options: Any) -> ChatCompletion:
    options = {
        "messages": messages(text), "temperature": 0, "max_completion_tokens": 1, **options,
    }  # fmt: skip
    return client.chat.completions.create(model=model, **options)


def accuracy(client: OpenAI, model: str, rows: Sequence[tuple[str, str]], **options: Any) -> float:
    said = [ask(client, model, text, **options).choices[0].message.content for text, _ in rows]
    return sum(a == label for a, (_, label) in zip(said, rows, strict=True)) / len(rows)


def batch_lines(model: str, texts: list[str], **options: Any) -> bytes:
    body = {"model": model, "temperature": 0, "max_completion_tokens": 1, **options}
    return b"".join(
        json.dumps(
            {"custom_id": f"row-{i}", "method": "POST", "url": "/v1/chat/completions",
             "body": {**body, "messages": messages(text)}}
        ).encode() + b"\n"
        for i, text in enumerate(texts)
    )  # fmt: skip


def create_batch(client: OpenAI, content: bytes, **options: Any) -> Batch:
    return client.batches.create(
        input_file_id=upload(client, content, "batch"), endpoint="/v1/chat/completions",
        completion_window="24h", **options,
    )  # fmt: skip


def lines_of(client: OpenAI, file_id: str | None) -> dict[str, Any]:
    assert file_id is not None
    text = client.files.content(file_id).text
    return {line["custom_id"]: line for line in map(json.loads, text.splitlines())}
