"""Two people review one queue over HTTP while a prediction writes the same table: no label is lost,
and nobody is shown an error. FTCLASSIFY_TOGETHER=120 goes on for two minutes."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from checking import clean_rows
from itsdangerous import URLSafeSerializer
from running_jobs import PATIENCE, job_of, wait_for
from serving import serving
from visiting import is_065

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.columns import Columns
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import submit_predict
from datasette_ftclassify.jobs.review.build import submit_review
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.settings import ReviewSettings
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.classifiers import find_classifier

SECRET, PEOPLE = "two-people", ("ann", "bob")
SECONDS = float(os.environ.get("FTCLASSIFY_TOGETHER", "0"))
ROWS = 2_000 if SECONDS else 24
NAMES = ("garden", "house", "port")
ENDED = ("finished", "failed", "cancelled")


@dataclass
class Person:
    """Somebody at a program of their own.

    again:  rows that were changed meanwhile; slow: that could not be read in Datasette's time
    wanted: by the number of each row the label that they chose last, and did not undo
    """

    name: str
    url: str
    until: float
    wanted: dict[int, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    chosen: int = 0
    again: list[str] = field(default_factory=list)
    slow: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    def work(self) -> None:
        try:
            self._work()
        except Exception as error:
            self.errors.append(f"{error!r} after {self.again[-1:]}")

    def _work(self) -> None:
        rng = random.Random(self.name)
        actor = URLSafeSerializer(SECRET, "actor").dumps({"a": {"id": self.name}})
        self.headers = {"cookie": f"ds_actor={actor}", "accept": "application/json"}
        if is_065():  # a form's token
            page = Request(self.url, headers={**self.headers, "accept": "text/html"})
            with urlopen(page, timeout=PATIENCE) as answer:
                token = SimpleCookie(answer.headers["set-cookie"])["ds_csrftoken"].value
            self.headers["cookie"] += f"; ds_csrftoken={token}"
            self.headers["x-csrftoken"] = token
        row = self._row(self._send({"action": "next"}))
        history: list[tuple[int, str | None]] = []
        while row is not None and (not SECONDS or time.monotonic() < self.until):
            key, label = row["key"][0], rng.choice(NAMES)
            said = {"action": "label", "place": row["place"], "seen": row["seen"]}
            done = self._send({**said, "label": label})
            if done is None:  # changed meanwhile: the row that is next for this person
                row = self._row(self._send({"action": "next"}))
                continue
            history.append((key, self.wanted.get(key)))
            self.wanted[key] = label
            self.chosen += 1
            row = self._row(done)
            if rng.random() < 0.1:
                key, before = history.pop()
                row = self._row(self._send({"action": "undo"}))
                assert row is not None
                assert row["key"] == [key]
                if before is None:
                    del self.wanted[key]
                else:
                    self.wanted[key] = before

    def _row(self, done: Any) -> Any:
        """The next row; None where none is left."""
        while done["place"] is not None and done["row"] is None:
            self.slow += 1
            done = {**done, **(self._send(None, f"?place={done['place']}") or {})}
        return done["row"]

    def _send(self, body: dict[str, Any] | None, query: str = "") -> Any:
        """The answer; None where the row was changed meanwhile, or cannot be read in time."""
        headers = {**self.headers, "content-type": "application/json"}
        sent = None if body is None else json.dumps(body).encode()
        try:
            with urlopen(
                Request(self.url + query, data=sent, headers=headers), timeout=PATIENCE
            ) as answer:
                return json.load(answer)
        except HTTPError as error:
            if body is not None and error.code == 409:
                self.again.append(f"{body['action']}: {json.load(error)['error']}")
                return None
            if body is None and error.code == 503:
                return None
            raise AssertionError(f"{error.code}: {error.read()[:300]!r}") from None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "town.db"
    with closing(connect(path, must_exist=False)) as conn:
        with conn:
            conn.execute("create table messages (id integer primary key, text, label)")
            conn.executemany(
                "insert into messages (text, label) values (?, ?)", clean_rows(ROWS // 3 + 20)
            )
        task = define(conn, "messages", text=["text"], labels=["label"], where="id <= 90")
        train_classifier(conn, task, TrainRequest(name="one", curve=False))
        whole = define(conn, "messages", text=["text"], labels=["label"])
        job = submit_review(conn, ReviewSettings(whole, "audit", rows=ROWS))
        run_job(conn, job.id)
    return path


def queue_of(path: Path) -> int:
    with closing(connect(path)) as conn:
        sql = "select max(id) from _ftclassify_jobs where kind = 'review'"
        return int(conn.execute(sql).fetchone()[0])


def predictions(path: Path, over: threading.Event) -> Iterator[int]:
    """One prediction of all rows after the other, until it is over."""
    number = 0
    while not number or not over.is_set():
        number += 1
        with closing(connect(path)) as conn:
            request = PredictRequest(columns=Columns.named(f"guess{number % 2}"), overwrite=True)
            job = submit_predict(conn, find_classifier(conn, "one"), "messages", request).id
        wait_for(lambda job=job: job_of(path, job).state in ENDED, f"job {job}")
        yield job


def test_no_label_is_lost_and_no_error_is_shown(path: Path, tmp_path: Path) -> None:
    before = labels(path)
    config: dict[str, Any] = {
        "plugins": {"datasette-ftclassify": {"permissions": {
            "ftclassify-review": {"id": list(PEOPLE)}}}},
    }  # fmt: skip
    if not is_065():
        config["permissions"] = {"update-row": {"id": list(PEOPLE)}}
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    option = "--metadata" if is_065() else "--config"
    queue = f"/town/-/ftclassify/jobs/{queue_of(path)}/review"
    with serving(path, option, file, "--secret", SECRET) as server:
        until = time.monotonic() + SECONDS
        people = [Person(name, f"{server.url}{queue}", until) for name in PEOPLE]
        threads = [threading.Thread(target=person.work) for person in people]
        over = threading.Event()
        ends = threading.Thread(target=lambda: ([t.join() for t in threads], over.set()))
        for thread in (*threads, ends):
            thread.start()
        jobs = [job_of(path, job) for job in predictions(path, over)]
        ends.join()
        assert [person.errors for person in people] == [[], []], server.log[-3_000:]
        assert [(job.state, job.error) for job in jobs] == [("finished", None)] * len(jobs)
        assert "Traceback" not in server.log
    ann, bob = people
    assert not set(ann.wanted) & set(bob.wanted)  # no row was in front of both
    assert labels(path) == {**before, **ann.wanted, **bob.wanted}
    recorded = counts(path)
    assert recorded == {person.name: len(person.wanted) for person in people}
    if not SECONDS:
        assert sum(recorded.values()) == ROWS
    print(
        f"\n{[person.chosen for person in people]} labels, {[len(p.again) for p in people]} shown"
        f" again, {[p.slow for p in people]} read once more, {len(jobs)} predictions of"
        f" {len(before):,} rows"
    )


def labels(path: Path) -> dict[int, str]:
    with closing(sqlite3.connect(path)) as conn:
        return dict(conn.execute("select id, label from messages"))


def counts(path: Path) -> dict[str, int]:
    """Rows that each has done something with, and not undone."""
    sql = (
        "select who, count(distinct row_key) from _ftclassify_label_changes"
        " where undone_at is null group by who"
    )
    with closing(sqlite3.connect(path)) as conn:
        return dict(conn.execute(sql))
