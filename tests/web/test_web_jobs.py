"""The page of a job, and what people may ask of it there."""

from __future__ import annotations

import html
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from running_jobs import job_of, queue_predict
from visiting import ROOT, get, send, serve, submit

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.job_events import FIGURES, SERVICE
from datasette_ftclassify.store.jobs.job import Job
from datasette_ftclassify.store.jobs.state import (
    add_event,
    add_job,
    ask_job,
    claim_job,
    end_job,
    get_job,
    save_progress,
)
from datasette_ftclassify.store.schema import transaction
from datasette_ftclassify.store.spending import Spent, add_spending

ELSEWHERE = "another-machine:1:token"
NASTY = "<script>alert(1)</script>\"'&{{ 7*7 }} שלום 🙂"
TASK = {"source": "messages", "text": ["message"], "labels": ["topic"], "kind": "multiclass"}
PAID = {"task": TASK, "name": "tuned", "trainer": "openai", "options": {"epochs": 3}}
PAGE = "/town/-/ftclassify/jobs/"


def paid_training(conn: sqlite3.Connection, **settings: Any) -> Job:
    """A training at a service, which another machine follows."""
    estimate = {"usd": 0.5, "limit_usd": 1.0, "host": "api.openai.com"}
    job = add_job(conn, "train", {**PAID, **settings}, estimate=estimate)
    job = claim_job(conn, job.id, ELSEWHERE)
    job.remote = {"job_id": "ftjob-abc", "files": {"train": "file-1"}, "shown": 0.4}
    job.step = "training at api.openai.com"
    with transaction(conn):
        save_progress(conn, job)
        add_spending(conn, job.id, Spent(usd=0.125))
    for step in range(1, 6):
        figures = {"step": step, "train_loss": 1 / step, "valid_loss": 1.5 / step,
                   "train_mean_token_accuracy": step / 10}  # fmt: skip
        add_event(conn, job, FIGURES, f"Step {step}/10", data=figures)
    add_event(conn, job, SERVICE, "Checkpoint created at step 4")
    return job


def prediction(conn: sqlite3.Connection, path: Path, **progress: Any) -> Job:
    """A prediction that another machine makes."""
    job = claim_job(conn, queue_predict(path), ELSEWHERE)
    job.total, job.step = 1000, "classifying"
    for name, value in progress.items():
        setattr(job, name, value)
    with transaction(conn):
        save_progress(conn, job)
        conn.execute(
            "update _ftclassify_job_events set created_at ="
            " strftime('%Y-%m-%dT%H:%M:%SZ', created_at, '-100 seconds')"
        )
    return job


async def test_pages_name_an_encoder_without_the_folders_that_it_is_in(town: Path, conn):
    options = {"encoder": "/home/ann/minilm-int8+/home/ann/minilm"}
    options["embeddings"] = "/home/ann/static"
    job = claim_job(conn, add_job(conn, "train", {**PAID, "options": options}).id, ELSEWHERE)
    add_event(conn, job, SERVICE, "There is no sentence encoder '/home/ann/static'.")
    with transaction(conn):
        end_job(conn, job, "failed", error="/home/ann/static is not a model2vec model.")
    for end in ("", ".json"):
        said = (await get(serve(town), f"{PAGE}{job.id}{end}", ROOT)).text
        assert "/home/ann" not in said
        assert "minilm-int8+minilm" in said
        assert "static is not a model2vec model" in said


async def test_a_running_training_shows_its_curves_money_and_ids(town: Path, conn):
    job = paid_training(conn)
    page = (await get(serve(town), f"{PAGE}{job.id}", ROOT)).text
    text = html.unescape(page)
    assert "Training of tuned" in text
    assert 'value="0.4000"' in page
    assert "$0.125 spent of at most $1.00; expected about $0.50" in text
    assert page.count("<polyline") == 3
    assert 'class="ft-mark"' in page
    assert "https://platform.openai.com/finetune/ftjob-abc" in page
    assert "https://platform.openai.com/storage/files/file-1" in page
    assert "Checkpoint created at step 4" in page
    assert "training at api.openai.com" in page
    assert '"epochs": 3' in text
    assert "noscript" in page
    assert "job.js" in page


async def test_a_training_here_says_what_it_does_step_by_step(trained: Path):
    events = (await get(serve(trained), f"{PAGE}1.json", ROOT)).json()["events"]
    said = [event["message"] for event in events]
    assert said[0] == "started"
    assert said[1] == "read 440 rows for training and 48 for the test, 10 labels"
    assert said[2:5] == ["reading", "comparing", "fitting"]
    assert said[5].startswith("Chose ")
    assert said[-2:] == ["stored as topics@1", "finished"]


async def test_ids_at_another_host_are_no_links(town: Path, conn):
    job = paid_training(conn)
    conn.execute("""update _ftclassify_jobs set estimate = '{"host": "llm.example"}'""")
    conn.commit()
    page = (await get(serve(town), f"{PAGE}{job.id}", ROOT)).text
    assert "ftjob-abc" in page
    assert "platform.openai.com" not in page


async def test_a_prediction_shows_rows_rate_and_time_left(town: Path, conn):
    job = prediction(conn, town, done=300, skipped=50, failed=50)
    data = (await get(serve(town), f"{PAGE}{job.id}.json", ROOT)).json()
    assert data["share"] == 0.4
    assert "400 of 1,000 rows, 50 without a text, 50 without an answer" in data["rows_text"]
    assert data["rows_per_second"] == pytest.approx(4, rel=0.2)
    assert 120 < data["seconds_left"] < 180
    assert data["active"]
    assert data["actions"] == ["pause", "cancel"]


async def test_since_gives_only_what_is_new(town: Path, conn):
    job = paid_training(conn)
    datasette = serve(town)
    first = (await get(datasette, f"{PAGE}{job.id}.json", ROOT)).json()
    last = first["last_event"]
    assert first["events"][-1]["id"] == last
    nothing = (await get(datasette, f"{PAGE}{job.id}.json?since={last}", ROOT)).json()
    assert nothing["events"] == []
    assert nothing["last_event"] == last
    assert "settings" not in nothing
    add_event(conn, job, FIGURES, "Step 6/10", data={"step": 6, "train_loss": 0.1})
    after = (await get(datasette, f"{PAGE}{job.id}.json?since={last}", ROOT)).json()
    assert [e["message"] for e in after["events"]] == ["Step 6/10"]


@pytest.mark.parametrize("since", ["x", "-1", "9" * 40, "²"])
async def test_a_since_that_makes_no_sense_is_none(town: Path, conn, since: str):
    job = paid_training(conn)
    response = await get(serve(town), f"{PAGE}{job.id}.json?since={since}", ROOT)
    assert response.json()["settings"]["name"] == "tuned"


async def test_many_events_are_folded_and_the_first_left_out(town: Path, conn):
    job = paid_training(conn)
    with transaction(conn):
        conn.executemany(
            "insert into _ftclassify_job_events (job_id, created_at, message) values (?, ?, ?)",
            [(job.id, job.created_at, f"event {i}") for i in range(600)],
        )
    page = (await get(serve(town), f"{PAGE}{job.id}", ROOT)).text
    assert "480 earlier events" in page
    assert "107 events before these are left out" in page
    assert "event 599<" in page
    assert "event 0<" not in page


@pytest.mark.parametrize("mutable", [True, False])
async def test_readers_are_told_of_no_job(town: Path, conn, mutable: bool):
    paid_training(conn)
    job_id = queue_predict(town)
    datasette = serve(town) if mutable else serve(immutables=(town,))
    for path in (f"{PAGE}{job_id}", f"{PAGE}{job_id}.json", f"{PAGE}{job_id}/review"):
        assert (await get(datasette, path)).status_code == 404
    for path in ("/town/-/ftclassify.json", "/town/-/ftclassify/jobs.json",
                 "/town/-/ftclassify/jobs.json?table=messages&active=1"):  # fmt: skip
        assert not (await get(datasette, path)).json().get("jobs"), path
    (counted,) = (await get(datasette, "/-/ftclassify.json")).json()["databases"]
    assert counted["active_jobs"] == 0
    for path in ("/town", "/town/messages", "/-/ftclassify", "/town/-/ftclassify",
                 "/town/-/ftclassify/classifiers/topics"):  # fmt: skip
        page = (await get(datasette, path)).text
        assert "ftclassify/jobs" not in page, path
        assert "strip.js" not in page, path


async def test_who_works_on_a_table_sees_how_far_its_jobs_are_and_no_more(town: Path, conn):
    job = paid_training(conn)
    works = ("predict", "review", "delete")
    datasette = serve(town, grants={f"ftclassify-{work}": {"id": work} for work in works})
    for who in works:
        page = (await get(datasette, f"{PAGE}{job.id}", who)).text
        data = (await get(datasette, f"{PAGE}{job.id}.json", who)).json()
        assert "Running" in page
        assert data["share"] == 0.4
        assert data["actions"] == []
        hidden = {"events", "settings", "service_ids", "estimate", "result", "usd", "error"}
        assert not hidden & set(data)
        for secret in ("ftjob-abc", "file-1", "Checkpoint", "0.125", "epochs", 'name="action"'):
            assert secret not in page, secret


async def test_why_a_job_waits_is_for_those_who_may_do_something(town: Path, conn):
    job_id = queue_predict(town)
    with conn:
        conn.execute("update _ftclassify_jobs set step = 'waits: set OPERATORS_LIMIT'")
    datasette = serve(town, grants={"ftclassify-review": {"id": "rita"}})
    assert "OPERATORS_LIMIT" in (await get(datasette, f"{PAGE}{job_id}", ROOT)).text
    assert "OPERATORS_LIMIT" not in (await get(datasette, f"{PAGE}{job_id}", "rita")).text
    assert "OPERATORS_LIMIT" not in (await get(datasette, f"{PAGE}{job_id}.json", "rita")).text


async def test_the_buttons_are_those_that_the_state_allows(town: Path, conn):
    datasette = serve(town, writers=ROOT)
    job_id = queue_predict(town)

    async def buttons() -> list[str]:
        page = (await get(datasette, f"{PAGE}{job_id}", ROOT)).text
        return re.findall(r'name="action" value="(\w+)"', page)

    assert await buttons() == ["pause", "cancel"]
    ask_job(conn, job_id, "pause")
    assert await buttons() == ["resume", "cancel"]
    ask_job(conn, job_id, "resume")
    job = claim_job(conn, job_id, ELSEWHERE)
    ask_job(conn, job_id, "pause")
    assert await buttons() == ["cancel"]
    ask_job(conn, job_id, "cancel")
    assert await buttons() == []
    end_job(conn, job, "cancelled")
    assert await buttons() == ["retry"]
    ask_job(conn, job_id, "retry")
    end_job(conn, claim_job(conn, job_id, ELSEWHERE), "failed", error="no such column")
    assert await buttons() == ["retry", "cancel"]
    page = (await get(datasette, f"{PAGE}{job_id}", ROOT)).text
    assert "no such column" in page
    assert "Fix the problem, then retry" in page


async def test_a_form_pauses_and_resumes(town: Path):
    datasette = serve(town, writers=ROOT)
    job_id = queue_predict(town)
    paused = await submit(datasette, f"{PAGE}{job_id}", ROOT, action="pause")
    assert paused.status_code == 302
    assert paused.headers["location"] == f"{PAGE}{job_id}"
    assert job_of(town, job_id).state == "paused"
    again = await submit(datasette, f"{PAGE}{job_id}", ROOT, action="pause")
    assert again.status_code == 400
    assert 'role="alert"' in again.text
    assert "is paused: there is nothing to pause" in again.text
    await submit(datasette, f"{PAGE}{job_id}", ROOT, action="resume")
    assert job_of(town, job_id).state == "queued"


async def test_a_program_cancels_and_hears_why_not(town: Path):
    datasette = serve(town, writers=ROOT)
    job_id = queue_predict(town)
    said = await send(datasette, f"{PAGE}{job_id}.json", {"action": "cancel"}, ROOT)
    assert said.json() == {"ok": True, "id": job_id, "state": "cancelled", "wanted": None}
    wrong = await send(datasette, f"{PAGE}{job_id}", {"action": "explode"}, ROOT)
    assert wrong.status_code == 400
    assert "pause, resume, retry, cancel" in wrong.json()["error"]
    assert not wrong.json()["ok"]


@pytest.mark.parametrize(
    ("who", "kind", "status"),
    [
        (None, "predict", 404),
        (None, "train", 404),
        ("pat", "predict", 302),
        ("pat", "train", 403),
        ("tom", "predict", 403),
        ("tom", "train", 302),
        ("tom", "paid", 403),
        ("sue", "paid", 302),
        ("sue", "predict", 403),
    ],
)
async def test_who_may_pause_what(town: Path, conn, who: str | None, kind: str, status: int):
    grants = {
        "ftclassify-predict": {"id": "pat"},
        "ftclassify-train": {"id": ["tom", "sue"]},
        "ftclassify-spend": {"id": "sue"},
    }
    datasette = serve(town, grants=grants, writers="pat")
    if kind == "predict":
        job_id = queue_predict(town)
    else:
        trainer = "openai" if kind == "paid" else "local"
        job_id = add_job(conn, "train", {**PAID, "trainer": trainer}).id
    response = await submit(datasette, f"{PAGE}{job_id}", who, action="pause")
    assert response.status_code == status
    assert job_of(town, job_id).state == ("paused" if status == 302 else "queued")


async def test_an_immutable_file_shows_jobs_and_changes_none(town: Path):
    job_id = queue_predict(town)
    datasette = serve(immutables=(town,), writers=ROOT)
    page = await get(datasette, f"{PAGE}{job_id}", ROOT)
    assert page.status_code == 200
    assert 'name="action"' not in page.text
    response = await submit(datasette, f"{PAGE}{job_id}", ROOT, action="cancel")
    assert response.status_code == 403


async def test_a_paid_job_goes_on_under_a_new_limit(town: Path, conn):
    job = paid_training(conn)
    end_job(conn, job, "paused", error="The limit of $1 was reached.")
    datasette = serve(town)
    page = (await get(datasette, f"{PAGE}{job.id}", ROOT)).text
    assert "The limit of $1 was reached." in page
    for wrong in ("-1", "nan", "inf", "much"):
        path = f"{PAGE}{job.id}"
        said = await submit(datasette, path, ROOT, action="resume", limit_usd=wrong)
        assert said.status_code == 400
        assert job_of(town, job.id).state == "paused"
    await submit(datasette, f"{PAGE}{job.id}", ROOT, action="resume", limit_usd="2.5")
    resumed = job_of(town, job.id)
    assert resumed.state == "queued"
    assert resumed.estimate is not None
    assert resumed.estimate["limit_usd"] == 2.5
    assert resumed.estimate["usd"] == 0.5


async def test_a_finished_job_leads_to_what_it_made(trained: Path):
    with closing(connect(trained)) as conn:
        job_id = queue_predict(trained)
        end_job(conn, claim_job(conn, job_id, ELSEWHERE), "finished", result={"rows": 1})
    datasette = serve(trained)
    page = (await get(datasette, f"{PAGE}{job_id}", ROOT)).text
    assert "/town/messages?_facet=topics_label" in page
    assert "job.js" not in page
    made = (await get(datasette, f"{PAGE}1.json", ROOT)).json()
    assert made["links"]["result"].endswith("/classifiers/topics~401")
    assert made["share"] == 1


async def test_a_finished_check_leads_to_the_training_that_it_was_for(town: Path, conn):
    job = add_job(conn, "check", {"task": TASK, "plan": {}})
    end_job(conn, claim_job(conn, job.id, ELSEWHERE), "finished", result={})
    datasette = serve(town)
    page = (await get(datasette, f"{PAGE}{job.id}", ROOT)).text
    assert "Check of messages" in page
    assert f"/town/-/ftclassify/train?table=messages&amp;check={job.id}" in page
    assert "/train?" not in (await get(datasette, f"{PAGE}{job.id}")).text


async def test_hostile_names_and_messages_are_escaped(town: Path, conn):
    job = paid_training(conn, name=NASTY, plan={"seed": NASTY, NASTY: [NASTY, {NASTY: 1}]})
    job.remote = {"job_id": NASTY, "files": {NASTY: NASTY}}
    job.step = NASTY
    with transaction(conn):
        save_progress(conn, job)
    add_event(conn, job, SERVICE, NASTY + "x" * 5000)
    end_job(conn, job, "failed", error=NASTY)
    datasette = serve(town)
    page = (await get(datasette, f"{PAGE}{job.id}", ROOT)).text
    assert "<script>alert" not in page
    assert html.escape("<script>alert(1)", quote=False) in page
    assert "{{ 7*7 }}" in page
    listed = (await get(datasette, "/town/-/ftclassify/jobs", ROOT)).text
    assert "<script>alert" not in listed


@pytest.mark.parametrize(
    "change",
    [
        'settings = \'{"task": 3, "table": [1]}\'',
        "settings = '[]'",
        "settings = 'no json'",
        'remote = \'{"shown": "x", "files": 7, "job_id": {}}\'',
        'estimate = \'{"usd": "much", "limit_usd": 1e999}\'',
        'result = \'{"report": {"checkpoints": 3, "service": [1], "curve": 1}}\'',
        "classifier_id = 99, kind = 'explode'",
        "total = 0, step = '999%'",
    ],
)
async def test_a_damaged_job_takes_no_page_down(town: Path, conn, change: str):
    job = paid_training(conn)
    add_event(conn, job, FIGURES, "odd", data={"step": "x", "train_loss": {}})
    conn.execute(f"update _ftclassify_jobs set {change}")
    conn.commit()
    datasette = serve(town)
    for who in (None, ROOT):
        for path in (f"{PAGE}{job.id}", f"{PAGE}{job.id}.json"):
            assert (await get(datasette, path, who)).status_code in (200, 400, 404)
        for path in ("/town/-/ftclassify", "/town/-/ftclassify/jobs", "/-/ftclassify",
                     "/town/messages"):  # fmt: skip
            assert (await get(datasette, path, who)).status_code == 200, path


async def test_no_key_is_ever_on_a_page(town: Path, conn, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    job = paid_training(conn)
    datasette = serve(town)
    for path in (f"{PAGE}{job.id}", f"{PAGE}{job.id}.json"):
        assert "sk-very-secret" not in (await get(datasette, path, ROOT)).text


async def test_jobs_as_a_list_choose_by_table_and_state(town: Path, conn):
    with conn:
        conn.execute("create table other (x)")
    active = prediction(conn, town, done=100)
    ended = paid_training(conn)
    end_job(conn, ended, "failed", error="so it is")
    elsewhere = add_job(conn, "predict", {"table": "other", "classifier": "topics@1"})
    grants = {"ftclassify-train": {"id": ["tom", ROOT]}}
    datasette = serve(town, tables={"other": {"allow": {"id": ROOT}}}, grants=grants)

    async def listed(query: str, who: str = "tom") -> list[int]:
        data = (await get(datasette, f"/town/-/ftclassify/jobs.json{query}", who)).json()
        return [job["id"] for job in data["jobs"]]

    assert await listed("") == [ended.id, active.id]
    assert await listed("", ROOT) == [elsewhere.id, ended.id, active.id]
    assert await listed("?active=1") == [active.id]
    assert await listed("?table=messages&active=1", ROOT) == [active.id]
    assert await listed("?table=other&active=1", ROOT) == [elsewhere.id]
    assert await listed("?table=other&active=1") == []
    data = (await get(datasette, "/town/-/ftclassify/jobs.json?active=1", "tom")).json()
    assert data["jobs"][0]["share"] == 0.1
    assert "so it is" not in json.dumps(data)
    assert get_job(conn, active.id).state == "running"


async def test_older_jobs_of_a_table_are_found_behind_newer_ones_of_others(
    town: Path, conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
):
    from datasette_ftclassify.web.pages import jobs

    monkeypatch.setattr(jobs, "MOST_JOBS", 3)
    mine = queue_predict(town)
    with conn:
        conn.execute("create table secret (message, topic)")
    for n in range(7):
        add_job(conn, "check", {"n": n, "task": {**TASK, "source": "secret"}})
    grants = {"ftclassify-train": {"id": ["tom", ROOT]}}
    datasette = serve(town, tables={"secret": {"allow": {"id": ROOT}}}, grants=grants)
    of_table = (await get(datasette, PAGE[:-1] + ".json?table=messages", ROOT)).json()["jobs"]
    assert [job["id"] for job in of_table] == [mine]
    of_tom = (await get(datasette, PAGE[:-1] + ".json", "tom")).json()["jobs"]
    assert [job["id"] for job in of_tom] == [mine]
    newest = (await get(datasette, PAGE[:-1] + ".json", ROOT)).json()["jobs"]
    assert [job["id"] for job in newest] == [mine + 7, mine + 6, mine + 5]


async def test_labels_of_several_a_row_are_faceted_one_by_one(town: Path, conn: sqlite3.Connection):
    from datasette_ftclassify.jobs.predict import predict_rows
    from datasette_ftclassify.store.classifiers import find_classifier

    predict_rows(conn, find_classifier(conn, "subjects"), "messages")
    data = (await get(serve(town), f"{PAGE}1.json", ROOT)).json()
    assert "_facet_array=subjects_label" in data["links"]["result"]
    shown = await get(serve(town), data["links"]["result"], ROOT)
    assert shown.status_code == 200
