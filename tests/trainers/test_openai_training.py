"""Training at OpenAI, Azure and servers like them: what is asked for, and what may go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fine_tuning_runs import (
    BOM,
    LABELS,
    ROWS,
    SHORT,
    Killed,
    Setting,
    TrainingLog,
    in_parts,
    is_whole,
)
from openai_examples import HELD_OUT, messages
from openai_server import OpenAIServer

from datasette_ftclassify.core.errors import AccessError, JobStopped, TrainingError
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.trainers.access import Endpoint
from datasette_ftclassify.trainers.base import TrainerOptions, options_of
from datasette_ftclassify.trainers.openai_protocol.create_job import _fields
from datasette_ftclassify.trainers.openai_protocol.dialect import AZURE
from datasette_ftclassify.trainers.openai_protocol.trainer import OpenAITrainer
from datasette_ftclassify.trainers.openai_protocol.training_options import (
    default_epochs,
    extra_body_of,
)
from datasette_ftclassify.trainers.registry import get_trainer
from datasette_ftclassify.trainers.service import Service
from datasette_ftclassify.trainers.service_errors import ServiceRefused, TryAgain

CREATE = "POST /fine_tuning/jobs"
JOB = "GET /fine_tuning/jobs/ftjob-*"


@pytest.fixture
def server(vocabularies: Path, no_certificates: None) -> Iterator[OpenAIServer]:
    with OpenAIServer(pace=0.0, metrics=2) as server:
        yield server


@pytest.fixture
def setting(server: OpenAIServer) -> Setting:
    return Setting(server, rows=ROWS, held_out=6)


def test_from_rows_to_a_model_that_answers(setting: Setting, server: OpenAIServer):
    setting.rows, setting.options = 60, TrainerOptions(seed=7, suffix="town", batch_size=4)
    training_log = TrainingLog()
    tuned = setting.train(training_log)
    (body,) = setting.created()
    chosen = {"n_epochs": 2, "batch_size": 4}
    assert body == {
        "model": "gpt-4.1-mini", "seed": 7, "suffix": "town",
        "metadata": {"ftclassify": training_log.tag},
        "method": {"type": "supervised", "supervised": {"hyperparameters": chosen}},
        **{f"{split}_file": training_log.saved["files"][key]
           for split, key in (("training", "train"), ("validation", "validation"))},
    }  # fmt: skip
    header, report = tuned.header, tuned.report
    assert header["base"] == "gpt-4.1-mini-2025-04-14"
    assert header["model"].startswith("ft:gpt-4.1-mini-2025-04-14:test:town:")
    assert header["host"] == server.origin.removeprefix("http://")
    assert (header["format"]["labels"], header["deployment"]) == ("code", None)
    assert report["service"]["hyperparameters"] == {**chosen, "learning_rate_multiplier": 2.0}
    assert report["service"]["seed"] == 7
    assert [c["step"] for c in report["checkpoints"]] == [15, 30]
    assert report["checkpoints"][-1]["model"] == f"{header['model']}:ckpt-step-30"
    assert report["checkpoints"][-1]["full_valid_loss"] < 0.2
    assert report["shutdown_date"] == "2099-01-14"
    assert report["why"].startswith("Fine-tuned from gpt-4.1-mini-2025-04-14 at 127.0.0.1:")
    assert "2 epochs" in report["why"]
    assert tuned.trained_tokens == server.jobs[report["service"]["job"]].record["trained_tokens"]
    # Asked in the words that it was trained on, it knows the labels by their codes.
    client = server.client()
    for text, answer in HELD_OUT:
        said = client.chat.completions.create(
            model=header["model"], temperature=0, max_completion_tokens=1,
            messages=messages(text, header["format"]["system"]),  # type: ignore[arg-type]
        )  # fmt: skip
        name = LABELS.names[int(said.choices[0].message.content or "")]
        assert name == {"0": "Roads", "1": "Parks", "2": "Water"}[answer]


def test_progress_and_events_are_told_once_and_in_order(setting: Setting):
    training_log = TrainingLog()
    setting.train(training_log)
    told = list(training_log.events.values())
    texts = [message for message, _ in told]
    assert texts.index("Fine-tuning job started") < texts.index(
        "The job has successfully completed"
    )
    figures = [data for _, data in told if data]
    assert [f["step"] for f in figures] == sorted(f["step"] for f in figures)
    assert set(figures[-1]) == {
        "step", "total_steps", "train_loss", "train_mean_token_accuracy", "valid_loss",
        "valid_mean_token_accuracy", "full_valid_loss", "full_valid_mean_token_accuracy",
    }  # fmt: skip
    assert "uploading the train examples" in " ".join(step for step, _ in training_log.steps)
    assert training_log.steps[-1][1] == 1.0


def test_a_poll_is_two_requests_and_the_waits_grow(setting: Setting, server: OpenAIServer):
    server.hold("running")
    setting.trainer = OpenAITrainer()
    training_log = TrainingLog()
    training_log.on_wait = lambda waits: server.release() if waits == 20 else None
    setting.train(training_log)
    asked = [r.path for r in server.log if r.path.startswith("/fine_tuning/jobs/")]
    polls = sum("/" not in p.removeprefix("/fine_tuning/jobs/") for p in asked)
    assert sum(p.endswith("/events") for p in asked) == polls
    assert max(training_log.waits) == 15.0
    assert training_log.waits[0] == 1.0


def test_a_tuned_model_is_tuned_further(setting: Setting, server: OpenAIServer):
    first = setting.train(TrainingLog())
    setting.model = str(first.header["model"])
    second = setting.train(TrainingLog())
    assert setting.created()[1]["model"] == first.header["model"]
    assert second.header["base"] == "gpt-4.1-mini-2025-04-14"
    assert second.header["model"] != first.header["model"]


def test_without_validation_rows(setting: Setting, server: OpenAIServer):
    setting.held_out = 0
    tuned = setting.train(TrainingLog())
    assert "validation_file" not in setting.created()[0]
    assert tuned.report["service"]["files"]["validation"] is None
    assert "valid_loss" not in tuned.report["curve"][-1]


def test_forgetting_deletes_the_model_and_its_files_and_may_be_repeated(
    setting: Setting, server: OpenAIServer
):
    tuned = setting.train(TrainingLog())
    delete_remote = setting.trainer.delete_remote
    kept = [checkpoint["model"] for checkpoint in tuned.report["checkpoints"]]
    assert len(kept) > 1
    assert server.state.models.keys() >= set(kept)
    done = delete_remote(tuned.header, tuned.report, setting.endpoint)
    assert not server.state.models.keys() & set(kept)
    assert done[0] == f"model {tuned.header['model']}"
    assert [what.partition(" ")[0] for what in done] == ["model"] * (1 + len(kept)) + ["file"] * 3
    assert not server.state.files
    assert tuned.header["model"] not in server.state.models
    assert delete_remote(tuned.header, tuned.report, setting.endpoint) == []
    with pytest.raises(Exception, match="base URL that is set leads to"):
        delete_remote({**tuned.header, "host": "api.example.com"}, tuned.report, setting.endpoint)


# Gone on with


def test_what_was_sent_is_not_written_again(setting: Setting, server: OpenAIServer):
    training_log = TrainingLog()
    server.hold("running")
    training_log.on_wait = lambda waits: (_ for _ in ()).throw(Killed)
    with pytest.raises(Killed):
        setting.train(training_log)
    server.release()
    training_log.on_wait = lambda waits: None
    setting.train(training_log)
    assert setting.written == ["train", "validation"]
    assert server.count("POST /files") == 2


def test_a_file_from_before_the_table_was_changed_is_replaced(
    setting: Setting, server: OpenAIServer
):
    training_log = TrainingLog()
    server.faults.add("POST /files", "drop", after=True)
    training_log.on_wait = lambda waits: (_ for _ in ()).throw(Killed)
    with pytest.raises(Killed):
        setting.train(training_log)
    training_log.on_wait = lambda waits: None
    setting.rows += 1
    setting.train(training_log)
    assert server.count("POST /files") == 3
    files = [f for f in server.state.files.values() if f["purpose"] == "fine-tune"]
    assert len(files) == 2


# The one request that costs money


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "kind", ["drop", "server_error", "unavailable", "malformed_json", "html", "truncated",
             "rate_limit"],
)  # fmt: skip
def test_a_job_that_may_have_been_heard_is_looked_for(
    setting: Setting, server: OpenAIServer, kind: str, after: bool
):
    server.faults.add(CREATE, kind, after=after)
    training_log = TrainingLog()
    is_whole(setting, setting.train(training_log), training_log)


def test_a_job_that_appears_late_is_found(setting: Setting, server: OpenAIServer):
    server.faults.add(CREATE, "drop", after=True)
    server.faults.add("GET /fine_tuning/jobs", 500, times=3)
    training_log = TrainingLog()
    is_whole(setting, setting.train(training_log), training_log)
    assert len(setting.created()) == 1


def test_no_answer_in_time_counts_as_not_knowing(setting: Setting, server: OpenAIServer):
    setting.trainer = OpenAITrainer(poll=SHORT, timeout=2.0)
    server.faults.add(CREATE, "hang")
    training_log = TrainingLog()
    is_whole(setting, setting.train(training_log), training_log)
    assert len(setting.created()) == 2


def test_it_asks_three_times_at_most(setting: Setting, server: OpenAIServer):
    with server.faults.during(CREATE, 500), pytest.raises(TryAgain, match="500"):
        setting.train(training_log := TrainingLog())
    assert len(setting.created()) == 3
    assert server.jobs_created == 0
    # Gone on with later, it looks first and trains once.
    is_whole(setting, setting.train(training_log), training_log)


def test_nothing_is_created_while_jobs_cannot_be_listed(setting: Setting, server: OpenAIServer):
    server.faults.add(CREATE, 500)
    server.faults.add("GET /fine_tuning/jobs", "unauthorized")
    with pytest.raises(ServiceRefused, match="Check the key"):
        setting.train(TrainingLog())
    assert len(setting.created()) == 1


def test_a_job_on_a_later_page_is_found_by_its_file_alone(setting: Setting, server: OpenAIServer):
    # A server that keeps no metadata, and on which others train too.
    client = server.client()
    setting.extra_body = {"legacy_hyperparameters": True}
    server.hold("validating_files")
    file = client.files.create(file=("a.jsonl", b"{}\n"), purpose="fine-tune").id
    training_log = TrainingLog()
    server.faults.add(CREATE, "drop", after=True)

    def others(waits: int) -> None:
        server.faults.clear()
        for _ in range(105):
            client.fine_tuning.jobs.create(model="gpt-4.1-mini", training_file=file)
        raise Killed

    server.faults.add("GET /fine_tuning/jobs", 500)
    training_log.on_wait = others
    with pytest.raises(Killed):
        setting.train(training_log)
    server.release()
    training_log.on_wait = lambda waits: None
    setting.train(training_log)
    assert server.jobs_created == 106
    assert server.count("GET /fine_tuning/jobs") > 2


def test_closed_to_newcomers_the_files_are_deleted_and_the_way_on_is_named(
    setting: Setting, server: OpenAIServer
):
    server.faults.add(CREATE, "training_not_available")
    training_log = TrainingLog()
    with pytest.raises(
        ServiceRefused, match=r"not available to your organization.*On 20"
    ) as caught:
        setting.train(training_log)
    assert caught.value.code == "training_not_available"
    assert not server.state.files
    # Once the organization is let in, it begins anew.
    is_whole(setting, setting.train(training_log), training_log)


@pytest.mark.parametrize("times", [2, None])
def test_a_file_that_stays_at_the_service_is_told(
    setting: Setting, server: OpenAIServer, times: int | None
):
    server.faults.add(CREATE, "training_not_available")
    server.faults.add("DELETE /files/*", "server_error", times=times)
    training_log = TrainingLog()
    with pytest.raises(ServiceRefused, match="not available"):
        setting.train(training_log)
    left = [message for message in training_log.messages if "delete it there" in message]
    assert len(left) == len(server.state.files) == (2 if times is None else 0)
    for id in server.state.files:
        assert id in str(left)


@pytest.mark.parametrize(
    ("kind", "message"),
    [("insufficient_quota", "current quota"), ("unauthorized", "Check the key"),
     ("content_policy", "content policy"), ("bad_request", "not valid")],
)  # fmt: skip
def test_a_refusal_is_told_in_the_words_of_the_service(
    setting: Setting, server: OpenAIServer, kind: str, message: str
):
    server.faults.add(CREATE, kind)
    with pytest.raises((ServiceRefused, TrainingError), match=message):
        setting.train(TrainingLog())
    assert len(setting.created()) == 1
    assert not server.state.files  # nobody would delete them later


def test_files_stay_when_a_job_may_use_them(setting: Setting, server: OpenAIServer):
    server.faults.add(CREATE, "drop")
    server.faults.add(CREATE, "insufficient_quota")
    training_log = TrainingLog()
    with pytest.raises(ServiceRefused, match="quota"):
        setting.train(training_log)
    assert server.state.files  # the first request may have been heard, and its job be listed late
    is_whole(setting, setting.train(training_log), training_log)


# Files


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", ["drop", "server_error", "malformed_json", "rate_limit"])
def test_a_file_that_may_have_arrived_is_looked_for(
    setting: Setting, server: OpenAIServer, kind: str, after: bool
):
    server.faults.add("POST /files", kind, after=after)
    training_log = TrainingLog()
    is_whole(setting, setting.train(training_log), training_log)


def test_an_unfinished_file_is_waited_for(setting: Setting, server: OpenAIServer):
    training_log = TrainingLog()

    def finish(waits: int) -> None:
        for file in server.state.files.values():
            file["status"] = "processed"

    training_log.on_wait = finish
    server.faults.add("GET /files/*", "malformed_json")
    tuned = setting.train(training_log)
    first = server.state.files[tuned.report["service"]["files"]["train"]]
    first["status"], training_log.saved["job_id"], training_log.saved["step"] = (
        "uploaded",
        None,
        "upload",
    )
    setting.train(training_log)
    assert any("is processing the examples" in step for step, _ in training_log.steps)


def test_a_file_that_cannot_be_read(setting: Setting, server: OpenAIServer):
    training_log = TrainingLog()
    tuned = setting.train(training_log)
    first = server.state.files[tuned.report["service"]["files"]["train"]]
    first["status"], training_log.saved["job_id"], training_log.saved["step"] = (
        "error",
        None,
        "upload",
    )
    with pytest.raises(TrainingError, match="cannot read the file"):
        setting.train(training_log)


def test_a_large_file_goes_in_parts_and_on_where_it_was_left(server: OpenAIServer):
    setting, training_log = in_parts(server), TrainingLog()
    server.faults.add("POST /uploads/*/parts", 500, skip=1)
    server.faults.add("POST /uploads/*/complete", "drop", after=True)
    tuned = setting.train(training_log)
    (id,) = server.state.uploads
    sent = server.count(f"POST /uploads/{id}/parts")
    assert sent == len(server.state.uploads[id]["parts"]) + 1
    shares = [share for step, share in training_log.steps if "uploading" in step]
    assert shares == sorted(shares)
    assert len(shares) >= 3
    assert server.count("POST /files") == 0
    assert server.state.files[tuned.report["service"]["files"]["train"]]["bytes"] > 2000


def test_an_upload_that_expired_is_begun_anew(server: OpenAIServer):
    setting, training_log = in_parts(server), TrainingLog()
    training_log.on_wait = lambda waits: (_ for _ in ()).throw(Killed)
    server.faults.add("POST /uploads/*/parts", 500, skip=1)
    with pytest.raises(Killed):
        setting.train(training_log)
    training_log.on_wait = lambda waits: None
    (first,) = server.state.uploads.values()
    first["record"]["status"] = "cancelled"
    setting.train(training_log)
    assert len(server.state.uploads) == 2
    assert server.jobs_created == 1


# While it runs


@pytest.mark.parametrize("kind", ["drop", 500, 503, "rate_limit", "malformed_json", "html"])
def test_a_training_is_not_lost_because_asking_fails(
    setting: Setting, server: OpenAIServer, kind: str | int
):
    server.faults.add(JOB, kind, times=30, where=lambda r: not r.path.endswith("/events"))
    server.faults.add("GET /fine_tuning/jobs/*/events", kind, times=3)
    training_log = TrainingLog()
    is_whole(setting, setting.train(training_log), training_log)
    assert sum("The training continues there" in m for m in training_log.messages) == 1


def test_a_service_that_asks_for_a_long_wait_gets_it(setting: Setting, server: OpenAIServer):
    server.faults.add(JOB, "rate_limit", retry_after=300)
    setting.train(training_log := TrainingLog())
    assert max(training_log.waits) == 300


def test_a_revoked_key_ends_it_and_the_training_is_found_again(
    setting: Setting, server: OpenAIServer
):
    server.faults.add(JOB, "unauthorized")
    training_log = TrainingLog()
    with pytest.raises(
        ServiceRefused, match=r"revoked\. The training ftjob-\w+ may go on at .*retry"
    ):
        setting.train(training_log)
    is_whole(setting, setting.train(training_log), training_log)


def test_a_job_that_fails_says_why(setting: Setting, server: OpenAIServer):
    server.faults.add(CREATE, "job_fails")
    with pytest.raises(TrainingError, match=r"internal error \(server_error\)\. Retry") as told:
        setting.train(training_log := TrainingLog())
    assert training_log.saved["step"] == "over"
    assert not server.state.files
    # Killed before anyone was told, it tells so again and pays for nothing.
    with pytest.raises(TrainingError, match="internal error") as again:
        setting.train(training_log)
    assert str(again.value) == str(told.value)
    assert server.jobs_created == 1


def test_an_invalid_file_is_told_with_its_lines(setting: Setting, server: OpenAIServer):
    setting.options = TrainerOptions(format={**_completion(), "form": "completion"})
    with pytest.raises(TrainingError, match=r"Line 1: missing.*invalid_training_file.*export"):
        setting.train(TrainingLog())


def _completion() -> dict[str, Any]:
    chosen = OpenAITrainer().choose_format(LABELS, TrainerOptions(model="davinci-002"))
    assert chosen["form"] == "completion"
    return dict(chosen)


def test_a_completion_model(setting: Setting, server: OpenAIServer):
    setting.model = "davinci-002"
    tuned = setting.train(TrainingLog())
    assert tuned.header["format"]["form"] == "completion"
    assert tuned.header["format"]["stop"] == "\n"


def test_too_few_examples_are_not_sent(setting: Setting, server: OpenAIServer):
    setting.rows = 9
    with pytest.raises(TrainingError, match="9 examples to train on, and 10"):
        setting.train(TrainingLog())
    assert server.log == []


def test_cancelled_by_somebody_else(setting: Setting, server: OpenAIServer):
    server.faults.add(CREATE, "job_cancelled")
    with pytest.raises(TrainingError, match=r"cancelled at 127\.0\.0\.1:.* by somebody else"):
        setting.train(TrainingLog())


def test_paused_by_somebody_else_it_is_waited_for(setting: Setting, server: OpenAIServer):
    server.faults.add(CREATE, "job_paused")
    training_log = TrainingLog()

    def resume(waits: int) -> None:
        if any("is paused at" in m for m in training_log.messages):
            training_log.on_wait = lambda waits: None
            server.set_job(training_log.saved["job_id"], "running")

    training_log.on_wait = resume
    is_whole(setting, setting.train(training_log), training_log)
    assert server.count(f"POST /fine_tuning/jobs/{training_log.saved['job_id']}/resume") == 0


def wish(
    training_log: TrainingLog, server: OpenAIServer, what: str, *, when: str = "running"
) -> None:
    """Somebody asks for it once the job is in the state."""
    server.hold(when)

    def ask(waits: int) -> None:
        id = training_log.saved.get("job_id")
        if id and server.jobs[id].record["status"] == when:
            training_log.wish = what

    training_log.on_wait = ask


@pytest.mark.parametrize("fault", [None, "drop", 500])
def test_paused_and_resumed(setting: Setting, server: OpenAIServer, fault: str | int | None):
    training_log = TrainingLog()
    if fault is not None:
        server.faults.add("POST /fine_tuning/jobs/*/pause", fault, after=True)
        server.faults.add("POST /fine_tuning/jobs/*/resume", fault, after=True)
    wish(training_log, server, "pause")
    with pytest.raises(JobStopped):
        setting.train(training_log)
    job = server.jobs[training_log.saved["job_id"]].record
    assert job["status"] == "paused"
    training_log.wish, training_log.on_wait = None, lambda waits: None
    server.release()
    is_whole(setting, setting.train(training_log), training_log)


def test_where_nothing_can_be_paused_it_goes_on(setting: Setting, server: OpenAIServer):
    training_log = TrainingLog()
    wish(training_log, server, "pause", when="queued")
    with pytest.raises(JobStopped):
        setting.train(training_log)
    assert any("cannot be paused now and goes on at" in m for m in training_log.messages)
    training_log.wish, training_log.on_wait = None, lambda waits: None
    server.release()
    is_whole(setting, setting.train(training_log), training_log)


@pytest.mark.parametrize("fault", [None, "drop", 500])
def test_cancelled(setting: Setting, server: OpenAIServer, fault: str | int | None):
    training_log = TrainingLog()
    wish(training_log, server, "cancel")
    if fault is not None:
        server.faults.add("POST /fine_tuning/jobs/*/cancel", fault, after=True)
    with pytest.raises(JobStopped):
        setting.train(training_log)
    assert server.jobs[training_log.saved["job_id"]].record["status"] == "cancelled"
    assert any("is cancelled at" in m for m in training_log.messages)
    assert not server.state.files


def test_cancelled_too_late_the_model_is_named(setting: Setting, server: OpenAIServer):
    training_log = TrainingLog()
    tuned = setting.train(training_log)
    training_log.wish = "cancel"
    with pytest.raises(JobStopped):
        setting.train(training_log)
    assert any(f"Its model {tuned.header['model']} is there" in m for m in training_log.messages)


def test_a_job_that_cannot_be_cancelled_is_told(setting: Setting, server: OpenAIServer):
    training_log = TrainingLog()
    wish(training_log, server, "cancel")
    with (
        server.faults.during("POST /fine_tuning/jobs/*/cancel", "forbidden"),
        pytest.raises(TrainingError, match="may still run and cost money: cancel it there"),
    ):
        setting.train(training_log)


def test_cancelled_while_nobody_knows_whether_there_is_a_job(
    setting: Setting, server: OpenAIServer
):
    training_log = TrainingLog()
    server.faults.add(CREATE, "drop", after=True)
    server.faults.add("GET /fine_tuning/jobs", 500)
    server.hold("validating_files")
    training_log.on_wait = lambda waits: setattr(training_log, "wish", "cancel")
    with pytest.raises(JobStopped):
        setting.train(training_log)
    (job,) = server.jobs.values()
    assert job.record["status"] == "cancelled"


def test_cancelled_before_there_was_a_job_the_files_go(setting: Setting, server: OpenAIServer):
    training_log = TrainingLog()
    server.faults.add("POST /files", 500, skip=1)
    training_log.on_wait = lambda waits: setattr(training_log, "wish", "cancel")
    with pytest.raises(JobStopped):
        setting.train(training_log)
    assert server.jobs_created == 0
    assert not server.state.files


# Other servers


def test_azure(vocabularies: Path):
    with OpenAIServer(pace=0.0, metrics=4, dialect="azure") as server:
        setting = Setting(server, OpenAITrainer(AZURE, poll=SHORT), model="gpt-4o-mini", rows=ROWS)
        setting.options = TrainerOptions(suffix="town")
        training_log = TrainingLog()
        tuned = setting.train(training_log)
        file = tuned.report["service"]["files"]["train"]
        assert server.state.contents[file].startswith(BOM + b"{")
        assert tuned.header["model"].endswith("-town")
        assert tuned.header["format"]["bom"] is True
        assert tuned.report["shutdown_date"] == "2099-01-14"  # which Azure says in seconds
        curve = tuned.report["curve"]
        assert {"train_loss", "valid_mean_token_accuracy"} <= set(curve[0])
        # Azure writes -1 where an epoch has not ended: no figure is below 0.
        assert all(value >= 0 for point in curve for value in point.values())
        assert "full_valid_loss" in curve[-1]
        assert "full_valid_loss" not in curve[0]
        for ask in (setting.trainer.inference_client, setting.trainer.batch_client):
            with pytest.raises(AccessError, match=r"Deploy it in Azure.*name of the deployment"):
                ask(tuned.header, LABELS, setting.endpoint)


def test_a_server_that_takes_no_method_is_asked_without(vocabularies: Path):
    with OpenAIServer(pace=0.0, metrics=2, dialect="compatible", base64_results=False) as server:
        setting = Setting(server, rows=ROWS)
        training_log = TrainingLog()
        setting.train(training_log)
        first, second = setting.created()
        assert "method" in first
        assert second["hyperparameters"] == {"n_epochs": 2}
        assert "method" not in second
        assert second["metadata"] == {"ftclassify": training_log.tag}
        assert server.jobs_created == 1
        assert any("does not take the field method" in m for m in training_log.messages)


@pytest.mark.parametrize("place", ["endpoint", "options"])
def test_legacy_hyperparameters_and_extra_fields(vocabularies: Path, place: str):
    extra = {"legacy_hyperparameters": True, "project": "p1"}
    with OpenAIServer(pace=0.0, dialect="compatible", extra_body={"project"}) as server:
        setting = Setting(server, rows=ROWS)
        if place == "endpoint":
            setting.extra_body = extra
        else:
            setting.options = TrainerOptions(extra=extra)
        setting.train(TrainingLog())
        (body,) = setting.created()
        assert body["project"] == "p1"
        assert body["hyperparameters"] == {"n_epochs": 2}
        assert not {"method", "metadata", "legacy_hyperparameters"} & set(body)


@pytest.mark.parametrize("place", ["endpoint", "options"])
@pytest.mark.parametrize("legacy", [True, False])
def test_lora_is_asked_for_beside_the_agreed_epochs(
    setting: Setting, server: OpenAIServer, place: str, legacy: bool
):
    extra = {"legacy_hyperparameters": legacy, "hyperparameters": {"lora": True, "batch_size": 4}}
    options = TrainerOptions(batch_size=8, extra=extra if place == "options" else {})
    body = _fields(
        "tag",
        replace(setting.order, options=options),
        Endpoint("k", extra_body=extra if place == "endpoint" else {}),
        {"train": "file-1"},
        [],
    )
    held = body if legacy else body["method"]["supervised"]
    assert held["hyperparameters"] == {"lora": True, "n_epochs": 2, "batch_size": 8}
    assert "hyperparameters" not in body.get("extra_body", {})


@pytest.mark.parametrize(
    "extra",
    [
        {"hyperparameters": {"n_epochs": 20}}, {"hyperparameters": {"max_steps": 9}},
        {"hyperparameters": 5}, {"method": {"type": "dpo"}}, {"model": "gpt-4"},
        {"training_file": "file-2"}, {"n_epochs": 20},
    ],
)  # fmt: skip
def test_no_extra_field_changes_what_was_agreed(
    setting: Setting, server: OpenAIServer, extra: dict[str, object]
):
    setting.extra_body = extra
    with pytest.raises(TrainingError, match="extra field"):
        setting.train(TrainingLog())
    assert server.log == []


@pytest.mark.parametrize("name", ["model", "messages", "n", "stop", "max_tokens", "stream"])
def test_no_extra_field_changes_a_question(name: str):
    with pytest.raises(AccessError, match=f"field {name} of extra_body"):
        extra_body_of(Endpoint("k", extra_body={name: 2}))
    kept = Endpoint("k", extra_body={"temperature": 0.3, "hyperparameters": {"lora": True}})
    assert extra_body_of(kept) == {"temperature": 0.3}


def test_a_server_without_seeds(setting: Setting, server: OpenAIServer):
    server.faults.add(CREATE, "bad_request", message="Extra inputs are not permitted: seed")
    training_log = TrainingLog()
    is_whole(setting, setting.train(training_log), training_log)
    assert ["seed" in body for body in setting.created()] == [True, False]


@pytest.mark.parametrize(
    ("message", "code"),
    [("Unknown parameter: 'metadata'.", "unknown_parameter"), ("extra fields not permitted: "
      "metadata", None)],
)  # fmt: skip
def test_a_server_without_metadata(
    setting: Setting, server: OpenAIServer, message: str, code: str | None
):
    server.faults.add(CREATE, "bad_request", message=message, code=code)
    server.faults.add(CREATE, "drop", after=True)
    training_log = TrainingLog()
    is_whole(setting, setting.train(training_log), training_log)
    assert ["metadata" in body for body in setting.created()] == [True, False]


def test_weights_and_biases(setting: Setting):
    setting.options = TrainerOptions(wandb="town-hall")
    setting.train(TrainingLog())
    wandb = {"type": "wandb", "wandb": {"project": "town-hall"}}
    assert setting.created()[0]["integrations"] == [wandb]


# What is refused before anything is sent


@pytest.mark.parametrize(
    ("options", "option"),
    [
        (TrainerOptions(suffix="s" * 65), "suffix has 65 characters"),
        (TrainerOptions(suffix="town hall"), "suffix"),
        (TrainerOptions(suffix=""), "suffix"),
        (TrainerOptions(batch_size=257), "batch_size"),
        (TrainerOptions(batch_size=0), "batch_size"),
        (TrainerOptions(learning_rate=0.0), "learning_rate"),
        (TrainerOptions(learning_rate=float("nan")), "learning_rate"),
        (TrainerOptions(seed=-1), "seed"),
        (TrainerOptions(embeddings="minilm"), "embeddings"),
        (TrainerOptions(descriptions={"Roads": "potholes"}), "descriptions"),
        (TrainerOptions(wandb=" "), "wandb"),
        (TrainerOptions(extra={"model": "gpt-4"}), "model"),
        (TrainerOptions(extra={"method": {"type": "dpo"}}), "method"),
        (TrainerOptions(extra={"hyperparameters": {"n_epochs": 20}}), "hyperparameters"),
        (TrainerOptions(extra={"legacy_hyperparameters": "yes"}), "legacy_hyperparameters"),
    ],
)
def test_options_that_are_refused(
    setting: Setting, server: OpenAIServer, options: TrainerOptions, option: str
):
    setting.options = options
    with pytest.raises(TrainingError, match=option):
        setting.train(TrainingLog())
    assert server.log == []


@pytest.mark.parametrize(("epochs", "model"), [(0, "gpt-4.1-mini"), (51, "gpt-4.1-mini"), (3, "")])
def test_epochs_and_model(setting: Setting, server: OpenAIServer, epochs: int, model: str):
    order = replace(setting.order, epochs=epochs, model=model)
    with pytest.raises(TrainingError, match="epochs" if model else "Name the model"):
        setting.trainer.check(order, setting.endpoint)


def test_azure_takes_short_suffixes_without_dots(setting: Setting):
    azure = OpenAITrainer(AZURE)
    for suffix, message in (("s" * 19, "azure takes 18"), ("v1.5", "no dots")):
        order = replace(setting.order, options=TrainerOptions(suffix=suffix))
        with pytest.raises(TrainingError, match=message):
            azure.check(order, setting.endpoint)
    OpenAITrainer().check(replace(setting.order, options=TrainerOptions(suffix="v1.5")),
                          setting.endpoint)  # fmt: skip


def test_without_a_key_nobody_is_asked(setting: Setting, server: OpenAIServer):
    with pytest.raises(AccessError, match="OPENAI_API_KEY"):
        setting.trainer.train(setting.order, TrainingLog(), Endpoint(base_url=server.base_url))
    assert server.log == []


def test_the_key_is_written_nowhere(setting: Setting, server: OpenAIServer):
    canary = server.settings.api_key
    for fault in (None, "unauthorized", "training_not_available", "drop", "job_fails"):
        if fault is not None:
            server.faults.add(CREATE, fault)
        training_log = TrainingLog()
        try:
            told = repr(setting.train(training_log))
        except (ServiceRefused, TrainingError) as error:
            told = str(error)
        assert canary not in told
        assert canary not in training_log.text
    assert server.requests_with(canary) == []


# What a trainer says of itself


@pytest.mark.parametrize("name", ["openai", "azure"])
def test_registered_as_services_that_cost_money(name: str):
    trainer = get_trainer(name)
    assert isinstance(trainer, Service)
    known = trainer.capabilities
    assert known.costs_money
    assert known.leaves_machine
    assert known.limits.examples == 10
    assert options_of(trainer)["suffix"].most == {"openai": 64, "azure": 18}[name]


@pytest.mark.parametrize(
    ("rows", "epochs"),
    [(0, 25), (3, 25), (10, 10), (33, 3), (34, 3), (1000, 3), (8333, 3), (8334, 2), (90_000, 1)],
)
def test_default_epochs(rows: int, epochs: int):
    assert default_epochs(rows) == epochs == OpenAITrainer().epochs_for(rows)


@pytest.mark.parametrize(
    ("values", "kind", "labels"),
    [
        (("baseball", "hockey"), "binary", "code"),
        (("ham", "spam"), "binary", "text"),
        (("no", "yes"), "binary", "text"),
        ((0, 1), "binary", "text"),
        (("a", "b", "c"), "multiclass", "code"),
        (("x", "y", "z"), "multilabel", "code"),
    ],
)
def test_answers_are_one_token(vocabularies: Path, values: tuple[Any, ...], kind: Any, labels: str):
    chosen = OpenAITrainer().choose_format(
        LabelSet(values, kind), TrainerOptions(model="gpt-4.1-mini")
    )
    assert (chosen["form"], chosen["labels"], chosen["multilabel"]) == ("chat", labels, "array")


def test_a_format_that_is_given_is_kept(vocabularies: Path):
    given = {**_completion(), "labels": "text"}
    options = TrainerOptions(format=given)
    assert OpenAITrainer().choose_format(LABELS, options) == given
    assert OpenAITrainer(AZURE).choose_format(LABELS, options) == {**given, "bom": True}


def test_an_unknown_vocabulary_means_codes(vocabularies: Path):
    two = LabelSet(("no", "yes"), "binary")
    options = TrainerOptions(model="meta-llama/Llama-3.1-8B-Instruct")
    assert OpenAITrainer().choose_format(two, options)["labels"] == "code"
