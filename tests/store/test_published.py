"""A published copy holds what was chosen, just as it was, and not a byte of anything else."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import peak
from programs import Program
from sample_databases import rows, value
from stored import add
from visiting import ROOT, get, serve

from datasette_ftclassify.core.database import connect, quote, relation
from datasette_ftclassify.core.errors import (
    ArtifactError,
    ClassifierNotFound,
    SourceError,
    TrainingError,
)
from datasette_ftclassify.core.humanize import key_list
from datasette_ftclassify.core.task import Other, Task, define
from datasette_ftclassify.jobs.evaluate import evaluate_classifier
from datasette_ftclassify.jobs.load_classifier import load_inference_client
from datasette_ftclassify.jobs.publish import PublishedCopy, pack, publish_copy
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.present.publishing import goes
from datasette_ftclassify.store.answers import CachedAnswer, find_answers, input_key, keep_answers
from datasette_ftclassify.store.classifiers import find_classifier, rename_classifier
from datasette_ftclassify.store.evaluations import RowResult, add_evaluation, row_results
from datasette_ftclassify.store.minimum_scores import find_minimum
from datasette_ftclassify.store.out_of_fold import read_out_of_fold
from datasette_ftclassify.store.splits import keys_of_split
from datasette_ftclassify.trainers.access import Access
from datasette_ftclassify.web.pages.evaluation_rows import text_of_row

HOST = "models.canary-host.example:8443"
TUNED = "ft:gpt-4.1-mini:canary-org::canary-id"
SERVICE_HEADER = {"model": TUNED, "base": "gpt-4.1-mini", "host": HOST, "deployment": "canary-dep"}
SERVICE_REPORT = {
    "service": {
        "host": HOST,
        "job": "ftjob-canary",
        "files": {"train": "file-canary"},
        "hyperparameters": {"epochs": "automatic"},
    },
    "checkpoints": [{"step": 1, "model": f"{TUNED}:step-1"}],
    "why": f"gpt-4.1-mini was tuned at {HOST} by the job ftjob-canary, automatically.",
    "warnings": ["look into /home/canary-person"],
    "usd": 12.345678,
}


def made(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as conn, conn:
        for statement in statements:
            conn.execute(statement)
    return path


def schema(conn: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return rows(
        conn, "select type, name, tbl_name, sql from sqlite_master"
        " where name not like '_ftclassify_%' and name not like 'sqlite_stat%' order by 1, 2",
    )  # fmt: skip


def opened(path: Path) -> sqlite3.Connection:
    """As a published file is opened: it may not even be locked."""
    conn = sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)
    conn.text_factory = bytes
    return conn


# The user's tables

_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
_CELLS = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.binary(max_size=20),
    st.text(st.characters(codec="utf-8"), max_size=20),
)  # fmt: skip


@st.composite
def _tables(draw: st.DrawFn) -> tuple[str, list[str], str, list[list[Any]]]:
    names = draw(
        st.lists(_NAMES, min_size=3, max_size=4, unique_by=lambda n: n.lower())
        .filter(lambda n: not any(name.lower().startswith("sqlite_") for name in n))
    )  # fmt: skip
    table, columns = names[0], names[1:]
    shape = draw(st.sampled_from(["", "id", "keys", "without rowid", "generated", "autoincrement"]))
    cells = st.lists(_CELLS, min_size=len(columns), max_size=len(columns))
    return table, columns, shape, draw(st.lists(cells, max_size=6))


def _definition(table: str, columns: list[str], shape: str) -> str:
    listed = [quote(column) for column in columns]
    if shape in ("id", "autoincrement"):
        listed.insert(0, f'"key of it" integer primary key {shape.removeprefix("id")}')
    if shape in ("keys", "without rowid"):
        listed[0] += " not null"
        listed.append(f"primary key ({quote(columns[0])})")
    if shape == "generated":
        listed.append(f'"made of it" as (hex({quote(columns[0])})) stored')
    end = " without rowid" if shape == "without rowid" else ""
    return f"create table {quote(table)} ({', '.join(listed)}){end}"


@given(_tables())
@settings(max_examples=25)
def test_any_table_is_the_same_in_the_copy(
    tmp_path_factory: pytest.TempPathFactory, made_of: tuple[str, list[str], str, list[list[Any]]]
):
    table, columns, shape, cells = made_of
    folder = tmp_path_factory.mktemp("any")
    before, after = folder / "before.db", folder / "after.db"
    marks = ", ".join("?" * len(columns))
    listed = ", ".join(map(quote, columns))
    with closing(sqlite3.connect(before)) as conn, conn:
        try:
            conn.execute(_definition(table, columns, shape))
        except sqlite3.Error:
            return  # no table either
        conn.executemany(f"insert or ignore into {quote(table)} ({listed}) values ({marks})", cells)
        conn.execute(f"create index {quote(table + ' index')} on {quote(table)} ({listed})")
        if cells:
            conn.execute(f"delete from {quote(table)} where {quote(columns[0])} is ?", cells[0][:1])
    publish_copy(before, after)
    number = "" if shape == "without rowid" else "rowid, "
    if "rowid" in {c.lower() for c in columns}:
        number = ""
    with closing(opened(before)) as old, closing(opened(after)) as new:
        assert schema(new) == schema(old)
        sql = f"select {number}* from {quote(table)} order by 1, 2"
        assert rows(new, sql) == rows(old, sql)
        assert value(new, "pragma integrity_check") == b"ok"


SHAPES = (
    "create table docs (title text, body text)",
    "insert into docs (rowid, title, body) values (7, 'kept', 'a parrot')",
    "insert into docs (rowid, title, body) values (9, 'gone', 'xylophone')",
    "create virtual table docs_fts using fts5(title, body, content=[docs])",
    "create virtual table old_fts using fts4(content=`docs`, title, body)",
    "create virtual table notes using fts5(note, tag unindexed)",
    "create virtual table words using fts5vocab(notes, row)",
    "insert into notes (rowid, note, tag) values (5, 'zither', 'x'), (6, 'quokka', 'y')",
    "insert into docs_fts (docs_fts) values ('rebuild')",
    "insert into old_fts (old_fts) values ('rebuild')",
    "create trigger docs_ad after delete on docs begin insert into docs_fts"
    " (docs_fts, rowid, title, body) values ('delete', old.rowid, old.title, old.body); end",
    "delete from docs where title = 'gone'",
    "delete from notes where note = 'zither'",
    "create table strict_one (a integer, b any) strict",
    "insert into strict_one values (1, x'00ff')",
    "create table _counts ([table] text primary key, count integer default 0)",
    "insert into _counts values ('docs', 1), ('other', 5), ('_ftclassify_jobs', 3)",
    "create table other (doc text, of integer references docs)",
    "insert into other values ('saxophone', 7)",
    "create view both as select title, doc from docs, other",
    "create view titles as select title from docs",
    "create trigger to_other after insert on docs begin insert into other (doc) values ('x'); end",
    "create virtual table bare using fts5(a, content='')",
    "insert into bare (rowid, a) values (1, 'glockenspiel')",
    "create virtual table places using rtree(id, x0, x1)",
    "insert into places values (3, 1.5, 2.5)",
    "create index by_title on docs (title collate nocase) where title is not null",
    "create view found as select title from docs_fts where docs_fts match 'parrot'",
    "create view of_later as select * from later",
    "create view later as select title from docs",
    "create table mail_content (body text)",
    "insert into mail_content values ('an owl')",
    "create virtual table mail using fts5(body, content='mail_content')",
    "insert into mail (mail) values ('rebuild')",
    "create virtual table older using fts3(body)",
    "create table older_stat (year integer)",
    "insert into older_stat values (1999)",
    "pragma user_version = 7",
    "analyze",
)  # fmt: skip


def test_full_text_views_and_triggers_are_what_they_were(tmp_path: Path):
    before = made(tmp_path / "before.db", *SHAPES)
    copy = publish_copy(before, tmp_path / "after.db")
    assert set(copy.left_out) == {"bare"}
    assert "no texts" in copy.left_out["bare"]
    with closing(sqlite3.connect(before)) as old, closing(sqlite3.connect(copy.path)) as new:
        left = [row for row in schema(old) if not row[1].startswith("bare")]
        assert schema(new) == left
        for sql in (
            "select rowid, * from docs_fts('parrot')", "select rowid, * from notes order by 1",
            "select docid, * from old_fts where old_fts match 'parrot'", "select * from both",
            "select * from places", "select *, typeof(b) from strict_one", "select * from titles",
            "select * from found", "select * from of_later", "select * from mail_content",
            "select rowid, * from mail('owl')", "select * from older_stat",
            "pragma user_version", "pragma encoding",
        ):  # fmt: skip
            assert rows(new, sql) == rows(old, sql) != [], sql
        assert rows(new, "select term from words") == [("quokka",)]
        assert rows(new, "select * from _counts") == [("docs", 1), ("other", 5)]
        assert value(new, "pragma integrity_check") == "ok"
        new.execute("insert into docs (title, body) values ('a', 'b')")
        new.execute("delete from docs where title = 'kept'")  # the triggers are there and work
        new.execute("insert into notes (notes) values ('integrity-check')")
    assert holding(copy, "xylophone", "zither", "glockenspiel") == []


def test_a_table_whose_definition_calls_json_is_what_it_was(tmp_path: Path):
    before = made(
        tmp_path / "before.db",
        "create table mails (id integer primary key, raw text check (json_valid(raw)),"
        " body as (json_extract(raw, '$.body')) stored)",
        "create index by_topic on mails (json_extract(raw, '$.topic'))",
        "create view topics as select json_extract(raw, '$.topic') as topic from mails",
        """insert into mails (raw) values ('{"body": "a parrot", "topic": "birds"}')""",
    )
    copy = publish_copy(before, tmp_path / "after.db")
    assert copy.left_out == {}
    with closing(sqlite3.connect(copy.path)) as new:
        assert rows(new, "select body, topic from mails, topics") == [("a parrot", "birds")]


_KEYS = (None, b"\xff", "k")


def test_answers_to_rows_with_a_null_or_a_blob_in_their_key_are_shown_and_go_along(tmp_path: Path):
    path = tmp_path / "town.db"
    with closing(connect(path, must_exist=False)) as conn:
        with conn:
            conn.execute("create table t (a, b, text, label, primary key (a, b))")
            texts = [("a parrot" if n % 2 else "a boat", "birds" if n % 2 else "boats", n)
                     for n in range(60)]  # fmt: skip
            conn.executemany(
                "insert into t values (?, ?, ?, ?)",
                [(_KEYS[n % 3], n, f"{text} {n}", label) for text, label, n in texts],
            )
        task = define(conn, "t", text=["text"], labels=["label"])
        train_classifier(conn, task, TrainRequest(name="c", curve=False))
        evaluate_classifier(conn, find_classifier(conn, "c"))
        held_out = read_out_of_fold(conn, find_classifier(conn, "c"))
        assert held_out is not None
        assert {key[0] for key in held_out.keys} == set(_KEYS)
    copy = publish_copy(path, tmp_path / "out.db")
    for file in (path, Path(copy.path)):
        with closing(connect(file)) as conn:
            classifier = find_classifier(conn, "c")
            found, total = row_results(conn, classifier)
            assert total == len(keys_of_split(conn, classifier.split_id, "test", 100)) == 6
            source = relation(conn, "t")
            shown = [text_of_row(conn, classifier, source, row.key) for row in found]
            assert all(shown)
    assert key_list([(None, 2.5)]) == "(NULL, 2.5)"


def test_chosen_tables_go_along_with_what_is_on_them_and_nothing_of_the_others(tmp_path: Path):
    before = made(tmp_path / "before.db", *SHAPES)
    copy = publish_copy(before, tmp_path / "after.db", tables=["DOCS", "both"])
    assert list(copy.tables) == ["docs", "_counts"]
    assert copy.removed["other"] == 1
    assert set(copy.left_out) == {"both", "to_other"}
    with closing(sqlite3.connect(copy.path)) as new:
        names = {row[1] for row in schema(new)}
        assert {"docs", "docs_fts", "old_fts", "docs_ad", "by_title"} <= names
        assert not names & {"other", "notes", "both", "to_other", "notes_content"}
        assert rows(new, "select * from _counts") == [("docs", 1)]
    assert holding(copy, "saxophone", "quokka") == []
    with pytest.raises(SourceError, match="did you mean docs"):
        publish_copy(before, tmp_path / "x.db", tables=["doc"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["after.db", "before.db"]


def test_keys_of_a_table_that_stays_behind_are_told(tmp_path: Path):
    """Datasette links them to its rows, and such a page is an error."""
    before = made(
        tmp_path / "before.db",
        "create table wards (id integer primary key, name)",
        "insert into wards values (1, 'North')",
        'create table letters (text, "ward (id)" references WARDS(id), ward references wards)',
    )
    copy = publish_copy(before, tmp_path / "after.db", tables=["letters"])
    assert list(goes(copy)) == [
        "table wards, 1 row, to which ward of letters, ward (id) of letters refer: links there "
        "lead to errors without it"
    ]
    assert list(goes(publish_copy(before, tmp_path / "whole.db"))) == []


def test_a_wide_encoding_and_texts_that_are_none(tmp_path: Path):
    before = made(
        tmp_path / "before.db", "pragma encoding = 'UTF-16be'", "create table t (x)",
        "insert into t values ('ü🦉'), (cast(x'd8' as text)), (x'00')",
    )  # fmt: skip
    copy = publish_copy(before, tmp_path / "after.db")
    with closing(opened(before)) as old, closing(opened(Path(copy.path))) as new:
        sql = "select hex(x), typeof(x) from t"
        assert rows(new, sql) == rows(old, sql)
        assert value(new, "pragma encoding") == value(old, "pragma encoding")


def test_a_database_in_wal_mode_that_is_being_written(tmp_path: Path):
    before = made(tmp_path / "before.db", "pragma journal_mode = wal", "create table a (x)",
                  "create table b (x)")  # fmt: skip
    ended = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(before, timeout=30)) as conn:
            for i in range(100_000):
                with conn:
                    conn.execute("insert into a values (?)", [i])
                    conn.execute("insert into b values (?)", [i])
                if ended.is_set():
                    return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for turn in range(5):
            copy = publish_copy(before, tmp_path / f"{turn}.db")
            assert copy.tables["a"] == copy.tables["b"]
    finally:
        ended.set()
        writer.join()
    header = Path(copy.path).read_bytes()[:20]
    assert header[18:20] == b"\x01\x01"  # no WAL
    assert not list(tmp_path.glob("*.db-*")) or not list(tmp_path.glob("[0-9].db-*"))


# What was not chosen


def holding(copy: PublishedCopy, *words: str) -> list[str]:
    """Which of the words are in the file, in any form that SQLite may keep them in."""
    data = Path(copy.path).read_bytes()
    return [w for w in words if w.encode() in data or w.encode("utf-16le") in data]


def evaluated(conn: sqlite3.Connection, classifier: Any) -> None:
    results = [RowResult((i,), (0,), (i % 2,), 0.5 + i / 100) for i in range(1, 5)]
    figures = {"n": 4, "spent": {"usd": 12.345678}, "abstained_reasons": {f"{HOST}: canary": 1}}
    add_evaluation(conn, classifier, "test", figures, results)


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A database with something in every table of ours, each with a word of its own."""
    path = made(
        tmp_path / "full.db", "create table t (id integer primary key, text)",
        "create table hidden (text)", "insert into hidden values ('canary-removed-table')",
        "insert into t values (1, 'one'), (2, 'two'), (3, 'three'), (4, 'canary-deleted-row')",
        "delete from t where id = 4",
    )  # fmt: skip
    with closing(connect(path)) as conn:
        old = add(conn, report={"why": "canary-old-version"})
        keep = add(conn, report={"why": "it is", "warnings": ["/home/canary-person/models"]})
        paid = add(conn, "paid", trainer="openai", header=SERVICE_HEADER, report=SERVICE_REPORT,
                   parts={})  # fmt: skip
        far = Task("hidden", ("text",), ("text",), "multiclass")
        other = Other("none of them", "text in ('canary-row')")
        some = replace(far, where="text <> :who", params={"who": "canary-who"}, other=other)
        away = add(conn, "away", task=some)
        add(conn, "whole", task=far)
        for one in (old, keep, paid, away):
            evaluated(conn, one)
        rename_classifier(conn, "topics", "subjects")
        with conn:
            said = CachedAnswer(("a",), "exact", None, "canary-said")
            unsaid = CachedAnswer(None, None, "not a label", "canary-of-a-text-of-another-table")
            keep_answers(conn, paid.id, {input_key("one"): said, input_key("two"): unsaid})
            conn.execute(
                "insert into _ftclassify_jobs (id, kind, state, settings, result, error, owner,"
                " remote, created_at, updated_at, nonce) values (1, 'train', 'paused', ?, ?, ?, ?,"
                " ?, '2026', '2026', 'canary-nonce')",
                [json.dumps({"actor": "canary-actor", "host": HOST}), '{"key": "sk-canary-key"}',
                 "canary-error", "canary-owner", '{"job": "ftjob-canary"}'],
            )  # fmt: skip
            for sql in (
                "insert into _ftclassify_job_events (job_id, created_at, message)"
                " values (1, '', 'canary-event')",
                "insert into _ftclassify_batches (id, job_id, tag, state, requests, batch_id,"
                " created_at, updated_at) values (1, 1, 'canary-tag', 'done', 1, 'batch-canary',"
                " '2026', '2026')",
                "insert into _ftclassify_batch_keys values (1, cast('canary-batch-key' as blob))",
                "insert into _ftclassify_spending values ('canary-day', 1, 1, 1, 1, 1, 1, 1)",
                "insert into _ftclassify_following values ('t', 'canary-uid', 1, '2026')",
                "insert into _ftclassify_settings values ('canary-setting', 'canary-value')",
                "insert into _ftclassify_columns values ('t', 'topic', 'subjects', 'label'),"
                " ('hidden', 'canary-column', 'subjects', 'label')",
                "insert into _ftclassify_split_rows values (1, '[\"canary-member\"]', 5, 'train')",
                "insert into _ftclassify_minimum_scores (classifier_id, strength, score, wrong,"
                " set_by, set_at) select id, 'likely', 0.5, 0.05, 'canary-person', '2026'"
                " from _ftclassify_classifiers where name = 'subjects'",
                "create table _ftclassify_canary_table (x)",
                "update _sqlite_migrations set applied_at = 'canary-migration'",
            ):
                conn.execute(sql)
    return path


def test_nothing_but_what_readers_need_is_in_the_bytes(full: Path, tmp_path: Path):
    assert full.read_bytes().count(b"canary") >= 20
    copy = publish_copy(
        full, tmp_path / "out.db", tables=["t"], classifiers=["subjects", "paid", "away", "whole"]
    )
    assert copy.classifiers == ("subjects@2", "paid@1", "away@1", "whole@1")
    assert holding(copy, "canary", "models.", "12.345678", "hidden\\u") == []
    assert copy.removed_classifiers == ("subjects@1",)
    with closing(opened(Path(copy.path))) as conn:
        assert {name: new for name, (_, new) in copy.ours.items() if new} == {
            "tasks": 3, "splits": 1, "classifiers": 4, "artifacts": 6, "evaluations": 3,
            "evaluation_rows": 6, "answers": 2, "columns": 1, "split_rows": 1, "settings": 3,
            "minimum_scores": 1,
        }  # fmt: skip
        for table in ("jobs", "job_events", "batches", "batch_keys", "spending", "following"):
            assert rows(conn, f"select * from _ftclassify_{table}") == []
        assert {row[0] for row in rows(conn, "select split from _ftclassify_split_rows")} <= {
            b"test"
        }
        assert rows(conn, "select text_hash from _ftclassify_split_rows where text_hash") == []
    with closing(connect(copy.path)) as conn:
        found = find_classifier(conn, "topics")  # by its earlier name
        assert found.title == "subjects@2"
        assert found.header == {"format": 1, "é": "🦉"}
        assert find_classifier(conn).title == "subjects@2"
        minimum = find_minimum(conn, found)
        assert (minimum.score, minimum.wrong, minimum.set_by) == (0.5, 0.05, None)
        assert rows(conn, "select distinct metrics from _ftclassify_evaluations") == [('{"n":4}',)]
        # Figures without rows, where the rows' texts stay behind.
        assert row_results(conn, find_classifier(conn, "away")) == ([], 0)
        assert find_classifier(conn, "away").task == find_classifier(conn, "whole").task
        # The row that was deleted is no test row any more.
        assert sorted(r.key for r in row_results(conn, found)[0]) == [(1,), (2,), (3,)]


def test_a_paid_classifier_answers_with_what_was_kept_and_asks_nobody(full: Path, tmp_path: Path):
    copy = publish_copy(full, tmp_path / "out.db")
    with closing(connect(copy.path)) as conn:
        paid = find_classifier(conn, "paid")
        assert paid.header == {"base": "gpt-4.1-mini", "published": True}
        hidden = "(not published)"
        assert paid.report == {
            "why": f"gpt-4.1-mini was tuned at {hidden} by the job {hidden}, automatically."
        }
        found = find_answers(conn, paid.id, [input_key("one"), input_key("two")])
        assert found[input_key("one")].labels == ("a",)
        assert (found[input_key("two")].reason, found[input_key("two")].raw) == (
            "not a label",
            None,
        )
        with pytest.raises(TrainingError, match="original file"):
            load_inference_client(paid, Access(endpoints={}))


async def test_pages_of_a_paid_classifier_say_that_it_answers_with_what_was_kept(
    full: Path, tmp_path: Path
):
    copy = publish_copy(full, tmp_path / "town.db", tables=["t"])
    datasette = serve(immutables=(Path(copy.path),))
    asked = "select ft_classify('one', 'paid') as kept, ft_classify_json('new', 'paid') as new"
    (answer,) = await query(datasette, asked)
    assert answer["kept"] == "a"
    assert "original file" in answer["new"]
    paths = ("/paid", "/paid.json", "/paid/rows", "/away", "/away/rows", "/paid/try?text=new")
    pages = [await get(datasette, f"/town/-/ftclassify/classifiers{path}") for path in paths]
    pages.append(await get(datasette, "/town/-/ftclassify"))
    assert {page.status_code for page in pages} == {200}
    assert not [page.url for page in pages if "canary" in page.text]
    tried = await get(datasette, "/town/-/ftclassify/classifiers/paid/try?text=new", ROOT)
    assert "original file" in tried.text


# Files made to do harm


def test_triggers_of_a_stranger_run_neither_in_the_file_nor_in_the_copy(full: Path, tmp_path: Path):
    made(
        full, "create table log (x)",
        "create trigger _ftclassify_evil after insert on t begin delete from t; end",
        "create trigger evil after insert on _ftclassify_classifiers begin"
        " update _ftclassify_classifiers set name = 'evil'; insert into log values (1); end",
        "create trigger count_log after insert on t begin insert into log values (2); end",
    )  # fmt: skip
    bytes_before = full.read_bytes()
    copy = publish_copy(full, tmp_path / "out.db")
    assert full.read_bytes() == bytes_before
    with closing(sqlite3.connect(copy.path)) as conn:
        assert rows(conn, "select * from log") == []
        assert len(rows(conn, "select * from t")) == 3
        names = rows(conn, "select name from sqlite_master where type = 'trigger'")
        assert names == [("count_log",)]


def test_a_view_in_the_place_of_a_table_of_ours_is_refused(full: Path, tmp_path: Path):
    made(full, "drop table _ftclassify_jobs", "create view _ftclassify_jobs as select 1 as id")
    with pytest.raises(ArtifactError, match="_ftclassify_jobs in this file is a view"):
        publish_copy(full, tmp_path / "out.db")
    assert not (tmp_path / "out.db").exists()


@pytest.mark.parametrize("table", ["settings", "columns", "classifiers"])
def test_tables_of_ours_that_somebody_changed_are_an_error_of_one_line(
    full: Path, tmp_path: Path, table: str
):
    made(full, f"drop table _ftclassify_{table}", f"create table _ftclassify_{table} (x)")
    with pytest.raises(ArtifactError, match="cannot be read"):
        publish_copy(full, tmp_path / "out.db")
    assert not (tmp_path / "out.db").exists()


def test_a_trigger_that_is_called_a_table_is_refused(tmp_path: Path):
    path = made(
        tmp_path / "a.db", "create table t (x)", "insert into t values (1)",
        "create trigger a after insert on t begin delete from t; end",
        "pragma writable_schema = on",
        "update sqlite_master set type = 'table' where name = 'a'",
    )  # fmt: skip
    with pytest.raises((SourceError, sqlite3.DatabaseError)):
        publish_copy(path, tmp_path / "out.db")
    assert [p.name for p in tmp_path.iterdir()] == ["a.db"]


# The file


def test_a_file_that_is_there_is_never_replaced_unasked(tmp_path: Path):
    before = made(tmp_path / "before.db", "create table t (x)")
    out = tmp_path / "out.db"
    out.write_text("precious")
    with pytest.raises(SourceError, match="already a file"):
        publish_copy(before, out)
    assert out.read_text() == "precious"
    with pytest.raises(ClassifierNotFound):
        publish_copy(before, out, classifiers=["none"], force=True)
    assert out.read_text() == "precious"
    publish_copy(before, out, force=True)
    with pytest.raises(SourceError, match="its original"):
        publish_copy(before, before, force=True)
    made(out, "pragma journal_mode = wal", "insert into t values (1)")
    Path(f"{out}-wal").touch()
    with pytest.raises(SourceError, match="in use"):
        publish_copy(before, out, force=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["before.db", "out.db", "out.db-wal"]


def test_a_file_is_packed_and_rows_keep_their_numbers(tmp_path: Path):
    path = made(
        tmp_path / "a.db", "create table t (x)", "create table big (x)",
        "insert into t (rowid, x) values (3, 'a'), (9, 'b')",
        "insert into big values (zeroblob(300000))", "drop table big",
    )  # fmt: skip
    size = path.stat().st_size
    pack(path)
    assert path.stat().st_size < size - 300_000
    with closing(sqlite3.connect(path)) as conn:
        assert rows(conn, "select rowid, x from t") == [(3, "a"), (9, "b")]
        assert value(conn, "pragma freelist_count") == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another user")
def test_a_file_in_wal_mode_in_a_folder_that_cannot_be_written():
    with tempfile.TemporaryDirectory() as name:
        closed, open_to_all = Path(name) / "closed", Path(name) / "open"
        for folder in (closed, open_to_all):
            folder.mkdir()
        Path(name).chmod(0o755)
        open_to_all.chmod(0o777)
        path = made(closed / "a b?.db", "pragma journal_mode = wal", "create table t (x)")
        made(path, "insert into t values (1)")
        os.seteuid(65534)
        try:
            assert publish_copy(path, open_to_all / "out.db").tables == {"t": 1}
        finally:
            os.seteuid(0)


def test_what_is_interrupted_leaves_nothing(tmp_path: Path):
    before = made(tmp_path / "before.db", "create table t (x)", "insert into t values (1)")

    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish_copy(before, tmp_path / "out.db", report=interrupt)
    assert [p.name for p in tmp_path.iterdir()] == ["before.db"]


def test_the_copy_has_the_permissions_of_any_new_file(tmp_path: Path):
    before = made(tmp_path / "before.db", "create table t (x)")
    mask = os.umask(0o027)
    try:
        publish_copy(before, tmp_path / "out.db")
    finally:
        os.umask(mask)
    assert (tmp_path / "out.db").stat().st_mode & 0o777 == 0o640


# Read as it is published


async def test_readers_of_the_copy_see_and_ask_what_the_original_shows(
    trained_file: Path, tmp_path: Path
):
    copy = publish_copy(trained_file, tmp_path / "town.db")
    assert copy.ours["jobs"][0] > 0
    files = (trained_file, Path(copy.path))
    old, new = (serve(immutables=(file,)) for file in files)
    asked = "select ft_classify(message) as a, ft_score(message, 'urgent') as b,"
    asked += " ft_labels(message, 'subjects') as c from messages limit 50"
    for path in (
        "/town/-/ftclassify.json", "/town/-/ftclassify/classifiers/topics.json",
        "/town/-/ftclassify/classifiers/topics/rows.json?wrong=1", "/town/messages.json?_size=5",
        "/town/-/ftclassify/classifiers/subjects.json",
    ):  # fmt: skip
        first, second = await get(old, path), await get(new, path)
        assert first.status_code == second.status_code == 200, path
        assert comparable(second.json()) == comparable(first.json()), path
    for path in ("/town/-/ftclassify", "/town/-/ftclassify/classifiers/topics", "/town/messages"):
        assert (await get(new, path)).status_code == 200
    answers = [await query(one, asked) for one in (old, new)]
    assert answers[0] == answers[1]
    assert answers[1][0]["a"] is not None
    with closing(opened(Path(copy.path))) as conn:
        for table in ("_ftclassify_jobs", "_ftclassify_job_events"):
            assert rows(conn, f"select * from {table}") == []


async def query(datasette: Any, sql: str) -> list[dict[str, Any]]:
    (database,) = [d for name, d in datasette.databases.items() if name == "town"]
    response = await datasette.client.get(
        f"/{database.name}.json", params={"sql": sql, "_shape": "array"}, follow_redirects=True
    )
    assert response.status_code == 200, response.text
    return response.json()


def comparable(told: Any) -> Any:
    """Without what is of the file, such as how long a query took, and what readers need not see."""
    if isinstance(told, list):
        return [comparable(one) for one in told]
    if isinstance(told, dict):
        own = ("query_ms", "splits", "jobs", "warnings", "split_sql", "minimum", "rows_held_out")
        return {k: comparable(v) for k, v in told.items() if k not in own}
    return told


def publish_and_print_memory(small: str, large: str, out: str) -> None:
    publish_copy(small, f"{out}.small")
    before = peak()
    publish_copy(large, out)
    print(peak() - before)


def test_memory_stays_flat_with_many_rows(tmp_path: Path):
    small = made(tmp_path / "small.db", "create table t (x)")
    large = made(
        tmp_path / "large.db", "create table t (id integer primary key, text)",
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000)"
        " insert into t select i, hex(randomblob(300)) from n",
    )  # fmt: skip
    out = tmp_path / "out.db"
    done = Program(publish_and_print_memory, small, large, out)
    assert done.wait() == 0, done.output
    assert out.stat().st_size > 50_000_000
    assert int(done.output) < 10_000_000
