"""The distribution that only answers: built, installed by itself, and run as `datasette publish
cloudrun` installs and runs it for a published copy."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from datasette.cli import cli
from datasette.utils import make_dockerfile
from folders import ROOT
from packaging.requirements import Requirement
from page_walk import Visited, walk
from published_town import CANARY, publish_town
from running_jobs import wait_for
from serve_venv import ServeVenv, build_wheel

from datasette_ftclassify.core.distribution import NOT_FOR_ANSWERS, SERVE
from datasette_ftclassify.jobs.publish import PublishedCopy
from datasette_ftclassify.present.publish_commands import publish_commands

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


def dockerfile(copy: PublishedCopy) -> list[str]:
    """That of the command that is printed, by Datasette's own code."""
    words = shlex.split(publish_commands(Path(copy.path).name, copy.packages)["cloudrun"])
    command = cli.commands["publish"].commands["cloudrun"]  # type: ignore[attr-defined]
    folder = Path.cwd()
    os.chdir(Path(copy.path).parent)
    try:
        given = command.make_context("cloudrun", words[3:]).params
    finally:
        os.chdir(folder)
    text = make_dockerfile(
        files=given["files"], metadata_file=None,
        extra_options="--setting force_https_urls on",  # which `cloudrun` adds
        secret="s", install=given["install"], version_note=given["version_note"],
        **{name: given[name] for name in ("branch", "template_dir", "plugins_dir", "static",
                                          "spatialite")},
    )  # fmt: skip
    return str(text).splitlines()


def following(lines: list[str], word: str) -> list[list[str]]:
    """The words of the lines that begin with it."""
    return [shlex.split(line)[1:] for line in lines if line.startswith(f"{word} ")]


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


@pytest.fixture(scope="module")
def visited(installed: ServeVenv, copy: PublishedCopy) -> list[Visited]:
    """What a reader sees who follows every link of what cloudrun runs."""
    lines, folder = dockerfile(copy), Path(copy.path).parent
    install, inspect = following(lines, "RUN")
    assert install == ["pip", "install", "-U", "datasette", SERVE]
    assert inspect[0] == "datasette"
    installed.run("-m", *inspect, cwd=folder)
    (command,) = following(lines, "CMD")
    words = ["0" if word == "$PORT" else word for word in command]
    assert words[:2] == ["datasette", "serve"]
    words += ["--setting", "sql_time_limit_ms", "60000"]  # this machine may be busy

    def fetch(path: str) -> tuple[int, bytes]:
        try:
            with urlopen(url + path, timeout=60) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            return error.code, error.read()

    with served([str(installed.python), "-m", *words], folder) as url:
        return list(walk(fetch, ("/", "/-/plugins.json", "/town/-/ftclassify/jobs"), most=150))


def test_every_page_of_what_cloudrun_runs_is_shown_to_readers(visited: list[Visited]):
    pages = {page.path: page for page in visited}
    assert pages.pop("/town/-/ftclassify/jobs").status == 404
    assert [(page.path, page.status) for page in pages.values() if page.status != 200] == []
    assert SERVE.encode() in pages["/-/plugins.json"].body
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
