"""A walk over all pages of a file with jobs of every kind and state, and over the errors of its
forms: none sends people to a terminal."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from html import unescape
from pathlib import Path
from typing import Any

from stored import list_jobs
from terminal_words import words_of_the_terminal
from visiting import ROOT, get, seen, serve, submit

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import FtclassifyError
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.check import submit_check
from datasette_ftclassify.jobs.evaluate import evaluate_classifier
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import submit_predict
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.train import submit_train
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.queue import MAX_DEATHS, note_death
from datasette_ftclassify.store.jobs.state import add_job, ask_job, get_job

OURS = "/town/-/ftclassify"
FORMS: list[tuple[str, dict[str, Any]]] = [
    ("train", {"action": "train"}),
    ("train", {"action": "train", "text": "message", "label": "id"}),
    ("train", {"action": "train", "text": "message", "label": "topic", "kind": "extract"}),
    ("train", {"action": "train", "text": "message", "label": "topic", "markup": "bbcode"}),
    ("train", {"action": "train", "text": "message", "label": "topic", "validation": "7"}),
    ("train", {"action": "train", "text": "message", "label": "topic", "trainer": "openai"}),
    ("train", {"action": "train", "text": "message", "label": "topic", "delimiter": "|",
               "kind": "binary"}),
    ("classify", {"classifier": "topics", "min_score": "7"}),
    ("classify", {"classifier": "topics", "prefix": "message", "roles": "label"}),
    ("classify", {"classifier": "subjects", "min_score": "0.5"}),
    ("classify", {"classifier": "gone"}),
]  # fmt: skip


def fill(conn: sqlite3.Connection) -> None:
    """Jobs that are finished, failed, queued, paused, cancelled, interrupted or given up."""
    topics = find_classifier(conn, "topics")
    conn.execute("create table log (id integer not null)")
    conn.execute(
        "create trigger refused before update on messages when new.id = 9 begin"
        " select raise(abort, 'not this row'); end"
    )
    conn.commit()
    check = submit_check(conn, topics.task, SplitPlan(), leaves_machine=False)
    empty = define(conn, "messages", text=["message"], labels=["topic"], where="id < 0")
    jobs = [
        check,
        submit_train(conn, empty, TrainRequest(name="empty")),
        submit_predict(conn, topics, "messages"),
        submit_predict(conn, topics, "messages", PredictRequest(where="id < 5")),
    ]
    for job in jobs:
        with suppress(FtclassifyError):
            run_job(conn, job.id)
    evaluate_classifier(conn, topics)
    states = {get_job(conn, job.id).state for job in jobs}
    assert states == {"finished", "failed"}
    rest = [
        submit_predict(conn, topics, "messages", PredictRequest(where=f"id < {n}"))
        for n in (10, 20, 30, 40)
    ]
    ask_job(conn, rest[1].id, "pause")
    ask_job(conn, rest[2].id, "cancel")
    for _ in range(MAX_DEATHS + 1):
        note_death(conn, rest[3].id, "killed")
    add_job(conn, "check", {"task": "of a stranger"})
    with conn:
        conn.execute(
            "update _ftclassify_jobs set state = 'running', owner = 'a:1:b', lease_until = 0"
            " where id = ?",
            [add_job(conn, "evaluate", {"x": 1}, classifier_id=topics.id).id],
        )


def links(html: str) -> Iterator[str]:
    for href in re.findall(r'href="([^"#]+)', html):
        address = unescape(href)
        if address.startswith((OURS, "/-/ftclassify")) and ".json" not in address:
            yield address


async def test_no_page_and_no_error_of_a_form_sends_people_to_a_terminal(trained: Path) -> None:
    with closing(connect(trained)) as conn:
        fill(conn)
        assert len({job.state for job in list_jobs(conn)}) >= 6
    ds = serve(trained, writers=ROOT)
    waiting = ["/-/ftclassify", OURS, f"{OURS}/jobs", f"{OURS}/train?table=messages",
               f"{OURS}/classify?table=messages", f"{OURS}/export?table=messages"]  # fmt: skip
    told: dict[str, str] = {}
    kinds: dict[str, int] = {}
    for address in waiting:
        kind = re.sub(r"(?<=/)\d+|[=&?].*", "", address)
        kinds[kind] = kinds.get(kind, 0) + 1
        # The page of publishing shows commands, as what they are.
        if address in told or kinds[kind] > 14 or address.endswith("/publish"):
            continue
        page = await get(ds, address, ROOT)
        told[address] = seen(page.text)
        waiting += links(page.text)
    for route, fields in FORMS:
        page = await submit(ds, f"{OURS}/{route}?table=messages", ROOT, table="messages", **fields)
        told[f"POST {route} {fields}"] = seen(page.text)
    assert len(told) > 40
    # The page whose subject is how to publish shows the commands that do it.
    told = {at: text for at, text in told.items() if not at.endswith("/publish")}
    assert not {at: found for at, text in told.items() if (found := words_of_the_terminal(text))}
