"""Training at a service as a job: once, whatever happens to the process."""

from __future__ import annotations

import json
import os
import random
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from killing import Killed, die_at
from openai_server import OpenAIServer
from programs import Program
from running_jobs import PATIENCE
from sample_databases import rows, value
from service_training import MODEL, access_to, environment, estimate_train, request, topics, town
from working import work

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import (
    AccessError,
    ArtifactError,
    JobError,
    JobStopped,
    LimitReached,
    TrainingError,
)
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.evaluate import evaluate_classifier
from datasette_ftclassify.jobs.lease import leased
from datasette_ftclassify.jobs.remote.models import forget_models, use_checkpoint
from datasette_ftclassify.jobs.train import begun, run_submitted, submit_train, train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest, continued
from datasette_ftclassify.jobs.training_log import JobTrainingLog
from datasette_ftclassify.ledger import JobKey, Ledger
from datasette_ftclassify.prompts import tokenizer
from datasette_ftclassify.store.classifiers import find_by_id, find_classifier, list_classifiers
from datasette_ftclassify.store.jobs.events import job_events
from datasette_ftclassify.store.jobs.state import ask_job, get_job
from datasette_ftclassify.store.spending import Spent, spent_by_job
from datasette_ftclassify.store.splits import Membership
from datasette_ftclassify.trainers.base import TrainerOptions

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "town.db"


@pytest.fixture
def conn(path):
    with closing(town(path)) as conn:
        yield conn


def test_from_the_table_to_an_evaluated_classifier(conn, openai_server, vocabularies):
    access = access_to(openai_server)
    asked = request()
    estimate = estimate_train(conn, topics(conn), asked, access)
    assert openai_server.log == []
    said = []
    result = train_classifier(
        conn, topics(conn), asked, access=access, progress=lambda step, share: said.append(step)
    )
    assert result.metrics["accuracy"] > 0.8
    assert result.classifier.header["model"].startswith(f"ft:{MODEL}")
    assert result.classifier.training_rows == 392
    assert result.classifier.report["rows"] == {"train": 392, "validation": 48, "test": 48}
    assert openai_server.jobs_created == 1
    assert any("loss" in step for step in said)
    # The estimate is what the service bills, token by token.
    spent = spent_by_job(conn, 1)
    assert estimate.exact
    assert estimate.billed_tokens == pytest.approx(spent.trained_tokens, rel=0.02)
    assert estimate.usd == pytest.approx(spent.usd, rel=0.1)
    assert result.usd == spent.usd
    job = get_job(conn, 1)
    assert (job.state, job.classifier_id) == ("finished", result.classifier.id)
    assert job.result["metrics"]["accuracy"] == result.metrics["accuracy"]
    assert any("train_loss" in (event.data or {}) for event in job_events(conn, 1))


def test_examples_that_would_lose_their_label_are_told_before(
    conn, openai_server, vocabularies, tmp_path, monkeypatch
):
    longest = 180  # of the frame, the system message and a text of usual length
    prices = tmp_path / "prices.json"
    entry = {"training": 5.0, "input": 1.0, "output": 1.0, "example_tokens": longest}
    prices.write_text(json.dumps({"date": "2026-11-21", "models": {MODEL: entry}}))
    monkeypatch.setenv("FTCLASSIFY_PRICES", str(prices))
    access = access_to(openai_server)
    assert "more than" not in " ".join(estimate_train(conn, topics(conn), request(), access).notes)
    with conn:
        conn.execute("update messages set message = message || ? where rowid < 50", [" x" * 99])
    told = " ".join(estimate_train(conn, topics(conn), request(), access).notes)
    assert "examples have more than the 180 tokens that a training reads" in told


@pytest.mark.parametrize("model", ["babbage-002", "davinci-002"])
def test_models_that_complete_texts_are_trained_in_their_form(conn, openai_server, model):
    access = access_to(openai_server)
    result = train_classifier(conn, topics(conn), request(model=model), access=access)
    assert result.classifier.header["format"]["form"] == "completion"
    assert result.metrics["accuracy"] > 0.8


def test_a_compatible_server(conn, tmp_path):
    with OpenAIServer(dialect="compatible") as server:
        asked = request(extra={"legacy_hyperparameters": True})
        result = train_classifier(conn, topics(conn), asked, access=access_to(server))
        assert result.metrics["accuracy"] > 0.8
        assert server.jobs_created == 1


def test_azure_ends_well_before_the_model_is_deployed(conn):
    with OpenAIServer(dialect="azure") as server:
        access = access_to(server, "azure")
        result = train_classifier(conn, topics(conn), request("azure"), access=access)
        assert result.metrics is None
        assert "name of the deployment" in result.not_evaluated
        assert get_job(conn, 1).state == "finished"
        assert spent_by_job(conn, 1).trained_tokens > 10_000


def test_only_some_of_the_format_need_be_said(conn, openai_server):
    asked = request(format={"labels": "text", "system": "Sort the town's mail."})
    result = train_classifier(conn, topics(conn), asked, access=access_to(openai_server))
    fmt = result.classifier.header["format"]
    assert (fmt["labels"], fmt["system"]) == ("text", "Sort the town's mail.")
    assert result.metrics["accuracy"] > 0.8


def test_killed_at_many_points_it_trains_once(path, openai_server):
    """A process dies without a word at the n-th news that it hears, for every n."""
    openai_server.settings.pace = 0.001
    access = access_to(openai_server)
    kills = 0
    with closing(town(path)) as conn:
        task = topics(conn)
        job = submit_train(conn, task, request())
    while True:
        news = [kills]

        def hear(step: str, share: float, news: list[int] = news) -> None:
            news[0] -= 1
            if news[0] < 0:
                raise Killed

        with closing(connect(path)) as conn:
            with conn:  # as a lease that has run out
                conn.execute("update _ftclassify_jobs set owner = null, lease_until = null")
            try:
                run_submitted(conn, get_job(conn, job.id), access=access, progress=hear)
            except Killed:
                kills += 1
                continue
            break
    assert kills >= 4
    assert openai_server.jobs_created == 1
    with closing(connect(path)) as conn:
        assert [c.title for c in list_classifiers(conn)] == ["topics@1"]
        assert value(conn, "select count(*) from _ftclassify_splits") == 1
        # Paid once, and counted once.
        assert rows(conn, "select count(*), sum(trained_tokens > 0) from _ftclassify_spending") == [
            (1, 1)
        ]


def test_kill_9_at_random_moments_trains_once(path):
    chooser = random.Random(3)
    with OpenAIServer(pace=0.3) as server, closing(town(path)) as conn:
        environ = {**environment(server), "FTCLASSIFY_USD_PER_JOB": "5"}
        job = submit_train(conn, topics(conn), request())
        kills = 0
        while get_job(conn, job.id).state != "finished":
            worker = Program(work, path, environ={**_none_of_ours(), **environ})
            try:
                worker.wait(chooser.uniform(0.5, 2.0) if kills < 4 else PATIENCE)
            except TimeoutError:  # it is killed then
                kills += 1
        assert kills >= 2
        assert server.jobs_created == 1
        assert len(list_classifiers(conn)) == 1
        assert get_job(conn, job.id).result["metrics"]["accuracy"] > 0.8
        assert value(conn, "pragma integrity_check") == "ok"


def _none_of_ours() -> dict[str, None]:
    """Takes what is set for this process out of the environment."""
    ours = ("OPENAI", "FTCLASSIFY_USD", "FTCLASSIFY_SQL", "FTCLASSIFY_PRICES")
    return {name: None for name in os.environ if name.startswith(ours)}


def leave_running(server: OpenAIServer, conn, job) -> None:
    """A process dies while the service trains."""
    server.hold("running")
    attempt(conn, job, access_to(server), die_at("training at"))
    server.release()


def attempt(conn, job, access, progress) -> None:
    with pytest.raises(Killed):
        run_submitted(conn, job, access=access, progress=progress)
    with conn:
        conn.execute("update _ftclassify_jobs set owner = null, lease_until = null")


def test_rows_that_change_before_they_were_sent_are_prepared_anew(conn, openai_server):
    access = access_to(openai_server)
    job = submit_train(conn, topics(conn), request())
    attempt(conn, job, access, die_at("uploading the train"))
    before = get_job(conn, job.id).remote
    with conn:
        conn.execute("delete from messages where topic = 'Noise'")
    result = run_submitted(conn, job, access=access)
    after = get_job(conn, job.id).remote
    assert "Noise" in before["preparation"]["labels"]["values"]
    assert "Noise" not in result.classifier.labels.names
    assert before["tag"] != after["tag"]
    assert openai_server.jobs_created == 1
    assert "Noise" not in str(openai_server.requests_with("Answer with")[-1].body)
    assert Membership(conn, result.classifier.split_id).count("test") == result.metrics["held_back"]


def test_what_was_prepared_counts_once_the_rows_were_sent(conn, openai_server):
    access = access_to(openai_server)
    job = submit_train(conn, topics(conn), request())
    leave_running(openai_server, conn, job)
    with conn:
        conn.execute("delete from messages where topic = 'Noise'")
    result = run_submitted(conn, job, access=access)
    assert "Noise" in result.classifier.labels.names
    assert result.classifier.training_rows == 392
    assert result.metrics["missing"] == 7
    assert openai_server.jobs_created == 1


DAMAGES = (
    {"preparation": []},
    {"preparation": {}},
    {"preparation": {"labels": ["Noise"]}},
    {"preparation": {"labels": {"values": [], "kind": "multiclass"}}},
    {"preparation": {"format": {"form": "chat"}}},
    {"preparation": {"split_id": "1"}},
    {"preparation": {"epochs": 10.5}},
    {"preparation": {"tokens": -1}},
    {"preparation": {"about": {"rows": [392]}}},
    {"preparation": {"of_a_later_version": True}},
    {"step": "elsewhere"},
    {"files": ["file-1"]},
    {"job_id": ["ftjob-1"]},
    {"shown": "much"},
    {"share": "half"},
    {"last_event": {}},
)


def test_what_a_stranger_noted_of_a_training_is_refused_in_one_sentence(conn, openai_server):
    access = access_to(openai_server)
    job = submit_train(conn, topics(conn), request())
    leave_running(openai_server, conn, job)
    noted = get_job(conn, job.id).remote
    for damage in DAMAGES:
        remote = {**noted, **damage}
        if damage.get("preparation"):
            remote["preparation"] = {**noted["preparation"], **damage["preparation"]}
        with conn:
            conn.execute("update _ftclassify_jobs set remote = ?", [json.dumps(remote)])
        with pytest.raises(ArtifactError, match=r"was not written by this software.*start a new"):
            run_submitted(conn, job, access=access)
        failed = get_job(conn, job.id)
        assert (failed.state, failed.remote) == ("failed", remote), damage
        assert "was not written by this software" in failed.error
    assert openai_server.jobs_created == 1
    with conn:  # nothing was lost: as it was, it is followed to its end
        conn.execute("update _ftclassify_jobs set remote = ?", [json.dumps(noted)])
    assert run_submitted(conn, job, access=access).classifier.labels.names
    assert openai_server.jobs_created == 1


def test_a_training_that_failed_there_can_be_had_again(conn, openai_server):
    access = access_to(openai_server)
    openai_server.faults.add("POST /fine_tuning/jobs", "job_fails", message="It hiccuped.")
    job = submit_train(conn, topics(conn), request())
    with pytest.raises(TrainingError, match="hiccuped"):
        run_submitted(conn, job, access=access)
    assert get_job(conn, job.id).state == "failed"
    result = train_classifier(conn, topics(conn), request(), access=access)
    assert result.metrics["accuracy"] > 0.8
    assert openai_server.jobs_created == 2
    assert get_job(conn, job.id).state == "finished"


def test_pause_and_cancel_reach_the_service(conn, path, openai_server):
    access = access_to(openai_server)
    openai_server.hold("running")
    job = submit_train(conn, topics(conn), request())

    def ask(wish: str):
        def hear(step: str, share: float) -> None:
            if "training at" in step:
                with closing(connect(path)) as other:
                    ask_job(other, job.id, wish)

        return hear

    with pytest.raises(JobStopped):
        run_submitted(conn, job, access=access, progress=ask("pause"))
    (remote,) = openai_server.jobs.values()
    assert (get_job(conn, job.id).state, remote.record["status"]) == ("paused", "paused")
    with pytest.raises(JobStopped):
        run_submitted(conn, job, access=access, progress=ask("cancel"))
    assert (get_job(conn, job.id).state, remote.record["status"]) == ("cancelled", "cancelled")
    openai_server.release()
    ask_job(conn, job.id, "retry")
    assert run_submitted(conn, job, access=access).metrics["accuracy"] > 0.8
    assert openai_server.jobs_created == 2


@pytest.mark.parametrize(
    ("limits", "limit"), [({"usd_per_job": 0.01}, None), ({"usd_per_day": 0.01}, None), ({}, 0.01)]
)
def test_nothing_is_sent_when_it_would_cost_more_than_it_may(conn, openai_server, limits, limit):
    access = access_to(openai_server, **limits)
    asked = replace(request(), limit_usd=limit)
    with pytest.raises(LimitReached, match="Nothing was sent"):
        estimate_train(conn, topics(conn), asked, access)
    with pytest.raises(LimitReached, match=r"limit of \$0.01"):
        train_classifier(conn, topics(conn), asked, access=access)
    assert openai_server.log == []
    # The limit is no part of what was asked for: with a larger one the same job goes on.
    access = access_to(openai_server)
    train_classifier(conn, topics(conn), replace(asked, limit_usd=9.0), access=access)
    assert value(conn, "select count(*) from _ftclassify_jobs") == 1


def test_what_was_spent_today_counts(conn, openai_server):
    access = access_to(openai_server, usd_per_day=1.0)
    assert estimate_train(conn, topics(conn), request(), access) is not None
    Ledger().settle(JobKey("elsewhere.db", 7, "n"), "", Spent(usd=0.95))
    with pytest.raises(LimitReached, match=r"a day, of which \$0.05 is left"):
        estimate_train(conn, topics(conn), request(), access)


def test_a_limit_holds_when_tokens_are_only_estimated(conn, openai_server, tmp_path, monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(tokenizer, "_loaded", {})
    access = access_to(openai_server)
    estimate = estimate_train(conn, topics(conn), request(), access)
    assert not estimate.exact
    asked = replace(request(), limit_usd=estimate.usd * 1.05)
    with pytest.raises(LimitReached, match=r"about \$0\.\d+, at most \$0\.\d+, more than"):
        estimate_train(conn, topics(conn), asked, access)
    within = replace(request(), limit_usd=estimate.usd * 1.26)
    result = train_classifier(conn, topics(conn), within, access=access)
    assert result.usd <= within.limit_usd


def test_no_limit_is_promised_where_no_price_is_known(conn, openai_server, tmp_path, monkeypatch):
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"date": "2026-11-01", "models": {MODEL: {}}}))
    monkeypatch.setenv("FTCLASSIFY_PRICES", str(prices))
    access = access_to(openai_server)
    assert estimate_train(conn, topics(conn), request(), access).usd is None
    with pytest.raises(LimitReached, match="FTCLASSIFY_PRICES"):
        estimate_train(conn, topics(conn), replace(request(), limit_usd=50.0), access)
    result = train_classifier(conn, topics(conn), request(), access=access)
    assert result.usd == 0
    assert any("is not known" in warning for warning in result.classifier.report["warnings"])


def test_more_rows_than_were_agreed_to_are_not_sent(conn, openai_server):
    access = access_to(openai_server)
    estimate = estimate_train(conn, topics(conn), request(), access)
    job = submit_train(conn, topics(conn), request(), estimate)
    with conn:
        conn.execute(
            "insert into messages (message, topic) select message || ' (again)', topic"
            " from messages where topic is not null"
        )
    with pytest.raises(LimitReached, match="rows or the prices have changed since"):
        run_submitted(conn, job, access=access)
    assert openai_server.log == []
    more = estimate_train(conn, topics(conn), request(), access)
    run_submitted(conn, submit_train(conn, topics(conn), request(), more), access=access)
    assert get_job(conn, job.id).state == "finished"


def test_the_rows_go_to_no_other_host_than_the_one_that_was_asked_for(conn, openai_server):
    asked = replace(request(), host="api.openai.com")
    with pytest.raises(AccessError, match=r"asked for at api\.openai\.com"):
        train_classifier(conn, topics(conn), asked, access=access_to(openai_server))
    assert openai_server.log == []


def test_what_cannot_work_is_refused_before_anything_is_sent(conn, openai_server):
    access, task = access_to(openai_server), topics(conn)
    few = define(conn, "messages", text=["message"], labels=["topic"], where="id < 9")
    for asked, task_, words in (
        (request(suffix="x" * 65), task, "suffix"),
        (request(epochs=51), task, "epochs"),
        (request(embeddings="some"), task, "embeddings"),
        (request(descriptions={"Noise": "loud"}), task, "descriptions"),
        (replace(request(), options=TrainerOptions()), task, "Name the model"),
    ):
        with pytest.raises(TrainingError, match=words):
            estimate_train(conn, task_, asked, access)
    with pytest.raises(TrainingError):
        train_classifier(conn, few, request(), access=access)
    assert openai_server.jobs_created == 0
    local = TrainRequest(options=TrainerOptions(model=MODEL))
    with pytest.raises(TrainingError, match="The option model means nothing"):
        train_classifier(conn, task, local)


def test_no_training_for_newcomers_leaves_no_file_behind(conn, openai_server):
    openai_server.faults.add("POST /fine_tuning/jobs", "training_not_available")
    with pytest.raises(Exception, match="not available"):
        train_classifier(conn, topics(conn), request(), access=access_to(openai_server))
    assert get_job(conn, 1).state == "failed"
    assert not openai_server.state.files


def test_a_trained_model_that_cannot_be_asked_is_no_failure(conn, openai_server):
    openai_server.faults.add("POST /chat/completions", "insufficient_quota", None)
    access = access_to(openai_server)
    result = train_classifier(conn, topics(conn), request(), access=access)
    assert result.metrics is None
    assert "quota" in result.not_evaluated
    assert get_job(conn, 1).state == "finished"


def test_a_limit_that_the_evaluation_reaches_keeps_the_classifier(conn, openai_server):
    access = access_to(openai_server)
    task = topics(conn)
    job = submit_train(conn, task, replace(request(), limit_usd=1.0))
    leave_running(openai_server, conn, job)
    # Whoever goes on with a smaller limit has trained already: only the questions are left.
    submit_train(conn, task, replace(request(), limit_usd=0.0001))
    result = run_submitted(conn, get_job(conn, job.id), access=access)
    assert result.classifier.title == "topics@1"
    assert "limit" in result.not_evaluated


def test_a_model_can_be_trained_further(conn, openai_server):
    access = access_to(openai_server)
    first = train_classifier(conn, topics(conn), request(), access=access).classifier
    asked = continued(conn, replace(request(), options=TrainerOptions(epochs=1)), first.uid)
    second = train_classifier(conn, topics(conn), asked, access=access).classifier
    bodies = [r.body for r in openai_server.log if r.path == "/fine_tuning/jobs" and r.body]
    assert [json.loads(body)["model"] for body in bodies] == [MODEL, first.header["model"]]
    assert second.header["format"] == first.header["format"]
    other = define(conn, "messages", text=["message"], labels=["ward"])
    with pytest.raises(TrainingError, match="other labels"):
        train_classifier(conn, other, asked, access=access)
    fmt = {"labels": "text"}
    asked = continued(conn, replace(asked, options=TrainerOptions(format=fmt)), first.uid)
    with pytest.raises(TrainingError, match="another format"):
        train_classifier(conn, topics(conn), asked, access=access)
    with pytest.raises(TrainingError, match="cannot go on"):
        continued(conn, replace(asked, trainer="azure"), first.uid)


def test_an_earlier_checkpoint_is_a_version_of_its_own(conn, openai_server):
    access = access_to(openai_server)
    first = train_classifier(conn, topics(conn), request(epochs=3), access=access).classifier
    step = first.report["checkpoints"][0]["step"]
    with pytest.raises(Exception, match=f"no checkpoint of step 7: there is {step}, "):
        use_checkpoint(conn, first, 7)
    second = use_checkpoint(conn, first, step)
    assert second.title == "topics@2"
    metrics = evaluate_classifier(conn, second, access=access)
    assert metrics["n_test"] == 48
    with pytest.raises(Exception, match="topics@2 uses the same model"):
        forget_models(conn, "topics@1", access)
    deleted = forget_models(conn, "topics", access)
    assert first.header["model"] not in openai_server.state.models
    assert second.header["model"] not in openai_server.state.models
    assert any("model" in what for what in deleted)
    assert not openai_server.state.files
    assert forget_models(conn, "topics", access) == []


def test_a_split_that_a_training_has_noted_outlives_other_classifiers(conn, openai_server):
    from datasette_ftclassify.store.deletion import delete_classifier

    access = access_to(openai_server)
    train_classifier(conn, topics(conn), TrainRequest(name="here", curve=False))
    job = submit_train(conn, topics(conn), request())
    leave_running(openai_server, conn, job)
    delete_classifier(conn, "here")
    result = run_submitted(conn, job, access=access)
    assert result.metrics["n_test"] == 48


def test_local_classifiers_of_the_same_split_stand_beside_it(conn, openai_server):
    access = access_to(openai_server)
    local = train_classifier(conn, topics(conn), TrainRequest(name="here", curve=False))
    (shown,) = estimate_train(conn, topics(conn), request(), access).local
    assert shown.startswith("here@1 (local): accuracy")
    result = train_classifier(conn, topics(conn), request(), access=access)
    assert [s.classifier.uid for s in result.local] == [local.classifier.uid]


def test_a_trainer_that_asks_untrained_needs_no_labels(conn, openai_server):
    with conn:
        conn.execute("update messages set topic = null")
    task = define(conn, "messages", text=["message"], labels=["topic"], kind="multiclass")
    means = {"Noise": "about noise", "Parking": "about parking", "Other": "anything else"}
    asked = TrainRequest(
        name="asked", trainer="decisions", options=TrainerOptions(descriptions=means)
    )
    access = access_to(openai_server, "decisions")
    estimate = estimate_train(conn, task, asked, access)
    assert (estimate.rows_sent, estimate.usd) == (0, 0.0)
    result = train_classifier(conn, task, asked, access=access)
    assert result.classifier.labels.names == ("Noise", "Other", "Parking")
    assert "No rows were held back" in result.not_evaluated


def test_the_diary_is_the_jobs_and_proves_its_lease(conn):
    task = topics(conn)
    job = submit_train(conn, task, request())
    with leased(conn, job.id) as lease:
        training_log = JobTrainingLog(lease)
        tag = training_log.tag
        assert get_job(conn, job.id).remote == {"tag": tag}
        training_log.save(job_id="ftjob-1")
        assert JobTrainingLog(lease).tag == tag
        assert get_job(conn, job.id).remote["job_id"] == "ftjob-1"
        training_log.event("once", key="a")
        training_log.event("once", key="a")
        assert [e.message for e in job_events(conn, job.id)].count("once") == 1
        training_log.report_progress("training", 0.25)
        assert get_job(conn, job.id).step == "training"
        lease.job.wanted = "pause"
        start = time.monotonic()
        training_log.wait(600)
        assert time.monotonic() - start < 60  # at once, on a machine with much else to do
        with pytest.raises(JobStopped):
            training_log.check()
        lease.job.wanted = None
        with conn:
            conn.execute("update _ftclassify_jobs set owner = 'another'")
        with pytest.raises(JobError, match="taken over"):
            training_log.save(job_id="ftjob-2")
        assert training_log.state["job_id"] == "ftjob-1"
        with conn:
            conn.execute("update _ftclassify_jobs set owner = ?", [lease.job.owner])


def test_the_key_is_nowhere_in_the_file(conn, path, openai_server):
    access = access_to(openai_server)
    openai_server.faults.add("POST /fine_tuning/jobs", 401)
    with pytest.raises(Exception, match="key"):
        train_classifier(conn, topics(conn), request(), access=access)
    train_classifier(conn, topics(conn), request(), access=access)
    for file in path.parent.glob("town.db*"):
        assert openai_server.api_key.encode() not in file.read_bytes()
    assert openai_server.api_key not in repr(access)
    assert begun(conn, topics(conn), request()) is None
    assert find_by_id(conn, 1).title == find_classifier(conn, "topics").title


def test_a_training_that_is_to_be_cancelled_is_not_what_the_same_command_goes_on_with(conn):
    # Another job is made then, which nobody has agreed to yet.
    job = submit_train(conn, topics(conn), request())
    with conn:
        conn.execute("update _ftclassify_jobs set remote = '{\"preparation\": {}}'")
    assert begun(conn, topics(conn), request()).id == job.id
    with conn:
        conn.execute("update _ftclassify_jobs set wanted = 'cancel'")
    assert begun(conn, topics(conn), request()) is None
    assert submit_train(conn, topics(conn), request()).id != job.id
