"""Ways to pay twice, or past a limit, that somebody may stumble into: a process that was stopped
and comes back, a ledger that is deleted or is not the same for all, a clock that is set back."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from killing import IN_FLIGHT, environment, repeats, times_asked
from openai_server import OpenAIServer
from paid_rows import check_books, check_rows, make_watched, predict_command, predict_key
from programs import Program, datasette
from remote_classifier import ASK, access_to, add_asked, count_answers, report_table, train_at
from running_jobs import wait_for
from service_workflow import access_to as access_at
from stored import list_jobs

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import JobPaused, LimitReached
from datasette_ftclassify.jobs.agreements import ask as ask_for
from datasette_ftclassify.jobs.agreements import why_not_agreed
from datasette_ftclassify.jobs.columns import Columns
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import submit_predict
from datasette_ftclassify.jobs.runner import run_job, work
from datasette_ftclassify.ledger import (
    Account,
    Agreement,
    JobKey,
    Ledger,
    LedgerError,
    Limits,
    default_path,
)
from datasette_ftclassify.ledger.limits import add_spent, day_before, hold
from datasette_ftclassify.sql.spending import SqlSpending
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.leases import new_owner
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.store.schema import ensure_schema
from datasette_ftclassify.store.spending import SQL_FUNCTIONS, Spent, spent_by_job
from datasette_ftclassify.trainers.access import Access

ROWS = 400
KEY = JobKey("some.db", 1, "nonce")


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def town(server: OpenAIServer, tmp_path: Path) -> Path:
    with closing(report_table(tmp_path / "town.db", 120)) as conn:
        add_asked(conn, server, train_at(server))
    server.log.clear()
    return tmp_path / "town.db"


def stop_between_writes(pid: int, path: Path) -> None:
    """Stops a process at a moment when it holds no lock, of the file or of the ledger, as it would
    be for most of its time."""
    with (
        closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as conn,
        closing(sqlite3.connect(default_path(), timeout=0, isolation_level=None)) as ledger,
    ):

        def stopped() -> bool:
            os.kill(pid, signal.SIGSTOP)
            try:
                ledger.execute("begin immediate")
                ledger.execute("rollback")
                conn.execute("begin immediate")
                conn.execute("update _ftclassify_jobs set lease_until = 0, lease_clock = 0")
                conn.execute("commit")
            except sqlite3.OperationalError:
                os.kill(pid, signal.SIGCONT)
                return False
            return True

        wait_for(stopped, "a moment without a lock")


def test_a_process_that_was_stopped_and_comes_back_asks_nothing_more(
    server: OpenAIServer, tmp_path: Path
) -> None:
    """As a laptop does that sleeps, or a container that is paused, for longer than its lease."""
    path = tmp_path / "town.db"
    make_watched(path, access_at(server.base_url), ROWS)
    server.log.clear()
    # So it rests between its writes, and is not done before it is stopped.
    server.settings.latency = 0.5
    with closing(connect(path)) as conn:
        command = ["ftclassify", *predict_command(path, IN_FLIGHT)]
        first = Program(datasette, *command, environ=environment(server))
        wait_for(lambda: server.count(ASK) > 2 * IN_FLIGHT, "the first questions")
        stop_between_writes(first.pid, path)
        server.settings.latency = 0.02
        (job_id,) = (job.id for job in list_jobs(conn) if job.kind == "predict")
        seen: list[int] = []

        def wake(done: int, total: int) -> None:
            if not seen:
                os.kill(first.pid, signal.SIGCONT)
            seen.append(done)

        job = run_job(conn, job_id, access=access_at(server.base_url), rows=wake)
        assert job.state == "finished"
        assert first.wait() == 1
        assert "taken over by another process" in first.output
    check_rows(path, ROWS)
    asked = times_asked(server)
    booked = check_books(server.count(ASK), predict_key(path)).repeats
    assert len(asked) == ROWS
    # Those under way when it was stopped, and those that it sent before it heard.
    assert repeats(asked) <= 2 * IN_FLIGHT
    assert booked <= IN_FLIGHT


def test_a_ledger_that_is_deleted_stops_what_uses_it(server: OpenAIServer, town: Path) -> None:
    with closing(connect(town)) as conn:
        topics = find_classifier(conn, "topics")
        job_id = submit_predict(conn, topics, "reports", PredictRequest(concurrency=8)).id

        def delete(done: int, total: int) -> None:
            for end in ("", "-wal", "-shm"):
                Path(f"{default_path()}{end}").unlink(missing_ok=True)

        with pytest.raises(JobPaused, match="was deleted or replaced"):
            run_job(conn, job_id, access=access_to(server), rows=delete)
        asked = server.count(ASK)
        # Nothing more is sent, and what was under way is kept.
        assert 0 < asked == count_answers(conn, topics.id) < 120
        # A new ledger knows of no agreement: it wants a person, who is told what is still to pay.
        assert work(conn, access=access_to(server, usd_per_job=1.0)) == 0
        ask_for(conn, job_id, "resume", access_to(server))
        assert run_job(conn, job_id, access=access_to(server)).state == "finished"
        assert server.count(ASK) == 120
        assert Ledger().spent_today().requests == 120 - asked


def test_a_ledger_that_somebody_writes_is_read(tmp_path: Path) -> None:
    """As while a process is stopped in the midst of a write: nobody who reads waits for it."""
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.agree(KEY, Agreement("digest", 0.5))
    assert ledger.hold(KEY, "a batch", 0.25, 10, Limits()) is None
    reads: list[Callable[[], object]] = [
        lambda: ledger.agreements(KEY.database),
        lambda: ledger.base_of("host", "model"),
        lambda: ledger.spent(KEY),
        ledger.spent_today,
        ledger.under_way,
        lambda: ledger.rooms(KEY, Limits(day=1.0)),
        lambda: ledger.held(KEY, "a batch"),
    ]
    before = [read() for read in reads]
    with ledger.writing():
        assert [read() for read in reads] == before


def test_a_ledger_that_cannot_be_read_is_the_reason_that_is_given(
    server: OpenAIServer, town: Path, tmp_path: Path
) -> None:
    """Somebody has agreed, and nobody can know it."""
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database" * 100)
    access = access_to(server, usd_per_job=1.0, ledger=str(broken))
    with closing(connect(town)) as conn:
        job = submit_predict(conn, find_classifier(conn, "topics"), "reports")
        told: list[str] = []
        assert work(conn, access=access, held=lambda job, why: told.append(why)) == 0
        with pytest.raises(JobPaused) as refused:
            run_job(conn, job.id, access=access)
        for said in (told[0], str(refused.value)):
            assert f"The ledger {broken}" in said
            assert "obody on this machine" not in said
        assert get_job(conn, job.id).state == "queued"


def test_a_ledger_that_can_be_read_a_moment_later_is_still_the_reason(
    server: OpenAIServer, town: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was seen and what is said of it are of one look."""
    access = access_to(server, usd_per_job=1.0)
    with closing(connect(town)) as conn:
        job = submit_predict(conn, find_classifier(conn, "topics"), "reports")
        readable, refused = Ledger.agreements, [LedgerError("The ledger is locked.")]

        def read(ledger: Ledger, database: str) -> Any:
            if refused:
                raise refused.pop()
            return readable(ledger, database)

        monkeypatch.setattr(Ledger, "agreements", read)
        assert why_not_agreed(conn, job, access) == "The ledger is locked."


def test_another_ledger_agrees_to_nothing(server: OpenAIServer, town: Path, tmp_path: Path) -> None:
    """As when a server and the command line are given different ones."""
    other = access_to(server, usd_per_job=1.0, ledger=str(tmp_path / "other.db"))
    with closing(connect(town)) as conn:
        job = submit_predict(conn, find_classifier(conn, "topics"), "reports")
        told: list[str] = []
        assert work(conn, access=other, held=lambda job, why: told.append(why)) == 0
        assert "Nobody on this machine has agreed" in told[0]
        assert server.count(ASK) == 0
        assert get_job(conn, job.id).state == "queued"
        assert work(conn, access=access_to(server, usd_per_job=1.0)) == 1
        assert Ledger(tmp_path / "other.db").spent_today() == Spent()


@pytest.mark.parametrize(
    ("days", "counts"), [(0, True), (1, True), (7, True), (-1, False), (9, False)]
)
def test_a_clock_that_is_set_back_makes_no_room(days: int, counts: bool) -> None:
    """days: from the day as it is now to the one on which something was spent"""
    ledger = Ledger()
    day = (datetime.now(timezone.utc) + timedelta(days)).strftime("%Y-%m-%d")
    with ledger.writing() as db:
        add_spent(db, KEY, Spent(0.75, 3), day=day)
    ledger.close()
    left = ledger.rooms(None, Limits(day=1.0))[0].left
    assert left == pytest.approx(0.25 if counts else 1.0)
    assert ledger.spent_today().requests == (3 if counts else 0)


def test_a_request_whose_answer_never_came_counts_as_spent() -> None:
    """The service may have answered it, and billed that; what it refuses it does not bill."""
    account = Account(Ledger(), KEY, Limits(day=1.0))
    assert account.reserve([0.25, 0.25, 0.25]) == 3
    assert account.lose(0.25) == Spent(0.25, 1)
    account.refuse(0.25)
    account.save()
    assert Ledger().spent(KEY) == Spent(0.25, 1)
    assert account.close() == Spent(0.25, 1)  # the third is under way
    assert Ledger().spent(KEY) == Spent(0.5, 2)


def another_process(what: str) -> str:
    """The owner of what it has under way."""
    machine, _, token = new_owner().split(":")
    host, known, boot = machine.partition("+")
    if what == "has ended":
        dead = subprocess.Popen(["true"])
        dead.wait()
        return f"{machine}:{dead.pid}:{token}"
    if what == "ran before the machine was started again":
        if not known:
            pytest.skip("this system does not say when it was started")
        return f"{host}+another-boot.{boot.partition('.')[2]}:{os.getpid()}:{token}"
    return f"elsewhere+its-boot.1:{os.getpid()}:{token}" if what == "elsewhere" else new_owner()


@pytest.mark.parametrize(
    ("what", "spent"),
    [
        ("has ended", Spent(0.25, 3)),
        ("ran before the machine was started again", Spent(0.25, 3)),
        ("runs", Spent()),
        ("elsewhere", Spent()),
    ],
)
def test_what_a_dead_process_had_under_way_counts_as_spent(what: str, spent: Spent) -> None:
    """Whoever uses the ledger next counts it, whatever job it was for."""
    ledger, owner = Ledger(), another_process(what)
    with ledger.writing() as db:
        hold(db, owner, KEY, 0.25, 3, owner=owner)
    ledger.close()
    Account(Ledger(), JobKey("some.db", 2, "next"), Limits()).close()
    assert Ledger().spent(KEY) == spent
    assert Ledger().under_way() == 0.25 - spent.usd


@pytest.mark.parametrize(("days", "spent"), [(29, Spent()), (31, Spent(0.5, 10))])
def test_a_batch_that_nobody_has_collected_for_a_month_counts_as_spent(
    days: int, spent: Spent
) -> None:
    ledger = Ledger()
    assert ledger.hold(KEY, "a batch", 0.5, 10, Limits(day=1.0)) is None
    with ledger.writing() as db:
        db.execute("update under_way set day = ?", [day_before(days)])
    ledger.close()
    Account(Ledger(), JobKey("some.db", 2, "next"), Limits()).close()
    assert Ledger().spent(KEY) == spent
    assert Ledger().under_way() == 0.5 - spent.usd


def test_what_an_older_version_held_is_found() -> None:
    ledger = Ledger()
    ledger.hold(KEY, "a batch", 0.5, 10, Limits())
    with ledger.writing() as db:
        db.execute("update under_way set holder = 'a batch'")
        db.execute("pragma user_version = 3")
    ledger.close()
    assert Ledger().held(KEY, "a batch") == (0.5, 10)


def test_sql_functions_spend_nothing_where_nobody_has_set_a_limit_for_them() -> None:
    spending = SqlSpending()
    with pytest.raises(LimitReached, match=r"of the \$0 that they may"):
        spending.reserve("", Access(usd_per_day=5.0), 0.01, writable=False)
    spending.reserve("", Access(sql_usd_per_day=1.0), 0.01, writable=False)
    spending.close()


def test_what_sql_functions_spent_is_reported_once_and_counted_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "town.db"
    report_table(path, 1).close()
    with closing(connect(path)) as conn:
        ensure_schema(conn)
        spending, access = SqlSpending(), Access(sql_usd_per_day=1.0)
        for _ in range(2):
            spending.reserve(str(path), access, 0.25, writable=True)
        spending.spend(str(path), 0.25, Spent(0.125, 1))
        assert spending.write(str(path))
        assert spending.unwritten() == []
        assert spending.write(str(path))
        assert spent_by_job(conn, SQL_FUNCTIONS) == Spent(0.125, 1)
    spending.close()  # the other request may have been answered
    assert Ledger().under_way() == 0
    assert Ledger().spent_today(functions=True) == Spent(0.375, 2)


def test_a_ledger_that_was_replaced_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    account = Account(Ledger(path), KEY, Limits(day=1.0))
    assert account.reserve([0.5]) == 1
    Ledger(tmp_path / "new.db").agreements("")
    os.replace(tmp_path / "new.db", path)
    with pytest.raises(LedgerError, match="Restart what used it"):
        account.reserve([0.1])


def test_a_copy_shares_the_day_and_no_agreement(
    server: OpenAIServer, town: Path, tmp_path: Path
) -> None:
    """Both are worked on: each pays for what it asks, within one limit for the day."""
    with closing(connect(town)) as conn:
        request = PredictRequest(columns=Columns.named("guess"))
        submit_predict(conn, find_classifier(conn, "topics"), "reports", request)
        copy = tmp_path / "copy.db"
        conn.execute("vacuum into ?", [str(copy)])
        limits: Any = {"usd_per_day": 0.004}
        assert work(conn, access=access_to(server, **limits)) == 1
        with closing(connect(copy)) as other:
            assert work(other, access=access_to(server, **limits)) == 0
            (job,) = list_jobs(other)
            ask_for(other, job.id, "run", access_to(server))
            assert work(other, access=access_to(server, **limits)) == 1
            assert get_job(other, job.id).state == "paused"
    assert Ledger().spent_today().usd <= 0.004
    assert server.count(ASK) <= Ledger().spent_today().requests
