"""The distribution that only answers: built, installed by itself, and run for a published copy as
the hosts of `datasette publish` install and run it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from folders import ROOT
from packaging.requirements import Requirement
from page_walk import Visited, walk
from published_town import CANARY, publish_town
from publishing import PROGRAMS, Deployed, deploy
from running_jobs import wait_for
from serve_venv import ServeVenv, build_wheel

from datasette_ftclassify.core.distribution import NOT_FOR_ANSWERS, SERVE
from datasette_ftclassify.jobs.publish import PublishedCopy
from datasette_ftclassify.present.publish_commands import PLUGINS, publish_commands

PACKAGE = "datasette_ftclassify_serve"

pytestmark = pytest.mark.skipif(
    not (ROOT / ".ci" / "serve_wheel.py").exists(), reason="the tests run away from their project"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> ServeVenv:
    wheel = build_wheel(ROOT, tmp_path_factory.mktemp("dist"))
    assert wheel.name.startswith(f"{PACKAGE}-")
    return ServeVenv(tmp_path_factory.mktemp("venv"), wheel)


@pytest.fixture(scope="module")
def copy(trained_file: Path, tmp_path_factory: pytest.TempPathFactory) -> PublishedCopy:
    return publish_town(trained_file, tmp_path_factory.mktemp("published"))


def test_it_installs_what_answering_needs_and_nothing_else(installed: ServeVenv):
    assert "numpy" in installed.packages
    script = f"""
import importlib.util
from {PACKAGE}.core.distribution import DISTRIBUTION, NOT_FOR_ANSWERS, only_answers
print(DISTRIBUTION, only_answers(), *(n for n in NOT_FOR_ANSWERS if importlib.util.find_spec(n)))
"""
    name, alone, *there = installed.run("-c", script, cwd=installed.site).split()
    assert (name, alone) == (SERVE, "True")
    assert set(there) <= {"httpx2", "httpcore2"}, "which Datasette 1.0 itself needs"
    assert {path.name for path in installed.site.glob("datasette_ftclassify*")} == {
        PACKAGE, f"{PACKAGE}-0.1.dev0.dist-info"
    }  # fmt: skip


def test_what_it_leaves_out_is_what_the_whole_needs_besides(installed: ServeVenv):
    from importlib.metadata import packages_distributions, requires

    whole = {
        Requirement(line).name for line in requires("datasette-ftclassify") or []
        if "extra ==" not in line
    }  # fmt: skip
    brings = packages_distributions()
    left_out = {brings[module][0].lower() for module in NOT_FOR_ANSWERS}
    both = {name.lower() for name in installed.packages}
    assert whole - both - {"lxml", "sqlite-utils"} <= left_out <= whole


@contextmanager
def served(command: list[str], folder: Path, **environ: str) -> Iterator[str]:
    """The address of a server that a shell started."""
    with (folder / "log").open("w+b") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environ}, stdout=log, stderr=log
        )
        found: list[str] = []

        def announced() -> bool:
            found[:] = re.findall(r"running on http://\S+:(\d+)", (folder / "log").read_text())
            return bool(found) or process.poll() is not None

        try:
            wait_for(announced, "the server")
            assert found, (folder / "log").read_text()
            yield f"http://127.0.0.1:{found[0]}"
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(scope="module", params=list(PROGRAMS))
def host(request: pytest.FixtureRequest) -> str:
    if request.param in PLUGINS:
        pytest.importorskip(f"datasette_publish_{request.param}")
    return str(request.param)


@pytest.fixture(scope="module")
def deployed(host: str, copy: PublishedCopy, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """By the command that is printed."""
    place = Path(copy.path).parent
    command = publish_commands(Path(copy.path).name, copy.packages)[host]
    return deploy(host, command, place, tmp_path_factory.mktemp(host) / "deployed")


@pytest.fixture(scope="module")
def visited(installed: ServeVenv, host: str, deployed: Deployed) -> list[Visited]:
    """What a reader sees who follows the links of what the host runs; of one host, every link."""
    if deployed.before:
        installed.run("-m", *deployed.before, cwd=deployed.folder)
    words = ["0" if word == "$PORT" else word for word in deployed.serve]

    def fetch(path: str) -> tuple[int, bytes]:
        try:
            with urlopen(url + path, timeout=60) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            return error.code, error.read()

    with served([str(installed.python), "-m", *words], deployed.folder) as url:
        most = 150 if host == "cloudrun" else 40
        start = ("/", "/-/plugins.json", "/town/-/ftclassify/jobs", "/town/-/ftclassify")
        return list(walk(fetch, start, most=most))


def test_the_hosts_install_what_answers_and_nothing_else(host: str, deployed: Deployed):
    besides = ["pysqlite3-binary"] if host == "vercel" else []
    assert deployed.install == ("datasette", *besides, SERVE)
    assert (deployed.folder / "town.db").exists()


def test_every_page_of_what_the_hosts_run_is_shown_to_readers(host: str, visited: list[Visited]):
    pages = {page.path: page for page in visited}
    assert pages.pop("/town/-/ftclassify/jobs").status == 404
    assert [(page.path, page.status) for page in pages.values() if page.status != 200] == []
    assert SERVE.encode() in pages["/-/plugins.json"].body
    if host == "cloudrun":
        for part in ("/card.json", "card?format=md", "/try", "/rows", "/minimum", "ftclassify.css"):
            assert any(part in path for path in pages), part
    for page in pages.values():
        assert CANARY.encode() not in page.body, page.path
        if "/-/ftclassify" in page.path:
            assert b"/jobs" not in page.body, page.path


def test_no_byte_of_the_copy_tells_what_stays_behind(copy: PublishedCopy):
    assert CANARY.encode() not in Path(copy.path).read_bytes()


def test_nothing_clashes_where_the_whole_is_installed_beside_it(installed: ServeVenv, copy: Any):
    script = f"""
import sys
sys.path.append({str(ROOT)!r})
import asyncio, json
from datasette.app import Datasette
from datasette.plugins import pm
import {PACKAGE}.serve_plugin
ours = [p.__name__ for p in pm.get_plugins() if p.__name__.startswith("datasette_ftclassify")]
async def main():
    client = Datasette(immutables=[{copy.path!r}]).client
    page = (await client.get("/town/-/ftclassify")).text
    style = page.split("ftclassify.css")[0].rpartition('"')[2] + "ftclassify.css"
    print(json.dumps([ours, style, (await client.get(style)).status_code]))
asyncio.run(main())
"""
    import json

    plugins, style, status = json.loads(installed.run("-c", script, cwd=Path(copy.path).parent))
    assert plugins == ["datasette_ftclassify"], "the whole is what is used"
    assert (style, status) == (f"/-/static-plugins/{PACKAGE}/ftclassify.css", 200)
