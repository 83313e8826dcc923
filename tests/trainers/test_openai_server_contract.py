"""The server that stands for OpenAI, behind a validator of OpenAI's published description."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from judges import prism
from openai import DefaultHttpxClient, OpenAI
from openai_examples import ask, chat_lines, completion_lines, epochs, examples, messages, upload
from openai_server import OpenAIServer

pytestmark = pytest.mark.contract


def show_violations(response: Any) -> None:
    """Puts what Prism found into the failure of the test."""
    if response.status_code == 500:
        response.read()
        assert "VIOLATIONS" not in response.text, response.text


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="module")
def client(server: OpenAIServer) -> Iterator[OpenAI]:
    """A client that talks through Prism."""
    with prism(server.base_url, "--errors") as judge:
        http = DefaultHttpxClient(event_hooks={"response": [show_violations]})
        yield server.client(base_url=judge.url, timeout=60.0, http_client=http)


def test_the_validator_sees_violations(server: OpenAIServer, client: OpenAI):
    with pytest.raises(openai.UnprocessableEntityError):
        ask(client, "gpt-4o", "roads", temperature=9)
    # The description knows no paused jobs, though its endpoints pause them.
    server.faults.add("POST /fine_tuning/jobs", "job_paused")
    file = upload(client, chat_lines(examples()))
    job = client.fine_tuning.jobs.create(model="gpt-4o", training_file=file)
    server.wait(job.id, "paused")
    with pytest.raises(AssertionError, match="status must be equal to one of the allowed values"):
        client.fine_tuning.jobs.retrieve(job.id)
    del server.jobs[job.id]


def test_files_and_uploads(client: OpenAI):
    content = chat_lines(examples())
    file = client.files.create(file=("a.jsonl", content), purpose="fine-tune")
    assert client.files.retrieve(file.id) == file
    assert file.id in [f.id for f in client.files.list()]
    assert client.files.delete(file.id).deleted
    begun = client.uploads.create(
        bytes=len(content), filename="a.jsonl", mime_type="text/jsonl", purpose="fine-tune"
    )
    part = client.uploads.parts.create(begun.id, data=content)
    assert client.uploads.complete(begun.id, part_ids=[part.id]).file is not None
    other = client.uploads.create(
        bytes=9, filename="b.jsonl", mime_type="text/jsonl", purpose="batch"
    )
    assert client.uploads.cancel(other.id).status == "cancelled"


def test_a_chat_model_from_its_job_to_its_end(server: OpenAIServer, client: OpenAI):
    jobs = client.fine_tuning.jobs
    file = upload(client, chat_lines(examples()))
    job = jobs.create(
        model="gpt-4.1-mini", training_file=file, validation_file=file, suffix="mail", seed=1,
        metadata={"tag": "a"}, method=epochs(2),
        integrations=[{"type": "wandb", "wandb": {"project": "p"}}],
    )  # fmt: skip
    assert server.wait(job.id) == "succeeded"
    job = jobs.retrieve(job.id)
    assert [j.id for j in jobs.list(metadata={"tag": "a"})] == [job.id]
    assert len(list(jobs.list_events(job.id, limit=20))) > 20
    assert len(list(jobs.checkpoints.list(job.id))) == 2
    assert job.fine_tuned_model is not None
    choice = ask(client, job.fine_tuned_model, "a flood", logprobs=True, top_logprobs=20).choices[0]
    assert choice.message.content == "2"
    assert ask(client, job.fine_tuned_model, "a flood").choices[0].logprobs is None
    assert client.models.retrieve(job.fine_tuned_model).id == job.fine_tuned_model
    assert job.fine_tuned_model in [m.id for m in client.models.list()]
    assert client.models.delete(job.fine_tuned_model).deleted
    with pytest.raises(openai.NotFoundError):
        ask(client, job.fine_tuned_model, "a flood")


def test_a_completion_model(server: OpenAIServer, client: OpenAI):
    file = upload(client, completion_lines(examples(), "\n###\n", "\n"))
    job = client.fine_tuning.jobs.create(
        model="davinci-002", training_file=file, hyperparameters={"n_epochs": 1}
    )
    assert server.wait(job.id) == "succeeded"
    model = client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model
    assert model is not None
    made = client.completions.create(
        model=model, prompt="a flood\n###\n", logprobs=5, temperature=0, stop="\n"
    )
    assert made.choices[0].text == " 2"


def test_jobs_that_end_otherwise(server: OpenAIServer, client: OpenAI):
    jobs = client.fine_tuning.jobs
    few = upload(client, chat_lines(examples(3)))
    failed = jobs.create(model="gpt-4o", training_file=few)
    assert server.wait(failed.id) == "failed"
    assert jobs.retrieve(failed.id).error is not None
    server.hold("running")
    file = upload(client, chat_lines(examples()))
    job = jobs.create(model="gpt-4o", training_file=file)
    server.wait(job.id, "running")
    assert jobs.cancel(job.id).status == "cancelled"
    server.release()


def test_batches(server: OpenAIServer, client: OpenAI):
    line = {
        "custom_id": "a", "method": "POST", "url": "/v1/chat/completions",
        "body": {"model": "gpt-4o", "messages": messages("roads")},
    }  # fmt: skip
    file = upload(client, json.dumps(line).encode(), "batch")
    made = client.batches.create(
        input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert server.wait(made.id) == "completed"
    assert client.batches.retrieve(made.id).output_file_id is not None
    assert made.id in [b.id for b in client.batches.list()]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (401, openai.AuthenticationError),
        ("training_not_available", openai.PermissionDeniedError),
        (429, openai.RateLimitError),
        ("refusal", None),
        ("content_filter", None),
    ],
)
def test_faults_are_in_the_protocol_too(
    server: OpenAIServer, client: OpenAI, kind: str | int, error: type | None
):
    server.faults.add("/chat/completions", kind)
    if error is None:
        assert ask(client, "gpt-4o", "roads").choices
        return
    with pytest.raises(error):
        ask(client, "gpt-4o", "roads")
