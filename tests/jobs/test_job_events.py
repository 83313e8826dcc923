"""What can happen in a job, and the states that it can be in, are declared once, and used. A
running training says how far it is and how long it will take, to everybody who asks."""

from __future__ import annotations

import ast
import json
import sqlite3
import time
from pathlib import Path

import pytest
from commands import run, run_json
from folders import ROOT as PROJECT
from hypothesis import given, settings
from hypothesis import strategies as st
from running_jobs import agreed_job
from visiting import ROOT, get, seen, serve

from datasette_ftclassify.cli.run_job import now_line
from datasette_ftclassify.core import job_events
from datasette_ftclassify.core.job_events import EVENTS, EventKind
from datasette_ftclassify.core.task import Task, define
from datasette_ftclassify.jobs.lease import Lease
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.step_progress import recorded
from datasette_ftclassify.jobs.train import submit_train, train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.events import job_events as events_of
from datasette_ftclassify.store.jobs.events import note
from datasette_ftclassify.store.jobs.leases import new_owner
from datasette_ftclassify.store.jobs.queries import last_events, last_start
from datasette_ftclassify.store.jobs.queue import note_death
from datasette_ftclassify.store.jobs.state import add_job, ask_job, claim_job, end_job, get_job
from datasette_ftclassify.store.jobs.states import ACTIONS, STATES, STORED
from datasette_ftclassify.trainers.local.expected_time import ExpectedTime

PACKAGE = PROJECT / "datasette_ftclassify"
NAMES = {name: kind for name, kind in vars(job_events).items() if isinstance(kind, EventKind)}


def test_each_kind_of_event_is_noted_somewhere() -> None:
    used: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        if path.name != "job_events.py":
            tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            used |= {node.id for node in tree if isinstance(node, ast.Name)}
    assert set(map(id, NAMES.values())) == set(map(id, EVENTS.values()))
    assert set(NAMES) - used == set()


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (EventKind("started", "info", "It looks like one that is declared."), None),
        (EventKind("celebrated", "info", "Nobody declared it."), None),
        (job_events.STARTED, {"rows": 1, "tomorrow": 2}),
        (job_events.FINISHED, {"rows": 1}),
    ],
)
def test_what_is_not_declared_is_refused_and_not_noted(
    conn: sqlite3.Connection, kind: EventKind, data: dict[str, object] | None
) -> None:
    job = agreed_job(conn, "evaluate", {}, classifier_id=1)
    with pytest.raises(ValueError, match=r"no kind of event|has no"):
        note(conn, job.id, kind, "it happened", data)
    assert events_of(conn, job.id) == []


def test_all_events_of_jobs_that_run_have_a_kind(conn: sqlite3.Connection) -> None:
    task = define(conn, "messages", text=["message"], labels=["topic"], where="id < 150")
    made = train_classifier(conn, task, TrainRequest(name="small", curve=False)).classifier
    predict_rows(conn, made, "messages")
    noted = conn.execute("select kind, message from _ftclassify_job_events").fetchall()
    assert {kind for kind, _ in noted} <= EVENTS.keys()
    found = {kind for kind, _ in noted}
    assert {"started", "rows-read", "step", "recipe", "stored", "finished"} <= found


def test_a_job_comes_to_declared_states_alone(conn: sqlite3.Connection) -> None:
    job = agreed_job(conn, "evaluate", {}, classifier_id=find_classifier(conn, "topics").id)
    owned = claim_job(conn, job.id, new_owner())
    for state in ("interrupted", "queued", "done"):
        with pytest.raises(ValueError, match="cannot end as"):
            end_job(conn, owned, state)
    assert get_job(conn, job.id).state == "running"
    end_job(conn, owned, "paused", error="no room")
    assert [(e.kind, e.level) for e in events_of(conn, job.id)] == [
        ("started", "info"), ("paused", "info"),
    ]  # fmt: skip
    assert {state for states in ACTIONS.values() for state in states} <= set(STORED)
    for action, states in ACTIONS.items():
        assert states == tuple(name for name in STORED if action in STATES[name].actions)


async def test_a_warning_is_marked_on_the_page_and_in_the_terminal(
    town: Path, conn: sqlite3.Connection
) -> None:
    job = agreed_job(conn, "evaluate", {}, classifier_id=find_classifier(conn, "topics").id)
    assert note_death(conn, job.id, "signal 9")
    page = await get(serve(town), f"/town/-/ftclassify/jobs/{job.id}", "root")
    assert "Warning: its process died: signal 9" in seen(page.text)
    data = (await get(serve(town), f"/town/-/ftclassify/jobs/{job.id}.json", "root")).json()
    assert [(e["kind"], e["level"]) for e in data["events"]] == [("died", "warning")]
    words = ["jobs", "show", str(town), str(job.id)]
    assert "warning: its process died" in run(*words).output
    shown = run_json(*words)
    assert [(e["kind"], e["level"]) for e in shown["events"]] == [("died", "warning")]


def test_events_of_an_earlier_version_are_read(conn: sqlite3.Connection) -> None:
    """In a file that nobody has written to since, and in one with both."""
    job = agreed_job(conn, "evaluate", {}, classifier_id=find_classifier(conn, "topics").id)
    run_job(conn, job.id)
    with conn:
        conn.execute("update _ftclassify_job_events set kind = null")
    before = last_start(conn, job.id)
    assert before is not None
    assert (before.message, before.kind, before.level) == ("started", None, "info")
    ask_job(conn, agreed_job(conn, "evaluate", {}, classifier_id=1).id, "cancel")
    with conn:
        conn.execute("update _ftclassify_job_events set kind = 'of tomorrow' where job_id = 1")
        conn.execute("alter table _ftclassify_job_events rename column kind to other")
    assert last_start(conn, job.id) == before
    events, _ = last_events(conn, job.id, 10)
    assert [event.kind for event in events] == [None] * len(events)
    assert [event.message for event in events_of(conn, job.id)][-1] == "finished"


@pytest.mark.parametrize(
    "text", ['{"step": 1, "train_loss": NaN}', '{"step": 1e999}', '{"a": "\\ud800"}', "[1]", "{"]
)
def test_figures_that_no_reader_of_json_takes_count_as_none(
    conn: sqlite3.Connection, text: str
) -> None:
    """A page that polls gives events as they are, and a browser refuses NaN and half characters."""
    job = agreed_job(conn, "evaluate", {}, classifier_id=1)
    note(conn, job.id, job_events.FIGURES, "step 1", {"step": 1})
    conn.execute("update _ftclassify_job_events set data = ?", [text])
    [event], _ = last_events(conn, job.id, 10)
    assert event.data is None


def test_a_loss_that_is_no_number_is_left_out_of_what_is_noted(conn: sqlite3.Connection) -> None:
    job = agreed_job(conn, "evaluate", {}, classifier_id=1)
    note(conn, job.id, job_events.FIGURES, "x", {"step": 1, "train_loss": float("nan")})
    [event] = events_of(conn, job.id)
    assert event.data == {"step": 1}


ELSEWHERE = "another-machine:1:token"
TASK = {"source": "messages", "text": ["message"], "labels": ["topic"], "kind": "multiclass"}


class Clock:
    """Seconds that pass when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def training(conn: sqlite3.Connection) -> Lease:
    job = add_job(conn, "train", {"task": TASK, "name": "topics"})
    return Lease(conn, claim_job(conn, job.id, ELSEWHERE))


async def test_a_training_shows_the_time_left_on_its_page_and_on_the_command_line(
    town: Path, conn: sqlite3.Connection
) -> None:
    clock = Clock()
    lease = training(conn)
    report_progress = recorded(lease, clock=clock)
    report_progress("reading rows", 0.0)
    clock.now = 100.0
    report_progress("comparing", 0.25)
    data = (await get(serve(town), f"/town/-/ftclassify/jobs/{lease.job.id}.json", ROOT)).json()
    assert data["share"] == 0.25
    assert data["seconds_left"] == pytest.approx(300, abs=5)
    assert data["rows_text"] == "About 5 min left"
    listed = run("jobs", "list", town).output
    assert "about 5 min left" in listed
    assert "about 5 min left" in now_line(conn, get_job(conn, lease.job.id))
    told = run("jobs", "list", town, "--json").output
    assert json.loads(told)["jobs"][0]["seconds_left"] == pytest.approx(300, abs=5)


def test_the_time_left_is_that_of_the_attempt_that_runs(conn: sqlite3.Connection) -> None:
    clock = Clock()
    lease = training(conn)
    first = recorded(lease, clock=clock)
    clock.now = 100.0
    first("comparing", 0.5)
    assert get_job(conn, lease.job.id).ends_at == pytest.approx(time.time() + 100, abs=5)
    with conn:
        conn.execute("update _ftclassify_jobs set lease_until = 0, lease_clock = null")
    again = Lease(conn, claim_job(conn, lease.job.id, ELSEWHERE))
    assert again.job.ends_at is None, "nobody knows how fast the next process is"
    second = recorded(again, clock=clock)
    second("reading rows", 0.0)
    clock.now = 110.0
    second("comparing", 0.1)
    job = get_job(conn, lease.job.id)
    assert job.step == "comparing 50%", "the share never decreases"
    assert job.ends_at == pytest.approx(time.time() + 90, abs=5)


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 1)), max_size=30))
@settings(max_examples=25, deadline=None)
def test_the_share_of_a_job_never_decreases(reports: list[tuple[float, float]]) -> None:
    from datasette_ftclassify.store.schema import ensure_schema

    conn = sqlite3.connect(":memory:", isolation_level=None)
    ensure_schema(conn)
    lease, clock, shown = training(conn), Clock(), [0]
    report_progress = recorded(lease, clock=clock)
    for seconds, share in reports:
        clock.now += seconds
        report_progress("comparing", share)
        step, ends_at = conn.execute("select step, ends_at from _ftclassify_jobs").fetchone()
        shown.append(int(step.split()[1][:-1]) if " " in step else 0)
        assert ends_at is None or ends_at >= time.time() - 5
    assert shown == sorted(shown)


def test_a_worker_writes_the_steps_of_a_training_whichever_process_it_is(
    town: Path, conn: sqlite3.Connection
) -> None:
    """Not the server's worker alone: others look at the job, too, while a command runs it."""
    task = Task.from_dict({**TASK, "where": "id < 60"})
    job = submit_train(conn, task, TrainRequest(name="topics"))
    steps: list[str] = []
    conn.set_trace_callback(lambda sql: steps.append(sql) if "set step" in sql else None)
    run_job(conn, job.id)
    assert any("reading rows" in sql and "ends_at" in sql for sql in steps)


@given(st.lists(st.sampled_from(["slow", "quick"]), min_size=1, max_size=8))
def test_the_share_of_a_training_is_that_of_its_time(fits: list[str]) -> None:
    """A fit of ten seconds counts for ten of one second, once both were seen."""
    clock, seen = Clock(), []
    seconds = {"slow": 10.0, "quick": 1.0}
    expected = ExpectedTime(lambda step, share: seen.append((clock.now, share)), clock)
    expected.report("reading")
    order = ["slow", "quick", *fits]
    expected.plan({name: order.count(name) for name in seconds})
    whole = sum(seconds[name] for name in order)
    for name in order:
        clock.now += seconds[name]
        expected.fitted(name, "comparing")
    for now, share in seen[2:]:
        assert share == pytest.approx(min(now / whole, 0.99), abs=0.001)
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
