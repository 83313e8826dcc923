"""How far each thing walks through the package: files, functions and calls, counted by a profiler.

    python benchmarks/walks.py [--files]

Walks: a text through `ft_classify`, a training from the command line, one paid row, and the pages
that train and classify. The table is tiny and the service is the test server on this machine. Each
walk is taken once before it is counted, so nothing is counted that is done at import alone. In all
threads; generators and coroutines count each time that they go on.

calls: of functions of the package, whoever calls them (their number varies a little where threads
       wait for each other)
moves: those of them that come from another file of the package
reads: of the statements that name the user's table, which are counted next to it, those that take
       texts out of it
plans: resolved requests of predictions and trainings
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import temporary_ledger  # noqa: F401
from service_server import Server, use_vocabularies
from service_training import quick_to_ask
from statements import statements_about
from visiting import ROOT, send, serve

import datasette_ftclassify
from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.trainers.configuration import read_access

PACKAGE = str(Path(datasette_ftclassify.__file__).parent) + os.sep
LABELS = {"Roads": "pothole tarmac kerb junction lorry", "Water": "flood drain leak pipe sewer"}
ROWS = 60


@dataclass
class Walk:
    """What was counted on one walk."""

    files: Counter[str] = field(default_factory=Counter)
    functions: set[tuple[str, int]] = field(default_factory=set)
    calls: int = 0
    moves: int = 0
    plans: int = 0


@contextmanager
def counted(walk: Walk) -> Iterator[None]:
    lock = threading.Lock()

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or not (name := _own(frame)):
            return
        before = frame.f_back
        while before is not None and not _own(before):
            before = before.f_back
        with lock:
            walk.files[name] += 1
            walk.functions.add((name, frame.f_code.co_firstlineno))
            walk.calls += 1
            walk.moves += before is not None and _own(before) != name
            walk.plans += (name, frame.f_code.co_name) in PLANS

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


PLANS = {("jobs/plan.py", "__init__"), ("jobs/train_plan.py", "plan_training")}


def _own(frame: FrameType) -> str | None:
    """The file of a function of the package, below its folder."""
    code = frame.f_code
    if code.co_name == "<module>" or not code.co_filename.startswith(PACKAGE):
        return None
    return code.co_filename.removeprefix(PACKAGE)


class Town:
    """A database with classifiers `here` (local) and `there` (at the server), and its pages."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "town.db"
        with closing(connect(self.path, must_exist=False)) as conn, conn:
            conn.execute("create table reports (id integer primary key, body text, topic text)")
            conn.executemany("insert into reports (body, topic) values (?, ?)", reports(ROWS))
        self.command("train", "--name", "here", "--no-curve")
        self.command("train", "--name", "there", *PAID)
        self.datasette = serve(self.path)
        self._rows = iter(range(1, ROWS))

    def command(self, name: str, *more: str) -> None:
        about = ["--text", "body", "--label", "topic"] if name == "train" else []
        words = [name, str(self.path), "reports", *about, *more]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            ftclassify(words, standalone_mode=False)

    def ask(self) -> None:
        with closing(connect(self.path)) as conn:
            register(conn)
            text = "a lorry on the kerb"
            assert conn.execute("select ft_classify(?, 'here')", [text]).fetchone()[0] == "Roads"

    def predict_one(self) -> None:
        where = f"id = {next(self._rows)}"
        self.command("predict", "--classifier", "there", "--where", where, "--overwrite", "--yes")

    def post(self, page: str, **fields: Any) -> int | None:
        """The number of the job that it queued; None where something is to be agreed to first."""
        address = f"/town/-/ftclassify/{page}"
        body = {"table": "reports", **fields}
        answer = asyncio.run(send(self.datasette, address, body, ROOT)).json()
        job = answer.get("job")
        return int(job["id"] if isinstance(job, dict) else job) if job else None

    def post_train(self, **fields: Any) -> int | None:
        return self.post("train", text="body", label="topic", **fields)

    def run(self, job: int | None) -> None:
        assert job is not None
        with closing(connect(self.path)) as conn:
            assert run_job(conn, job, access=read_access()).state == "finished"


PAID = ("--trainer", "openai", "--model", "gpt-4.1-mini", "--epochs", "1", "--yes")


def reports(n: int) -> list[tuple[str, str]]:
    made = []
    for i in range(n):
        label = list(LABELS)[i % 2]
        words = LABELS[label].split()
        made.append((f"report {i} about a {words[i % 5]} and a {words[(i + 2) % 5]}", label))
    return made


def walks(town: Town) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is counted, in order; each comes twice, the first time to load what it needs."""
    queued: dict[str, int | None] = {}

    def post(key: str, page: Callable[..., int | None], **fields: Any) -> Callable[[], object]:
        return lambda: queued.update({key: page(**fields)})

    def run(name: str) -> Callable[[], object]:
        return lambda: town.run(queued[name])

    names = iter(range(100))
    for _ in range(2):
        yield "a text through ft_classify", town.ask
        yield "train, local, command line", lambda: town.command("train", "--name", "again")
        free = f"free{next(names)}"
        yield "POST of the train page, local", post(free, town.post_train, name=free)
        yield "its job", run(free)
        yield "train, paid, command line", lambda: town.command("train", "--name", "paid", *PAID)
        paid = f"paid{next(names)}"
        fields = {"trainer": "openai", "model": "gpt-4.1-mini", "epochs": "1", "name": paid}
        yield "POST of the train page, paid: the price", post(paid, town.post_train, **fields)
        fields["confirm_usd"] = "1"
        yield "POST of the train page, paid: agreed", post(paid, town.post_train, **fields)
        yield "its job", run(paid)
        yield "predict, one paid row, command line", town.predict_one
        fields = {"classifier": "there", "row": str(ROWS - next(names)), "overwrite": "1"}
        classify = post(paid, lambda **given: town.post("classify", **given), **fields)
        yield "POST of the classify page: the price", classify
        fields = {**fields, "confirm": "1"}
        classify = post(paid, lambda **given: town.post("classify", **given), **fields)
        yield "POST of the classify page: agreed", classify
        yield "its job", run(paid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--files", action="store_true", help="Name the files of each walk.")
    parser.add_argument("--statements", action="store_true", help="Show those about the table.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Server() as server, quick_to_ask():
        use_vocabularies(Path(name) / "vocabularies")
        os.environ |= {
            "OPENAI_API_KEY": server.api_key,
            "OPENAI_BASE_URL": server.base_url,
            "FTCLASSIFY_USD_PER_JOB": "5",
        }
        town = Town(Path(name))
        every = list(walks(town))
        heads = ["walk", "files", "functions", "calls", "moves", "reads", "statements", "plans"]
        print("|", " | ".join(heads), "|")
        print("|" + "---|" * len(heads))
        for number, (title, go) in enumerate(every):
            walk = Walk()
            with statements_about("reports") as statements, counted(walk):
                go()
            if number < len(every) / 2:
                continue
            counts = (len(walk.files), len(walk.functions), walk.calls, walk.moves)
            about = (len(statements.reads("body")), len(statements), walk.plans)
            print("|", " | ".join([title, *(f"{n:,}" for n in (*counts, *about))]), "|")
            if asked.files:
                print("   ", ", ".join(sorted(walk.files)))
            if asked.statements:
                print(*("    " + " ".join(sql.split()) for sql in statements), sep="\n")


if __name__ == "__main__":
    main()
