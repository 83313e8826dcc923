"""A server with files that somebody made to do harm: their pages are answered or refused, and those
of every other file are as quick as ever.

A few of the files are tried each time; with FTCLASSIFY_HOSTILE=all in the environment, all of them.
"""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import sqlite3
import sys
import threading
import time
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from datasette.app import Datasette
from hostile import Mutation, jobs, names, prices, tables
from openai_server import OpenAIServer
from running_jobs import queue_predict, without_jobs
from serving import serving
from visiting import ROOT, cookies, is_065

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.check import submit_check
from datasette_ftclassify.jobs.lease import in_background
from datasette_ftclassify.jobs.review.build import submit_review
from datasette_ftclassify.jobs.review.changes import change_row
from datasette_ftclassify.jobs.review.shown import show_row
from datasette_ftclassify.jobs.runner import run_job, work
from datasette_ftclassify.jobs.settings import ReviewSettings
from datasette_ftclassify.ledger import Ledger
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.minimum_scores import MinimumScore, set_minimum
from datasette_ftclassify.store.spending import Spent
from datasette_ftclassify.web.routes import routes

ALL = os.environ.get("FTCLASSIFY_HOSTILE") == "all"
SAMPLE = 8
"""Files that are tried in an ordinary run, in each of the two ways of serving them."""

BATCH = 28 if ALL else SAMPLE
"""Files of one server."""

PATIENCE = 3.0
"""Seconds for a page of such a file, by the clock, or of the processor: the machine may have other
work."""

OTHERS = 2.0
"""Seconds for a page of another file."""

LARGEST = 2_000_000
"""Bytes of a page of ours: what a file has in abundance is not written out."""

MEMORY = 1_000_000_000
"""Bytes that the server may have had at once."""

ADDRESSES = 6_000_000_000
"""Bytes that it may reserve."""

COMPUTED = "has a computed column"
HIDDEN = "reads-hostile-files"
PRICES = dict(prices.mutations())
OTHER: list[tuple[str, Mutation]] = [
    *tables.mutations(), *jobs.mutations(), *names.mutations(),
]  # fmt: skip
EVERY = [*OTHER, *PRICES.items()]
CHANCE = random.Random(5)
FEW = [*CHANCE.sample(OTHER, 2 * SAMPLE - 4), *CHANCE.sample(list(PRICES.items()), 4)]
CHOSEN = EVERY if ALL else CHANCE.sample(FEW, len(FEW))
BATCHES = [CHOSEN[start : start + BATCH] for start in range(0, len(CHOSEN), BATCH)]
OURS = "/-/ftclassify"


def test_there_are_many_different_ones():
    assert len({name for name, _ in EVERY}) == len(EVERY) > 400


@pytest.fixture(scope="module")
def good(trained_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with classifiers, evaluations, predictions and a check."""
    path = tmp_path_factory.mktemp("good") / "other.db"
    shutil.copyfile(trained_file, path)
    queue_predict(without_jobs(path))
    with closing(connect(path)) as conn:
        task = define(conn, "messages", text=["message"], labels=["topic"])
        submit_check(conn, task, SplitPlan())
        assert work(conn) == 2
        review = run_job(conn, submit_review(conn, ReviewSettings(task, "audit", rows=5)).id)
        assert review.state == "finished"
        row = show_row(conn, review, 1)
        assert row is not None
        change_row(conn, review, 1, None, seen=row.seen, who="ann", note="unclear")
        set_minimum(conn, find_classifier(conn, "topics"), MinimumScore("fixed", 0.4))
    return path


@dataclass
class Client:
    """A browser of somebody who may do everything."""

    url: str
    cookies: dict[str, str]

    def get(self, page: str) -> tuple[int | str, float, int]:
        """The status, or what came in the place of an answer; the seconds that it took, and the
        bytes of the page."""
        jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        began = time.monotonic()
        status: int | str
        size = 0
        try:
            with urlopen(Request(self.url + page, headers={"cookie": jar}), timeout=60) as response:
                size = len(response.read())
                status = response.status
        except HTTPError as error:
            size = len(error.read())
            status = error.code
        except OSError as error:
            status = repr(error)
        return status, time.monotonic() - began, size


@dataclass
class Watch:
    """Somebody who looks at another file all the while.

    pid:  of the server
    cost: seconds of the processor that one look takes the server
    """

    client: Client
    pid: int
    cost: float = 0.0
    looks: int = 0
    slowest: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def work(self) -> float:
        """Seconds of the processor that the server and its ended children took for others."""
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        taken = sum(int(ticks) for ticks in stat[11:15]) / os.sysconf("SC_CLK_TCK")
        return taken - self.looks * self.cost

    def settle(self, looks: int = 3) -> float:
        """Learns what a look costs; returns the seconds of the slowest page."""
        began = self.work()
        for _ in range(looks):
            self.look()
        self.looks, self.cost = 0, (self.work() - began) / looks
        slowest = max(self.slowest.values())
        self.slowest.clear()
        return slowest

    def look(self) -> None:
        self.looks += 1
        ours = f"/other{OURS}"
        for page in ("/other", "/other/messages", ours, f"{ours}/classifiers/topics"):
            status, took, _ = self.client.get(page)
            self.slowest[page] = max(took, self.slowest.get(page, 0.0))
            if status != 200:
                self.failed.append(f"{page}: {status}")

    def going_on(self) -> AbstractContextManager[None]:
        def again(over: threading.Event) -> None:
            while not over.wait(0.2):
                self.look()

        return in_background(again)


def pages(database: str, name: str) -> list[str]:
    ours = f"/{database}{OURS}"
    topics = f"{ours}/classifiers/topics"
    own = [
        ours, f"{ours}/jobs", f"{ours}/jobs.json?active=1", f"{ours}/jobs/1", f"{ours}/jobs/2.json",
        f"{ours}/jobs/2/finding/0", f"{ours}/jobs/3/review", f"{ours}/jobs/3/review?place=1",
        f"{ours}/jobs/3/agreement",
        topics, f"{topics}/rows", f"{topics}/card", f"{topics}/compare?with=subjects",
        f"{topics}/drift", f"{topics}/evaluate", f"{topics}/minimum", f"{topics}/publish",
        f"{topics}/try?text=a+drain", OURS, f"/{database}",
        f"/{database}.json?sql=select+ft_classify_json('a+drain')&_shape=array",
    ]  # fmt: skip
    if name.startswith("very many tables") or name.endswith(COMPUTED):
        # Datasette counts the rows of each table there, by reading them in 1.0: no limit of its own
        # ends a column that takes hours in one step of SQLite.
        own.remove(f"/{database}")
    if name.startswith("messages are a view"):
        return own  # Datasette's own pages of the view would not end, nor ours that show its rows
    return [
        *own, f"{ours}/classify?table=messages", f"{ours}/train?table=messages&check=2",
        f"{topics}/retrain", f"{ours}/stale?table=messages", f"{ours}/merge-labels?table=messages",
        f"{ours}/sweep?table=messages", f"{topics}/student", f"{topics}/other",
        f"{ours}/export?table=messages", f"{ours}/review?table=messages&queue=audit",
        f"/{database}/messages", f"/{database}/messages/1",
    ]  # fmt: skip


def test_every_page_of_ours_is_opened():
    asked = [urlsplit(page).path for page in pages("h1", "any file")]
    missed = [r.pattern for r in routes() if not any(re.search(r.pattern, path) for path in asked)]
    assert not missed


def visit(watch: Watch, database: str, name: str, patience: float) -> list[str]:
    """The problems that one file makes."""
    problems = []
    for page in pages(database, name):
        began = watch.work()
        status, took, size = watch.client.get(page)
        worked = watch.work() - began
        ours = OURS in page or "sql=" in page
        if took > patience and worked > PATIENCE:
            problems.append(f"{name}: {page} took {took:.1f} s, {worked:.1f} s of work")
        if not isinstance(status, int) or (ours and status == 500):
            problems.append(f"{name}: {page}: {status}")
        if ours and size > LARGEST:
            problems.append(f"{name}: {page} has {size:,} bytes")
    return problems


def peak_memory(pid: int) -> int:
    """The most bytes that a process has had at once; 0 where the system does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the memory of processes")
@pytest.mark.parametrize("immutable", [False, True], ids=["mutable", "immutable"])
@pytest.mark.parametrize("number", range(len(BATCHES) if ALL else 1))
def test_such_files_hold_up_nobody(
    good: Path, tmp_path: Path, openai_server: OpenAIServer, number: int, immutable: bool
):
    batch = BATCHES[number if ALL else int(immutable)]
    if immutable and not is_065():
        # Before it starts, Datasette 1.0 counts the rows of immutable files by reading them, for an
        # hour each if need be.
        batch = [(name, mutate) for name, mutate in batch if not name.endswith(COMPUTED)]
    other = tmp_path / "other.db"
    shutil.copyfile(good, other)
    files: dict[str, Path] = {}
    for index, (name, mutate) in enumerate(batch):
        path = tmp_path / f"h{index}.db"
        shutil.copyfile(good, path)
        with closing(sqlite3.connect(path)) as conn:
            mutate(conn)
            if name in PRICES:
                host = urlsplit(openai_server.base_url).netloc
                sql = "update _ftclassify_classifiers set header = replace(header, ?, ?)"
                conn.execute(sql, [prices.HOST, host])
            conn.commit()
        files[name] = path
    environ = {
        "OPENAI_API_KEY": openai_server.api_key, "OPENAI_BASE_URL": openai_server.base_url,
        "AZURE_OPENAI_API_KEY": openai_server.api_key,
        "AZURE_OPENAI_ENDPOINT": openai_server.base_url,
        "FTCLASSIFY_USD_PER_JOB": "1", "FTCLASSIFY_USD_PER_DAY": "1",
        "FTCLASSIFY_SQL_USD_PER_DAY": "1", "DATASETTE_SECRET": HIDDEN,
    }  # fmt: skip
    arguments = [
        part for path in files.values() for part in (["-i", path] if immutable else [path])
    ]
    more = [] if is_065() else ["--root"]
    who = cookies(Datasette([], secret=HIDDEN), ROOT)
    problems: list[str] = []
    peaks: dict[str, int] = {}
    with serving(other, *arguments, *more, **environ) as running:
        # What a file's jobs take is not taken from everybody on this machine. Of the server alone:
        # a thread of ours that found no memory would never say that it has started.
        resource.prlimit(running.pid, resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
        client = Client(running.url, who)
        watch = Watch(client, running.pid)
        for page in ("train?table=messages", "jobs/2/finding/0"):  # imports what they need
            client.get(f"/other{OURS}/{page}")
        # Datasette 0.65, with plugins or without, answers 500 the first time that it lists
        # the tables of its databases while one has a name with a `]`.
        client.get("/other")
        slack = 3 * watch.settle()  # a machine that has much else to do
        assert not watch.failed, running.log[-20_000:]
        with watch.going_on():
            for name, path in files.items():
                problems += visit(watch, path.stem, name, PATIENCE + slack)
                peaks[name] = peak_memory(running.pid)
        log = running.log
    if watch.failed:
        problems += [*watch.failed, log[-20_000:]]
    problems += [
        f"another file's {page} took {took:.1f} s"
        for page, took in watch.slowest.items()
        if took > OTHERS + slack
    ]
    assert not problems, "\n".join(problems)
    assert max(peaks.values()) < MEMORY, f"bytes after each file: {peaks}"
    assert openai_server.log == []
    assert Ledger().spent_today() == Spent()
    assert Ledger().under_way() == 0
