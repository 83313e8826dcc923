"""The worker of a server: jobs run beside the pages, and nothing is left behind or lost."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import HTTPCookieProcessor, build_opener, urlopen

import pytest
from datasette.app import Datasette
from openai_server import OpenAIServer
from programs import datasette
from running_jobs import (
    PATIENCE,
    agreed_job,
    in_the_middle,
    job_of,
    make_slow,
    queue_predict,
    wait_for,
)
from sample_databases import rows, value
from service_workflow import reports
from serving import child_of, serving

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.agreements import agree
from datasette_ftclassify.jobs.agreements import ask as ask_for
from datasette_ftclassify.jobs.child import access_line, read_line
from datasette_ftclassify.jobs.train import submit_train
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.jobs.events import job_events
from datasette_ftclassify.store.jobs.job import Job
from datasette_ftclassify.store.jobs.leases import new_owner
from datasette_ftclassify.store.jobs.queue import MAX_DEATHS, hold_job, note_death
from datasette_ftclassify.store.jobs.state import add_job, ask_job, claim_job, end_job, get_job
from datasette_ftclassify.trainers.access import Access, Endpoint
from datasette_ftclassify.trainers.base import TrainerOptions
from datasette_ftclassify.web import worker
from datasette_ftclassify.web.lifespan import wake
from datasette_ftclassify.web.worker import BESIDES, TURN_SECONDS, has_place


def wait_for_end(path: Path, *job_ids: int, state: str = "finished") -> None:
    for job_id in job_ids:
        wait_for(
            lambda job_id=job_id: job_of(path, job_id).state in ("finished", "failed"),
            f"the end of job {job_id}",
        )
        job = job_of(path, job_id)
        assert job.state == state, job.error


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def has_event(conn: sqlite3.Connection, job_id: int, start: str) -> bool:
    return any(event.message.startswith(start) for event in job_events(conn, job_id))


def queue_train(path: Path) -> int:
    with closing(connect(path)) as conn:
        task = define(conn, "messages", text=["message"], labels=["ward"])
        return submit_train(conn, task, TrainRequest(name="wards", curve=False)).id


def assert_each_row_written_once(path: Path) -> None:
    with closing(connect(path)) as conn:
        assert value(conn, "select count(*) from messages where topics_label is null") == 0
        assert rows(conn, "select id from written group by id having count(*) > 1") == []
        all_rows = value(conn, "select count(*) from messages")
        assert value(conn, "select count(distinct id) from written") == all_rows


def test_waiting_jobs_of_every_file_are_run_and_pages_answer(town: Path, tmp_path: Path):
    other = tmp_path / "other.db"
    other.write_bytes(town.read_bytes())
    train, predict = queue_train(town), queue_predict(town)
    elsewhere = queue_predict(other)
    with serving(town, other) as server:
        wait_for_end(town, train, predict)
        wait_for_end(other, elsewhere)
        page = f"{server.url}/town/-/ftclassify.json"
        with urlopen(page) as response:
            names = {c["classifier"] for c in json.load(response)["classifiers"]}
        assert "wards" in names
        later = queue_predict(town)  # asked for while the server runs
        wait_for_end(town, later)
    with closing(connect(town)) as conn:
        assert value(conn, "select count(*) from messages where topics_label is null") == 0


def test_the_lock_of_a_killed_server_is_no_longer_held(town: Path):
    """kill -9 of the server ends its child, and the next server goes on where that was."""
    make_slow(town)
    predict = queue_predict(town)
    with serving(town) as server, in_the_middle(town, predict):
        child = child_of(job_of(town, predict))
        assert child != server.pid
        server.end(signal.SIGKILL)
    wait_for(lambda: not is_alive(child), "the end of the child")
    assert job_of(town, predict).to_dict()["state"] == "interrupted"
    with serving(town):
        wait_for_end(town, predict)
    assert job_of(town, predict).result["resumed_at"] > 0
    assert_each_row_written_once(town)


def test_two_servers_of_one_file_run_every_job_once(town: Path):
    with closing(connect(town)) as conn:
        conn.execute("create table written (id integer)")
        conn.execute(
            "create trigger noted after update on messages begin"
            " insert into written values (new.id); end"
        )
    with serving(town), serving(town):
        ids = [queue_predict(town, f"id % 4 = {part}") for part in range(4)]
        wait_for_end(town, *ids)
    with closing(connect(town)) as conn:
        for job_id in ids:
            assert [e.message for e in job_events(conn, job_id)] == ["started", "finished"]
    assert_each_row_written_once(town)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_orderly_end_leaves_no_process(town: Path, how: signal.Signals):
    make_slow(town)
    predict = queue_predict(town)
    with serving(town) as server:
        with in_the_middle(town, predict):
            child = child_of(job_of(town, predict))
            server.send(how)
        server.wait()
    assert not is_alive(child)
    assert job_of(town, predict).to_dict()["state"] == "interrupted"


def test_immutable_files_are_left_alone(town: Path, tmp_path: Path):
    other = tmp_path / "another.db"
    other.write_bytes(town.read_bytes())
    queued, witness = queue_predict(town), queue_predict(other)
    before = town.read_bytes()
    with serving("--immutable", town, other):
        wait_for_end(other, witness)
    assert town.read_bytes() == before
    assert job_of(town, queued).state == "queued"


DIES = """
import os, signal, sys
if "datasette_ftclassify.jobs.child" in sys.orig_argv:
    print("a library said sk-very-secret", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def with_site(folder: Path, code: str) -> str:
    """A PYTHONPATH with which a new interpreter, as that of a job, runs the code first."""
    (folder / "sitecustomize.py").write_text(code)
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def test_a_job_whose_process_always_dies_is_given_up(town: Path, tmp_path: Path):
    predict = queue_predict(town)
    environ = {"PYTHONPATH": with_site(tmp_path, DIES), "OPENAI_API_KEY": "sk-very-secret"}
    with serving(town, **environ) as server:
        wait_for_end(town, predict, state="failed")
        with urlopen(f"{server.url}/-/versions.json") as response:
            assert response.status == 200
    job = job_of(town, predict)
    assert "SIGKILL" in job.error
    assert "a library said [key]" in job.error
    with closing(connect(town)) as conn:
        died = [e for e in job_events(conn, predict) if e.message.startswith("its process died")]
        dump = "\n".join(conn.iterdump())
    assert len(died) == MAX_DEATHS + 1
    assert "sk-very-secret" not in dump + server.log


ENDLESS = "id in (with recursive n(i) as (select 1 union all select i + 1 from n) select -i from n)"
ONE_STEP = "instr(hex(zeroblob(4000000)), hex(zeroblob(2000000)) || 'b') > 0"
"""To know whether it is true takes hours, in one step of SQLite that nothing interrupts."""


def queue_for_ever(path: Path, where: str) -> int:
    """A prediction whose condition never ends, as somebody may have put it into the file, and to
    which a person has agreed all the same."""
    job_id = queue_predict(path)
    with closing(connect(path)) as conn, conn:
        settings = {**get_job(conn, job_id).settings, "where": where}
        conn.execute(
            "update _ftclassify_jobs set settings = ? where id = ?", [json.dumps(settings), job_id]
        )
        agree(conn, get_job(conn, job_id), Access())
    return job_id


def test_a_job_that_nobody_here_agreed_to_is_left_as_it_is(town: Path):
    """A free one that came with the file, as a copy of a file has it, and one changed since."""
    came = queue_predict(town)
    copy = Path(shutil.copy(town, town.with_name("copy.db")))
    changed, own = (queue_predict(copy, where) for where in ("id > 1", "id > 2"))
    with closing(connect(copy)) as conn, conn:
        conn.execute("update _ftclassify_jobs set settings = replace(settings, 'id > 1', 'id > 0')")
        before = conn.execute("select * from _ftclassify_jobs where id = ?", [came]).fetchall()
    with serving(copy, "--root") as server:
        wait_for_end(copy, own)
        opener = build_opener(HTTPCookieProcessor())
        opener.open(server.login).close()
        page = opener.open(f"{server.url}/copy/-/ftclassify/jobs/{came}").read().decode()
        assert "Waits for agreement" in page
        with closing(connect(copy)) as conn:
            sql = "select * from _ftclassify_jobs where id = ?"
            assert conn.execute(sql, [came]).fetchall() == before
            assert get_job(conn, changed).state == "queued"
            ask_for(conn, came, "run", Access())
        wait_for_end(copy, came)


def impatient_datasette(*arguments: str) -> None:
    worker.TURN_SECONDS = 1.0
    datasette(*arguments)


def test_a_job_without_end_leaves_room_for_those_of_other_files(town: Path, tmp_path: Path):
    other = tmp_path / "other.db"
    other.write_bytes(town.read_bytes())
    endless = queue_for_ever(town, ENDLESS)
    with serving(town, other, main=impatient_datasette):
        wait_for(lambda: job_of(town, endless).state == "running", "the endless one")
        elsewhere = queue_predict(other)
        wait_for_end(other, elsewhere)
    assert job_of(town, endless).state == "running"


def test_a_file_with_a_long_queue_lets_others_have_their_turn(town: Path, tmp_path: Path):
    other = tmp_path / "other.db"
    other.write_bytes(town.read_bytes())
    last = [queue_predict(town, f"id > {n}") for n in range(5)][-1]
    elsewhere = queue_predict(other)
    with serving(town, other):
        wait_for_end(other, elsewhere)
        assert job_of(town, last).state == "queued"


def test_a_job_that_is_stuck_in_one_step_is_given_up(town: Path, tmp_path: Path):
    site = "from datasette_ftclassify.jobs import watchdog\nwatchdog.STUCK_SECONDS = 2.0\n"
    job_id = queue_for_ever(town, ONE_STEP)
    with serving(town, PYTHONPATH=with_site(tmp_path, site)):
        wait_for_end(town, job_id, state="failed")
    assert "may never end" in str(job_of(town, job_id).error)


def test_a_file_gets_a_place_when_others_have_had_their_turn(conn):
    job = add_job(conn, "train", {})
    long_ago = time.monotonic() - TURN_SECONDS - 1
    fresh, old = Beside("a.db", job, "computing"), Beside("a.db", job, "computing", long_ago)
    assert not has_place([fresh], "b.db", job, "computing")
    assert has_place([old], "b.db", job, "computing")
    assert not has_place([old], "a.db", job, "computing")
    beside = [Beside(f"{n}.db", job, "computing", long_ago) for n in range(1 + BESIDES)]
    assert has_place(beside[:-1], "b.db", job, "computing")
    assert not has_place(beside, "b.db", job, "computing")
    assert not has_place([old, Beside("c.db", job, "computing")], "b.db", job, "computing")


def test_a_job_that_costs_money_is_held_until_a_limit_is_set(town: Path):
    """And holds up nobody else."""
    with closing(connect(town)) as conn:
        paid = agreed_job(conn, "train", {"trainer": "openai"}).id
    free = queue_predict(town)
    with serving(town):
        wait_for_end(town, free)
        wait_for(lambda: job_of(town, paid).step, "the reason")
    assert job_of(town, paid).state == "queued"
    assert "no limit is set" in job_of(town, paid).step
    with serving(town, FTCLASSIFY_USD_PER_JOB="0.5"):
        wait_for_end(town, paid, state="failed")  # it says no more than who trains


def test_a_paid_training_gets_its_key_through_the_pipe_alone(
    tmp_path: Path, openai_server: OpenAIServer, vocabularies: Path
):
    path, settings = tmp_path / "reports.db", tmp_path / "settings.json"
    own = {"api_key": openai_server.api_key, "base_url": openai_server.base_url}
    plugin = {"usd_per_job": 5, "openai": own}
    settings.write_text(json.dumps({"plugins": {"datasette-ftclassify": plugin}}))
    with closing(reports(path)) as conn:
        task = define(conn, "reports", text=["text"], labels=["label"])
        options = TrainerOptions(model="gpt-4.1-mini", epochs=1)
        job_id = submit_train(conn, task, TrainRequest(trainer="openai", options=options)).id
    option = "--config" if hasattr(Datasette, "allowed") else "--metadata"
    with serving(path, option, settings) as server:
        wait_for(lambda: job_of(path, job_id).remote, "the beginning")
        if Path("/proc/self/environ").exists():
            child = Path(f"/proc/{child_of(job_of(path, job_id))}")
            seen = (child / "cmdline").read_bytes() + (child / "environ").read_bytes()
            assert b"datasette_ftclassify.jobs.child" in seen
            assert openai_server.api_key.encode() not in seen
        with closing(connect(path)) as conn:
            wait_for(lambda: has_event(conn, job_id, "Training job"), "the training")
            ask_job(conn, job_id, "cancel")
            wait_for(lambda: get_job(conn, job_id).state == "cancelled", "the end")
            assert openai_server.api_key not in "\n".join(conn.iterdump())
    assert openai_server.api_key not in server.log


def test_a_database_that_comes_later_is_worked_on(town: Path, tmp_path: Path):
    predict = queue_predict(town)

    async def serve() -> None:
        datasette = Datasette([], memory=True)
        async with lifespan(datasette):
            assert wake(datasette)
            datasette.add_database(_database(datasette, town), name="late")
            await asyncio.to_thread(wait_for_end, town, predict)

    asyncio.run(serve())


def _database(datasette: Datasette, path: Path):
    from datasette.database import Database

    return Database(datasette, path=str(path), is_mutable=True)


class lifespan:
    """What a server tells the application at its start and its end."""

    def __init__(self, datasette: Datasette) -> None:
        self._app = datasette.app()
        self._to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    async def __aenter__(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}}
        self._task = asyncio.create_task(self._app(scope, self._to_app.get, self._from_app.put))
        await self._say("startup")

    async def __aexit__(self, *error: object) -> None:
        await self._say("shutdown")
        await self._task

    async def _say(self, what: str) -> None:
        await self._to_app.put({"type": f"lifespan.{what}"})
        message = await asyncio.wait_for(self._from_app.get(), PATIENCE)
        assert message["type"] == f"lifespan.{what}.complete"


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name == "ftclassify-worker"]


async def test_a_worker_lives_from_the_servers_start_to_its_end(town: Path):
    datasette = Datasette([str(town)])
    await datasette.invoke_startup()
    await datasette.client.get("/town.json")
    assert not wake(datasette)  # neither a test client nor --get has one
    async with lifespan(datasette):
        assert wake(datasette)
        assert threads() == ["ftclassify-worker"]
    assert not wake(datasette)
    assert threads() == []


async def test_the_worker_can_be_switched_off(town: Path):
    queued = queue_predict(town)
    off = {"plugins": {"datasette-ftclassify": {"worker": False}}}
    where = "config" if hasattr(Datasette, "allowed") else "metadata"
    datasette = Datasette([str(town)], **{where: off})
    async with lifespan(datasette):
        assert not wake(datasette)
        assert threads() == []
    assert job_of(town, queued).state == "queued"


async def test_a_file_that_is_no_database_stops_nobody(town: Path, tmp_path: Path):
    broken = tmp_path / "aaa.db"
    broken.write_bytes(b"SQLite format 3\0" + b"\0" * 5000)
    datasette = Datasette([str(town)])
    async with lifespan(datasette):
        datasette.add_database(_database(datasette, broken), name="aaa")
        datasette.add_database(_database(datasette, tmp_path / "gone.db"), name="gone")
        predict = queue_predict(town)
        await asyncio.to_thread(wait_for_end, town, predict)


def test_deaths_are_counted_since_somebody_asked_to_try_again(conn):
    job = add_job(conn, "evaluate", {})
    for _ in range(MAX_DEATHS):
        assert note_death(conn, job.id, "exit code 3")
    assert get_job(conn, job.id).state == "queued"
    assert note_death(conn, job.id, "exit code 3")
    failed = get_job(conn, job.id)
    assert failed.state == "failed"
    assert "died 4 times" in (failed.error or "")
    assert "ftclassify" not in (failed.error or "")  # pages show it
    ask_job(conn, job.id, "retry")
    assert note_death(conn, job.id, "exit code 3")
    assert get_job(conn, job.id).state == "queued"


def test_no_death_is_noted_of_a_job_that_ended_or_that_another_has(conn):
    job = add_job(conn, "evaluate", {})
    claimed = claim_job(conn, job.id, "another-machine:1:token")
    assert not note_death(conn, job.id, "exit code 3")
    end_job(conn, claimed, "finished")
    assert not note_death(conn, job.id, "exit code 3")
    assert not [e for e in job_events(conn, job.id) if "died" in e.message]


def test_why_a_job_waits_is_said_once(conn):
    job = add_job(conn, "evaluate", {})
    for _ in range(3):
        hold_job(conn, get_job(conn, job.id), "No limit is set.")
    assert get_job(conn, job.id).step == "waits: No limit is set."
    assert [e.message for e in job_events(conn, job.id)] == ["waits: No limit is set."]
    claim_job(conn, job.id, new_owner())
    hold_job(conn, get_job(conn, job.id), "Something else.")
    assert "Something else" not in get_job(conn, job.id).step


@dataclass
class Beside:
    """A job that runs."""

    path: str
    job: Job
    manner: str
    since: float = field(default_factory=time.monotonic)


def test_predictions_that_ask_the_same_classifier_take_turns(conn):
    jobs = [
        add_job(conn, kind, {"n": n}, classifier_id=classifier, estimate=estimate)
        for n, (kind, classifier, estimate) in enumerate(
            [
                ("predict", 1, None),
                ("predict", 1, {"batch": False}),
                ("predict", 2, None),
                ("evaluate", 1, None),
                ("predict", 1, {"batch": True}),
            ]
        )
    ]
    beside = [Beside("a.db", jobs[0], "waiting")]
    assert [has_place(beside, "a.db", job, "waiting") for job in jobs[1:]] == [False, *[True] * 3]
    assert has_place(beside, "b.db", jobs[1], "waiting")
    assert has_place([Beside("a.db", jobs[0], "computing")], "a.db", jobs[1], "waiting")
    assert not has_place([Beside("a.db", jobs[3], "waiting")] * 3, "a.db", jobs[2], "waiting")


def test_access_goes_through_the_pipe_whole():
    endpoint = Endpoint("sk-ümlaut\n", "http://127.0.0.1:1", None, {"a": {"b": [1]}})
    access = Access({"openai": endpoint, "mine": Endpoint()}, 1.5, None, 0.0)
    assert access_line(access).count(b"\n") == 1
    assert read_line(access_line(access, "d")) == (access, "d")
