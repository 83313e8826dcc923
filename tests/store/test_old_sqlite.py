"""The SQL of this package is that of SQLite 3.34: a published copy is read by what its host has."""

from __future__ import annotations

import ast
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import datasette_ftclassify
from datasette_ftclassify.ledger.keys import identity_of

PACKAGE = Path(datasette_ftclassify.__file__).parent

NEWER = re.compile(
    r"\breturning\s+[\w*]"  # 3.35
    r"|\bas\s+(?:not\s+)?materialized\b|\bdrop\s+column\b"
    r"|\b(?:ceil|ceiling|floor|ln|log|log2|log10|exp|pow|power|sqrt|sign|trunc)\([a-z:?]"
    r"|\)\s*strict\b|\bpragma_table_list\b|\bpragma\s+table_list\b"  # 3.37
    r"|->>?\s*['?:]|\bunixepoch\(|\bformat\('%"  # 3.38
    r"|\b(?:right|full)\s+(?:outer\s+)?join\b|\bis\s+(?:not\s+)?distinct\s+from\b"  # 3.39
    r"|\bjson_error_position\(|\boctet_length\(|\btimediff\("  # 3.42, 3.43
    r"|\b(?:string_agg|concat|concat_ws)\([a-z:?]",  # 3.44
    re.IGNORECASE,
)
"""What later versions brought. `datasette publish cloudrun` builds on bullseye, with 3.34.1."""

_SQL = re.compile(
    r"\b(?:select|insert|update|delete|create|alter|pragma|with|from|where|on conflict)\b"
)


def statements(path: Path) -> Iterator[str]:
    """Texts of a module that have a word of SQL, with `?` where a value was put in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in prose:
            continue
        text = ""
        if isinstance(node, ast.JoinedStr):
            text = "".join(
                str(part.value) if isinstance(part, ast.Constant) else "?" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        if _SQL.search(text) and not text[:1].isupper():  # a sentence
            yield text


GUARDED = {"select strict from pragma_table_list(?)"}
"""Asked from 3.37 on alone."""


def newer(texts: Iterator[str]) -> list[str]:
    return [text for text in texts if NEWER.search(text) and text not in GUARDED]


def test_no_statement_needs_a_later_sqlite_than_3_34():
    found = {
        str(path.relative_to(PACKAGE)): said
        for path in sorted(PACKAGE.rglob("*.py"))
        if "static" not in path.parts and (said := newer(statements(path)))
    }
    assert found == {}


@pytest.mark.parametrize(
    "sql",
    [
        "insert into t values (1) returning id", "create table t (a any) strict",
        "select a ->> '$.b' from t", "select a -> ? from t", "select unixepoch('now') from t",
        "alter table t drop column a", "select sqrt(a) from t", "select string_agg(a, ',') from t",
        "select * from a full join b", "with x as materialized (select 1) select * from x",
    ],
)  # fmt: skip
def test_the_test_sees_what_is_newer(sql: str):
    assert newer(iter([sql]))


class Pysqlite3:
    """A connection as `datasette publish vercel` has them: of another build, no `sqlite3` one."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self.execute = conn.execute


def test_a_connection_of_another_build_of_sqlite_has_a_file_as_well(tmp_path: Path):
    path = str(tmp_path / "a.db")
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("create table t (a)")
        assert identity_of(Pysqlite3(conn)) == identity_of(conn) == identity_of(path)
