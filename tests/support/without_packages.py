"""What works where only what answers is installed: `without_packages.py COPY ORIGINAL` prints JSON.

Packages that training and services need cannot be imported in this process, but for those that
Datasette itself needs. A reader walks through the copy, served as `datasette publish` serves it;
root through the original; and every command is called.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from pathlib import Path
from pkgutil import walk_packages
from typing import Any
from urllib.parse import urlencode

import datasette.app  # noqa: F401  # what it loads stays

ABSENT = (
    "sklearn", "scipy", "threadpoolctl", "joblib", "rapidfuzz", "openai", "httpx2", "httpcore2",
    "genai_prices", "tiktoken", "sqlite_utils", "lxml", "model2vec", "onnxruntime", "tokenizers",
    "huggingface_hub", "pydantic",
)  # fmt: skip
sys.modules.update({name: None for name in ABSENT if name not in sys.modules})  # type: ignore[misc]

sys.path.insert(0, str(Path(__file__).parent))

import click  # noqa: E402
from click.testing import CliRunner  # noqa: E402
from page_walk import walk  # noqa: E402
from published_town import KEPT  # noqa: E402
from visiting import ROOT, cookies, is_065, serve  # noqa: E402

import datasette_ftclassify  # noqa: E402
from datasette_ftclassify.cli import ftclassify  # noqa: E402
from datasette_ftclassify.web.routes import routes  # noqa: E402


def missing() -> dict[str, str]:
    """{module that cannot be imported: what it needs}"""
    found = {}
    for module in walk_packages(datasette_ftclassify.__path__, "datasette_ftclassify."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            found[module.name.partition(".")[2]] = str(error.name)
    return found


class Pages:
    """Those of a file, for one visitor."""

    def __init__(self, path: Path, who: str | None) -> None:
        self._datasette = serve(path) if who else serve(immutables=(path,))
        self._datasette._settings["sql_time_limit_ms"] = 60_000  # a machine may be busy
        self._loop, self._cookies = asyncio.new_event_loop(), cookies(self._datasette, who)

    def get(self, path: str) -> tuple[int, bytes]:
        asked = self._datasette.client.get(path, cookies=self._cookies, follow_redirects=True)
        answer = self._loop.run_until_complete(asked)
        return answer.status_code, answer.content

    def walked(self, *start: str) -> list[list[Any]]:
        return [
            [page.path, page.status, page.body.decode("utf-8", "replace")]
            for page in walk(self.get, start, most=120)
        ]

    def answers(self, database: str, text: str, classifiers: list[str]) -> list[dict[str, Any]]:
        """Those of `ft_classify_json`."""
        page = f"/{database}.json?" if is_065() else f"/{database}/-/query.json?"
        found = []
        for name in classifiers:
            sql = "select ft_classify_json(:text, :name)"
            asked = urlencode({"sql": sql, "text": text, "name": name, "_shape": "arrayfirst"})
            status, body = self.get(page + asked)
            assert status == 200, body
            found.append(json.loads(json.loads(body)[0]))
        return found

    def asked(self, database: str) -> dict[str, list[Any]]:
        """{address: status and body} of the JSON of each of our pages."""
        found = {}
        for route in routes():
            if route.reads is None or route.about == "instance":
                continue
            part = route.path.format(name="topics", id=1, number=0)
            path = f"/{database}/-/ftclassify{part}.json?table=messages"
            status, body = self.get(path)
            found[route.path] = [route.reads, status, body.decode()]
        return found


def commands(path: Path) -> dict[str, list[Any]]:
    """{command: exit code, output and what it raised}"""
    given = {
        "database": str(path), "table": "messages", "label": "topic", "name": "topics",
        "classifier": "topics", "names": "topics", "old": "urgent", "new": "pressing",
        "alias": "nothing", "step": "1", "job_id": "1", "trainer": "openai", "text": "water",
        "out": str(path.with_name("out")), "folder": str(path.with_name("model")),
        "other": str(path.with_name("other.db")), "path": str(path.with_name("demo.db")),
    }  # fmt: skip
    found = {}
    for words, command in _leaves(ftclassify, ()):
        line = list(words)
        for param in command.params:
            if isinstance(param, click.Argument):
                line.append(given.get(str(param.name), str(path)))
            elif param.required:
                line += [max(param.opts, key=len), given.get(str(param.name), str(path))]
        done = CliRunner().invoke(ftclassify, line)
        raised = done.exception
        known = raised is None or isinstance(raised, SystemExit)
        found[" ".join(words)] = [done.exit_code, done.output, "" if known else repr(raised)]
    return found


def _leaves(group: click.Group, words: tuple[str, ...]) -> Any:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _leaves(command, (*words, name))
        else:
            yield (*words, name), command


if __name__ == "__main__":
    copy, original = map(Path, sys.argv[1:])
    original.with_name("other.db").touch()
    names = ["topics", "urgent", "subjects", "paid"]
    reader, root = Pages(copy, None), Pages(original, ROOT)
    starts = [f"/{original.stem}/-/ftclassify", f"/{original.stem}/messages"]
    print(json.dumps({
        "missing": missing(), "answers": reader.answers("town", KEPT, names),
        "reader": reader.walked("/"), "root": root.walked(*starts),
        "asked": root.asked(original.stem), "commands": commands(original),
    }))  # fmt: skip
