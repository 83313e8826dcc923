"""A label column of keys: people and services are told names, cells and answers stay keys."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from commands import run
from datasette.app import Datasette
from lookup_tables import WORDS, desk
from sample_databases import answer, rows, value
from visiting import ROOT, get, serve

from datasette_ftclassify.checks import Finding, run_checks
from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.foreign_keys import Lookup, find_lookup
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.core.typed_json import as_json
from datasette_ftclassify.export import ExportFormat
from datasette_ftclassify.jobs.check import run_check, submit_check
from datasette_ftclassify.jobs.evaluate import evaluate_classifier
from datasette_ftclassify.jobs.lease import leased
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.review.rows import offered_labels
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.jobs.train_rows import read_split
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.classifiers import find_classifier

CARD = "/desk/-/ftclassify/classifiers/topics"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("desk") / "desk.db"
    with closing(desk(found)) as conn:
        task = define(conn, "mails", text=["message"], labels=["topic"])
        train_classifier(conn, task, TrainRequest(name="topics", curve=False))
        topics = find_classifier(conn, "topics")
        predict_rows(conn, topics, "mails", PredictRequest())
    return found


def test_figures_have_names_and_answers_are_keys(path: Path):
    with closing(connect(path)) as conn:
        register(conn)
        metrics = evaluate_classifier(conn, find_classifier(conn, "topics"), store=False)
        assert set(metrics["labels"]) == set(WORDS)
        assert metrics["confusion"]["labels"] == list(WORDS)
        assert metrics["majority_label"] in WORDS
        # What stands in the table is what is answered.
        same = "select avg(topic is ft_classify(message)) from mails where topic is not null"
        assert value(conn, same) > 0.95
        told = answer(conn, "select ft_classify_json('the parcel and the van')")
        assert (told["label"], told["name"]) == (1, "parcel")
        assert set(told["logprobs"]) == set(WORDS)
        written = rows(conn, "select distinct typeof(topics_label) from mails")
        assert written == [("integer",)]
        joined = "select name from topics where id = ft_classify('the parcel and the van')"
        assert value(conn, joined) == "parcel"


def test_a_service_is_told_names_and_what_it_says_is_read_as_a_key(path: Path):
    with closing(connect(path)) as conn:
        task = find_classifier(conn, "topics").task
        codec = ExportFormat(form="chat").bind(read_split(conn, task, SplitPlan()).labels)
        assert all(name in codec.system for name in WORDS)
        assert codec.answer_for([1]) == "parcel"
        assert codec.decode_answer("parcel") == (1,)
        decided = read_split(conn, task, SplitPlan(), descriptions={"parcel": "anything sent"})
        assert decided.labels.names == tuple(WORDS)
        assert decided.labels.values == (1, 2, 3)


def test_the_check_counts_by_name(path: Path):
    with closing(connect(path)) as conn:
        task = find_classifier(conn, "topics").task
        report = as_json(run_checks(conn, task, leaves_machine=False))
        assert report["distributions"]["keys"] == {"parcel": "1", "bill": "2", "login": "3"}
        for counts in report["distributions"]["labels"].values():
            assert set(counts) == set(WORDS)
        assert all(set(row["labels"]) <= set(WORDS) for row in report["sample"])


def test_names_of_keys_are_no_lists_and_no_other_notation(tmp_path: Path):
    with closing(desk(tmp_path / "desk.db")) as conn:
        for key, name in ((1, "bill, login"), (2, "bill, parcel"), (3, "['bill'")):
            conn.execute("update topics set name = ? where id = ?", [name, key])
        task = define(conn, "mails", text=["message"], labels=["topic"])
        assert run_checks(conn, task, deep=False).finding("label-notation") is None
        said = train_classifier(conn, task, TrainRequest(name="c", curve=False)).classifier.report
        assert "notation" not in " ".join(said["labels_said"])
        with conn:
            conn.execute("update topics set name = 'n/a' where id = 1")
        found = run_checks(conn, task, deep=False).finding("placeholder-labels")
        assert found is not None
        where = f"select distinct topic from mails where {found.where}"
        assert conn.execute(where).fetchall() == [(1,)]
        said = train_classifier(conn, task, TrainRequest(name="d", curve=False)).classifier.report
        assert "n/a" in " ".join(said["labels_said"])


def test_keys_in_a_view_are_a_finding(path: Path, tmp_path: Path):
    copy = tmp_path / "desk.db"
    copy.write_bytes(path.read_bytes())
    with closing(connect(copy)) as conn:
        conn.execute("create view inbox as select id, message, topic from mails")
        conn.execute(
            "create view named as select message, name as topic from mails m"
            " join topics t on t.id = m.topic"
        )
        conn.execute("create view other as select message, topic + 100 as topic from mails")

        def said(table: str) -> Finding | None:
            task = define(conn, table, text=["message"], labels=["topic"])
            report = run_checks(conn, task, deep=False, leaves_machine=False)
            return report.finding("keys-in-view")

        found = said("inbox")
        assert found is not None
        assert (found.severity, found.details) == ("info", {"table": "mails"})
        assert re.search(r"go by the key here: \d, \d, \d\.", found.message)
        assert [said("named"), said("other"), said("mails")] == [None, None, None]


async def test_pages_show_names_and_the_predictions_lead_to_them(path: Path):
    ds = Datasette([str(path)])
    page = (await ds.client.get(CARD)).text
    for name in WORDS:
        assert f">{name}<" in page
    assert "named as in" in page
    wrong = (await ds.client.get(f"{CARD}/rows.json", params={"truth": "parcel"})).json()
    assert wrong["total"] > 0
    assert {tuple(row["truth"]) for row in wrong["rows"]} == {("parcel",)}
    tried = (await ds.client.get(f"{CARD}/try", params={"text": "the parcel and the van"})).text
    assert re.search(r'ft-answer"><strong dir="auto">parcel<', tried)
    # Datasette itself names keys in columns that refer to a table.
    table = (await ds.client.get("/desk/mails?_facet=topics_label")).text
    assert re.search(r'col-topics_label[^>]*"?>\s*<a href="/desk/topics/1">parcel</a>', table)
    facets = table[table.index("facet-results") :]
    assert ">parcel</a>" in facets
    listed = (await ds.client.get("/desk/-/ftclassify")).text
    assert "3: parcel, bill, login" in listed


async def test_the_bars_of_a_check_lead_to_the_rows_with_the_key(path: Path, tmp_path: Path):
    copy = tmp_path / "desk.db"
    copy.write_bytes(path.read_bytes())
    with closing(connect(copy)) as conn:
        job = submit_check(conn, find_classifier(conn, "topics").task, SplitPlan())
        with leased(conn, job.id) as lease:
            lease.result = run_check(lease)
    ds = serve(copy)
    page = (await get(ds, f"/desk/-/ftclassify/train?table=mails&check={job.id}", ROOT)).text
    assert "topic__exact=1" in page
    assert "topic__exact=parcel" not in page


async def test_names_of_a_table_that_a_visitor_may_not_see_are_not_told(path: Path):
    hidden = {"databases": {"desk": {"tables": {"topics": {"allow": {"id": "root"}}}}}}
    for argument in ("metadata", "config"):
        try:
            ds = Datasette([str(path)], **{argument: hidden})
        except TypeError:
            continue
        if (await ds.client.get("/desk/topics.json")).status_code == 403:
            break
    assert (await ds.client.get("/desk/topics.json")).status_code == 403
    assert (await ds.client.get(CARD)).status_code == 404
    listed = (await ds.client.get("/desk/-/ftclassify.json")).json()
    assert listed["classifiers"] == []
    assert "parcel" not in json.dumps(listed)


def test_in_a_database_without_these_tables_keys_are_written(path: Path, tmp_path: Path):
    other = tmp_path / "other.db"
    with closing(connect(other, must_exist=False)) as conn, conn:
        conn.execute("create table notes (message text)")
        conn.execute("insert into notes values ('the parcel and the van')")
    run("copy", path, "topics", other)
    run("predict", other, "notes", "--classifier", "topics")
    with closing(connect(other)) as conn:
        assert value(conn, "select topics_label from notes") == 1


async def test_a_published_copy_without_the_table_keeps_the_names(path: Path, tmp_path: Path):
    copy = tmp_path / "desk.db"
    copy.write_bytes(path.read_bytes())
    with closing(connect(copy)) as conn, conn:
        conn.execute("drop table topics")
    page = await Datasette([], immutables=[str(copy)]).client.get(CARD)
    assert page.status_code == 200
    assert ">parcel<" in page.text


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("delete from topics where id = 2", ["parcel", "2", "login"]),
        ("update topics set name = null where id = 2", ["parcel", "2", "login"]),
        ("update topics set name = ' ' where id = 2", ["parcel", "2", "login"]),
        ("update topics set name = 'parcel' where id = 2", ["parcel (1)", "parcel (2)", "login"]),
        ("update topics set name = '1' where id = 2; delete from topics where id = 1",
         ["1 (1)", "1 (2)", "login"]),
        ("update topics set name = x'ff00' where id = 2", None),
        ("drop table topics", ["1", "2", "3"]),
    ],
)  # fmt: skip
def test_names_that_are_missing_or_shared(sql: str, names: list[str] | None):
    with closing(desk(":memory:")) as conn:
        conn.executescript(sql)
        task = define(conn, "mails", text=["message"], labels=["topic"])
        labels = read_split(conn, task, SplitPlan()).labels
        assert labels.values == (1, 2, 3)
        assert len(set(labels.names)) == 3
        assert names is None or list(labels.names) == names
        assert LabelSet.from_dict(json.loads(json.dumps(labels.to_dict()))) == labels


def test_keys_may_be_texts_and_not_of_several_columns():
    with closing(desk(":memory:", key="text primary key")) as conn:
        task = define(conn, "mails", text=["message"], labels=["topic"])
        labels = read_split(conn, task, SplitPlan()).labels
        assert (labels.values, labels.names) == (("x", "y", "z"), tuple(WORDS))
    with closing(connect(":memory:", must_exist=False)) as conn:
        conn.executescript(
            "create table t (a, b, name, primary key (a, b));"
            "create table m (message, a, b, foreign key (a, b) references t (a, b));"
            "insert into t values (1, 1, 'one'); insert into m values ('x', 1, 1), ('y', 2, 1)"
        )
        task = define(conn, "m", text=["message"], labels=["a"])
        assert find_lookup(conn, task) is None


@pytest.mark.parametrize(
    ("key", "column", "cells"),
    [
        ("integer primary key", "text", ("1", "2")),
        ("integer primary key", "varchar(9)", ("1", "2")),
        ("text primary key collate nocase", "text", ("X", "y")),
    ],
)
def test_keys_that_the_column_writes_otherwise_are_offered_once(
    key: str, column: str, cells: tuple[str, str]
):
    with closing(connect(":memory:", must_exist=False)) as conn:
        conn.execute(f"create table topics (id {key}, name text)")
        own: list[Any] = [1, 2, 3] if "integer" in key else ["X", "Y", "Z"]
        conn.executemany("insert into topics values (?, ?)", zip(own, WORDS, strict=True))
        conn.execute(
            f"create table m (id integer primary key, message, topic {column} references topics)"
        )
        conn.executemany("insert into m (message, topic) values ('a', ?)", zip(cells))
        task = define(conn, "m", text=["message"], labels=["topic"])
        labels = offered_labels(conn, task, task.label_set(cells))
        assert labels.values[:2] == cells
        assert labels.names == tuple(WORDS)
        conn.execute("update m set topic = ? where id = 1", [labels.values[2]])
        held = conn.execute("select topic from m where id = 1").fetchone()
        assert held == (labels.values[2],)


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ("id integer primary key, title, name", "title"),
        ("pk integer primary key, word", "word"),
        ("id integer primary key, word, more", None),
        ("id integer primary key", None),
    ],
)
def test_the_name_is_in_the_column_that_datasette_takes(columns: str, name: str | None):
    with closing(connect(":memory:", must_exist=False)) as conn:
        conn.execute(f"create table topics ({columns})")
        key = columns.split()[0]
        conn.execute(f"create table mails (message, topic references topics({key}))")
        task = define(conn, "mails", text=["message"], labels=["topic"])
        found = find_lookup(conn, task)
        assert found == (None if name is None else Lookup("topics", key, name))


def test_a_deleted_label_does_not_hold_the_predictions_fast(path: Path, tmp_path: Path):
    copy = tmp_path / "desk.db"
    copy.write_bytes(path.read_bytes())
    with closing(connect(copy)) as conn:
        conn.execute("pragma foreign_keys = on")
        with conn:
            conn.execute("update mails set topic = null where topic = 1")
            conn.execute("delete from topics where id = 1")
        assert value(conn, "select count(*) from mails where topics_label = 1") == 0
        assert value(conn, "select count(*) from mails where topics_label = 2") > 0
        with conn:  # and a column of ours can be dropped like any other
            conn.execute("alter table mails drop column topics_label")


def test_the_command_line_says_names(path: Path):
    said = run("classifiers", "show", path, "topics").output
    assert "parcel, bill, login" in said
    told = run("classifiers", "list", path, "--json").output
    assert '"label_names"' in told
    asked = CliRunner().invoke(ftclassify, ["ask", str(path), "topics", "the parcel and the van"])
    assert asked.output.startswith("parcel  (score "), asked.output
