"""Other people's names, keys and conditions."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import HOSTILE_NAMES, database, table

from datasette_ftclassify.core.database import (
    check_condition,
    condition,
    connect,
    count,
    did_you_mean,
    is_read_only,
    json_key,
    key_text,
    quote,
    relation,
)
from datasette_ftclassify.core.errors import SourceError
from datasette_ftclassify.core.humanize import key_list

IDENTIFIERS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(name=IDENTIFIERS)
def test_any_name_survives_quoting(name: str) -> None:
    conn = sqlite3.connect(":memory:")
    conn.execute(f"create table t ({quote(name)})")
    conn.execute("insert into t values (42)")
    cursor = conn.execute(f"select {quote(name)} from t where {quote(name)} = 42")
    assert cursor.fetchall() == [(42,)]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_table_and_its_column_may_be_called_anything(name: str) -> None:
    conn = table([name, "other"], [(1, 2)], name=name)
    found = relation(conn, name)
    assert found.name == name
    assert found.columns == (name, "other")
    assert count(conn, f"select count(*) from {quote(found.name)} where {quote(name)} = 1") == 1


SHAPES = [
    ("create table t (a, b)", (), "rowid"),
    ("create table t (a, b integer primary key)", ("b",), "rowid"),
    ("create table t (a, b text primary key)", ("b",), "rowid"),
    ("create table t (a, b text primary key) without rowid", ("b",), None),
    ("create table t (a, b, c, primary key (c, a))", ("c", "a"), "rowid"),
    ("create table t (a, b, c, primary key (b, c, a)) without rowid", ("b", "c", "a"), None),
    ("create table t (RowId, a)", (), "_rowid_"),
    ("create table t (rowid, _ROWID_, a)", (), "oid"),
    ("create table t (rowid, _rowid_, oid)", (), None),
    ("create table t (rowid, _rowid_, oid primary key)", ("oid",), None),
    ("create table t (a, oid integer primary key)", ("oid",), "rowid"),
    ("create view t as select 1 as a, 2 as b", (), None),
]


@pytest.mark.parametrize(("statement", "primary_key", "rowid"), SHAPES)
def test_what_identifies_a_row(
    statement: str, primary_key: tuple[str, ...], rowid: str | None
) -> None:
    found = relation(database(statement), "t")
    assert (found.primary_key, found.rowid) == (primary_key, rowid)
    assert found.is_view == statement.startswith("create view")
    assert found.identity == (primary_key or ((rowid,) if rowid else ()))
    assert found.cursor == ((rowid,) if rowid else primary_key)


def test_generated_columns_can_be_read_and_hidden_ones_are_none() -> None:
    conn = database(
        "create table t (a, twice as (a || a), stored as (a) stored)",
        "create virtual table search using fts5(body)",
    )
    assert relation(conn, "t").columns == ("a", "twice", "stored")
    assert relation(conn, "search").columns == ("body",)


def test_names_ignore_case_and_come_back_as_they_are_spelt() -> None:
    found = relation(database("create table Messages (Body)"), "MESSAGES")
    assert found.name == "Messages"
    assert found.column("bODY") == "Body"
    assert found.column("text") is None


def message(error: pytest.ExceptionInfo[SourceError]) -> str:
    """The error's text, which is one line and ends no sentence twice."""
    text = str(error.value)
    assert "\n" not in text
    assert ".." not in text
    assert "?." not in text
    return text


def test_a_missing_table_names_the_likeliest_one() -> None:
    conn = database("create table messages (a)", "create view recent as select * from messages")
    with pytest.raises(SourceError) as error:
        relation(conn, "Mesages")
    assert message(error) == "No table or view called Mesages - did you mean messages?"
    with pytest.raises(SourceError) as error:
        relation(conn, "recnt")
    assert message(error) == "No table or view called recnt - did you mean recent?"
    with pytest.raises(SourceError) as error:
        relation(conn, "xyz")
    assert message(error) == "No table or view called xyz - there is messages, recent"


def test_our_own_tables_and_sqlites_are_not_suggested() -> None:
    conn = database(
        "create table _ftclassify_tasks (id integer primary key autoincrement)",
        "create table _sqlite_migrations (a)",
    )
    with pytest.raises(SourceError) as error:
        relation(conn, "tasks")
    assert message(error) == "No table or view called tasks"


def test_a_missing_column_names_the_likeliest_one() -> None:
    found = relation(database("create table t (body, topic)"), "t")
    found.require_columns(["body", "topic"])
    with pytest.raises(SourceError) as error:
        found.require_columns(["body", "Topc"])
    assert message(error) == "Table t has no column Topc - did you mean topic?"
    with pytest.raises(SourceError) as error:
        relation(database("create view v as select 1 as a"), "v").require_columns(["zzz"])
    assert message(error) == "View v has no column zzz - there is a"


def test_long_lists_are_cut() -> None:
    assert did_you_mean("zzzzzz", [f"column{n}" for n in range(100)]).count(",") == 19


def test_a_view_of_something_that_is_gone() -> None:
    conn = database("create table gone (a)", "create view v as select a from gone")
    conn.execute("drop table gone")
    with pytest.raises(SourceError, match="The view v cannot be read: no such table"):
        relation(conn, "v")


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"No database file at .*: check the path"):
        connect(tmp_path / "nothing.db")
    with pytest.raises(SourceError, match="No database file"):
        connect(tmp_path)
    assert list(tmp_path.iterdir()) == []
    connect(tmp_path / "new.db", must_exist=False).close()
    assert (tmp_path / "new.db").exists()
    with pytest.raises(SourceError, match="Cannot open"):
        connect(tmp_path / "no folder" / "new.db", must_exist=False)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("text,label\n" * 100)
    with pytest.raises(SourceError) as error:
        connect(path)
    assert message(error) == f"Cannot open {path} as a SQLite database: file is not a database."


def test_invalid_utf8_is_read(tmp_path: Path) -> None:
    conn = connect(tmp_path / "t.db", must_exist=False)
    assert conn.execute("select cast(x'61ff62' as text)").fetchone() == ("a\ufffdb",)
    conn.close()


def test_a_comment_does_not_swallow_the_bracket() -> None:
    conn = table(["a"], [(1,), (2,), (3,)])
    where = f"{condition('a > 1 -- the rest')} and a < 3"
    assert count(conn, f"select count(*) from t where {where}") == 1
    assert condition(None) == condition("") == "1"


ESCAPES = [
    "1) or (1=1",
    "1) --",
    "1) /*",
    "1 /*",
    "1; drop table t",
    "1 limit 1",
    "1 union select 1",
]


@pytest.mark.parametrize("where", [*ESCAPES, "nope = 1", "a = ", "a = ?", ")", "a = '\0'"])
def test_conditions_that_are_none(where: str) -> None:
    conn = table(["a"], [(1,)])
    with pytest.raises(SourceError) as error:
        check_condition(conn, relation(conn, "t"), where, {})
    assert message(error).startswith("The condition does not run: ")
    assert count(conn, "select count(*) from t") == 1


@pytest.mark.parametrize("value", [[1], 10**30, "\ud800", object()])
def test_parameters_that_sqlite_cannot_hold(value: object) -> None:
    conn = table(["a"])
    with pytest.raises(SourceError) as error:
        check_condition(conn, relation(conn, "t"), "a = :x", {"x": value})
    message(error)


def test_a_missing_parameter_is_named() -> None:
    conn = table(["a"])
    with pytest.raises(SourceError) as error:
        check_condition(conn, relation(conn, "t"), "a = :size", {"sise": 1})
    assert "size" in message(error)


def test_conditions_that_run() -> None:
    conn = table(["a"], [(1,)])
    for where in ("a = :x", "(a = 1) or (a = :x)", "a = ')' or a = '('", "a in (select 1) -- x"):
        check_condition(conn, relation(conn, "t"), where, {"x": 1})


CELLS = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
)


@given(st.lists(st.tuples(CELLS, CELLS), unique_by=lambda key: tuple(map(repr, key))))
def test_different_keys_have_different_texts(keys: list[tuple]) -> None:
    assert len({key_text(key) for key in keys}) == len(keys)


def test_key_texts() -> None:
    assert key_text((12,)) == "[12]"
    assert key_text(("a", 3, None)) == '["a", 3, null]'
    assert key_text(("aé",)) == '["aé"]'
    assert json.loads(key_text((b"\xff",))) == [{"blob": "ff"}]
    assert key_text((b"\xff",)) != key_text(("ff",))


@given(st.lists(CELLS, min_size=1).map(tuple))
def test_keys_are_shown_alike_in_json_and_in_lists(key: tuple) -> None:
    shown = json.loads(json.dumps(json_key(key), allow_nan=False))
    listed = ", ".join("NULL" if cell is None else str(cell) for cell in shown)
    assert key_list([key]) == (listed if len(key) == 1 else f"({listed})")


def test_a_blob_is_shown_as_in_sql() -> None:
    assert json_key((b"\x00\xff", float("inf"), 3, None)) == ("x'00ff'", "inf", 3, None)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another user")
@pytest.mark.parametrize("changes", [False, True])
def test_a_wal_file_in_a_folder_that_cannot_be_written(changes: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, path = Path(name), Path(name) / "w.db"
        folder.chmod(0o755)
        conn = sqlite3.connect(path)
        conn.execute("pragma journal_mode = wal")
        with conn:
            conn.execute("create table t (a)")
            conn.execute("insert into t values (1)")
        if changes:  # the folder of a process that was killed
            kept = Path(f"{path}-wal").read_bytes()
        conn.close()
        if changes:
            Path(f"{path}-wal").write_bytes(kept)
        os.seteuid(65534)
        try:
            if changes:
                with pytest.raises(SourceError, match="-wal holds changes"):
                    connect(path)
                return
            with closing(connect(path)) as reader:
                assert reader.execute("select a from t").fetchall() == [(1,)]
                assert is_read_only(reader)
        finally:
            os.seteuid(0)
