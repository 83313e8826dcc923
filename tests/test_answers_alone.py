"""Where only what answers is installed, readers miss nothing, and everything else says what to
install."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from folders import ROOT, SUPPORT
from published_town import CANARY, publish_town

from datasette_ftclassify.web.permissions import WORK

INSTALL = "install datasette-ftclassify."

NOT_FOR_ANSWERS = (
    "sqlite_utils_plugin", "trainers.local.", "trainers.openai_protocol.", "trainers.decisions.",
    "trainers.embeddings.", "trainers.finetuning.",
    "trainers.llm_models.", "web.plugins.", "web.column_types",
)  # fmt: skip
"""Where modules may import what answering does not need: those of training, services and hosts that
are optional, and of Datasette 1.0, which no other module imports at its top. Those of them that
answering needs are seen by the answers below."""


@pytest.fixture(scope="module")
def seen(trained_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("alone")
    copy = publish_town(trained_file, folder)
    original = folder / "private.db"
    script = SUPPORT / "without_packages.py"
    done = subprocess.run(
        [sys.executable, str(script), copy.path, str(original)],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout) | {"log": done.stderr}


def test_only_training_and_services_import_what_answering_does_not_need(seen: Any):
    others = [
        f"{module} needs {what}"
        for module, what in seen["missing"].items()
        if not module.startswith(NOT_FOR_ANSWERS)
    ]
    assert others == []
    assert seen["missing"]["trainers.local.recipes"] == "scipy", "the test sees less than it should"


@pytest.mark.parametrize("who", ["reader", "root"])
def test_every_page_that_a_link_leads_to_is_shown(seen: Any, who: str):
    pages = seen[who]
    assert [(path, status) for path, status, _ in pages if status != 200] == []
    for path, _, body in pages:
        assert "No module named" not in body, path
    ours = {path for path, _, _ in pages if "/-/ftclassify" in path}
    for part in ("topics~401", "/card", "/try", "/rows"):
        assert any(part in path for path in ours), f"{part}: {sorted(ours)}"
    started = [path for path in ours if "/train" in path or "/classify?" in path]
    assert started == []
    assert "Traceback" not in seen["log"]


def test_classifiers_answer_those_at_a_service_what_is_stored(seen: Any):
    topics, urgent, subjects, paid = seen["answers"]
    assert topics["label"] == "Bins and recycling"
    assert urgent["label"] in (0, 1)
    assert isinstance(subjects["labels"], list)
    assert paid["label"] == "a"


def test_readers_see_no_jobs_and_none_of_what_stays_behind(seen: Any):
    for path, _, body in seen["reader"]:
        assert CANARY not in body, path
        if "/-/ftclassify" in path or "/town/" in path:
            assert "/jobs" not in body, path
            assert "and jobs" not in body, path
    assert any("/jobs" in body for _, _, body in seen["root"])


def test_what_is_not_here_says_what_to_install(seen: Any):
    for path, (action, status, body) in seen["asked"].items():
        if action in WORK:
            assert (status, INSTALL in body) == (501, True), (path, status, body)
        else:
            assert status < 500, (path, status, body)


def test_no_command_ends_in_an_error_of_python(seen: Any):
    raised = {name: found for name, found in seen["commands"].items() if found[2]}
    assert raised == {}
    told = {name for name, (code, said, _) in seen["commands"].items() if INSTALL in said}
    assert told >= {"check", "train", "predict", "evaluate", "review", "export", "demo", "work"}
    for name in (
        "ask",
        "classifiers show",
        "classifiers card",
        "publish-copy",
        "copy",
        "jobs list",
    ):
        code, said, _ = seen["commands"][name]
        assert code == 0, (name, said)
