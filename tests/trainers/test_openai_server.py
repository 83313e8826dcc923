"""The server that stands for OpenAI in other tests: files, uploads, jobs, batches and decisions."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import openai
import pytest
from folders import SUPPORT
from openai_examples import (
    HELD_OUT,
    accuracy,
    batch_lines,
    chat_lines,
    create_batch,
    epochs,
    examples,
    lines_of,
    tune,
    upload,
)
from openai_server import OpenAIServer


def test_a_file_from_upload_to_deletion(openai_server: OpenAIServer):
    client = openai_server.client()
    content = chat_lines(examples())
    file = client.files.create(
        file=("mail.jsonl", content), purpose="fine-tune",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )  # fmt: skip
    assert (file.bytes, file.filename, file.status) == (len(content), "mail.jsonl", "processed")
    assert file.expires_at == file.created_at + 3600
    assert client.files.retrieve(file.id).id == file.id
    assert client.files.content(file.id).content == content
    assert [f.id for f in client.files.list(purpose="fine-tune")] == [file.id]
    assert list(client.files.list(purpose="batch")) == []
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        client.files.content(file.id)


def test_bytes_that_look_like_a_boundary_stay_as_they_are(openai_server: OpenAIServer):
    client = openai_server.client()
    content = b'--x\r\n\r\n--\r\n{"a": "\\r\\n"}\r\n'
    file = client.files.create(file=("odd.bin", content), purpose="user_data")
    assert client.files.content(file.id).content == content


def test_files_are_listed_in_pages_newest_first(openai_server: OpenAIServer):
    client = openai_server.client()
    ids = [upload(client, f"{i}".encode(), "batch") for i in range(5)]
    assert [f.id for f in client.files.list(limit=2)] == ids[::-1]
    assert [f.id for f in client.files.list(limit=2, order="asc")] == ids


@pytest.mark.parametrize(
    ("name", "content", "purpose", "message"),
    [
        ("a.csv", b"x", "fine-tune", "Unsupported extension 'csv'"),
        ("a.jsonl", b"", "fine-tune", "File is empty"),
        ("a.jsonl", b"x", "fine-tuning", "purpose"),
    ],
)
def test_files_that_are_refused(
    openai_server: OpenAIServer, name: str, content: bytes, purpose: str, message: str
):
    with pytest.raises(openai.BadRequestError, match=message):
        openai_server.client().files.create(file=(name, content), purpose=purpose)  # type: ignore[arg-type]


def test_an_upload_in_parts(openai_server: OpenAIServer):
    client = openai_server.client()
    content = chat_lines(examples())
    upload = client.uploads.upload_file_chunked(
        file=content, filename="big.jsonl", bytes=len(content), mime_type="text/jsonl",
        purpose="fine-tune", part_size=1000, md5=hashlib.md5(content).hexdigest(),
    )  # fmt: skip
    assert upload.status == "completed"
    assert upload.file is not None
    assert client.files.content(upload.file.id).content == content
    with pytest.raises(openai.BadRequestError, match="completed"):
        client.uploads.parts.create(upload.id, data=b"more")


def test_uploads_are_checked_and_cancelled(openai_server: OpenAIServer):
    client = openai_server.client()
    begun = client.uploads.create(
        bytes=10, filename="a.jsonl", mime_type="text/jsonl", purpose="fine-tune"
    )
    part = client.uploads.parts.create(begun.id, data=b"12345")
    with pytest.raises(openai.BadRequestError, match="5 bytes in all, not the 10"):
        client.uploads.complete(begun.id, part_ids=[part.id])
    with pytest.raises(openai.BadRequestError, match="part_0 is not of upload"):
        client.uploads.complete(begun.id, part_ids=["part_0"])
    assert client.uploads.cancel(begun.id).status == "cancelled"


def test_a_job_learns_and_leaves_everything_behind(openai_server: OpenAIServer):
    client = openai_server.client()
    validation = upload(client, chat_lines(HELD_OUT))
    job = tune(
        openai_server, chat_lines(examples()), validation_file=validation, suffix="mail", seed=7,
        metadata={"tag": "a"}, method=epochs(4),
        integrations=[{"type": "wandb", "wandb": {"project": "p", "tags": ["x"]}}],
    )  # fmt: skip
    assert (job.status, job.seed, job.metadata, job.error) == ("succeeded", 7, {"tag": "a"}, None)
    assert job.hyperparameters.n_epochs == 4
    assert job.integrations is not None
    assert job.integrations[0].wandb.project == "p"
    assert job.trained_tokens is not None
    assert 4 * 60 * 40 < job.trained_tokens < 4 * 60 * 80
    model = job.fine_tuned_model
    assert model is not None
    assert model.startswith("ft:gpt-4.1-mini-2025-04-14:test:mail:")
    assert accuracy(client, model, HELD_OUT) == 1.0

    events = list(client.fine_tuning.jobs.list_events(job.id, limit=7))
    assert events[0].message == "The job has successfully completed"
    assert events[-1].message == f"Created fine-tuning job: {job.id}"
    metrics = [e.data for e in events if e.type == "metrics"]
    assert [m["step"] for m in metrics] == sorted({m["step"] for m in metrics}, reverse=True)
    assert metrics[0]["step"] == metrics[0]["total_steps"] == 240
    assert metrics[0]["train_loss"] < metrics[-1]["train_loss"]

    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
    assert [c.step_number for c in checkpoints] == [240, 180, 120]
    assert checkpoints[0].metrics.full_valid_mean_token_accuracy == 1.0
    assert accuracy(client, checkpoints[2].fine_tuned_model_checkpoint, HELD_OUT) == 1.0

    packed = client.files.content(job.result_files[0]).content
    rows = list(csv.DictReader(base64.b64decode(packed).decode().splitlines()))
    assert list(rows[0]) == [
        "step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy",
    ]  # fmt: skip
    assert int(rows[-1]["step"]) == 240


def test_more_epochs_teach_more(openai_server: OpenAIServer):
    losses = []
    for n in (1, 4):
        job = tune(openai_server, chat_lines(examples(600)), method=epochs(n))
        losses.append(openai_server.jobs[job.id].metrics[-1]["train_loss"])
    assert losses[1] < losses[0]


@pytest.mark.parametrize(
    ("broken", "code", "message"),
    [
        (b"not json", "invalid_training_file", "Line 12 is not valid JSON"),
        (b"[1]", "invalid_training_file", "Line 12 is not a dictionary"),
        (b'{"messages": []}', "invalid_training_file", 'Line 12: key "messages" is not a list'),
        (b'{"prompt": "a", "completion": "b"}', "invalid_training_file", "prompt-completion"),
        (
            b'{"messages": [{"role": "user", "content": "a"}]}',
            "invalid_training_file",
            "Line 12: last message must be from the assistant",
        ),
        (
            b'{"messages": [{"role": "bot", "content": "a"}]}',
            "invalid_training_file",
            "Line 12: a message has no known role",
        ),
        (
            chat_lines([("a <|endoftext|> b", "0")]),
            "invalid_training_file",
            "Example 12 message contains an invalid token",
        ),
        (b"\xff", "invalid_training_file", "Line 12 is not valid UTF-8"),
        (b"", "invalid_training_file", "Line 12 is not valid JSON"),
    ],
)
def test_the_line_at_fault_is_named(
    openai_server: OpenAIServer, broken: bytes, code: str, message: str
):
    good = chat_lines(examples(20)).splitlines()
    job = tune(openai_server, b"\n".join([*good[:11], broken.rstrip(), *good[11:]]))
    assert job.status == "failed"
    assert job.error is not None
    assert (job.error.code, job.error.param) == (code, "training_file")
    assert message in job.error.message


def test_ten_examples_are_the_fewest(openai_server: OpenAIServer):
    job = tune(openai_server, chat_lines(examples(9)))
    assert job.error is not None
    assert job.error.code == "invalid_n_examples"
    assert tune(openai_server, chat_lines(examples(10))).status == "succeeded"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "gpt-9"}, "gpt-9 is not available for fine-tuning"),
        ({"model": "gpt-5-mini"}, "not available for fine-tuning"),
        ({"training_file": "file-0"}, "file file-0 does not exist"),
        ({"method": epochs(51)}, "Expected a value <= 50, but got 51"),
        ({"hyperparameters": {"batch_size": 0}}, "Expected a value >= 1, but got 0"),
        ({"suffix": "s" * 65}, "maximum length 64"),
        ({"metadata": {str(i): "" for i in range(17)}}, "at most 16"),
        ({"metadata": {"a": 1}}, "Invalid type for 'metadata"),
        ({"extra_body": {"trainer": "x"}}, "Unknown parameter: 'trainer'"),
        (
            {"method": {"type": "supervised", "supervised": {"hyperparams": {}}}},
            "Unknown parameter: 'method.supervised.hyperparams'",
        ),
        ({"method": {"type": "dpo"}}, "dpo is not offered"),
    ],
)
def test_jobs_that_are_refused(openai_server: OpenAIServer, options: dict, message: str):
    client = openai_server.client()
    good = {"model": "gpt-4o-mini", "training_file": upload(client, chat_lines(examples()))}
    with pytest.raises(openai.BadRequestError, match=message):
        client.fine_tuning.jobs.create(**{**good, **options})
    assert openai_server.jobs_created == 0


def test_jobs_are_found_by_their_metadata(openai_server: OpenAIServer):
    client = openai_server.client()
    file = upload(client, chat_lines(examples(10)))
    create = client.fine_tuning.jobs.create
    tagged = [
        create(model="gpt-4o", training_file=file, metadata={"tag": tag, "of": "ftclassify"})
        for tag in ("a", "b", "a")
    ]
    untagged = create(model="gpt-4o", training_file=file)
    find = client.fine_tuning.jobs.list
    assert [j.id for j in find(metadata={"tag": "a"}, limit=1)] == [tagged[2].id, tagged[0].id]
    assert [j.id for j in find(metadata={"tag": "b", "of": "ftclassify"})] == [tagged[1].id]
    assert [j.id for j in find(extra_query={"metadata": "null"})] == [untagged.id]
    assert len(list(find(limit=3))) == 4
    assert openai_server.jobs_created == openai_server.count("POST /fine_tuning/jobs") == 4


def test_pause_resume_and_cancel(openai_server: OpenAIServer):
    client = openai_server.client()
    jobs = client.fine_tuning.jobs
    openai_server.hold("running")
    id = jobs.create(model="gpt-4o", training_file=upload(client, chat_lines(examples()))).id
    with pytest.raises(openai.BadRequestError, match="cannot become running"):
        jobs.resume(id)
    openai_server.wait(id, "running")
    assert jobs.pause(id).status == "paused"
    openai_server.release()
    assert jobs.retrieve(id).status == "paused"
    assert jobs.resume(id).status == "running"
    assert openai_server.wait(id) == "succeeded"
    with pytest.raises(openai.BadRequestError, match="is succeeded"):
        jobs.cancel(id)

    openai_server.hold("queued")
    id = jobs.create(model="gpt-4o", training_file=upload(client, chat_lines(examples()))).id
    openai_server.wait(id, "queued")
    assert jobs.cancel(id).status == "cancelled"


def test_training_data_may_be_deleted_and_tuned_models_tuned_further(openai_server: OpenAIServer):
    client = openai_server.client()
    first = tune(openai_server, chat_lines([r for r in examples(90) if r[1] != "2"]))
    assert first.fine_tuned_model is not None
    client.files.delete(first.training_file)
    assert accuracy(client, first.fine_tuned_model, HELD_OUT) < 0.7
    rest = chat_lines([r for r in examples(90) if r[1] == "2"])
    second = tune(openai_server, rest, model=first.fine_tuned_model)
    assert second.model == "gpt-4.1-mini-2025-04-14"
    assert second.fine_tuned_model is not None
    assert accuracy(client, second.fine_tuned_model, HELD_OUT) == 1.0


def test_a_wrong_key_is_refused_and_not_repeated(openai_server: OpenAIServer):
    client = openai_server.client().with_options(api_key="sk-wrong-key-123")
    with pytest.raises(openai.AuthenticationError) as caught:
        client.models.list()
    assert "sk-wrong-key-123" not in str(caught.value)
    assert openai_server.requests_with("sk-wrong-key-123") == []
    assert len(openai_server.requests_with("sk-wrong-key-123", headers=True)) == 1


def test_a_killed_server_goes_on(tmp_path: Path):
    with OpenAIServer(folder=tmp_path) as server:
        client = server.client()
        model = tune(server, chat_lines(examples())).fine_tuned_model
        assert model is not None
        server.hold("running", "in_progress")
        file = upload(client, chat_lines(examples(20)))
        job = client.fine_tuning.jobs.create(model="gpt-4o", training_file=file)
        server.wait(job.id, "running")
        batch = create_batch(client, batch_lines(model, [HELD_OUT[0][0]]))
        server.wait(batch.id, "in_progress")
        server.kill()
        with pytest.raises(openai.APIConnectionError):
            client.models.list()
        server.start()
        assert server.wait(job.id) == "succeeded"
        assert server.wait(batch.id) == "completed"
        assert server.jobs_created == 2
        assert accuracy(client, model, HELD_OUT) == 1.0
        assert client.files.content(file).content == chat_lines(examples(20))


def test_a_process_killed_in_the_midst_goes_on(tmp_path: Path):
    command = [sys.executable, "-m", "openai_server", "--folder", str(tmp_path), "--pace", "0.05"]
    start = {"cwd": SUPPORT, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **start) as process:
        told = json.loads(process.stdout.readline())
        client = openai.OpenAI(**told)
        file = upload(client, chat_lines(examples()))
        job = client.fine_tuning.jobs.create(model="gpt-4o", training_file=file)
        process.kill()
    port = told["base_url"].split(":")[2].split("/")[0]
    with subprocess.Popen([*command, "--port", port], **start) as process:
        assert json.loads(process.stdout.readline()) == told
        while client.fine_tuning.jobs.retrieve(job.id).status != "succeeded":
            pass
        out, _ = process.communicate()
    assert json.loads(out)["jobs_created"] == 1


def test_a_batch_answers_like_single_requests(tuned):
    server, client, model = tuned
    texts = [text for text, _ in HELD_OUT]
    content = batch_lines(model, texts, logprobs=True, top_logprobs=5)
    content += batch_lines(model, ["x"], temperature=9).replace(b"row-0", b"row-bad")
    batch = create_batch(client, content, metadata={"tag": "b"})
    assert server.wait(batch.id) == "completed"
    batch = client.batches.retrieve(batch.id)
    assert batch.request_counts is not None
    assert batch.request_counts.model_dump() == {"total": 10, "completed": 9, "failed": 1}
    assert batch.usage is not None
    assert batch.usage.output_tokens == 9
    done = lines_of(client, batch.output_file_id)
    said = [done[f"row-{i}"]["response"]["body"]["choices"][0]["message"]["content"]
            for i in range(9)]  # fmt: skip
    assert said == [label for _, label in HELD_OUT]
    assert list(done) != [f"row-{i}" for i in range(9)]  # in no order
    failed = lines_of(client, batch.error_file_id)
    assert failed["row-bad"]["response"]["status_code"] == 400
    assert [b.id for b in client.batches.list(limit=1)] == [batch.id]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda c: c + c, "duplicate_custom_id"),
        (lambda c: c + b"{\n", "invalid_json_line"),
        (lambda c: c.replace(b"/v1/chat/completions", b"/v1/completions"), "mismatched_endpoint"),
        (lambda c: c.replace(b'"body"', b'"boddy"'), "missing_required_parameter"),
        (lambda c: c + batch_lines("gpt-4.1", ["b"]).replace(b"row-0", b"1"), "mismatched_model"),
    ],
)
def test_batches_that_fail_validation(openai_server: OpenAIServer, change, code: str):
    client = openai_server.client()
    batch = create_batch(client, change(batch_lines("gpt-4o", ["roads"])))
    assert openai_server.wait(batch.id) == "failed"
    errors = client.batches.retrieve(batch.id).errors
    assert errors is not None
    assert errors.data is not None
    assert errors.data[0].code == code


def test_a_cancelled_batch_keeps_what_is_done(openai_server: OpenAIServer):
    client = openai_server.client()
    openai_server.hold("in_progress")
    batch = create_batch(client, batch_lines("gpt-4o", ["roads"] * 3))
    openai_server.wait(batch.id, "in_progress")
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert openai_server.wait(batch.id) == "cancelled"
    left = lines_of(client, client.batches.retrieve(batch.id).error_file_id)
    assert {line["error"]["code"] for line in left.values()} == {"batch_cancelled"}


def test_a_queue_of_batches_has_its_limit(openai_server: OpenAIServer):
    client = openai_server.client()
    openai_server.settings.batch_tokens = 300
    openai_server.hold("in_progress")
    content = batch_lines("gpt-4o", ["roads", "parks"])
    first = create_batch(client, content)
    openai_server.wait(first.id, "in_progress")
    second = create_batch(client, content)
    assert openai_server.wait(second.id) == "failed"
    errors = client.batches.retrieve(second.id).errors
    assert errors is not None
    assert errors.data is not None
    assert errors.data[0].code == "token_limit_exceeded"
    openai_server.release()
    assert openai_server.wait(first.id) == "completed"


def test_decisions_answer_closed_questions(openai_server: OpenAIServer):
    client = openai_server.client()
    choices = [{"value": "Roads", "description": "potholes, kerbs"}, {"value": "Parks"}]
    decision = client.decisions.create(
        model="gpt-6-luna", input="A pothole opened on our roads",
        questions=[
            {"type": "choice", "name": "topic", "instructions": "Which?", "choices": choices},
            {"type": "predicate", "instructions": "It is about roads."},
            {"type": "score", "instructions": "How bad?",
             "levels": [{"label": "fine"}, {"label": "bad"}]},
        ],
    )  # fmt: skip
    topic, about_roads, score = decision.answers
    assert topic.type == "choice"
    assert (topic.name, topic.choice) == ("topic", "Roads")
    assert sum(p.probability for p in topic.probabilities) == pytest.approx(1)
    assert about_roads.type == "predicate"
    assert about_roads.probability > 0.4
    assert score.type == "score"
    assert score.score == pytest.approx(0.5)
    assert decision.usage.output_tokens == 3


def test_decisions_can_be_taught(openai_server: OpenAIServer):
    names = {"0": "Roads", "1": "Parks", "2": "Water"}
    rows = [(text, names[code]) for text, code in examples()]
    openai_server.teach([t for t, _ in rows], [label for _, label in rows])
    client = openai_server.client()
    for text, code in HELD_OUT:
        decision = client.decisions.create(
            model="gpt-6-luna", input=[{"role": "user", "content": text}],
            questions=[
                {"type": "choice", "instructions": "Which?",
                 "choices": [{"value": name} for name in names.values()]},
                {"type": "predicate", "instructions": f"The text is about {names[code]}."},
            ],
        )  # fmt: skip
        choice, predicate = decision.answers
        assert choice.type == "choice"
        assert choice.choice == names[code]
        assert predicate.type == "predicate"
        assert predicate.probability > 0.5


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ([], "expected 1 to 400"),
        ([{"type": "predicate", "instructions": "x"}] * 401, "expected 1 to 400"),
        ([{"type": "choice", "instructions": "x", "choices": [{"value": "a"}]}], "2 to 255"),
        ([{"type": "choice", "instructions": "x", "choices": [{"value": "a"}] * 2}], "unique"),
        ([{"type": "predicate", "instructions": "x", "zip": 1}], r"questions\[0\].zip"),
    ],
)
def test_decisions_that_are_refused(openai_server: OpenAIServer, questions: list, message: str):
    client = openai_server.client()
    with pytest.raises(openai.BadRequestError, match=message):
        client.decisions.create(model="gpt-6-luna", input="x", questions=questions)
