"""Judges of the protocol that are not ours: two npm packages, each in a process of its own.

Prism stands before a server and compares what passes with OpenAI's published description. The
description (https://github.com/openai/openai-openapi, made strict JSON Schema) is not part of the
project: name a copy in FTCLASSIFY_OPENAPI. The one tried was older than decisions.

aimock is somebody else's idea of OpenAI's server. It is asked when FTCLASSIFY_AIMOCK is set.

Their commands are taken from the path, or fetched by npx.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

DESCRIPTION = os.environ.get("FTCLASSIFY_OPENAPI", "")
AIMOCK = os.environ.get("FTCLASSIFY_AIMOCK", "")

PACKAGES = {"prism": "@stoplight/prism-cli@5.14.2", "llmock": "@copilotkit/aimock@1.43.0"}


@dataclass
class Judge:
    """A running one.

    url:  where it listens
    said: all lines of its output so far
    """

    url: str
    said: list[str] = field(default_factory=list)

    def violations(self) -> list[str]:
        """What Prism found wrong in requests and answers so far.

        Known gap of the description: it has another media type for the contents of files.
        """
        lines = [line.split("Violation: ")[1].strip() for line in self.said if _is_violation(line)]
        return [line for line in lines if "application/octet-stream" not in line]


def _is_violation(line: str) -> bool:
    return "Violation: " in line and " error " in line


@contextmanager
def prism(upstream: str, *options: str) -> Iterator[Judge]:
    """Stands before the server at `upstream`; with `--errors` it answers 422 to a request and 500
    to an answer that break the description, else it lets them pass, and tells."""
    if not DESCRIPTION:
        pytest.skip("needs FTCLASSIFY_OPENAPI with a copy of OpenAI's description, and node")
    with _judge("prism", ["proxy", *options, DESCRIPTION, upstream, "-p", "0"]) as judge:
        yield judge


@contextmanager
def aimock(folder: Path, answers: dict[str, str], *options: str) -> Iterator[Judge]:
    """Somebody else's server, which answers to texts that contain a key of `answers`."""
    if not AIMOCK:
        pytest.skip("needs FTCLASSIFY_AIMOCK=1, and node")
    fixtures = [
        {"match": {"userMessage": word}, "response": {"content": content}}
        for word, content in answers.items()
    ]
    (folder / "answers.json").write_text(json.dumps({"fixtures": fixtures}))
    with _judge("llmock", ["-f", str(folder), "--strict", "-p", "0", *options]) as judge:
        yield judge


@contextmanager
def _judge(name: str, options: list[str]) -> Iterator[Judge]:
    process = subprocess.Popen(
        [*_command(name), *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    judge = Judge("")
    try:
        for line in process.stdout:
            judge.said.append(line)
            found = re.search(r"listening on (http://[\w.]+:\d+)", line)
            if found:
                judge.url = found[1]
                break
        else:
            pytest.fail(f"{name} did not start: {''.join(judge.said)}")
        # It stops when nobody reads what it says.
        threading.Thread(target=judge.said.extend, args=(process.stdout,), daemon=True).start()
        yield judge
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _command(name: str) -> list[str]:
    if shutil.which(name):
        return [name]
    if shutil.which("npx"):
        return ["npx", "-y", f"--package={PACKAGES[name]}", name]
    pytest.skip(f"needs {name} or npx on the path")
