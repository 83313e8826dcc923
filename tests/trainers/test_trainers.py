"""Trainers from other packages: installed, listed, trained with, loaded, missed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest
from commands import run
from datasette.app import Datasette
from datasette.plugins import pm
from example_packages import install
from sample_databases import answer, town_database

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import TrainingError
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.trainers.registry import get_trainer, list_trainers

OPTIONAL = {"llm"} if find_spec("llm") else set()
"""Trainers that are there where a package is."""


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example package in it, as pip installs it."""
    return install("example_trainer", tmp_path_factory.mktemp("packages"))


def run_with(installed: Path, *arguments: object) -> dict:
    """A command in a process that finds the example package; its JSON."""
    result = subprocess.run(
        [sys.executable, "-m", "datasette", "ftclassify", *map(str, arguments), "--json"],
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(result.stdout)


def test_an_installed_trainer_is_listed_with_what_it_declares(installed: Path):
    found = {t["name"]: t for t in run_with(installed, "trainers")["trainers"]}
    assert set(found) == {
        "azure", "azure-embeddings", "decisions", "encoder", "local", "majority", "names", "openai",
        "openai-embeddings", "prompted", *OPTIONAL,
    }  # fmt: skip
    assert found["majority"]["costs_money"] is False
    assert found["local"]["scores_every_label"] is True


def test_it_trains_evaluates_predicts_and_is_missed_where_it_is_not(installed, tmp_path):
    path = tmp_path / "town.db"
    town_database(path).close()
    task = ["--text", "message", "--label", "topic", "--name", "dull", "--no-curve"]
    trained = run_with(installed, "train", path, "messages", *task, "--trainer", "majority")
    assert trained["trainer"] == "majority"
    metrics = trained["metrics"]
    assert metrics["accuracy"] == metrics["majority_accuracy"]
    assert run_with(installed, "predict", path, "messages")["predicted"] == 557
    # In this process the package is not installed: a clear answer instead of a crash.
    with closing(connect(path)) as conn:
        register(conn)
        told = answer(conn, "select ft_classify_json('a text')")
    assert "no trainer called majority" in told["error"]


def test_the_local_trainer_is_always_there():
    names = [trainer.name for trainer in list_trainers()]
    assert names == sorted({
        "azure", "azure-embeddings", "decisions", "encoder", "local", "names", "openai",
        "openai-embeddings", "prompted", *OPTIONAL,
    })  # fmt: skip
    assert [name for name in names if not get_trainer(name).capabilities.leaves_machine] == [
        "encoder", "local", "names",
    ]  # fmt: skip
    with pytest.raises(TrainingError, match=f"there is {', '.join(names)}"):
        get_trainer("magic")
    listed = run("trainers").stdout
    assert listed.count("nothing leaves this machine") == 3
    assert listed.count("once you have deployed the model there") == 1  # Azure's


async def test_a_plugin_that_datasette_alone_knows_is_told_that_its_trainers_are_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    plugin = "from datasette_ftclassify.hookspecs import hookimpl\n\n\n"
    plugin += "@hookimpl\ndef register_trainers():\n    raise AssertionError\n"
    (tmp_path / "mine.py").write_text(plugin)
    datasette = Datasette(plugins_dir=str(tmp_path))
    try:
        await datasette.invoke_startup()
    finally:
        for found in [p for p in pm.get_plugins() if getattr(p, "__name__", "") == "mine.py"]:
            pm.unregister(found)
    (told,) = [r.getMessage() for r in caplog.records if "trainers of the plugin" in r.getMessage()]
    assert "mine.py are not used: install it as a package with an entry point" in told
