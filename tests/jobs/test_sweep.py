"""Sweeps: chosen without the test rows, one price for all, and nothing but ordinary jobs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import run
from sample_databases import town_database, value

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import SourceError, TrainingError
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import Task, define
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.sweep import (
    Sweep,
    Variant,
    cancel_sweep,
    price_sweep,
    submit_sweep,
    sweep_jobs,
)
from datasette_ftclassify.jobs.sweep_result import sweep_result
from datasette_ftclassify.store.classifiers import list_classifiers
from datasette_ftclassify.trainers.access import Access

ROWS = 90


@pytest.fixture(scope="module")
def swept_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A file in which a sweep of two seeds was run, and its id."""
    path = tmp_path_factory.mktemp("swept") / "town.db"
    with closing(town_database(path, ROWS)) as conn:
        sweep = Sweep.of(a_task(conn), SplitPlan(), [], name="topics", seeds=2)
        for job in submit_sweep(conn, sweep, price_sweep(conn, sweep, Access()), access=Access()):
            run_job(conn, job.id, access=Access())
    return path, sweep.id


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(town_database(tmp_path / "town.db", ROWS)) as conn:
        yield conn


def a_task(conn: sqlite3.Connection) -> Task:
    return define(conn, "messages", text=["message"], labels=["topic"])


def start(conn: sqlite3.Connection, **more):
    sweep = Sweep.of(a_task(conn), SplitPlan(), [], name="topics", **more)
    return sweep, submit_sweep(conn, sweep, price_sweep(conn, sweep, Access()), access=Access())


def test_the_chosen_one_is_chosen_without_the_test_rows(swept_file):
    path, sweep_id = swept_file
    with closing(connect(path)) as conn:
        result = sweep_result(conn, sweep_id)
        (tried,) = result.tried
        assert [one.seed for one in tried.trained] == [0, 1]
        assert all(0 < figure <= 1 for figure in tried.figures)
        assert result.chosen is not None
        assert result.chosen.title == tried.best.classifier.title
        assert "out of fold" in result.why
        assert 0 < result.baseline < tried.mean
        tested = "select count(*) from _ftclassify_evaluations where split = 'test'"
        assert value(conn, tested) == 0
        assert {one.split_id for one in list_classifiers(conn)} == {result.chosen.split_id}


def test_the_figures_are_those_of_the_rows_out_of_fold(swept_file):
    path, sweep_id = swept_file
    with closing(connect(path)) as conn:
        for one in sweep_result(conn, sweep_id).tried[0].trained:
            stored = value(
                conn,
                "select avg(truth = chosen) from _ftclassify_evaluation_rows where evaluation_id ="
                " (select id from _ftclassify_evaluations where classifier_id = ?)",
                [one.classifier.id],
            )
            assert one.figure == pytest.approx(stored)


def test_the_same_words_are_the_same_jobs(conn):
    sweep, jobs = start(conn, seeds=2)
    run_job(conn, jobs[0].id, access=Access())
    again, left = start(conn, seeds=2)
    assert again.id == sweep.id
    assert [job.id for job in left] == [jobs[1].id]
    other, more = start(conn, seeds=3)
    assert other.id != sweep.id
    assert len(more) == 3


def test_a_cancelled_sweep_has_no_open_job(conn):
    sweep, jobs = start(conn, seeds=3)
    assert "3 trainings to go" in sweep_result(conn, sweep.id).why
    assert cancel_sweep(conn, sweep.id, Access()) == 3
    assert {job.state for job in sweep_jobs(conn, sweep.id)} == {"cancelled"}
    assert sweep_result(conn, sweep.id).chosen is None
    _, anew = start(conn, seeds=3)
    assert {job.id for job in anew}.isdisjoint(job.id for job in jobs)


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ("local epochs=3", "no option of the trainer local"),
        ("nobody", "nobody"),
        ("local embeddings", "OPTION=VALUE"),
        ("local 'embeddings=x", "TRAINER OPTION=VALUE"),
        ("openai epochs=many", "epochs cannot be many"),
        ("openai epochs=999", "epochs"),
    ],
)
def test_a_variant_that_makes_no_sense(variant, said):
    with pytest.raises(TrainingError, match=said):
        Variant.parse(variant)


def test_a_variant_is_written_as_it_is_read():
    text = "openai model='gpt x' epochs=3"
    assert Variant.parse(Variant.parse(text).title) == Variant.parse(text)


def test_the_local_trainer_is_always_among_them(conn):
    sweep = Sweep.of(a_task(conn), SplitPlan(), ["openai model=m"], name="topics")
    assert [variant.trainer for variant in sweep.variants] == ["local", "openai"]
    with pytest.raises(TrainingError, match="nothing to compare"):
        Sweep.of(a_task(conn), SplitPlan(), ["local"])
    with pytest.raises(TrainingError, match="1 to 50 trainings"):
        Sweep.of(a_task(conn), SplitPlan(), ["openai model=m"], seeds=26)
    with pytest.raises(TrainingError, match="validation rows"):
        Sweep.of(a_task(conn), SplitPlan(validation=0), ["openai model=m"])
    with pytest.raises(SourceError, match="no sweep"):
        sweep_result(conn, "none")


def test_the_command_says_why_and_gives_all_as_json(tmp_path, conn):
    path = str(tmp_path / "town.db")
    words = ["sweep", path, "messages", "--text", "message", "--label", "topic", "--name", "topics",
             "--seeds", "2"]  # fmt: skip
    told = run(*words)
    assert "is chosen" in told.output
    assert "Most frequent label" in told.output
    again = CliRunner().invoke(ftclassify, [*words, "--json"])
    said = json.loads(again.stdout)
    assert [one["trainer"] for one in said["variants"]].count("local") == 1
    assert len(said["variants"][0]["trainings"]) == 2
    assert said["chosen"]
    assert said["metrics"]["accuracy"] > 0
    assert len(list(sweep_jobs(conn, said["sweep"]))) == 2
