"""Prediction and evaluation by a classifier whose model is at a service that fails on demand."""

from __future__ import annotations

import itertools
import json
import math
import random
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from openai_server import OpenAIServer
from programs import Program
from remote_classifier import (
    ASK,
    LABELS,
    access_to,
    add_asked,
    asked_texts,
    quick,
    report_table,
    reports,
)
from running_jobs import wait_for
from sample_databases import rows, value
from service_training import environment
from stored import list_jobs
from working import predict_reports

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import (
    AccessError,
    EvaluationError,
    JobPaused,
    JobStopped,
    PredictError,
)
from datasette_ftclassify.jobs import lease as lease_module
from datasette_ftclassify.jobs.columns import Columns
from datasette_ftclassify.jobs.confirming import confirm_evaluate
from datasette_ftclassify.jobs.evaluate import evaluate_classifier
from datasette_ftclassify.jobs.interrupts import uninterrupted
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows, submit_predict
from datasette_ftclassify.jobs.predict_result import PredictResult
from datasette_ftclassify.jobs.remote import inference_loop
from datasette_ftclassify.jobs.runner import may_run, run_job, work
from datasette_ftclassify.ledger import Ledger
from datasette_ftclassify.ledger.account import Account
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.state import ask_job, get_job
from datasette_ftclassify.store.spending import spent_by_job
from datasette_ftclassify.trainers.access import Access, Endpoint

ROLES = ("label", "score", "logprob", "logprobs", "raw", "reason")


class Town:
    """A database of reports, the classifier, and the server that has its model."""

    def __init__(self, path: Path, server: OpenAIServer, model: str) -> None:
        self.path = path
        self.server = server
        self.model = model
        self.conn: sqlite3.Connection | None = None

    def fill(self, n: int, given: Any = ()) -> Town:
        self.conn = report_table(self.path, n, given)
        self.classifier = add_asked(self.conn, self.server, self.model)
        return self

    def predict(self, table: str = "reports", **options: Any) -> PredictResult:
        limits = options.pop("limits", {})
        access = access_to(self.server, **limits)
        progress = options.pop("progress", lambda done, total: None)
        request = PredictRequest(**options)
        assert self.conn is not None
        return predict_rows(
            self.conn, self.classifier, table, request, access=access, progress=progress
        )

    def value(self, sql: str) -> Any:
        assert self.conn is not None
        return value(self.conn, sql)

    def rows(self, sql: str) -> list[Any]:
        assert self.conn is not None
        return rows(self.conn, sql)

    def job(self, id_: int = 1) -> Any:
        assert self.conn is not None
        return get_job(self.conn, id_)

    @property
    def asked(self) -> list[str]:
        """The texts of all questions that the server was asked, oldest first."""
        return asked_texts(self.server)


@pytest.fixture
def town(
    running: tuple[OpenAIServer, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Town]:
    server, model = running
    monkeypatch.setattr(inference_loop, "DEFAULT_RETRY_POLICY", quick())
    monkeypatch.setattr(lease_module, "RENEW_EVERY", 0.02)
    server.log.clear()
    town = Town(tmp_path / "town.db", server, model)
    yield town
    server.faults.clear()
    server.settings.latency = 0.0
    server.settings.max_in_flight = None
    server.settings.per_minute = None
    server.settings.api_key = "sk-test-canary"
    if town.conn is not None:
        town.conn.close()


def test_ctrl_c_behind_a_transaction_counts_nothing_twice(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.fill(40)
    real = Account.save
    pressed = []

    def press(account: Account) -> None:
        if not pressed:
            pressed.append(True)
            signal.raise_signal(signal.SIGINT)
        real(account)

    monkeypatch.setattr(Account, "save", press)
    with pytest.raises(KeyboardInterrupt):
        town.predict()
    job = town.job()
    assert job.state == "paused"
    assert town.conn is not None
    kept = town.value("select count(*) from _ftclassify_answers")
    assert kept == spent_by_job(town.conn, job.id).requests > 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    town.predict()
    assert len(town.asked) == len(set(town.asked)) == 40
    assert spent_by_job(town.conn, job.id).requests == 40


def test_a_second_ctrl_c_does_not_wait() -> None:
    seen = []

    def press_twice() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            seen.append(1)
            signal.raise_signal(signal.SIGINT)
            seen.append(2)

    with pytest.raises(KeyboardInterrupt):
        press_twice()
    assert seen == [1]


def other_table(town: Town, key: str = "") -> list[tuple[str, str]]:
    """Makes a table t of 250 reports; gives these."""
    given = reports(250)
    town.fill(10)
    assert town.conn is not None
    town.conn.execute(f"create table t ({key}body, topic text)")
    town.conn.executemany("insert into t (body, topic) values (?, ?)", given)
    town.conn.commit()
    return given


def test_a_vacuum_half_way_loses_no_row_and_mixes_none_up(town: Town) -> None:
    other_table(town)
    vacuums = []

    def vacuum(done: int, total: int) -> None:
        if not vacuums and done >= 100:
            with closing(sqlite3.connect(town.path)) as other:
                other.execute("delete from t where rowid <= 90")
                other.commit()
                other.execute("vacuum")
            vacuums.append(done)

    result = town.predict("t", progress=vacuum)
    assert vacuums
    assert (result.written, result.resumed_at) == (160, 0)
    assert town.value("select count(*) from t where topics_label is null") == 0
    assert town.value("select avg(topics_label = topic) from t") > 0.9
    assert len(town.asked) == len(set(town.asked)) == 250


def test_what_is_edited_while_it_is_asked_about_gets_the_answer_to_its_own_text(
    town: Town,
) -> None:
    given = other_table(town, "id integer primary key, ")
    edits = []

    def edit(done: int, total: int) -> None:
        if not edits and done >= 100:
            with closing(sqlite3.connect(town.path)) as other, other:
                new = [(*report, n) for n, report in enumerate(reversed(given[:100]), done + 1)]
                other.executemany("update t set body = ?, topic = ? where id = ?", new)
            edits.append(done)

    assert town.predict("t", progress=edit).written == 250
    assert edits
    assert town.value("select avg(topics_label = topic) from t") > 0.9


def test_rows_get_what_the_model_said(town: Town) -> None:
    town.fill(250)
    result = town.predict()
    assert (result.total, result.written, result.failed, result.skipped) == (250, 250, 0, 0)
    columns = ", ".join(f"topics_{role}" for role in ROLES)
    for label, score, logprob, logprobs, raw, reason in town.rows(f"select {columns} from reports"):
        by_name = json.loads(logprobs)
        assert list(by_name) == list(LABELS.names)
        assert label == LABELS.values[int(raw)]
        assert logprob == pytest.approx(by_name[label], rel=1e-4)
        assert score == pytest.approx(math.exp(logprob))
        assert reason is None
    assert town.value("select avg(topics_label = topic) from reports") == 1.0
    assert town.server.count(ASK) == 250
    assert result.spent is not None
    assert result.spent.requests == 250
    assert result.spent.usd > 0


def test_a_second_job_asks_nothing_and_equal_texts_are_asked_once(town: Town) -> None:
    texts = reports(40)
    town.fill(0, texts * 12)
    assert town.predict().written == 480
    assert sorted(town.asked) == sorted(text for text, _ in texts)
    again = town.predict(columns=Columns.named("again", ROLES))
    assert again.spent is not None
    assert (again.written, again.spent.requests) == (480, 0)
    assert town.server.count(ASK) == 40
    assert town.value("select count(*) from reports where again_label is not topics_label") == 0


def test_rows_without_a_text(town: Town) -> None:
    given = [*reports(5), (None, "Parks"), (b"\xff", "Parks"), ("  ", "Parks"), *reports(5, 5)]
    town.fill(0, given)
    result = town.predict()
    assert (result.written, result.skipped, result.total) == (10, 3, 13)
    assert town.value("select count(*) from reports where topics_label is null") == 3


def test_a_table_without_rows_finishes(town: Town) -> None:
    town.fill(10)
    assert town.predict(where="0").total == 0
    assert town.job().state == "finished"
    assert town.server.count(ASK) == 0


SHAPES = {
    "compound key": "create table t (a text, b integer, body text, primary key (b, a))",
    "without rowid": "create table t (a text primary key, b, body text) without rowid",
    "compound without rowid": (
        "create table t (a text, b integer, body text, primary key (b, a)) without rowid"
    ),
    "blob key": "create table t (a blob primary key, b, body text) without rowid",
    "no key": "create table t (a text, b integer, body text)",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_kind_of_table(town: Town, shape: str) -> None:
    conn = town.fill(10).conn
    assert conn is not None
    with conn:
        conn.execute(SHAPES[shape])
        for i, (text, _) in enumerate(reports(110)):
            key: Any = bytes([i]) if shape == "blob key" else f"k{i}"
            conn.execute("insert into t values (?, ?, ?)", [key, i // 50, text])
    assert town.predict("t").written == 110
    assert town.value("select count(*) from t where topics_label is null") == 0


# Failures that pass


@pytest.mark.parametrize(
    "after",
    [{}, {"retry_after": 0.05}, {"retry_after": 1.2, "http_date": True}],
    ids=["silent", "short", "a date"],
)
def test_rate_limits_use_up_no_tries(town: Town, after: dict[str, Any]) -> None:
    town.fill(60)
    town.server.faults.add(ASK, "rate_limit", 40 if "http_date" not in after else 3, **after)
    assert town.predict().written == 60
    # No row was asked about again that had an answer.
    answered = [r for r in town.server.log if r.status == 200]
    assert len(answered) == 60


def test_concurrency_finds_what_a_server_takes(town: Town) -> None:
    town.fill(200)
    town.server.settings.max_in_flight = 6
    town.server.settings.latency = 0.005
    assert town.predict(concurrency=64).written == 200
    refused = [r for r in town.server.log if r.status == 429]
    assert len(refused) < 100


@pytest.mark.parametrize("kind", ["server_error", "unavailable", "drop", "malformed_json", "html"])
def test_failures_that_pass(town: Town, kind: str) -> None:
    town.fill(60)
    town.server.faults.add(ASK, kind, 15, every=3)
    result = town.predict()
    assert (result.written, result.failed) == (60, 0)


def test_a_text_that_always_fails_fails_alone(town: Town) -> None:
    town.fill(80)
    (text, _) = reports(80)[7]
    town.server.faults.add(ASK, "server_error", None, where=lambda r: text.encode() in r.body)
    result = town.predict()
    assert (result.written, result.failed) == (79, 1)
    label, reason = town.rows("select topics_label, topics_reason from reports where id = 8")[0]
    assert label is None
    assert "no answer after 6 tries" in reason
    assert len([t for t in town.asked if t == text]) == 6
    assert town.job().failed == 1
    # That is no answer of the model: the next job asks again.
    town.server.faults.clear()
    assert town.predict().failed == 0


def test_a_service_that_is_down_pauses_the_job(town: Town) -> None:
    town.fill(200)
    town.server.faults.add(ASK, "unavailable", None)
    with pytest.raises(JobPaused, match=r"does not answer: .*503"):
        town.predict()
    town.server.faults.clear()
    job = town.job()
    assert (job.state, job.failed, job.done) == ("paused", 0, 0)
    assert "503" in job.error
    assert town.predict().written == 200
    assert len(list_jobs(town.conn)) == 1  # type: ignore[arg-type]


def test_a_long_wait_is_shown_and_can_be_ended(town: Town) -> None:
    town.fill(40)
    town.server.faults.add(ASK, "rate_limit", None, skip=20, retry_after=3600)
    with running_job(town) as job:
        wait_for(lambda: "waiting for the service until" in job().step, "the step")
        ask_job(job.conn, 1, "pause")
    assert isinstance(job.error, JobStopped)
    assert town.job().state == "paused"
    town.server.faults.clear()
    kept = town.value("select count(*) from _ftclassify_answers")
    assert kept == 20
    town.server.log.clear()
    assert town.predict().written == 40
    assert town.server.count(ASK) == 20


def test_cancel_while_the_service_is_waited_for(town: Town) -> None:
    town.fill(10)
    town.server.faults.add(ASK, "rate_limit", None, retry_after=3600)
    with running_job(town) as job:
        wait_for(lambda: "waiting for the service until" in job().step, "the step")
        ask_job(job.conn, 1, "cancel")
    assert town.job().state == "cancelled"


# Refusals that mean every further request


@pytest.mark.parametrize("kind", ["insufficient_quota", "unauthorized", "forbidden"])
def test_a_refusal_pauses_at_once_and_nothing_is_asked_twice(town: Town, kind: str) -> None:
    town.fill(200)
    town.server.faults.add(ASK, kind, None, skip=70)
    with pytest.raises(JobPaused, match="answered 4"):
        town.predict()
    job = town.job()
    assert job.state == "paused"
    assert town.value("select count(*) from _ftclassify_answers") == 70
    assert town.server.count(ASK) < 70 + 33
    assert job.done == 0 or job.done % 100 == 0
    town.server.faults.clear()
    town.server.log.clear()
    assert town.predict().written == 200
    assert town.server.count(ASK) == 130
    assert town.job().state == "finished"


def test_a_model_that_is_not_ready_is_waited_for(town: Town) -> None:
    town.fill(30)
    town.server.faults.add(ASK, "model_not_ready", 25)
    assert town.predict().written == 30


def test_a_model_that_is_gone_is_not(town: Town) -> None:
    conn = town.fill(30).conn
    assert conn is not None
    with conn:
        conn.execute("update _ftclassify_classifiers set created_at = '2026-01-01T00:00:00Z'")
    town.classifier = find_classifier(conn, "topics")
    town.server.faults.add(ASK, "model_not_ready", None)
    with pytest.raises(JobPaused, match="may have been deleted"):
        town.predict()


def test_without_a_key_nothing_begins(town: Town) -> None:
    conn = town.fill(5).conn
    assert conn is not None
    access = Access({"openai": Endpoint(None, town.server.base_url)})
    with pytest.raises(AccessError, match="OPENAI_API_KEY"):
        predict_rows(conn, town.classifier, "reports", access=access)


# Rows without an answer


ABSTAIN = {
    "out_of_set": "outside the label set",
    "refusal": "refused",
    "content_filter": "filtered",
    "empty": "empty answer",
    "content_policy": "policy",
}


@pytest.mark.parametrize("kind", ABSTAIN)
def test_rows_without_an_answer_say_why(town: Town, kind: str) -> None:
    town.fill(60)
    town.server.faults.add(ASK, kind, 6, skip=10, text="!")
    result = town.predict()
    assert (result.written, result.failed) == (54, 6)
    assert town.job().failed == 6
    failed = town.rows(
        "select topics_label, topics_score, topics_reason, topics_raw from reports"
        " where topics_reason is not null"
    )
    assert len(failed) == 6
    for label, _, reason, _ in failed:
        assert label is None
        assert ABSTAIN[kind] in reason
    assert sum(result.reasons.values()) == 6
    if kind == "out_of_set":
        assert {raw for *_, raw in failed} == {"!"}


def test_no_scores_are_null_and_not_invented(town: Town) -> None:
    town.fill(30)
    town.server.faults.add(ASK, "no_logprobs", None)
    assert town.predict().written == 30
    assert town.rows(
        "select distinct topics_score, topics_logprob, topics_logprobs from reports"
    ) == [(None, None, None)]
    assert town.value("select avg(topics_label = topic) from reports") == 1.0


def test_a_default_label_for_rows_without_an_answer(town: Town) -> None:
    town.fill(60)
    town.server.faults.add(ASK, "out_of_set", 6)
    town.server.faults.add(ASK, "content_policy", 2)
    result = town.predict(on_error="Water")
    assert (result.written, result.failed) == (52, 8)
    assert town.value("select count(*) from reports where topics_label is null") == 0
    given = "select distinct topics_label, topics_score from reports where topics_reason <> ''"
    assert town.rows(given) == [("Water", None)]


def test_a_row_without_an_answer_may_end_the_job(town: Town) -> None:
    town.fill(60)
    (text, _) = reports(60)[41]
    town.server.faults.add(ASK, "out_of_set", None, where=lambda r: text.encode() in r.body)
    with pytest.raises(PredictError, match=r"The row 42 of reports has no answer: cut off"):
        town.predict(on_error="fail")
    assert town.job().state == "failed"


def test_a_label_that_is_none_is_refused_before_anything(town: Town) -> None:
    town.fill(5)
    with pytest.raises(PredictError, match=r"null, fail or one of the labels .*, not Zoo"):
        town.predict(on_error="Zoo")
    assert list_jobs(town.conn) == []  # type: ignore[arg-type]


def test_too_many_failures_end_the_job_and_a_retry_asks_only_about_them(town: Town) -> None:
    town.fill(300)
    town.server.faults.add(ASK, "content_policy", None, every=2)
    with pytest.raises(PredictError, match=r"got no answer, more than the share of 20%.*policy"):
        town.predict()
    job = town.job()
    assert job.state == "failed"
    assert town.server.count(ASK) < 300
    kept = town.value("select count(*) from _ftclassify_answers")
    town.server.faults.clear()
    town.server.log.clear()
    assert town.predict().written == 300
    assert town.server.count(ASK) == 300 - kept
    assert len(list_jobs(town.conn)) == 1  # type: ignore[arg-type]


def test_a_few_rows_are_judged_at_the_end(town: Town) -> None:
    town.fill(10)
    town.server.faults.add(ASK, "out_of_set", 3)
    with pytest.raises(PredictError, match="3 of 10 rows got no answer"):
        town.predict()
    assert town.value("select count(*) from reports where topics_label is not null") == 7
    assert town.predict(max_errors=0.5).failed == 3


def test_a_job_whose_rows_all_fail_has_failed(town: Town) -> None:
    town.fill(8)
    town.server.faults.add(ASK, "out_of_set", None)
    with pytest.raises(PredictError, match="None of 8 rows got an answer"):
        town.predict(max_errors=1.0)
    assert town.job().state == "failed"


# Who may run what


def test_a_paid_job_in_a_file_waits_for_the_operators_limit(town: Town) -> None:
    conn = town.fill(20).conn
    assert conn is not None
    job = submit_predict(conn, town.classifier, "reports", PredictRequest(limit_usd=100))
    why: list[str] = []
    access = access_to(town.server)
    assert work(conn, access=access, held=lambda job, reason: why.append(reason)) == 0
    assert len(why) == 1
    assert "FTCLASSIFY_USD_PER_JOB" in why[0]
    assert get_job(conn, job.id).state == "queued"
    assert town.server.count(ASK) == 0
    assert may_run(conn, job, access_to(town.server, usd_per_day=1)) is None
    assert work(conn, access=access_to(town.server, usd_per_job=1)) == 1
    assert get_job(conn, job.id).state == "finished"


@pytest.mark.parametrize("disguise", ["train", "predict", "evaluate"])
def test_a_job_cannot_hide_what_it_costs(town: Town, disguise: str) -> None:
    conn = town.fill(20).conn
    assert conn is not None
    job = submit_predict(conn, town.classifier, "reports")
    settings = {**job.settings, "trainer": "local"}
    with conn:
        conn.execute(
            "update _ftclassify_jobs set kind = ?, settings = ?", [disguise, json.dumps(settings)]
        )
    assert may_run(conn, get_job(conn, job.id), access_to(town.server)) is not None


def test_the_key_is_nowhere_in_the_database(town: Town) -> None:
    town.fill(60)
    town.server.faults.add(ASK, "unauthorized", None, skip=30)
    with pytest.raises(JobPaused):
        town.predict()
    conn = town.conn
    assert conn is not None
    conn.execute("vacuum")
    assert town.server.api_key.encode() not in town.path.read_bytes()


def test_only_kept_answers_that_fit_the_labels_count(town: Town) -> None:
    conn = town.fill(6).conn
    assert conn is not None
    town.predict()
    bad = ['["Zoo"]', '["Parks", "Roads"]', "[[1]]", "[{}]", "{", "[]"]
    with conn:
        for (key,), labels in zip(
            conn.execute("select input from _ftclassify_answers").fetchall(), bad, strict=True
        ):
            conn.execute("update _ftclassify_answers set labels = ? where input = ?", [labels, key])
    town.server.log.clear()
    assert town.predict().written == 6
    assert town.server.count(ASK) == 6


# Evaluation


def test_evaluation_asks_about_the_test_rows_and_keeps_the_answers(town: Town) -> None:
    conn = town.fill(30).conn
    assert conn is not None
    access = access_to(town.server)
    found = confirm_evaluate(conn, town.classifier, access)
    assert found is not None
    assert (found.estimate.requests, found.estimate.usd is not None) == (10, True)
    metrics = evaluate_classifier(conn, town.classifier, access=access)
    assert (metrics["n_test"], metrics["accuracy"], metrics["abstained"]) == (10, 1.0, 0)
    assert metrics["n_scored"] == 10
    assert metrics["spent"]["requests"] == 10
    assert (town.job().kind, town.job().state) == ("evaluate", "finished")
    assert spent_by_job(conn, 1).requests == 10
    assert town.predict().spent.requests == 20  # type: ignore[union-attr]
    assert evaluate_classifier(conn, town.classifier, access=access)["spent"]["requests"] == 0
    assert town.server.count(ASK) == 30


def test_evaluation_counts_abstentions_as_wrong_and_says_why(town: Town) -> None:
    conn = town.fill(30).conn
    assert conn is not None
    town.server.faults.add(ASK, "out_of_set", 2)
    town.server.faults.add(ASK, "content_policy", 1)
    town.server.faults.add(ASK, "no_logprobs", 3)
    metrics = evaluate_classifier(conn, town.classifier, access=access_to(town.server))
    assert metrics["abstained"] == 3
    assert metrics["accuracy"] == pytest.approx(0.7)
    assert sum(metrics["abstained_reasons"].values()) == 3
    assert metrics["n_scored"] < 10


def test_evaluation_does_not_count_a_failing_service_as_a_mistake(town: Town) -> None:
    conn = town.fill(30).conn
    assert conn is not None
    (text, _) = reports(30)[3]
    town.server.faults.add(ASK, "server_error", None, where=lambda r: text.encode() in r.body)
    with pytest.raises(JobPaused, match="1 of 10 texts have no answer yet"):
        evaluate_classifier(conn, town.classifier, access=access_to(town.server))
    town.server.faults.clear()
    town.server.log.clear()
    assert run_job(conn, 1, access=access_to(town.server)).state == "finished"
    assert town.server.count(ASK) == 1


def test_a_file_that_cannot_be_written_is_evaluated_from_what_was_kept(town: Town) -> None:
    conn = town.fill(30).conn
    assert conn is not None
    predict_all_but_one = PredictRequest(where="id <> 1")
    access = access_to(town.server)
    predict_rows(conn, town.classifier, "reports", predict_all_but_one, access=access)
    with pytest.raises(EvaluationError, match="1 answers could not be kept"):
        evaluate_classifier(conn, town.classifier, store=False)
    town.predict()
    assert evaluate_classifier(conn, town.classifier, store=False)["accuracy"] == 1.0
    assert town.server.count(ASK) == 30


# Processes that die


def test_kill_9_repeats_no_more_questions_than_were_under_way(town: Town) -> None:
    town.fill(300)
    town.server.settings.latency = 0.01
    chooser = random.Random(3)
    kills = 0
    for attempt in itertools.count():
        before = town.server.count(ASK)
        program = Program(predict_reports, town.path, 16, environ=environment(town.server))
        if attempt < 2:
            wanted = before + chooser.randrange(20, 130)
            wait_for(lambda wanted=wanted: town.server.count(ASK) >= wanted, "questions")  # type: ignore[misc]
            program.send(signal.SIGKILL)
            kills += 1
        if program.wait() == 0:
            break
    assert kills == 2
    assert town.server.count(ASK) <= 300 + kills * 16
    assert town.value("select avg(topics_label = topic) from reports") == 1.0
    assert town.value("select count(*) from _ftclassify_answers") == 300
    # Nothing was asked that the ledger, and the report in the file, do not know of.
    assert town.server.count(ASK) <= Ledger().spent_today().requests
    assert town.value("select sum(requests) from _ftclassify_spending") <= 300 + kills * 16


class RunningJob:
    """A prediction in a thread of its own, with a connection to look at it."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self.conn = conn
        self.error: Exception | None = None

    def __call__(self) -> Any:
        return get_job(self.conn, 1)


@contextmanager
def running_job(town: Town) -> Iterator[RunningJob]:
    """Ends when the job has."""
    with closing(connect(town.path)) as conn:
        job = RunningJob(conn)
        submit_predict(conn, town.classifier, "reports")

        def run() -> None:
            with closing(connect(town.path)) as own:
                try:
                    run_job(own, 1, access=access_to(town.server))
                except JobStopped as error:
                    job.error = error

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield job
        finally:
            thread.join(30)
            assert not thread.is_alive()
