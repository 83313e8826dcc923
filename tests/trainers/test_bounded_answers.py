"""Whatever a service sends, and however slowly: memory and time have bounds, and a reason is given.

`benchmarks/hostile_answers.py` measures the same with real sizes.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hostile_service import (
    MIB,
    Answer,
    HostileService,
    bomb,
    deep,
    endless,
    large,
    large_headers,
    pages_without_end,
    refused_at_length,
    trickle,
    trickled_headers,
)

from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.export import ExportFormat
from datasette_ftclassify.prompts.tokenizer import tokenizer_for
from datasette_ftclassify.trainers.access import Endpoint
from datasette_ftclassify.trainers.decisions import inference as decisions
from datasette_ftclassify.trainers.openai_protocol import bounded_responses, pagination
from datasette_ftclassify.trainers.openai_protocol.batch import OpenAIBatchClient
from datasette_ftclassify.trainers.openai_protocol.client import open_client
from datasette_ftclassify.trainers.openai_protocol.dialect import OPENAI
from datasette_ftclassify.trainers.openai_protocol.errors import FAILURES, problem
from datasette_ftclassify.trainers.openai_protocol.inference import OpenAIInferenceClient
from datasette_ftclassify.trainers.openai_protocol.training_metrics import MOST_POINTS, read_results
from datasette_ftclassify.trainers.service_errors import ServiceProblem, TryAgain

SECONDS = 1.0
"""Of patience, here."""

LABELS = LabelSet(("Roads", "Waste"), "binary")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, vocabularies: Path) -> None:
    monkeypatch.setattr(bounded_responses, "JSON_BYTES", 2 * MIB)
    monkeypatch.setattr(bounded_responses, "ANSWER_BYTES", MIB)
    monkeypatch.setattr(bounded_responses, "STREAM_BYTES", 4 * MIB)
    monkeypatch.setattr(bounded_responses, "STREAM_SECONDS", SECONDS)
    monkeypatch.setattr(decisions, "TIMEOUT", SECONDS)
    for model in ("gpt-4.1-mini", "gpt-6-luna"):
        tokenizer_for(model).count("a")  # which takes memory of its own


@contextmanager
def within(seconds: float, size: int) -> Iterator[None]:
    """Fails when the block takes longer, of the processor, or more memory than this."""
    tracemalloc.start()
    start = time.process_time()
    try:
        yield
        took, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert took < seconds
    assert peak < size


def header(endpoint: Endpoint) -> dict[str, Any]:
    format = ExportFormat().bind(LABELS).resolved.to_dict()
    return {"model": "gpt-4.1-mini", "format": format, "host": OPENAI.host(endpoint)}


async def list_models(endpoint: Endpoint) -> object:
    with open_client(endpoint, timeout=SECONDS) as client:
        try:
            return list(client.models.list())
        except FAILURES as error:
            raise problem(error) from None


def read_batch(endpoint: Endpoint) -> object:
    batch_client = OpenAIBatchClient(header(endpoint), LABELS, endpoint)
    try:
        return list(batch_client.read("file-1"))
    finally:
        batch_client.close()


async def ask(endpoint: Endpoint) -> object:
    inference_client = OpenAIInferenceClient(header(endpoint), LABELS, endpoint, timeout=SECONDS)
    try:
        return await inference_client.ask("a kerb")
    finally:
        await inference_client.close()


async def decide(endpoint: Endpoint) -> object:
    inference_client = decisions.DecisionsInferenceClient("gpt-6-luna", [], LABELS, endpoint)
    try:
        return await inference_client.ask("a kerb")
    finally:
        await inference_client.close()


ANSWERS: dict[str, Answer] = {
    "large": large(64 * MIB), "endless": endless, "bomb": bomb(64 * MIB), "trickle": trickle,
    "trickled headers": trickled_headers, "large headers": large_headers,
    "deep": deep(400_000), "refused at length": refused_at_length,
}  # fmt: skip


@pytest.mark.parametrize("read", [list_models, ask, decide], ids=lambda f: f.__name__)
@pytest.mark.parametrize("kind", ANSWERS)
async def test_an_answer_without_bounds_is_given_up(kind: str, read: Callable[..., Any]) -> None:
    with HostileService(ANSWERS[kind]) as service:
        endpoint = Endpoint("sk-none", service.base_url)
        with within(SECONDS + 4, 32 * MIB), pytest.raises(ServiceProblem) as caught:
            await read(endpoint)
    assert "Traceback" not in str(caught.value)
    if kind in ("large", "endless", "bomb", "refused at length"):
        assert "MB, and the rest was not read" in str(caught.value)
        assert service.sent < 64 * MIB
    if kind.startswith("trickle"):
        assert "did not answer in time" in str(caught.value)


@pytest.mark.parametrize("kind", ["large", "endless", "bomb", "trickle", "trickled headers"])
def test_a_result_file_without_bounds_is_given_up(kind: str) -> None:
    with HostileService(ANSWERS[kind]) as service:
        endpoint = Endpoint("sk-none", service.base_url)
        with within(SECONDS + 4, 48 * MIB):
            if kind == "bomb":  # of blanks without a line, of which nothing is kept
                assert read_batch(endpoint) == []
                return
            with pytest.raises(ServiceProblem):
                read_batch(endpoint)


def test_a_list_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pagination, "MOST_PAGES", 20)
    with HostileService(pages_without_end) as service:
        endpoint = Endpoint("sk-none", service.base_url)
        batch_client = OpenAIBatchClient(header(endpoint), LABELS, endpoint)
        with pytest.raises(TryAgain, match="did not end"):
            batch_client.find("tag", "file")
        batch_client.close()
    assert len(service.asked) == 20


def test_a_curve_without_an_end_is_cut() -> None:
    table = b"step,train_loss\n" + b"1,1\n" * (MOST_POINTS + 5)
    with within(20, 100 * MIB):
        assert len(read_results(table)) == MOST_POINTS
