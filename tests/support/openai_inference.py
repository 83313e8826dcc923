"""Models tuned in the tests' own server, and the few steps of asking them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from openai_examples import examples, tune
from openai_server import OpenAIServer

from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.prompts.formats import ExportFormat
from datasette_ftclassify.trainers.access import Endpoint
from datasette_ftclassify.trainers.openai_protocol.dialect import AZURE as AZURE
from datasette_ftclassify.trainers.openai_protocol.dialect import OPENAI
from datasette_ftclassify.trainers.openai_protocol.inference import OpenAIInferenceClient
from datasette_ftclassify.trainers.service import InferenceResponse
from datasette_ftclassify.trainers.service_errors import AskAgain

NAMES = ["Roads", "Parks", "Water works"]
TOWN = LabelSet.of(NAMES, "multiclass")
MANY = LabelSet.of(NAMES, "multilabel")
CODES = ExportFormat(labels="code")
CHAT, COMPLETION = "/chat/completions", "/completions"
Header = dict[str, Any]


_tuned: dict[tuple[int, str], Header] = {}


def tuned(
    server: OpenAIServer, fmt: ExportFormat, labels: LabelSet, base: str = "gpt-4.1-mini"
) -> Header:
    """The header of a model that learnt the towns' reports in the format; trained once."""
    key = (server.port, json.dumps([fmt.to_dict(), labels.kind, base]))
    if key not in _tuned or _tuned[key]["model"] not in server.state.models:
        codec = fmt.bind(labels)
        rows = [(text, values_of(label, labels)) for text, label in examples()]
        lines = "".join(codec.encode(text, values) + "\n" for text, values in rows)
        model = tune(server, lines.encode(), model=base).fine_tuned_model
        _tuned[key] = {
            "model": model, "base": base, "format": codec.resolved.to_dict(),
            "host": f"127.0.0.1:{server.port}", "deployment": None,
        }  # fmt: skip
    return _tuned[key]


def values_of(label: str, labels: LabelSet) -> tuple[str, ...]:
    """Reports on parks are on water too, where a text may have several labels."""
    name = NAMES[int(label)]
    return ("Parks", "Water works") if not labels.exclusive and name == "Parks" else (name,)


def endpoint(server: OpenAIServer, **options: Any) -> Endpoint:
    return Endpoint(**{"api_key": server.api_key, "base_url": server.base_url, **options})


@asynccontextmanager
async def asking(
    server: OpenAIServer, header: Header, labels: LabelSet = TOWN, **options: Any
) -> AsyncIterator[OpenAIInferenceClient]:
    timeout = options.pop("timeout", 20.0)
    dialect = options.pop("dialect", OPENAI)
    where = endpoint(server, **options)
    inference_client = OpenAIInferenceClient(header, labels, where, dialect, timeout=timeout)
    try:
        yield inference_client
    finally:
        await inference_client.close()


async def ask(
    server: OpenAIServer, header: Header, text: str = "a kerb", **options: Any
) -> InferenceResponse:
    async with asking(server, header, **options) as inference_client:
        return await request_with_retry(inference_client, text)


async def request_with_retry(
    inference_client: OpenAIInferenceClient, text: str
) -> InferenceResponse:
    """Asks until there is an answer, as whoever counts the requests does."""
    while True:
        with suppress(AskAgain):
            return await inference_client.ask(text)


def bodies(server: OpenAIServer, start: int) -> list[dict[str, Any]]:
    return [r.json for r in server.log[start:] if r.path in (CHAT, COMPLETION)]


def untuned(server: OpenAIServer, model: str) -> Header:
    return {"model": model, "base": model, "format": CODES.to_dict(),
            "host": f"127.0.0.1:{server.port}"}  # fmt: skip
