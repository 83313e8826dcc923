"""The examples of docs/api.md, asked one after the other."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import folders
import pytest
from visiting import ROOT, get, send, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.demo.build import run
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.web.routes import routes

DOCUMENT = folders.ROOT / "docs" / "api.md"


def examples() -> list[tuple[str, str, dict[str, Any], dict[str, Any] | None]]:
    """(method, path, body, some of the answer); None: the answer is no JSON."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.findall(
        r"^```\n(GET|POST) (\S+)\n(\{.*\}\n)?```\n(?:\n```json\n(.*)\n```)?", text, re.MULTILINE
    )
    return [
        (method, path, json.loads(body or "{}"), json.loads(answer) if answer else None)
        for method, path, body, answer in found
    ]


def holds(answer: Any, shown: Any, where: str = "answer") -> None:
    """Whether an answer has all keys that are shown, of the same types, at every depth."""
    if isinstance(shown, dict):
        for key, value in shown.items():
            assert key in answer, f"{where} has no {key}: {sorted(answer)}"
            holds(answer[key], value, f"{where}.{key}")
    elif isinstance(shown, list):
        assert isinstance(answer, list), where
        if shown:
            assert answer, f"{where} is empty"
            holds(answer[0], shown[0], f"{where}[0]")
    elif not isinstance(shown, float):  # what is a number may be unknown yet
        assert type(answer) is type(shown), f"{where}: {answer!r}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ftclassify-demo.db"
    run(path)
    return path


@pytest.fixture
def demo(path: Path) -> Any:
    return serve(path, writers=ROOT)


def test_every_route_has_an_example():
    addresses = [path.partition("?")[0].replace("{job}", "1") for _, path, _, _ in examples()]
    for route in routes():
        assert any(re.match(route.pattern, address) for address in addresses), route.path


async def test_every_example_of_the_api_answers_as_it_says(path: Path, demo: Any):
    job = 0
    shown = examples()
    assert len(shown) >= 12
    for method, example, body, expected in shown:
        address = example.replace("{job}", str(job))
        if method == "GET":
            response = await get(demo, address, ROOT)
        else:
            response = await send(demo, address, body, ROOT)
        assert response.status_code == 200, f"{method} {address}: {response.text}"
        if expected is None:
            assert json.loads(response.text.splitlines()[0])["messages"]
            continue
        data = response.json()
        holds(data, expected, f"{method} {address}")
        if isinstance(data.get("job"), dict):
            job = data["job"]["id"]
            if data["job"]["kind"] in (
                "check",
                "review",
            ):  # the others stay in the queue, to be cancelled
                with closing(connect(path)) as conn:
                    run_job(conn, job)


async def test_an_error_has_the_shape_that_is_told(demo: Any):
    told = json.loads(re.findall(r"```json\n(.*)\n```", DOCUMENT.read_text(encoding="utf-8"))[0])
    response = await get(demo, "/ftclassify-demo/-/ftclassify/classifiers/none.json", ROOT)
    assert response.status_code == 404
    assert set(response.json()) == set(told)
