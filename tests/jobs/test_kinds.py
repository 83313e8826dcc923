"""A kind of job is declared in one place; what settings say is checked when they are read."""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from commands import run
from running_jobs import agreed_job
from visiting import get, serve

from datasette_ftclassify.core.errors import JobError
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.core.typed_json import as_json
from datasette_ftclassify.jobs.check import submit_check
from datasette_ftclassify.jobs.columns import Columns
from datasette_ftclassify.jobs.evaluate import submit_evaluate
from datasette_ftclassify.jobs.kinds import KINDS, JobKind
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import submit_predict
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.settings import PredictSettings, TrainSettings, settings_of
from datasette_ftclassify.jobs.train import submit_train
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.job import Job
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.trainers.base import TrainerOptions

TASK = {"text": ["message"], "labels": ["topic"]}


@dataclass(frozen=True)
class CountSettings:
    table: str


def count(lease: Any, access: Any, rows: Any) -> dict[str, Any]:
    table = settings_of(lease.job, CountSettings).table
    return {"rows": lease.conn.execute(f"select count(*) from [{table}]").fetchone()[0]}


async def test_a_kind_that_is_declared_runs_and_is_shown(
    town: Path, conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = JobKind(
        "count",
        CountSettings,
        count,
        title="Count of {table}",
        line="{table}",
        leads_to="See what was counted in {table}",
    )
    monkeypatch.setitem(KINDS, kind.name, kind)
    classifier = find_classifier(conn, "topics")
    settings = asdict(CountSettings("messages"))
    job = agreed_job(conn, "count", settings, classifier_id=classifier.id)
    done = run_job(conn, job.id)
    assert done.result == {"rows": conn.execute("select count(*) from messages").fetchone()[0]}
    listed = run("jobs", "list", town).output
    assert re.search(r"count +finished .* messages", listed)
    ann = {"id": "ann"}
    page = await get(serve(town, grants={"ftclassify-train": ann}), f"{JOBS}/{job.id}", "ann")
    assert f"Job {job.id}: Count of messages" in page.text
    assert "See what was counted in messages" in page.text


JOBS = "/town/-/ftclassify/jobs"


def submit(conn: sqlite3.Connection, kind: str) -> Job:
    topics, task = find_classifier(conn, "topics"), define(conn, "messages", **TASK)  # type: ignore[arg-type]
    if kind == "train":
        options = TrainerOptions(seed=3, embeddings="a/b")
        return submit_train(conn, task, TrainRequest(name="again", options=options))
    if kind == "predict":
        request = PredictRequest(columns=Columns.named("guess"), where="id < :n", params={"n": 9},
                                 threshold=0.5)  # fmt: skip
        return submit_predict(conn, topics, "messages", request)
    if kind == "check":
        return submit_check(conn, task, SplitPlan(test=0.2), fields={"label": "topic"})
    return submit_evaluate(conn, topics.id)


def changed(settings: dict[str, Any], keys: tuple[str, ...], value: object) -> dict[str, Any]:
    """The same with another value at those keys; without it for an Ellipsis."""
    name, *rest = keys
    if rest:
        return {**settings, name: changed(settings[name], tuple(rest), value)}
    others = {k: v for k, v in settings.items() if k != name}
    return others if value is ... else {**others, name: value}


WRONG: list[tuple[str, tuple[str, ...], object]] = [
    ("train", ("task",), ...),
    ("train", ("plan", "test"), "much"),
    ("train", ("options", "epochs"), [3]),
    ("train", ("options", "tomorrow"), 1),
    ("train", ("tomorrow",), None),
    ("train", ("curve",), "yes"),
    ("predict", ("uid",), ...),
    ("predict", ("columns",), "label"),
    ("predict", ("columns", "score"), 1),
    ("predict", ("where",), {"a": 1}),
    ("predict", ("params",), []),
    ("predict", ("unlabelled",), 1),
    ("predict", ("tomorrow",), 1),
    ("check", ("plan",), None),
    ("check", ("task", "text"), 7),
    ("check", ("leaves_machine",), "no"),
]


@pytest.mark.parametrize("kind", ["train", "predict", "check", "evaluate"])
def test_settings_are_read_as_they_were_written(conn: sqlite3.Connection, kind: str) -> None:
    job = submit(conn, kind)
    settings: Any = settings_of(get_job(conn, job.id), KINDS[kind].settings)
    written = settings.request.settings(settings.task) if kind == "train" else as_json(settings)
    assert json.loads(json.dumps(written)) == get_job(conn, job.id).settings


@pytest.mark.parametrize(("kind", "keys", "value"), WRONG)
def test_settings_of_somebody_else_are_refused_in_one_sentence(
    conn: sqlite3.Connection, kind: str, keys: tuple[str, ...], value: object
) -> None:
    written = get_job(conn, submit(conn, kind).id).settings
    job = agreed_job(conn, kind, {**changed(written, keys, value)})
    with pytest.raises(JobError) as caught:
        run_job(conn, job.id)
    said = f"The settings of job {job.id} were not written by this software"
    assert str(caught.value).startswith(said)
    assert str(get_job(conn, job.id).error).startswith(said)


def test_jobs_of_earlier_versions_are_read(conn: sqlite3.Connection) -> None:
    train, predict = (get_job(conn, submit(conn, k).id) for k in ("train", "predict"))
    for later in ("on_error", "threshold"):
        predict.settings.pop(later, None)
    assert settings_of(predict, PredictSettings).threshold is None
    for later in ("wandb", "extra", "descriptions"):
        train.settings["options"].pop(later)
    assert settings_of(train, TrainSettings).request.chosen.descriptions == {}


def test_what_an_earlier_version_began_is_not_begun_again(conn: sqlite3.Connection) -> None:
    """A job is known by its words, so an option that is new must not be among them unsaid."""
    task = define(conn, "messages", **TASK)  # type: ignore[arg-type]
    words = TrainRequest(name="again", options=TrainerOptions(seed=3)).settings(task)
    first = "seed embeddings model epochs batch_size learning_rate suffix wandb format descriptions"
    assert list(words["options"]) == [*first.split(), "extra"]
    own = TrainerOptions(own={"smoothing": 1})
    assert own.to_dict()["own"] == {"smoothing": 1}
