"""Prediction through the Batch API: half the price, and nothing twice whatever happens."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import batch_predictions
import pytest
from batch_predictions import QUICK, fill
from commands import says
from openai_examples import tune
from openai_server import OpenAIServer
from openai_server.vocabulary import vocabulary
from remote_classifier import (
    LABELS,
    access_to,
    add_asked,
    count_answers,
    report_table,
    reports,
    train_at,
)
from running_jobs import wait_for
from stored import list_jobs

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import ClassifierInUse, JobPaused, JobStopped, LimitReached
from datasette_ftclassify.jobs.agreements import ask, key_of
from datasette_ftclassify.jobs.lease import in_background
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.runner import work
from datasette_ftclassify.ledger import Ledger
from datasette_ftclassify.prompts.formats import ExportFormat
from datasette_ftclassify.prompts.prices import estimate_inference, load_prices
from datasette_ftclassify.store.answers import input_key
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.deletion import delete_classifier
from datasette_ftclassify.store.jobs.events import job_events
from datasette_ftclassify.store.jobs.state import ask_job, get_job
from datasette_ftclassify.store.spending import Spent, spent_by_job
from datasette_ftclassify.trainers.access import Access, Endpoint
from datasette_ftclassify.trainers.openai_protocol.batch import OpenAIBatchClient
from datasette_ftclassify.trainers.service import BatchState, InferenceResponse
from datasette_ftclassify.trainers.service_errors import RowRejected, ServiceRefused, TryAgain
from datasette_ftclassify.trainers.usage import Usage

pytestmark = pytest.mark.usefixtures("vocabularies")


@pytest.fixture(scope="module")
def taught() -> Iterator[tuple[OpenAIServer, str]]:
    with OpenAIServer(pace=0.002) as server:
        yield server, train_at(server)


@pytest.fixture
def server(taught: tuple[OpenAIServer, str]) -> OpenAIServer:
    """As new, but for its model."""
    server = taught[0]
    server.faults.clear()
    server.release()
    server.log.clear()
    server.settings.batch_tokens = None
    server.settings.no_logprobs = set()
    server.state.batches.clear()
    server.state.files.clear()
    server.state.batches_created = 0
    return server


@pytest.fixture
def town(
    taught: tuple[OpenAIServer, str], server: OpenAIServer, tmp_path: Path
) -> Iterator[sqlite3.Connection]:
    """60 reports, each text once, and a classifier of them at the server."""
    conn = report_table(tmp_path / "town.db", 60)
    add_asked(conn, server, taught[1])
    yield conn
    conn.close()


def answers(conn: sqlite3.Connection) -> int:
    return count_answers(conn, find_classifier(conn, "topics").id)


def uploads(server: OpenAIServer) -> list[list[str]]:
    """The keys of the questions in each file that arrived."""
    files = [r.body for r in server.log if (r.method, r.path) == ("POST", "/files")]
    return [re.findall(r'"custom_id":"(\w+)"', body.decode()) for body in files]


def spent(conn: sqlite3.Connection) -> Spent:
    return spent_by_job(conn, list_jobs(conn)[0].id)


def told(conn: sqlite3.Connection) -> str:
    return "\n".join(event.message for event in job_events(conn, list_jobs(conn)[0].id))


def states(conn: sqlite3.Connection) -> list[str]:
    return [s for (s,) in conn.execute("select state from _ftclassify_batches order by id")]


# What users see


def test_predict_in_batches_fills_the_columns_at_half_the_price(server, town):
    seen = []
    classifier = find_classifier(town, "topics")
    result = predict_rows(
        town, classifier, "reports", PredictRequest(batch=True), access=access_to(server),
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert (result.total, result.written, result.failed) == (60, 60, 0)
    wrong = "select count(*) from reports where topics_label <> topic"
    assert town.execute(wrong).fetchone() == (0,)
    assert town.execute("select min(topics_score) from reports").fetchone()[0] > 0.5
    assert server.batches_created == 1
    assert server.count("POST /chat/completions") == 0
    cost = spent(town)
    tokens = {"input_tokens": cost.input_tokens, "output_tokens": cost.output_tokens}
    model = classifier.header["model"]
    full = estimate_inference(load_prices(), model, **tokens)
    assert cost.requests == 60
    assert full.usd is not None
    assert cost.usd == pytest.approx(full.usd / 2)
    assert seen[0] == (60, 60)
    assert states(town) == ["done"]
    assert server.state.files == {}  # all of ours are deleted


def test_a_text_of_many_rows_is_asked_about_once(server, tmp_path, taught):
    rows = [*reports(10), *reports(10), (None, None), ("  ", None), *reports(15)]
    conn = report_table(tmp_path / "same.db", 0, rows)
    add_asked(conn, server, taught[1])
    fill(conn, access_to(server), max_requests=4)
    assert server.batches_created == 4
    keys = [key for file in uploads(server) for key in file]
    assert sorted(keys) == sorted(input_key(text).hex() for text, _ in reports(15))
    assert answers(conn) == spent(conn).requests == 15
    fill(conn, access_to(server))
    assert server.batches_created == 4  # everything is answered


def test_several_batches_are_at_the_service_at_once_and_no_more(server, town):
    server.hold("in_progress")
    most = []

    def limit(usd: float) -> None:
        most.append(sum(b.record["status"] != "completed" for b in server.batches.values()))
        if len(most) == 4:
            server.release()

    fill(town, access_to(server), max_requests=8, limit=limit)
    assert server.batches_created == 8
    assert most[:4] == [0, 1, 2, 3]
    assert max(most) <= 3
    assert answers(town) == 60


def test_a_batch_has_a_size_in_bytes(server, town):
    batch_client = batcher_of(town, server)
    size = len(batch_client.line("0" * 32, reports(1)[0][0])) + 30
    fill(town, access_to(server), max_requests=1000, max_bytes=10 * size)
    assert 5 < server.batches_created < 9
    assert max(len(r.body) for r in server.log) < 11 * size
    assert answers(town) == 60


def test_a_text_too_long_for_any_batch_is_left_to_others(server, town):
    with town:
        town.execute("update reports set body = ? where id = 7", ["road " * 1000])
    fill(town, access_to(server), max_bytes=4000)
    assert answers(town) == 59


def test_completions_are_batched_as_well(server, tmp_path):
    codec = ExportFormat(form="completion").bind(LABELS)
    lines = "".join(codec.encode(t, (label,)) + "\n" for t, label in reports(60, 1_000_000))
    model = tune(server, lines.encode(), model="babbage-002").fine_tuned_model
    conn = report_table(tmp_path / "town.db", 30)
    classifier = add_asked(conn, server, str(model))
    header = {**classifier.header, "format": codec.resolved.to_dict()}
    with conn:
        conn.execute("update _ftclassify_classifiers set header = ?", [json.dumps(header)])
    fill(conn, access_to(server))
    assert server.batches_created == 2
    labels = conn.execute("select labels from _ftclassify_answers").fetchall()
    assert len(labels) == 30
    assert {label for (label,) in labels} == {'["Parks"]', '["Roads"]', '["Water"]'}


def test_a_line_is_the_body_of_a_single_request(server, town):
    classifier = find_classifier(town, "topics")
    text = "a\u2028b\x85 \ud800 \U0001f989"
    line = batcher_of(town, server).line("00", text)
    assert line.isascii()
    assert line.count(b"\n") == 1
    said = json.loads(line)
    assert (said["custom_id"], said["method"]) == ("00", "POST")
    assert said["url"] == "/v1/chat/completions"
    with town:
        town.execute("delete from reports where id > 1")
    predict_rows(town, classifier, "reports", access=access_to(server))
    single = json.loads(server.log[-1].body)
    batched = json.loads(batcher_of(town, server).line("00", reports(1)[0][0]))["body"]
    assert batched == single


def test_azure_has_another_path_and_the_name_of_the_deployment(tmp_path):
    codec = ExportFormat(labels="code", bom=True).bind(LABELS)
    lines = "".join(codec.encode(t, (label,)) + "\n" for t, label in reports(60, 1_000_000))
    with OpenAIServer(dialect="azure", pace=0.002) as server:
        model = tune(server, b"\xef\xbb\xbf" + lines.encode()).fine_tuned_model
        server.deploy(str(model), "my-batch")
        conn = report_table(tmp_path / "town.db", 30)
        header = {**add_asked(conn, server, str(model)).header, "deployment": "my-batch"}
        with conn:
            changes = "update _ftclassify_classifiers set header = ?, trainer = 'azure'"
            conn.execute(changes, [json.dumps(header)])
        access = Access({"azure": Endpoint(server.api_key, server.origin)})
        classifier = find_classifier(conn, "topics")
        result = predict_rows(
            conn, classifier, "reports", PredictRequest(batch=True), access=access
        )
        assert (result.written, server.batches_created) == (30, 1)
        (batch,) = [r for r in server.log if (r.method, r.path) == ("POST", "/batches")]
        assert batch.json["endpoint"] == "/chat/completions"
        (file,) = [r for r in server.log if (r.method, r.path) == ("POST", "/files")][1:]
        assert file.body.count(b'"url":"/chat/completions","body":{"model":"my-batch"') == 30


def batcher_of(conn: sqlite3.Connection, server: OpenAIServer) -> OpenAIBatchClient:
    classifier = find_classifier(conn, "topics")
    return OpenAIBatchClient(
        classifier.header, classifier.labels, access_to(server).endpoint("openai")
    )


# What goes wrong


@pytest.mark.parametrize(
    ("route", "kind", "options"),
    [
        ("POST /batches", 500, {"after": True}),
        ("POST /batches", "drop", {"after": True}),
        ("POST /batches", 500, {}),
        ("POST /batches", 429, {"retry_after": 0.01}),
        ("POST /files", "drop", {"after": True}),
        ("POST /files", 500, {"after": True}),
        ("POST /files", 503, {}),
        ("GET /batches", 500, {"times": 2}),
        ("GET /batches/batch_*", 503, {"times": 3}),
        ("GET /batches/batch_*", "malformed_json", {}),
        ("GET /files/*/content", "truncated", {}),
        ("GET /files/*/content", "drop", {}),
        ("DELETE /files/*", 500, {"times": 2}),
    ],
)
def test_a_failing_service_is_asked_again_and_nothing_made_twice(
    server, town, route, kind, options
):
    fault = server.faults.add(route, kind, **{"times": 1, **options})
    if route == "GET /batches":  # looked through after a failure alone
        server.faults.add("POST /batches", "drop", after=True)
    fill(town, access_to(server), max_requests=40)
    assert fault.struck
    assert server.batches_created == 2
    assert answers(town) == spent(town).requests == 60


MOMENTS = [
    "before upload", "after upload", "before create", "after create", "after create",
    "after state", "read 3", "before delete", "after delete", "read 17",
]  # fmt: skip


def test_kill_9_anywhere_makes_no_batch_twice_and_loses_no_answer(server, town):
    path = town.execute("pragma database_list").fetchone()[2]
    access = {"OPENAI_API_KEY": server.api_key, "OPENAI_BASE_URL": server.base_url}
    run = subprocess.run(
        [sys.executable, batch_predictions.__file__, path, *MOMENTS],
        env={**os.environ, **access}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["-9"] * len(MOMENTS) + ["0"], run.stderr
    assert answers(town) == 60
    assert spent(town).requests == 60
    assert server.batches_created == len(uploads(server)) == 3
    assert len(list_jobs(town)) == 1
    assert server.state.files == {}


def test_expired_batches_are_sent_again_for_what_is_missing(server, town):
    server.faults.add("POST /batches", "batch_expires", done=0.5)
    fill(town, access_to(server), max_requests=60)
    first, second = uploads(server)
    assert (len(first), len(second)) == (60, 30)
    assert set(second) < set(first)
    assert answers(town) == spent(town).requests == 60


def test_after_three_rounds_the_rest_is_asked_one_by_one(server, town):
    server.faults.add("POST /batches", "batch_expires", None, done=0.0)
    result = predict_rows(
        town, find_classifier(town, "topics"), "reports", PredictRequest(batch=True),
        access=access_to(server),
    )  # fmt: skip
    assert server.batches_created == 3
    assert server.count("POST /chat/completions") == 60
    assert result.written == 60


def test_a_row_that_is_refused_is_left_and_others_are_kept(server, town):
    server.faults.add("/batches/-/chat/completions", "content_policy", 2)
    server.faults.add("/batches/-/chat/completions", "unavailable", 3, skip=0)
    fill(town, access_to(server))
    assert answers(town) == 58
    assert server.batches_created == 4  # 3, and one for what may be asked again
    assert len(uploads(server)[3]) == 3


def test_a_model_without_log_probabilities_is_asked_again_without_them(server, town):
    model = find_classifier(town, "topics").header["model"]
    server.settings.no_logprobs = {model}
    fill(town, access_to(server), max_requests=30)
    assert answers(town) == 60
    assert server.batches_created == 4  # two were refused
    known = "select count(*) from _ftclassify_answers where logprobs is null"
    assert town.execute(known).fetchone() == (60,)


def test_a_server_without_metadata(server, town):
    server.faults.add("POST /batches", 400, message="Unknown parameter: 'metadata'.")
    fill(town, access_to(server), max_requests=60)
    (batch,) = server.batches.values()
    assert batch.record["metadata"] is None
    assert answers(town) == 60


def test_what_would_fail_always_is_told_in_the_service_s_words(server, town):
    server.faults.add("POST /batches", "batch_fails", message="The sky is falling.")
    with pytest.raises(ServiceRefused, match=r"refused batch \w+ of 60 texts: The sky is falling"):
        fill(town, access_to(server), max_requests=60)
    assert list_jobs(town)[0].state == "failed"
    assert states(town) == ["done"]
    fill(town, access_to(server), max_requests=60)  # tried again
    assert answers(town) == 60


def test_a_revoked_key_ends_it_and_what_runs_is_fetched_later(server, town):
    server.faults.add("GET /batches/batch_*", 401)
    with pytest.raises(ServiceRefused, match="answered 401"):
        fill(town, access_to(server))
    assert "3 batches go on at the service" in told(town)
    fill(town, access_to(server))
    assert server.batches_created == 3
    assert answers(town) == spent(town).requests == 60


def test_requests_that_no_model_answers_end_it(server, town):
    server.faults.add("/batches/-/chat/completions", "model_not_ready", None)
    with pytest.raises(ServiceRefused, match="does not exist"):
        fill(town, access_to(server), max_requests=60)
    assert states(town) == ["done"]


def room_for(conn: sqlite3.Connection, server: OpenAIServer, requests: int) -> int:
    """Tokens, as the service counts them before it takes a batch."""
    line = batcher_of(conn, server).line(
        "0123456789abcdef" * 2, "report 59 on a pothole and a kerb"
    )
    return requests * (vocabulary("o200k_base").count(line.decode()) + 5)


def test_a_full_queue_is_waited_for(server, town):
    server.settings.batch_tokens = room_for(town, server, 40)
    server.hold("in_progress")
    with when(lambda: "failed" in at_service(server), server.release):
        fill(town, access_to(server), max_requests=15)
    assert answers(town) == spent(town).requests == 60
    assert len(uploads(server)) == 4  # files that waited were not sent again


def at_service(server: OpenAIServer) -> list[str]:
    return [batch.record["status"] for batch in server.batches.values()]


def test_a_batch_refused_beside_others_that_have_ended_is_not_too_large(server, town, monkeypatch):
    server.settings.batch_tokens = room_for(town, server, 50)
    server.hold("in_progress")
    look = OpenAIBatchClient.state

    def look_late(self: OpenAIBatchClient, batch_id: str) -> BatchState:
        wait_for(lambda: "failed" in at_service(server), "a full queue")
        server.release()
        wait_for(lambda: set(at_service(server)) == {"completed", "failed"}, "the others' end")
        return look(self, batch_id)

    monkeypatch.setattr(OpenAIBatchClient, "state", look_late)
    fill(town, access_to(server), max_requests=20)
    assert at_service(server) == ["completed", "completed", "failed", "completed"]
    assert [len(file) for file in uploads(server)] == [20, 20, 20]
    assert answers(town) == spent(town).requests == 60


def test_a_full_queue_is_asked_again_only_when_a_batch_has_ended(server, town):
    server.settings.batch_tokens = room_for(town, server, 50)
    server.hold("in_progress")

    def looks() -> int:
        return sum(r.method == "GET" and r.path.startswith("/batches/") for r in server.log)

    with when(lambda: looks() > 12, server.release):
        fill(town, access_to(server), max_requests=20)
    assert at_service(server) == ["completed", "completed", "failed", "completed"]


def test_a_batch_larger_than_the_queue_is_sent_in_smaller_ones(server, town):
    server.settings.batch_tokens = room_for(town, server, 40)
    fill(town, access_to(server), max_requests=60)
    sizes = [len(file) for file in uploads(server)]
    assert sizes[0] == 60
    assert max(sizes[1:]) == 30
    assert answers(town) == spent(town).requests == 60


def test_a_queue_without_room_for_one_request_is_told(server, town):
    server.settings.batch_tokens = 10
    with pytest.raises(ServiceRefused, match="Enqueued token limit reached"):
        fill(town, access_to(server), max_requests=4)
    assert answers(town) == 0


@contextmanager
def when(condition: Callable[[], bool], act: Callable[[], None]) -> Iterator[None]:
    """Acts beside the block, as soon as the condition holds."""

    def look(over: threading.Event) -> None:
        while not condition() and not over.wait(0.01):
            pass
        act()

    with in_background(look):
        yield


def test_a_limit_is_met_before_a_batch_is_made(server, town):
    expected = []

    def limit(usd: float) -> None:
        expected.append(usd)
        if len(expected) == 3:
            raise LimitReached("That is enough.")

    with pytest.raises(LimitReached, match="enough"):
        fill(town, access_to(server), max_requests=20, limit=limit)
    assert server.batches_created == 2
    assert answers(town) == 40  # what was sent is paid for, and kept
    assert states(town) == ["done"] * 3  # the last one was noted, and not sent
    fill(town, access_to(server))
    assert answers(town) == 60


def test_the_limit_of_a_job_holds_for_batches(server, town):
    classifier = find_classifier(town, "topics")
    request = PredictRequest(batch=True, limit_usd=0.0001)
    with pytest.raises(JobPaused, match=r"limit of \$0.0001 for this job"):
        predict_rows(town, classifier, "reports", request, access=access_to(server))
    assert server.batches_created == server.count("POST /files") == 0
    result = predict_rows(
        town, classifier, "reports", replace(request, limit_usd=1.0), access=access_to(server)
    )
    assert result.written == 60
    assert len(list_jobs(town)) == 1


def test_a_batch_that_was_not_made_is_made_within_the_limit_that_is_set_now(server, town):
    server.faults.add("POST /batches", 401)
    with pytest.raises(ServiceRefused):
        fill(town, access_to(server), max_requests=60)
    assert len(uploads(server)) == 1
    with pytest.raises(LimitReached, match=r"limit of \$0.0001 for a job"):
        fill(town, access_to(server, usd_per_job=0.0001), max_requests=60)
    assert server.batches_created == 0
    fill(town, access_to(server), max_requests=60)
    assert answers(town) == spent(town).requests == 60


def test_a_batch_is_not_made_for_which_the_ledger_holds_nothing(server, town):
    """As after its ledger was lost: its requests are reserved, and sent, anew."""
    server.faults.add("POST /batches", 401)
    with pytest.raises(ServiceRefused):
        fill(town, access_to(server), max_requests=60)
    for (tag,) in town.execute("select tag from _ftclassify_batches"):
        Ledger().end(key_of(town, list_jobs(town)[0]), tag)
    reserved: list[float] = []
    fill(town, access_to(server), max_requests=60, limit=reserved.append)
    assert (len(reserved), len(uploads(server)), server.batches_created) == (1, 2, 1)
    assert answers(town) == spent(town).requests == 60


# Pause, resume, cancel


def pause_after_two_batches(server, town) -> None:
    """Somebody asks for a pause when the service has two batches of the job."""

    def limit(usd: float) -> None:
        if server.batches_created == 2:
            ask_job(town, list_jobs(town)[0].id, "pause")

    with pytest.raises(JobStopped):
        fill(town, access_to(server), limit=limit)


def test_a_paused_job_leaves_its_batches_to_the_service(server, town):
    server.hold("in_progress")
    pause_after_two_batches(server, town)
    assert list_jobs(town)[0].state == "paused"
    assert "3 batches go on at the service: resume the job" in told(town)
    server.release()
    fill(town, access_to(server))
    assert server.batches_created == 3
    assert answers(town) == spent(town).requests == 60


def test_rows_that_come_while_a_job_rests_make_no_question_twice(server, town):
    server.hold("in_progress")
    with town:
        town.execute("update reports set id = id * 100")
    pause_after_two_batches(server, town)
    with town:
        more = [(n, f"a new report, number {n}") for n in range(1, 30)]
        town.executemany("insert into reports (id, body) values (?, ?)", more)
    server.release()
    fill(town, access_to(server))
    assert answers(town) == spent(town).requests == 89
    assert town.execute("select count(*) from _ftclassify_batch_keys").fetchone() == (0,)


def test_a_batch_of_an_older_version_is_waited_for(server, town):
    server.hold("in_progress")
    pause_after_two_batches(server, town)
    with town:
        town.execute("delete from _ftclassify_batch_keys")
    server.release()
    fill(town, access_to(server))
    assert server.batches_created == 3
    assert answers(town) == spent(town).requests == 60


def test_a_cancelled_job_cancels_its_batches_and_keeps_what_they_had_answered(server, town):
    server.hold("in_progress")

    def limit(usd: float) -> None:
        if server.batches_created == 2:
            ask_job(town, list_jobs(town)[0].id, "cancel")

    with pytest.raises(JobStopped):
        fill(town, access_to(server), limit=limit)
    job = list_jobs(town)[0]
    assert job.state == "cancelled"
    assert {b.record["status"] for b in server.batches.values()} == {"cancelled"}
    assert states(town) == ["done"] * 3
    assert server.state.files == {}
    assert answers(town) == spent(town).requests


def test_a_copy_that_is_cancelled_leaves_the_reservation_of_the_original(server, town, tmp_path):
    server.hold("in_progress")
    pause_after_two_batches(server, town)
    held = Ledger().under_way()
    copy, access = str(tmp_path / "copy.db"), access_to(server)
    town.execute("vacuum into ?", [copy])
    with closing(connect(copy)) as other:
        ask(other, list_jobs(other)[0].id, "cancel", access)
        work(other, access=access)
        assert states(other) == ["done"] * 3
    assert Ledger().under_way() == held > 0


def test_batches_that_the_file_knows_no_more_count_as_spent(server, town):
    """As where a backup was put back: the service bills them."""
    server.hold("in_progress")
    pause_after_two_batches(server, town)
    held = Ledger().under_way()
    with town:
        town.executescript("delete from _ftclassify_batches; delete from _ftclassify_batch_keys")
    server.release()
    fill(town, access_to(server))
    assert (server.batches_created, answers(town), Ledger().under_way()) == (6, 60, 0)
    assert Ledger().spent_today().requests == 120
    assert Ledger().spent_today().usd > held + spent(town).usd * 0.99


def test_a_batch_that_is_slow_to_cancel_is_fetched_by_a_retry(server, town):
    server.hold("in_progress", "cancelling", "finalizing")

    def limit(usd: float) -> None:
        if server.batches_created == 2:
            ask_job(town, list_jobs(town)[0].id, "cancel")

    with pytest.raises(JobStopped):
        fill(town, access_to(server), limit=limit, pace=replace(QUICK, cancelling=0.0))
    job = list_jobs(town)[0]
    assert "retry the job later to fetch it" in told(town)
    server.release()
    ask_job(town, job.id, "retry")
    fill(town, access_to(server))
    assert get_job(town, job.id).state == "finished"
    assert answers(town) == spent(town).requests == 60


def test_rows_that_change_while_a_batch_runs_are_asked_in_the_next(server, town):
    server.hold("in_progress")

    def limit(usd: float) -> None:
        ask_job(town, list_jobs(town)[0].id, "pause")

    with pytest.raises(JobStopped):
        fill(town, access_to(server), max_requests=60, limit=limit)
    with town:
        town.execute("delete from reports where id = 60")
        town.execute("update reports set body = 'a new flood' where id = 5")
        town.execute("insert into reports (body) values ('a new bench')")
    server.release()
    fill(town, access_to(server), max_requests=60)
    assert server.batches_created == 2
    assert sorted(uploads(server)[1]) == sorted(
        input_key(t).hex() for t in ("a new flood", "a new bench")
    )
    assert answers(town) == 62


def test_a_classifier_with_open_batches_is_deleted_when_they_are_cancelled(
    server, town, monkeypatch
):
    server.hold("in_progress")
    pause_after_two_batches(server, town)
    with pytest.raises(ClassifierInUse, match="goes on at a service, where it is billed"):
        delete_classifier(town, "topics")
    path = town.execute("pragma database_list").fetchone()[2]
    monkeypatch.setenv("OPENAI_API_KEY", server.api_key)
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    words = ["classifiers", "delete", path, "topics", "--yes", "--json"]
    assert "--cancel-jobs" in says(*words, code=1)
    assert set(at_service(server)) <= {"validating", "in_progress"}
    assert json.loads(says(*words, "--cancel-jobs"))["deleted"] == ["topics@1"]
    assert set(at_service(server)) == {"cancelled"}
    assert town.execute("select count(*) from _ftclassify_batches").fetchone() == (0,)


# What is read


def test_lines_that_are_none_of_ours_do_not_matter(server, town):
    batch_client = batcher_of(town, server)
    good = {
        "id": "b", "custom_id": "aa" * 16, "error": None,
        "response": {"status_code": 200, "request_id": "r", "body": {
            "choices": [{"finish_reason": "stop", "message": {"content": "1\u2028"}}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 1},
        }},
    }  # fmt: skip
    refused = {**good, "response": {
        "status_code": 400, "request_id": "r",
        "body": {"error": {"message": "Too long.", "code": "context_length_exceeded"}},
    }}  # fmt: skip
    lines = [
        json.dumps(good, ensure_ascii=False), "", "{", "[]", '"x"', '{"custom_id": 1}',
        json.dumps(refused), json.dumps({**good, "response": None}),
        json.dumps({**good, "response": {"status_code": 200, "body": 3}}),
    ]  # fmt: skip
    client = server.client()
    content = "\r\n".join(lines).encode()
    id = client.files.create(file=("r.jsonl", content), purpose="batch").id
    found = [outcome for key, outcome in batch_client.read(id) if key == "aa" * 16]
    assert isinstance(found[0], InferenceResponse)
    assert found[0].usage == Usage(7, 0, 1)
    assert isinstance(found[1], RowRejected)
    assert [type(f).__name__ for f in found[2:]] == ["TryAgain", "TryAgain"]
    assert list(batch_client.read("file-none")) == []


def test_answers_are_kept_while_the_rest_of_a_file_is_on_its_way(server, town):
    server.faults.add("GET /files/*/content", "truncated", 1)
    batch_client = batcher_of(town, server)
    line = json.dumps({"custom_id": "aa" * 16, "response": None, "error": {"code": "expired"}})
    content = (line + "\n").encode() * 2000
    id = server.client().files.create(file=("r.jsonl", content), purpose="batch").id
    found: list[object] = []
    with pytest.raises(TryAgain):
        found.extend(batch_client.read(id))
    assert 0 < len(found) < 2000


def test_the_key_is_stored_nowhere(server, town, tmp_path):
    server.faults.add("POST /batches", "batch_fails", message=f"Wrong: {server.api_key}")
    with pytest.raises(ServiceRefused):
        fill(town, access_to(server))
    fill(town, access_to(server))
    town.execute("pragma wal_checkpoint")
    for file in tmp_path.iterdir():
        assert server.api_key.encode() not in file.read_bytes()
