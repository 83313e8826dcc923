"""Files made by earlier versions open as they are, and go on.

Each has a table `messages`, a classifier `towns` with two versions that was called `topics` before,
predictions of its first version in columns, and a training that waits.
"""

from __future__ import annotations

import ast
import gzip
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from folders import SUPPORT
from stored import list_jobs
from visiting import ROOT, get, serve

import datasette_ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.ledger.keys import identity_of
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.classifiers import find_classifier, list_classifiers
from datasette_ftclassify.store.jobs.state import get_job

OLDER = sorted((SUPPORT / "older").glob("*.db.gz"))


@pytest.fixture(params=OLDER, ids=lambda path: path.name)
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "older.db"
    path.write_bytes(gzip.decompress(request.param.read_bytes()))
    return path


def test_its_classifiers_answer_as_they_did(older: Path) -> None:
    with closing(connect(older)) as conn:
        register(conn)
        wrong = conn.execute(
            "select count(*) from messages where towns_label is not"
            " ft_classify(message, 'topics@1')"
            " or abs(towns_score - ft_score(message, 'towns@1')) > 1e-6"
        )
        assert wrong.fetchone() == (0,)
        assert conn.execute("select count(towns_label) from messages").fetchone() == (74,)


def test_it_is_listed_and_told_of_as_it_stands(older: Path) -> None:
    older.chmod(0o444)
    with closing(connect(older)) as conn:
        versions = [(c.name, c.version) for c in list_classifiers(conn)]
        assert sorted(versions) == [("towns", 1), ("towns", 2)]
        states = sorted((job.kind, job.state) for job in list_jobs(conn))
        assert states == [
            ("predict", "finished"), ("train", "finished"), ("train", "finished"),
            ("train", "queued"),
        ]  # fmt: skip


async def test_its_pages_open(older: Path) -> None:
    datasette = serve(older)
    base = "/older/-/ftclassify"
    for page in ("", "/classifiers/towns", "/classifiers/topics", "/classifiers/towns~401/rows"):
        response = await get(datasette, base + page, ROOT)
        assert response.status_code == 200, page
    with closing(connect(older)) as conn:
        numbers = [job.id for job in list_jobs(conn)]
    for number in numbers:
        told = (await get(datasette, f"{base}/jobs/{number}.json", ROOT)).json()
        assert json.dumps(told)


def test_it_is_gone_on_with(older: Path) -> None:
    with closing(connect(older)) as conn:
        task = define(conn, "messages", text=["message"], labels=["topic"])
        train_classifier(conn, task)
        assert len(list_classifiers(conn)) == 3
        assert find_classifier(conn, "topics").name == "towns"
        waiting = next(job for job in list_jobs(conn) if job.state == "queued")
        assert get_job(conn, waiting.id).settings["name"] == "later"


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
