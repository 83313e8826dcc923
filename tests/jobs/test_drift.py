"""Rows that came after a training are compared with those that it was tested on."""

from __future__ import annotations

import re
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import run, run_json
from sports import FOOTBALLERS, INSERT, ROWS, football, sports
from visiting import ROOT, get, serve

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import EvaluationError, SourceError
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs import drift as drift_module
from datasette_ftclassify.jobs.drift import Drift, find_drift
from datasette_ftclassify.jobs.publish import publish_copy
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.jobs.train_version import version_request
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.trainers.local.model import LocalModel


@pytest.fixture
def conn(sports_db: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(sports_db)) as conn:
        yield conn


def add(conn: sqlite3.Connection, texts: list[str]) -> None:
    with conn:
        conn.executemany(INSERT, [(text, None) for text in texts])


def found(conn: sqlite3.Connection, **given) -> Drift:
    return find_drift(conn, find_classifier(conn, "sports"), **given)


def test_rows_of_the_same_kind_are_no_change(conn):
    add(conn, sports(120, seed=2)[0])
    same = found(conn)
    assert (same.changed, same.problem) == (False, None)
    assert (same.new, same.test) == (120, 120)
    assert [test.what for test in same.tests] == ["score", "known", "answers"]
    assert same.all_read


def test_a_quarter_of_another_kind_is_a_change_and_shown(conn):
    add(conn, sports(90, seed=2)[0] + football(30))
    other = found(conn)
    assert other.changed
    assert {test.what for test in other.tests if test.changed} >= {"known"}
    assert other.words[0].name in {"offside", "striker"}
    assert other.words[0].before == 0
    assert all(row.key[0] > ROWS + 90 for row in other.rows[:8])
    assert "offside" in other.rows[0].text


def test_few_rows_say_nothing(conn):
    add(conn, football(10))
    few = found(conn)
    assert few.tests == ()
    assert "50 are needed" in str(few.problem)


SMALL = "/small/-/ftclassify/classifiers/sports/drift"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Of 120 rows, trained with the usual shares."""
    path = tmp_path / "small.db"
    with closing(connect(path, must_exist=False)) as conn:
        texts, labels = sports(120, seed=1)
        with conn:
            conn.execute("create table texts (id integer primary key, text text, sport text)")
            conn.executemany(INSERT, [*zip(texts, map(str, labels), strict=True)])
        task = define(conn, "texts", text=["text"], labels=["sport"])
        train_classifier(conn, task, TrainRequest(name="sports", curve=False))
        add(conn, sports(90, seed=2)[0])
    return path


async def test_what_is_said_of_few_test_rows_helps(small, monkeypatch):
    """A new version keeps them, and another training has as many as are needed."""
    monkeypatch.setattr(drift_module, "LEAST_ROWS", 30)
    with closing(connect(small)) as conn:
        few = found(conn)
        assert few.test < 30
        assert "A new version keeps these test rows" in str(few.problem)
        assert few.share == pytest.approx(0.3, abs=0.05)
        task, request = version_request(conn, find_classifier(conn, "sports"))
        train_classifier(conn, task, request)
        assert found(conn).test == few.test
    page = (await get(serve(small, writers=ROOT), SMALL, ROOT)).text
    address = unescape(re.findall(r'href="([^"]+)">Train it again', page)[0])
    form = (await get(serve(small, writers=ROOT), address, ROOT)).text
    assert re.search(rf'name="test"[^>]*value="{few.share}"', form)
    said = CliRunner().invoke(ftclassify, ["classifiers", "drift", str(small), "sports"])
    command = shlex.split(said.stderr.rpartition("Next: ")[2])
    run(*command[2:], "--no-curve")
    with closing(connect(small)) as conn:
        assert found(conn).problem is None


def test_too_few_rows_for_a_test_are_said(small, monkeypatch):
    monkeypatch.setattr(drift_module, "LEAST_ROWS", 80)
    with closing(connect(small)) as conn:
        few = found(conn)
        assert few.share is None
        assert "label more" in str(few.problem)


def test_copies_say_nothing(conn):
    """A mail that was sent to everybody, and texts that were there before."""
    old = [text for (text,) in conn.execute("select text from texts limit 60").fetchall()]
    add(conn, old + [FOOTBALLERS[0]] * 100)
    assert found(conn).new == 1


def test_a_condition_narrows_the_new_rows(conn):
    add(conn, football(60) + sports(60, seed=3)[0])
    last = {"where": "id > :last", "params": {"last": ROWS + 60}}
    assert found(conn, **last).new == 60
    assert not found(conn, **last).changed
    with pytest.raises(SourceError):
        found(conn, where="nope = 1")
    with pytest.raises(SourceError):
        found(conn, where="1) or (1=1")


def test_of_a_large_table_the_newest_rows_are_read(conn, monkeypatch):
    monkeypatch.setattr(drift_module, "MOST_READ", 100)
    add(conn, sports(150, seed=4)[0])
    newest = found(conn)
    assert (newest.read, newest.all_read) == (100, False)
    assert newest.new <= 100


def test_of_a_classifier_that_reads_slowly_fewer_texts_are_compared(conn, monkeypatch):
    """Reading some thousand texts with an encoder would take minutes."""
    monkeypatch.setattr(LocalModel, "texts_at_once", 1)
    monkeypatch.setattr(drift_module, "MOST_MOMENTS", 60)
    add(conn, sports(150, seed=4)[0])
    some = found(conn)
    assert (some.new, some.test) == (60, 60)


def test_a_test_row_that_was_edited_is_not_compared_with(conn):
    add(conn, sports(60, seed=5)[0])
    with conn:
        conn.execute(
            "update texts set text = 'edited ' || id where id in (select json_extract(row_key,"
            " '$[0]') from _ftclassify_split_rows where split = 'test' limit 20)"
        )
    assert found(conn).test == 100


def test_what_cannot_be_compared_is_said(conn, sports_db, tmp_path):
    copy = tmp_path / "copy.db"
    publish_copy(sports_db, copy)
    with closing(connect(copy)) as published, pytest.raises(EvaluationError, match="copy"):
        found(published)
    with conn:
        conn.execute("alter table texts rename column text to body")
    with pytest.raises(SourceError, match="no column text"):
        found(conn)


def test_the_command_and_the_page_say_the_same(conn, sports_db):
    add(conn, sports(90, seed=2)[0] + football(30))
    command = ["classifiers", "drift", str(sports_db), "sports"]
    said = run(*command)
    assert "The new rows are not like those of the test" in said.output
    assert "offside (0% to" in said.output
    data = run_json(*command)
    assert data["changed"] is True
    bad = run(*command, "--where", "nope = 1", code=1)
    assert "no such column" in bad.output


async def test_the_page_has_links_to_the_rows_and_is_for_who_may_train(conn, sports_db):
    add(conn, sports(90, seed=2)[0] + football(30))
    address = "/sports/-/ftclassify/classifiers/sports"
    ds = serve(sports_db, writers=ROOT)
    data = (await get(ds, f"{address}/drift.json", ROOT)).json()
    assert data["changed"] is True
    assert data["rows"][0]["url"] == f"/sports/texts/{data['rows'][0]['key'][0]}"
    page = (await get(ds, f"{address}/drift", ROOT)).text
    assert "The new rows are not like those of the test" in page
    assert data["rows"][0]["url"] in page
    assert "Look for drift" in (await get(ds, address, ROOT)).text
    assert (await get(ds, f"{address}/drift")).status_code == 403
    assert "Look for drift" not in (await get(ds, address)).text
