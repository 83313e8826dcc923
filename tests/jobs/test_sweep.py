"""Sweeps: chosen without the test rows, one price and one limit for all, and nothing but ordinary
jobs."""

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
from service_training import MODEL, access_to, quick_to_ask, topics, town

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import LimitReached, SourceError, TrainingError
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
from datasette_ftclassify.store.spending import spent_by_job
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
        ("local epochs=3", "not an option of the trainer local"),
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


@pytest.fixture
def asked(tmp_path: Path):
    with closing(town(tmp_path / "town.db")) as asked:
        with asked:
            asked.execute("delete from messages where id > 200")
        yield asked


def test_one_price_and_one_limit_for_all_and_no_test_row_is_sent(
    asked, openai_server, vocabularies
):
    access = access_to(openai_server)
    variants = [f"openai model={MODEL} epochs={n}" for n in (1, 2)]
    sweep = Sweep.of(topics(asked), SplitPlan(), variants, name="t", access=access)
    price = price_sweep(asked, sweep, access)
    assert openai_server.log == []
    once, twice = (found.estimate for found in price.paid)
    assert price.usd == once.usd + twice.usd
    with pytest.raises(LimitReached, match="for all trainings together"):
        submit_sweep(asked, sweep, price, limit_usd=price.most_usd * 0.9, access=access)
    limit = price.most_usd * 1.5
    jobs = submit_sweep(asked, sweep, price, limit_usd=limit, access=access)
    limits = [job.terms.limit_usd for job in jobs]
    assert sum(each for each in limits if each is not None) == pytest.approx(limit)
    with quick_to_ask():
        for job in jobs:
            run_job(asked, job.id, access=access)
    spent = sum(spent_by_job(asked, job.id).usd for job in jobs)
    assert 0 < spent <= limit
    assert spent == pytest.approx(price.usd, rel=0.1)
    everything = sent(openai_server)
    assert sum(text in everything for text in texts_of(asked, "validation")) > 5
    assert not [text for text in texts_of(asked, "test") if text in everything]
    result = sweep_result(asked, sweep.id)
    assert result.split == "held out for validation"
    rows = {one.rows for tried in result.tried for one in tried.trained}
    assert rows == {once.requests}  # all by the same rows
    assert result.chosen is not None
    again = price_sweep(asked, sweep, access)
    assert again.usd == 0
    assert submit_sweep(asked, sweep, again, access=access) == []


def texts_of(asked, split: str) -> list[str]:
    """Those that JSON writes as they are."""
    sql = (
        "select message from messages where '[' || id || ']' in"
        " (select row_key from _ftclassify_split_rows where split = ?)"
    )
    texts = (text for (text,) in asked.execute(sql, [split]))
    return [text for text in texts if text.isascii() and not set(text) & set('"\\\n\t')]


def sent(server) -> str:
    return "\n".join(request.body.decode("utf-8", "replace") for request in server.log)


def test_a_cancelled_training_is_not_what_the_same_sweep_goes_on_with(asked, openai_server):
    access = access_to(openai_server)
    sweep = Sweep.of(topics(asked), SplitPlan(), [f"openai model={MODEL}"], access=access)
    price = price_sweep(asked, sweep, access)
    submit_sweep(asked, sweep, price, access=access)
    assert price_sweep(asked, sweep, access).usd == 0
    with asked:
        asked.execute("update _ftclassify_jobs set wanted = 'cancel'")
    assert price_sweep(asked, sweep, access).usd == price.usd
    assert value(asked, "select count(*) from _ftclassify_jobs") == 2
