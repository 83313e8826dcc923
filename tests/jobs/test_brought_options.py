"""A training that a database file brings along names a model in a folder of this machine, or what a
service is told: nothing of it is used unless somebody here has agreed to it, or named it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from commands import run, says
from sample_databases import town_database
from stored import list_jobs
from tiny_encoder import write_encoder
from visiting import ROOT, get, seen, serve, submit

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import TrainingError
from datasette_ftclassify.jobs.agreements import ask
from datasette_ftclassify.jobs.other_rows import new_version
from datasette_ftclassify.jobs.train_version import former_request, version_request
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.trainers.access import Access
from datasette_ftclassify.trainers.base import TrainerOptions, check_from_file
from datasette_ftclassify.trainers.encoders.files import find_encoder
from datasette_ftclassify.trainers.encoders.known import note_use
from datasette_ftclassify.trainers.encoders.vector_store import store_path
from datasette_ftclassify.trainers.registry import get_trainer

VECTORS = {"bench": [1.0, 0.0], "otter": [0.0, 1.0]}
MODELS = ["encoder", "embeddings"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "private/model", VECTORS)


def names(path: Path, option: str, value: object) -> Path:
    """The file, whose trainings were given that option."""
    with closing(connect(path)) as conn, conn:
        conn.execute(
            "update _ftclassify_jobs set settings = json_set(settings, ?, json(?))"
            " where kind = 'train'",
            [f"$.options.{option}", json.dumps(value)],
        )
    return path


@pytest.fixture
def opened(trained: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(trained)) as conn:
        yield conn


@pytest.mark.parametrize("option", MODELS)
def test_a_new_version_takes_no_folder_that_the_file_names(
    trained: Path, opened: sqlite3.Connection, folder: Path, option: str
) -> None:
    names(trained, option, str(folder))
    first = find_classifier(opened, "topics")
    assert getattr(former_request(opened, first).chosen, option) == str(folder), "as it is shown"
    for plan in (version_request, new_version):
        with pytest.raises(TrainingError, match=r"came with the file and has as .*: model") as told:
            plan(opened, first)
        assert str(folder) not in str(told.value)


def test_what_the_settings_name_may_be_named_by_a_file(
    trained: Path, opened: sqlite3.Connection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(trained, "encoder", str(folder))
    first = find_classifier(opened, "topics")
    monkeypatch.setenv("FTCLASSIFY_ENCODER", str(folder))
    _, request = version_request(opened, first)
    assert request.chosen.encoder == str(folder)


def test_and_what_was_used_here(trained: Path, opened: sqlite3.Connection, folder: Path) -> None:
    names(trained, "encoder", str(folder))
    note_use(find_encoder(str(folder)), "0" * 64, 2)
    _, request = version_request(opened, find_classifier(opened, "topics"))
    assert request.chosen.encoder == str(folder)


def test_a_training_of_this_machine_may_be_repeated_though_its_model_is_noted_nowhere(
    tmp_path: Path, folder: Path
) -> None:
    """And one that a copy of its file brings may not."""
    own = tmp_path / "own.db"
    town_database(own, 90).close()
    chosen = ("--text", "message", "--label", "topic", "--name", "topics", "--no-curve")
    run("train", own, "messages", *chosen, "--encoder", folder)
    store_path().unlink()
    copied = Path(shutil.copy(own, tmp_path / "copied.db"))
    with closing(connect(own)) as conn:
        _, request = version_request(conn, find_classifier(conn))
        assert request.chosen.encoder == str(folder)
    with closing(connect(copied)) as conn, pytest.raises(TrainingError, match="came with the file"):
        version_request(conn, find_classifier(conn))


@pytest.mark.parametrize("option", MODELS)
def test_nobody_can_agree_to_a_waiting_training_that_names_one(
    trained: Path, opened: sqlite3.Connection, folder: Path, option: str
) -> None:
    names(trained, option, str(folder))
    with opened:
        opened.execute("update _ftclassify_jobs set state = 'queued', classifier_id = null")
    for job in list_jobs(opened, "train"):
        with pytest.raises(TrainingError, match=r"came with the file and has as .*: model"):
            ask(opened, job.id, "run", Access())


@pytest.mark.parametrize("options", [{"extra": {"integrations": []}}, {"wandb": "theirs"}])
def test_what_a_service_is_told_beside_the_rows_is_said_by_people_here(
    options: dict[str, object],
) -> None:
    with pytest.raises(TrainingError, match="on the command line alone"):
        check_from_file(get_trainer("openai"), TrainerOptions.of(options))
    check_from_file(get_trainer("openai"), TrainerOptions.of({"epochs": 2, "model": "gpt-4.1"}))


async def test_the_pages_and_the_command_say_it(trained: Path, folder: Path) -> None:
    names(trained, "encoder", str(folder))
    datasette = serve(trained)
    for page in ("retrain", "other"):
        where = f"/town/-/ftclassify/classifiers/topics/{page}"
        shown = await get(datasette, where, ROOT)
        assert shown.status_code == 400
        assert "Nobody on this machine has agreed to this training" in seen(shown.text)
        assert str(folder) not in shown.text
    done = await submit(datasette, "/town/-/ftclassify/classifiers/topics/retrain", ROOT)
    assert done.status_code == 400
    assert "To use that, train again on the command line" in seen(done.text)
    told = says("retrain", trained, "topics", code=1)
    assert "Nobody on this machine has agreed to this training" in told
    with closing(connect(trained)) as conn:
        assert not [job for job in list_jobs(conn, "train") if job.state == "queued"]


def chooses(path: Path, **task: object) -> Path:
    """The file, whose classifiers and trainings chose their rows so."""
    with closing(connect(path)) as conn, conn:
        for table, column, at in (
            ("_ftclassify_tasks", "definition", "$."),
            ("_ftclassify_jobs", "settings", "$.task."),
        ):
            for name, value in task.items():
                conn.execute(
                    f"update {table} set {column} = json_set({column}, ?, json(?))",
                    [at + name, json.dumps(value)],
                )
    return path


SQL = "id in (select id from nowhere)"


@pytest.mark.parametrize("task", [{"where": SQL}, {"other": {"label": "none", "where": SQL}}])
async def test_no_page_runs_a_condition_that_came_with_the_file(
    trained: Path, task: dict[str, object]
) -> None:
    datasette = serve(chooses(trained, **task))
    own = "/town/-/ftclassify/classifiers/topics"
    for page in ("drift", "retrain", "other"):
        shown = await get(datasette, f"{own}/{page}.json", ROOT)
        assert shown.status_code == 400
        assert "nowhere" not in shown.json()["error"]
        assert "by a condition in SQL that came with the file" in shown.json()["error"]
    for page, fields in (
        ("retrain", {}),
        ("other", {"action": "preview", "column": "message", "how": "contains", "value": "the"}),
        ("minimum", {"wrong": "0.3", "groups": "column:topic"}),
    ):
        done = await submit(datasette, f"{own}/{page}", ROOT, **fields)
        assert "by a condition in SQL that came with the file" in seen(done.text), page


async def test_one_that_was_agreed_to_here_is_read_and_a_copy_is_not(tmp_path: Path) -> None:
    own = tmp_path / "town.db"
    town_database(own, 90).close()
    chosen = ("--text", "message", "--label", "topic", "--name", "topics", "--no-curve")
    run("train", own, "messages", *chosen, "--where", "length(message) > 1")
    page = "/town/-/ftclassify/classifiers/topics/retrain.json"
    said = (await get(serve(own), page, ROOT)).json()
    assert "that were held back from topics@1 judge both" in said["said"][0]
    copied = Path(shutil.copy(own, tmp_path / "copied.db"))
    refused = await get(serve(copied), page.replace("town", "copied"), ROOT)
    assert refused.status_code == 400
