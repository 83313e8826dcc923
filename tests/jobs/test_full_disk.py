"""A disk that is full in the midst of a paid job: asking ends before more is paid for than is under
way, what was answered and can be stored is stored, and nothing stored is asked again."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from batch_predictions import QUICK
from openai_server import OpenAIServer
from remote_classifier import (
    ASK,
    access_to,
    add_asked,
    asked_texts,
    count_answers,
    quick,
    report_table,
    reports,
)
from sample_databases import value

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import JobPaused
from datasette_ftclassify.jobs.agreements import ask as ask_for
from datasette_ftclassify.jobs.evaluate import submit_evaluate
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import submit_predict
from datasette_ftclassify.jobs.remote import answer_cache, batch_answers, batches, inference_loop
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.ledger import Ledger
from datasette_ftclassify.sql import remote_inference, spending
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store import disk_space
from datasette_ftclassify.store.answers import CachedAnswer, keep_answers
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.job import Job
from datasette_ftclassify.store.jobs.state import get_job

ROWS = 120
IN_FLIGHT = 32


class Disk:
    """Has no page left from the time on that answers are to be stored, but for `after` times."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.is_full = False

    def keep(self, conn: Any, classifier_id: int, answers: Mapping[bytes, CachedAnswer]) -> None:
        self.after -= 1
        self.is_full = self.is_full or self.after == -1
        self.limit(conn)
        keep_answers(conn, classifier_id, answers)
        if self.is_full:  # pages have some bytes left
            conn.execute("create table ballast as select zeroblob(100000) as bytes")

    def limit(self, conn: Any) -> None:
        pages = value(conn, "pragma page_count") if self.is_full else 1_000_000_000
        conn.execute(f"pragma max_page_count = {pages}")

    def make_room(self) -> None:
        self.is_full, self.after = False, 1_000_000


@pytest.fixture
def server(running: tuple[OpenAIServer, str], monkeypatch: pytest.MonkeyPatch) -> OpenAIServer:
    monkeypatch.setattr(inference_loop, "DEFAULT_RETRY_POLICY", replace(quick(), full=0.0))
    monkeypatch.setattr(batches, "Pace", lambda: QUICK)
    running[0].log.clear()
    return running[0]


@pytest.fixture
def path(running: tuple[OpenAIServer, str], tmp_path: Path) -> Path:
    with closing(report_table(tmp_path / "town.db", ROWS)) as conn:
        add_asked(conn, *running, held=ROWS)
    return tmp_path / "town.db"


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(after=3)
    for module in (answer_cache, batch_answers, spending):
        monkeypatch.setattr(module, "keep_answers", disk.keep)
    return disk


def predict(conn: Any) -> int:
    return submit_predict(conn, find_classifier(conn, "topics"), "reports").id


def evaluate(conn: Any) -> int:
    return submit_evaluate(conn, find_classifier(conn, "topics").id).id


def in_batches(conn: Any) -> int:
    request = PredictRequest(batch=True)
    return submit_predict(conn, find_classifier(conn, "topics"), "reports", request).id


def kept(conn: Any) -> int:
    return count_answers(conn, find_classifier(conn, "topics").id)


def stopped(conn: Any, job_id: int, server: OpenAIServer) -> Job:
    """The job, which rests and says why, once it was run."""
    with pytest.raises(JobPaused) as why:
        run_job(conn, job_id, access=access_to(server))
    job = get_job(conn, job_id)
    assert (job.state, job.error) == ("paused", str(why.value))
    return job


def gone_on(conn: Any, job_id: int, server: OpenAIServer) -> None:
    ask_for(conn, job_id, "resume", access_to(server))
    assert run_job(conn, job_id, access=access_to(server)).state == "finished"


def questions(server: OpenAIServer) -> Counter[str]:
    return Counter(asked_texts(server))


@pytest.mark.parametrize("submit", [predict, evaluate])
def test_a_disk_that_is_full_at_once_costs_no_more_than_was_under_way(
    conn: Any, server: OpenAIServer, disk: Disk, submit: Callable[[Any], int]
) -> None:
    job_id = submit(conn)
    why = stopped(conn, job_id, server).error or ""
    assert "no room" in why
    assert "resume" in why
    assert 0 < kept(conn) < ROWS
    lost = server.count(ASK) - kept(conn)
    assert 0 <= lost <= IN_FLIGHT
    assert server.count(ASK) <= Ledger().spent_today().requests
    disk.make_room()
    disk.limit(conn)
    gone_on(conn, job_id, server)
    assert len(questions(server)) == ROWS
    assert server.count(ASK) == ROWS + lost
    assert server.count(ASK) <= Ledger().spent_today().requests <= ROWS + IN_FLIGHT


def test_of_answers_in_hand_as_many_are_stored_as_there_is_room_for(
    conn: Any, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written beside them is what has no room: columns of two thousand rows, say."""
    from datasette_ftclassify.jobs.remote.row_window import Pages

    def too_much(pages: Pages) -> None:
        conn = pages._loop.conn
        conn.execute(f"pragma max_page_count = {value(conn, 'pragma page_count')}")
        conn.execute("create table ballast as select zeroblob(100000) as bytes")

    monkeypatch.setattr(Pages, "write", too_much)
    stopped(conn, predict(conn), server)
    assert kept(conn) >= 12


@pytest.mark.parametrize("submit", [predict, evaluate])
def test_room_that_is_made_while_it_waits_costs_nothing(
    conn: Any,
    server: OpenAIServer,
    disk: Disk,
    submit: Callable[[Any], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(server.count(ASK))
        if disk.is_full and len(waits) == 3:
            disk.make_room()
        time.sleep(0)

    clock = SimpleNamespace(monotonic=time.monotonic, sleep=sleep)
    monkeypatch.setattr(inference_loop, "time", clock)
    monkeypatch.setattr(inference_loop, "DEFAULT_RETRY_POLICY", replace(quick(), full=60.0))
    assert run_job(conn, submit(conn), access=access_to(server)).state == "finished"
    assert len(waits) >= 3
    assert set(questions(server).values()) == {1}
    assert server.count(ASK) == ROWS == Ledger().spent_today().requests


@pytest.mark.parametrize("submit", [predict, evaluate])
def test_asking_ends_while_there_still_is_room_for_what_is_under_way(
    conn: Any, server: OpenAIServer, submit: Callable[[Any], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up: by these very answers, here."""
    monkeypatch.setattr(disk_space, "ROOM", 20_000)
    job_id = submit(conn)
    pages = int(str(value(conn, "pragma page_count")))
    conn.execute(f"pragma max_page_count = {pages + 7}")
    assert "no room" in (stopped(conn, job_id, server).error or "")
    assert 0 < server.count(ASK) == kept(conn) < ROWS
    conn.execute("pragma max_page_count = 1000000")
    gone_on(conn, job_id, server)
    assert set(questions(server).values()) == {1}
    assert server.count(ASK) == ROWS == Ledger().spent_today().requests


def test_answers_of_a_batch_wait_at_the_service_for_room(
    conn: Any, server: OpenAIServer, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_answers, "KEPT_AT_ONCE", 20)
    job_id = in_batches(conn)
    why = stopped(conn, job_id, server).error or ""
    assert "no room" in why
    assert "resume" in why
    stored = kept(conn)
    assert 0 < stored < ROWS
    disk.make_room()
    disk.limit(conn)
    gone_on(conn, job_id, server)
    assert kept(conn) == ROWS == Ledger().spent_today().requests
    assert server.state.batches_created == 1
    assert server.count(ASK) == 0


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("submit", [predict, evaluate])
def test_without_room_for_the_ledger_nothing_more_is_asked(
    conn: Any, server: OpenAIServer, submit: Callable[[Any], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system refuses to let the ledger's file grow, as it does when a quota is used up."""
    job_id = submit(conn)
    writing, left = Ledger.writing, [6]

    @contextmanager
    def refused(ledger: Ledger) -> Iterator[Any]:
        left[0] -= 1
        with nullcontext() if left[0] >= 0 else no_file_beyond(0), writing(ledger) as db:
            yield db

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "writing", refused)
        job = stopped(conn, job_id, server)
    assert "ledger" in (job.error or "")
    asked = server.count(ASK)
    assert 0 < asked == kept(conn) < ROWS
    gone_on(conn, job_id, server)
    assert set(questions(server).values()) == {1}
    assert server.count(ASK) == ROWS <= Ledger().spent_today().requests <= ROWS + IN_FLIGHT


def test_sql_functions_ask_no_more_and_forget_nothing(
    path: Path, server: OpenAIServer, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_inference, "INFERENCE", remote_inference.SqlInference())
    monkeypatch.setattr(remote_inference, "LIMIT_SECONDS", 0.0)
    disk.after, sql = 1, "select ft_classify(?)"
    with closing(connect(path)) as conn:
        register(conn, access=lambda: access_to(server, sql_usd_per_day=1.0))
        texts = [text for text, _ in reports(30)]
        told = [value(conn, sql, [text]) for text in texts]
        asked = server.count(ASK)
        assert None in told
        assert 1 < asked <= 1 + remote_inference.MOST_IN_FLIGHT
        assert sum(label is not None for label in told) == asked
        assert asked == Ledger().spent_today().requests
        disk.make_room()
        assert None not in [value(conn, sql, [text]) for text in texts]
        assert server.count(ASK) == 30 == Ledger().spent_today().requests
        remote_inference.INFERENCE.close()
        assert kept(conn) == 30
