"""What the server that stands for OpenAI does wrong when it is told to."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import openai
import pytest
from openai import AsyncOpenAI
from openai_examples import ask, chat_lines, epochs, examples, messages, tune, upload
from openai_server import OpenAIServer
from running_jobs import wait_for


@pytest.mark.parametrize(
    ("kind", "error", "code"),
    [
        (400, openai.BadRequestError, None),
        ("content_policy", openai.BadRequestError, "content_policy_violation"),
        (401, openai.AuthenticationError, "invalid_api_key"),
        (403, openai.PermissionDeniedError, "insufficient_permissions"),
        (404, openai.NotFoundError, None),
        ("model_not_ready", openai.NotFoundError, "model_not_found"),
        (429, openai.RateLimitError, "rate_limit_exceeded"),
        ("insufficient_quota", openai.RateLimitError, "insufficient_quota"),
        (500, openai.InternalServerError, None),
        (503, openai.InternalServerError, None),
    ],
)
def test_refusals_and_recovery(
    openai_server: OpenAIServer, kind: str | int, error: type, code: str | None
):
    fault = openai_server.faults.add("/chat/completions", kind, times=2)
    client = openai_server.client()
    for _ in range(2):
        with pytest.raises(error) as caught:
            ask(client, "gpt-4o", "roads")
        assert caught.value.code == code
    assert ask(client, "gpt-4o", "roads").choices
    assert (fault.struck, openai_server.count("POST /chat/completions")) == (2, 3)
    assert [r.status for r in openai_server.log[:3]][2] == 200


def test_training_is_refused_after_the_upload(openai_server: OpenAIServer):
    openai_server.faults.add("POST /fine_tuning/jobs", "training_not_available")
    client = openai_server.client()
    file = upload(client, chat_lines(examples()))
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client.fine_tuning.jobs.create(model="gpt-4o", training_file=file)
    assert caught.value.code == "training_not_available"
    assert openai_server.jobs_created == 0
    assert [f.id for f in client.files.list()] == [file]


def test_retry_after_in_seconds_and_as_a_date(openai_server: OpenAIServer):
    client = openai_server.client()
    openai_server.faults.add("/models", 429, retry_after=300)
    openai_server.faults.add("/models", 429, retry_after=300, http_date=True)
    found = []
    for _ in range(2):
        with pytest.raises(openai.RateLimitError) as caught:
            client.models.list()
        found.append(caught.value.response.headers["retry-after"])
    assert found[0] == "300"
    assert 295 < parsedate_to_datetime(found[1]).timestamp() - time.time() <= 300


def test_when_a_fault_strikes(openai_server: OpenAIServer):
    client = openai_server.client()

    def statuses(n: int) -> list[int | None]:
        start = len(openai_server.log)
        for _ in range(n):
            try:
                client.models.list()
            except openai.APIStatusError:
                pass
        return [r.status for r in openai_server.log[start:]]

    openai_server.faults.add("/models", 500, times=2, skip=1, every=2)
    assert statuses(6) == [200, 500, 200, 500, 200, 200]
    with openai_server.faults.during("GET /mod*", 503) as fault:
        assert statuses(2) == [503, 503]
    assert statuses(1) == [200]
    assert fault.struck == 2
    openai_server.faults.add("/models", 500, where=lambda r: "x" in r.params)
    assert statuses(1) == [200]
    openai_server.faults.add("/models", 429, seconds=0.0)
    openai_server.faults.clear()
    assert statuses(1) == [200]
    with pytest.raises(ValueError, match="'explode' is no fault"):
        openai_server.faults.add("/models", "explode")


@pytest.mark.parametrize("kind", ["drop", "server_error"])
@pytest.mark.parametrize("after", [False, True])
def test_the_caller_cannot_know_whether_a_job_was_made(
    openai_server: OpenAIServer, kind: str, after: bool
):
    client = openai_server.client()
    file = upload(client, chat_lines(examples()))
    openai_server.faults.add("POST /fine_tuning/jobs", kind, after=after)
    with pytest.raises((openai.APIConnectionError, openai.InternalServerError)):
        client.fine_tuning.jobs.create(
            model="gpt-4o", training_file=file, metadata={"tag": "a"}, timeout=5
        )
    assert openai_server.jobs_created == int(after)
    found = list(client.fine_tuning.jobs.list(metadata={"tag": "a"}))
    assert len(found) == int(after)


def test_the_sdk_left_to_itself_pays_twice(openai_server: OpenAIServer):
    client = openai_server.client(max_retries=2)
    file = upload(client, chat_lines(examples()))
    openai_server.faults.add("POST /fine_tuning/jobs", 500, after=True)
    client.fine_tuning.jobs.create(model="gpt-4o", training_file=file)
    assert openai_server.jobs_created == 2


def test_spoilt_deliveries(openai_server: OpenAIServer):
    client = openai_server.client()
    add = openai_server.faults.add
    add("/models", "malformed_json")
    with pytest.raises(json.JSONDecodeError):
        client.models.list()
    add("/models", "truncated")
    with pytest.raises(openai.APIConnectionError):
        client.models.list()
    add("/models", "html")
    with pytest.raises(openai.InternalServerError, match="502"):
        client.models.list()
    add("/models", "hang")
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.2).models.list()
    add("/models", "slow", duration=0.3)
    begun = time.monotonic()
    assert client.models.list().data
    assert time.monotonic() - begun > 0.25


def test_a_redirect_leads_to_another_host(openai_server: OpenAIServer):
    with OpenAIServer() as other:
        other.settings.api_key = "sk-other"
        location = f"http://localhost:{other.port}/v1/models"
        openai_server.faults.add("/models", "redirect", location=location)
        with pytest.raises(openai.APIStatusError):
            openai_server.client().models.list()
        # The SDK follows it; what it takes along is for its callers to know.
        assert [r.path for r in other.log] == ["/models"]
        assert other.requests_with(openai_server.api_key, headers=True) == []


def test_answers_gone_wrong(openai_server: OpenAIServer):
    client = openai_server.client()
    add = openai_server.faults.add
    path = "/chat/completions"

    def choice():
        return ask(client, "gpt-4o", "roads", logprobs=True, top_logprobs=5,
                   max_completion_tokens=9).choices[0]  # fmt: skip

    add(path, "no_logprobs")
    assert (choice().logprobs, choice().logprobs is None) == (None, False)
    add(path, "out_of_set", text="gravel")
    assert choice().message.content == "gravel"
    add(path, "refusal", text="I cannot help with that.")
    refused = choice()
    assert refused.message.refusal == "I cannot help with that."
    assert refused.message.content is None
    add(path, "content_filter")
    assert choice().finish_reason == "content_filter"
    add(path, "empty")
    assert choice().message.content == ""


@pytest.mark.parametrize(
    ("kind", "status"),
    [("job_fails", "failed"), ("job_cancelled", "cancelled"), ("job_paused", "paused")],
)
def test_jobs_that_go_wrong(openai_server: OpenAIServer, kind: str, status: str):
    openai_server.faults.add("POST /fine_tuning/jobs", kind, code="oops", message="Out of luck.")
    client = openai_server.client()
    file = upload(client, chat_lines(examples()))
    job = client.fine_tuning.jobs.create(model="gpt-4o", training_file=file)
    assert openai_server.wait(job.id, status) == status
    job = client.fine_tuning.jobs.retrieve(job.id)
    assert job.status == status
    if status == "failed":
        assert job.error is not None
        assert (job.error.code, job.error.message) == ("oops", "Out of luck.")
    if status == "paused":
        client.fine_tuning.jobs.resume(job.id)
        assert openai_server.wait(job.id) == "succeeded"


def test_a_job_that_stalls_is_cancelled_by_somebody(openai_server: OpenAIServer):
    openai_server.faults.add("POST /fine_tuning/jobs", "job_stalls", stage="queued")
    client = openai_server.client()
    file = upload(client, chat_lines(examples()))
    job = client.fine_tuning.jobs.create(model="gpt-4o", training_file=file)
    assert openai_server.wait(job.id, "queued") == "queued"
    with pytest.raises(TimeoutError):
        openai_server.wait(job.id, timeout=0.2)
    openai_server.set_job(job.id, "cancelled")
    assert client.fine_tuning.jobs.retrieve(job.id).status == "cancelled"


def batch(client: openai.OpenAI, n: int) -> str:
    lines = b"".join(
        json.dumps(
            {"custom_id": str(i), "method": "POST", "url": "/v1/chat/completions",
             "body": {"model": "gpt-4o", "messages": messages("roads")}}
        ).encode() + b"\n"
        for i in range(n)
    )  # fmt: skip
    file = upload(client, lines, "batch")
    made = client.batches.create(
        input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h"
    )
    return made.id


def test_batches_that_go_wrong(openai_server: OpenAIServer):
    client = openai_server.client()
    openai_server.faults.add("POST /batches", "batch_fails", code="oops", message="No.")
    id = batch(client, 2)
    assert openai_server.wait(id) == "failed"
    errors = client.batches.retrieve(id).errors
    assert errors is not None
    assert errors.data is not None
    assert errors.data[0].code == "oops"

    openai_server.faults.add("POST /batches", "batch_expires", done=0.5)
    id = batch(client, 4)
    assert openai_server.wait(id) == "expired"
    ended = client.batches.retrieve(id)
    assert ended.output_file_id is not None
    assert ended.error_file_id is not None
    done = client.files.content(ended.output_file_id).text.splitlines()
    left = [json.loads(x) for x in client.files.content(ended.error_file_id).text.splitlines()]
    assert len(done) == 2
    assert {x["custom_id"]: x["error"]["code"] for x in left} == {
        "2": "batch_expired", "3": "batch_expired",
    }  # fmt: skip

    openai_server.faults.add("/batches/-/chat/completions", 500)
    id = batch(client, 3)
    assert openai_server.wait(id) == "completed"
    counts = client.batches.retrieve(id).request_counts
    assert counts is not None
    assert (counts.completed, counts.failed) == (2, 1)

    openai_server.faults.add("POST /batches", "batch_stalls")
    id = batch(client, 1)
    with pytest.raises(TimeoutError):
        openai_server.wait(id, timeout=0.2)


def test_a_decision_may_be_refused(openai_server: OpenAIServer):
    openai_server.faults.add("/decisions", "refusal")
    decision = openai_server.client().decisions.create(
        model="gpt-6-luna", input="x",
        questions=[{"type": "predicate", "name": "q", "instructions": "x"}],
    )  # fmt: skip
    assert decision.answers[0].to_dict() == {"type": "refusal", "name": "q"}


def test_limits_of_requests(openai_server: OpenAIServer):
    client = openai_server.client()
    openai_server.settings.per_minute = 2
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=[{"role": "user", "content": "a"}]
    )
    assert raw.headers["x-ratelimit-remaining-requests"] == "1"
    ask(client, "gpt-4o", "roads")
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client, "gpt-4o", "roads")
    assert 55 <= int(caught.value.response.headers["retry-after"]) <= 60


def many(server: OpenAIServer, n: int) -> list[int | str]:
    """Statuses of n requests at once."""

    async def run() -> list[int | str]:
        client = AsyncOpenAI(base_url=server.base_url, api_key=server.api_key, max_retries=0)
        one = client.chat.completions.create
        said = [one(model="gpt-4o", messages=[{"role": "user", "content": "a"}]) for _ in range(n)]
        done = await asyncio.gather(*said, return_exceptions=True)
        await client.close()
        return [r.status_code if isinstance(r, openai.APIStatusError) else "ok" for r in done]

    return asyncio.run(run())


def test_many_requests_wait_at_once(openai_server: OpenAIServer):
    openai_server.settings.silent = True
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(many, openai_server, 150)
        wait_for(lambda: openai_server.requests_in_flight == 150, "all of them")
        openai_server.settings.silent = False
        assert said.result() == ["ok"] * 150


def test_more_at_once_than_allowed_are_refused(openai_server: OpenAIServer):
    openai_server.settings.latency = 0.5
    openai_server.settings.max_in_flight = 8
    statuses = many(openai_server, 20)
    assert statuses.count("ok") >= 8
    assert statuses.count(429) >= 1
    assert set(statuses) == {"ok", 429}


def test_a_model_is_tuned_while_others_are_asked(openai_server: OpenAIServer):
    client = openai_server.client()
    model = tune(openai_server, chat_lines(examples())).fine_tuned_model
    assert model is not None
    openai_server.hold("running")
    file = upload(client, chat_lines(examples(600)))
    job = client.fine_tuning.jobs.create(model="gpt-4o", training_file=file, method=epochs(5))
    openai_server.wait(job.id, "running")
    openai_server.release()
    assert ask(client, model, "a flood").choices[0].message.content == "2"
    assert openai_server.wait(job.id) == "succeeded"
