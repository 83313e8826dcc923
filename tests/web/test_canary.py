"""A key goes to the service that it is for, and nowhere else, whatever happens on the way.

Everything that people do is done once with a key that cannot be mistaken, by processes that log as
much as they can. Then it is looked for in all that they left behind.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

import pytest
from openai_examples import examples
from openai_server import OpenAIServer
from programs import Program, datasette
from running_jobs import job_of, jobs_of, wait_for
from serving import serving

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.trainers.registry import get_trainer

KEY = f"sk-canary-{secrets.token_hex(16)}"
"""Nothing else looks like it, and no part of it is shown either."""

SECRET = KEY[len("sk-canary-") :]
PAGES = 80
TASK = ["reports", "--text", "text", "--label", "label"]


def commands(*lines: str) -> None:
    """One after the other, in a process that logs what it can."""
    logging.basicConfig(level=logging.DEBUG)
    for name in ("openai", "azure"):
        get_trainer(name)._settings["poll"] = (0.01, 0.05)
    for line in lines:
        try:
            ftclassify(line.split())
        except SystemExit as end:
            print("exit", end.code, flush=True)


def talkative_datasette(*arguments: str) -> None:
    logging.basicConfig(level=logging.DEBUG)
    datasette(*arguments)


class World:
    """A folder, a service, and everything that was said."""

    def __init__(self, folder: Path, server: OpenAIServer) -> None:
        self.server = server
        self.path = folder / "town.db"
        self.out = folder / "export"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.said: dict[str, bytes] = {}
        self._commands: list[list[str]] = []
        with closing(connect(self.path, must_exist=False)) as conn, conn:
            conn.execute("create table reports (id integer primary key, text, label)")
            rows = [(text, "abc"[int(code)]) for text, code in examples(40)]
            conn.executemany("insert into reports (text, label) values (?, ?)", rows)
        with closing(connect(self.path)) as conn:
            conn.execute("pragma journal_mode = wal")

    @property
    def environ(self) -> dict[str, str | None]:
        return {
            **{name: None for name in os.environ if name.startswith(("OPENAI", "AZURE"))},
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": self.server.base_url,
            "OPENAI_LOG": "debug",
            "FTCLASSIFY_OFFLINE": "1",
            "FTCLASSIFY_USD_PER_JOB": "5",
            "FTCLASSIFY_SQL_USD_PER_DAY": "1",
            "TMPDIR": str(self.temporary),
        }

    def run(self, *lines: str) -> None:
        there = [line.replace("DB", str(self.path)) for line in lines]
        done = Program(commands, *there, environ=self.environ)
        assert done.wait() == 0, done.output
        self.hear(f"commands {len(self.said)}", done.output.encode())
        self.look()

    def hear(self, name: str, said: bytes) -> None:
        self.said[name] = said

    def look(self) -> None:
        """Takes what stands in files at this moment."""
        for path in self.path.parent.rglob("*"):
            if path.is_file():
                try:
                    self.said[f"{path.name} {len(self.said)}"] = path.read_bytes()
                except OSError:
                    continue  # deleted meanwhile

    def text(self) -> str:
        return b"\n".join(self.said.values()).decode("utf-8", "replace")


TRAIN = "train DB reports --text text --label label --trainer openai --model gpt-4.1-mini"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """After everything that people do has been done once."""
    with OpenAIServer(pace=0.01) as server:
        server.settings.api_key = KEY
        world = World(tmp_path_factory.mktemp("canary"), server)
        world.run(
            f"{TRAIN} --name paid --epochs 1 --yes",
            "evaluate DB paid --yes",
            "predict DB reports --classifier paid --yes",
            "jobs list DB --json",
            "jobs show DB 1",
            "classifiers show DB paid",
            f"check DB {' '.join(TASK)}",
            f"export DB {' '.join(TASK)} --out {world.out}",
            "train DB reports --text text --label label --trainer decisions --name asked --yes",
            f"{TRAIN} --name batched --epochs 1 --yes",
            "predict DB reports --classifier batched --batch --yes --columns-prefix b",
            "classifiers delete DB batched --at-service --yes",
            f"publish-copy DB {world.path.parent / 'public.db'}",
        )
        yield world


@pytest.fixture(autouse=True)
def nowhere(world: World) -> Iterator[None]:
    """The key is in nothing that a test has left behind."""
    yield
    world.look()
    places = [name for name, said in world.said.items() if SECRET.encode() in said]
    assert places == []
    # Nor is it in what was sent, but for the header that it belongs into.
    assert world.server.requests_with(KEY) == []


def test_commands_that_succeed(world: World):
    told = world.text()
    assert "Trained paid@1" in told
    assert "Sending HTTP Request" in told, "the SDK did not log: the test sees less than it should"
    assert world.server.batches_created == 1
    assert world.out.is_dir()
    assert any(name.startswith("town.db") for name in world.said)
    assert any(name.endswith(".jsonl") or ".jsonl " in name for name in world.said)


def test_a_published_copy_names_no_host_no_id_and_no_model_of_ones_own(world: World):
    original = world.path.read_bytes()
    copy = (world.path.parent / "public.db").read_bytes()
    host = world.server.base_url.split("/")[2]
    for word in (host, host.partition(":")[0], "ftjob-", "file-", "ft:gpt"):
        assert word.encode() in original, f"{word}: the test sees less than it should"
        assert word.encode() not in copy, word


@pytest.mark.parametrize("kind", [401, "insufficient_quota", "malformed_json"])
def test_commands_that_fail(world: World, kind: str | int):
    with world.server.faults.during("*", kind, message=f"Incorrect API key provided: {KEY}."):
        world.run(
            f"{TRAIN} --name broken-{kind} --epochs 1 --yes --seed 3",
            "predict DB reports --classifier asked --yes --columns-prefix a --concurrency 2",
        )
    assert {"failed", "paused"} & {job.state for job in jobs_of(world.path)}


def test_a_redirect_gets_no_key(world: World):
    with OpenAIServer() as elsewhere:
        elsewhere.settings.api_key = KEY
        target = f"{elsewhere.base_url}/models"
        with world.server.faults.during("*", "redirect", location=target):
            world.run(f"{TRAIN} --name moved --epochs 1 --yes --seed 4")
        assert elsewhere.requests_with(KEY) == []
        assert elsewhere.log == []


def fetch(opener: OpenerDirector, url: str) -> bytes:
    try:
        with opener.open(url, timeout=20) as answer:
            return str(answer.headers).encode() + bytes(answer.read())
    except HTTPError as error:
        return str(error.headers).encode() + error.read()


def test_a_server_with_its_worker_and_all_its_pages(world: World):
    world.run(
        f"{TRAIN} --name queued --epochs 1 --yes --queue --seed 5",
        "predict DB reports --classifier paid --where id<30 --columns-prefix w --yes --queue",
    )
    queued = [job.id for job in jobs_of(world.path) if job.state == "queued"]
    assert len(queued) == 2
    options = [world.path, "--root"]
    with serving(*options, main=talkative_datasette, **world.environ) as server:
        opener = build_opener(HTTPCookieProcessor(CookieJar()))
        fetch(opener, server.login)

        def ended() -> bool:
            states = [job_of(world.path, job_id).state for job_id in queued]
            return all(state in ("finished", "failed", "paused") for state in states)

        wait_for(ended, "the end of the worker's jobs")
        asked = quote("select ft_classify('a text that nobody asked about', 'paid') as answer")
        pages = ["/", "/-/plugins.json", "/-/metadata.json", "/-/config.json", "/-/settings.json"]
        pages += ["/-/ftclassify", "/town", "/town/reports", "/town/_ftclassify_jobs"]
        pages += ["/town/-/ftclassify", "/town/-/ftclassify/jobs", "/town/reports.json"]
        pages += [f"/town?sql={asked}", f"/town/-/query.json?sql={asked}"]
        seen: set[str] = set()
        while pages and len(seen) < PAGES:
            page = pages.pop(0)
            if page in seen:
                continue
            seen.add(page)
            body = fetch(opener, server.url + page)
            world.hear(f"page {page}", body)
            found = re.findall(r'(?:href|src)="(/[^"#]*)"', body.decode("utf-8", "replace"))
            links = [unescape(link) for link in found if "/-/ftclassify" in link]
            pages += links
            pages += [
                link.replace("?", ".json?") if "?" in link else f"{link}.json" for link in links
            ]
        world.look()
    world.hear("server", server.log.encode())
    assert any(name.startswith("town.db-wal") for name in world.said)
    for some in ("/jobs/1", "/classifiers/paid", "/jobs.json", "/train", "/classify"):
        shown = [page for page in seen if some in page]
        assert shown, f"{some}: {sorted(seen)}"
    assert [job_of(world.path, job_id).error for job_id in queued] == [None, None]
