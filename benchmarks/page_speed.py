"""How long people wait for the first byte of each page, next to Datasette's own table page.

    python benchmarks/page_speed.py [--rows 1000000] [--labelled 120000] [--training 120000]
                                    [--rounds 40] [--keep FILE]

Serves a table of a million rows, of which the last fiftieth is labelled (the worst place for who
looks for labelled rows), and one of 120,000 rows with 230 labels, from which a classifier was
trained, evaluated, checked and used. Asks for each page once a round, so that what else the machine
does falls on all of them alike, and prints the median and the 95th percentile of the time from the
request to the answer's headers: Datasette sends those when the page is made.

--training: train on no more than so many rows; training on all takes minutes
--keep: build the database there once, and use it again
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import datasette
import temporary_ledger  # noqa: F401
from datasette.app import Datasette

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.check import submit_check
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows, submit_predict
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.classifiers import find_classifier

OURS = "/bench/-/ftclassify"
TARGET_MS = 300
LABELS = 230
SECRET = "page-speed"

WORDS = [f"{a}{b}{c}{d}" for a in "bdfgklmnprst" for b in "aeiou" for c in "lmnrst" for d in "aeo"]


def text(chooser: random.Random, label: int) -> str:
    own = WORDS[label * 4 : label * 4 + 8]
    return " ".join(chooser.choice(own if chooser.random() < 0.3 else WORDS) for _ in range(25))


def fill(conn: sqlite3.Connection, table: str, rows: int, labelled_from: int = 0) -> None:
    chooser = random.Random(table)

    def made() -> Iterator[tuple[str, str, int, str | None]]:
        for number in range(rows):
            label = chooser.randrange(LABELS)
            said = f"label {label}" if number >= labelled_from else None
            yield text(chooser, label), "office", chooser.randrange(1000), said

    with conn:
        conn.execute(
            f"create table {table} (id integer primary key, body text, sender text, size integer,"
            " label text)"
        )
        conn.executemany(
            f"insert into {table} (body, sender, size, label) values (?, ?, ?, ?)", made()
        )


def build(path: Path, rows: int, labelled: int, training: int) -> None:
    """Both tables, and all that the pages are about."""
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {what}", file=sys.stderr, flush=True)

    with closing(connect(path, must_exist=False)) as conn:
        fill(conn, "big", rows, labelled_from=rows - rows // 50)
        fill(conn, "texts", labelled)
        say("the tables are there")
        few = None if training >= labelled else f"id % {labelled} < {training}"
        task = define(conn, "texts", text=["body"], labels=["label"], where=few)
        train_classifier(conn, task, TrainRequest(name="texts", curve=False))
        say(f"trained on {min(training, labelled):,} rows")
        predict_rows(conn, find_classifier(conn, "texts"), "texts")
        say("predicted")
        whole = define(conn, "texts", text=["body"], labels=["label"])
        job = submit_check(conn, whole, SplitPlan(), leaves_machine=False)
        run_job(conn, job.id)
        say("checked")
        submit_predict(conn, find_classifier(conn, "texts"), "big", PredictRequest())


class Browser:
    """Root's, on one connection that stays open, as browsers keep theirs."""

    def __init__(self, port: int) -> None:
        self._conn = HTTPConnection("127.0.0.1", port, timeout=120)
        actor = Datasette([], secret=SECRET).sign({"a": {"id": "root"}}, "actor")
        self._cookies = {"ds_actor": actor}

    def ask(self, path: str, body: dict[str, object] | None = None) -> tuple[float, bytes]:
        """Milliseconds to the headers, and the body."""
        headers = {"cookie": "; ".join(f"{n}={v}" for n, v in self._cookies.items())}
        data = None
        if body is not None:
            headers["content-type"] = "application/json"
            headers["x-csrftoken"] = self._cookies.get("ds_csrftoken", "")
            data = json.dumps(body)
        began = time.perf_counter()
        self._conn.request("POST" if data else "GET", path, body=data, headers=headers)
        response = self._conn.getresponse()
        took = (time.perf_counter() - began) * 1000
        content = response.read()
        if response.status != 200:
            raise SystemExit(f"{path}: {response.status}\n{content[:2000].decode()}")
        for cookie in response.headers.get_all("set-cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        return took, content

    def json(self, path: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.ask(path)[1])
        return found


Request = tuple[str, str, str, "dict[str, object] | None"]
"""Kind, name, path, JSON to send."""


def requests(browser: Browser, rows: int, labelled: int, chooser: random.Random) -> list[Request]:
    """What is asked in a round: other rows each time."""
    listed = browser.json(f"{OURS}/jobs.json")["jobs"]
    assert isinstance(listed, list)
    jobs: dict[str, int] = {}
    for job in listed:
        if job["table"] == "texts" or job["kind"] == "predict":
            jobs[f"{job['kind']} {job['state']}"] = job["id"]
    check, running = jobs["check finished"], jobs["predict queued"]
    card = f"{OURS}/classifiers/texts~401"
    label = f"label {chooser.randrange(LABELS)}"
    row, after = chooser.randrange(1, labelled), chooser.randrange(rows - 200)

    def at(path: str, **query: object) -> str:
        return f"{path}?{urlencode(query)}" if query else path

    pages = {
        "classifiers and jobs of all databases": "/-/ftclassify",
        "classifiers and jobs": OURS,
        "classifiers and jobs, of one table": at(OURS, table="texts"),
        "jobs": f"{OURS}/jobs",
        "jobs.json, asked by the strip": at(f"{OURS}/jobs.json", table="big", active=1),
        "job, training": f"{OURS}/jobs/{jobs['train finished']}",
        "job, prediction": f"{OURS}/jobs/{jobs['predict finished']}",
        "job.json, asked each second": at(f"{OURS}/jobs/{running}.json", since=1),
        "classifier": card,
        "classifier's rows, all": at(f"{card}/rows", page=chooser.randrange(1, 20)),
        "classifier's rows, a cell": at(f"{card}/rows", truth=label, chosen=label),
        "classifier's rows, wrong": at(f"{card}/rows", wrong=1),
        "try a text": at(f"{card}/try", text=text(chooser, 3)),
        "try a text, JSON": at(f"{card}/try.json", text=text(chooser, 4)),
        "train, large table": at(f"{OURS}/train", table="big"),
        "train, large table, chosen": at(f"{OURS}/train", table="big", text="body", label="label"),
        "train, large table, filtered": at(
            f"{OURS}/train",
            table="big",
            text="body",
            label="label",
            size__exact=chooser.randrange(1000),
        ),
        "train, labelled table": at(f"{OURS}/train", table="texts"),
        "train, with findings": at(f"{OURS}/train", table="texts", check=check),
        "train.json, preview": at(f"{OURS}/train.json", table="texts", preview=1),
        "rows of a finding": f"{OURS}/jobs/{check}/finding/0",
        "classify, large table": at(f"{OURS}/classify", table="big"),
        "classify, large table, filtered": at(
            f"{OURS}/classify", table="big", size__lt=str(chooser.randrange(1000))
        ),
        "classify, labelled table": at(f"{OURS}/classify", table="texts"),
        "classify, one row": at(f"{OURS}/classify", table="texts", row=row),
        "export, large table": at(f"{OURS}/export", table="big"),
        "export, labelled table": at(f"{OURS}/export", table="texts"),
    }
    own = {
        "table page, large": at("/bench/big", _next=after),
        "table page, labelled, with our columns": at("/bench/texts", _next=row),
        "table page, labelled, a facet of labels": at("/bench/texts", _facet="label"),
        "table page, labelled, a facet of ours": at("/bench/texts", _facet="texts_label"),
    }
    fields = {"text": "body", "label": "label"}
    sent: dict[str, tuple[str, dict[str, object]]] = {
        "start a check, labelled table": ("train", {"table": "texts", **fields, "action": "check"}),
        "start a training, labelled table": ("train", {"table": "texts", **fields}),
        "start a training, large table": ("train", {"table": "big", **fields}),
        "start a prediction, one row": (
            "classify", {"table": "texts", "classifier": "texts", "row": str(row)},
        ),
        "start a prediction, large table": ("classify", {"table": "big", "classifier": "texts"}),
    }  # fmt: skip
    found: list[Request] = [("Datasette", name, path, None) for name, path in own.items()]
    found += [("page", name, path, None) for name, path in pages.items()]
    return found + [("form", n, f"{OURS}/{p}.json", body) for n, (p, body) in sent.items()]


def start(path: Path, folder: Path) -> tuple[subprocess.Popen[str], int]:
    """A server whose worker is off: what is queued here must not run meanwhile."""
    config = folder / "config.json"
    plugin = {"datasette-ftclassify": {"worker": False}}
    writes = {"update-row": {"id": "root"}, "alter-table": {"id": "root"}}
    config.write_text(json.dumps({"plugins": plugin, "permissions": writes}))
    option = "--metadata" if datasette.__version__.startswith("0.") else "--config"
    command = [
        sys.executable, "-m", "datasette", "serve", str(path), "--port", "0", "--root",
        "--secret", SECRET, option, str(config),
    ]  # fmt: skip
    server = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert server.stderr is not None
    for line in server.stderr:
        if found := re.search(r"running on http://127.0.0.1:(\d+)", line):
            return server, int(found[1])
    raise SystemExit("the server did not start")


def quantile(times: list[float], share: float) -> float:
    return sorted(times)[round(share * (len(times) - 1))]


def measure(port: int, rounds: int, rows: int, labelled: int) -> dict[tuple[str, str], list[float]]:
    browser, chooser = Browser(port), random.Random(1)
    browser.ask(f"{OURS}/train?table=texts")  # 0.65 gives its token with a form
    times: dict[tuple[str, str], list[float]] = {}
    for number in range(-1, rounds):  # the first round loads what is loaded once
        for kind, name, path, body in requests(browser, rows, labelled, chooser):
            took, _ = browser.ask(path, body)
            if number >= 0:
                times.setdefault((kind, name), []).append(took)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--labelled", type=int, default=120_000)
    parser.add_argument("--training", type=int, default=120_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "bench.db"
        if given.keep is not None:
            given.keep.mkdir(parents=True, exist_ok=True)
            path = given.keep / "bench.db"
        if not path.exists():
            build(path, given.rows, given.labelled, given.training)
        before = os.getloadavg()
        server, port = start(path, Path(temporary))
        try:
            times = measure(port, given.rounds, given.rows, given.labelled)
        finally:
            server.terminate()
            server.communicate()
    loads = ", ".join(f"{load[0]:.1f}" for load in (before, os.getloadavg()))
    print(f"Datasette {datasette.__version__}, {os.cpu_count()} cores, load {loads},"
          f" {given.rounds} rounds")  # fmt: skip
    for (kind, name), found in times.items():
        p50, p95 = quantile(found, 0.5), quantile(found, 0.95)
        slow = "  over the target" if kind != "Datasette" and p95 > TARGET_MS else ""
        print(f"{kind:10} {name:44} p50 {p50:6.0f} ms  p95 {p95:6.0f} ms{slow}")


if __name__ == "__main__":
    main()
