"""Addresses of rows by their keys: where a page prints one, it leads to that row."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from running_jobs import job_of
from sample_databases import town_database
from stored import list_jobs
from train_page import TRAIN, page
from visiting import get, serve, submit

from datasette_ftclassify.core.database import connect, json_key, quote_all, relation
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.evaluate import evaluate_classifier
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.classifiers import find_classifier

ROWS = 40
NASTY = [
    "x'00ff'",
    "a,b",
    "a/b.json",
    "ü ~2F%",
    "7",
    " ",
    "a\0b",
    "12.0",
    "inf",
    "n'ull",
    '"',
    "",
    "é",
]

KEYS: dict[str, tuple[str, Any]] = {
    "rowid": ("", lambda n: ()),
    "own rowid": ("rowid,", lambda n: (n + 1,)),
    "all three": ("rowid, oid, _rowid_,", lambda n: (n + 1, 0, 0)),
    "integer": ("id integer primary key,", lambda n: (n * 7 - 9,)),
    "text": ("id text primary key,", lambda n: (NASTY[n] if n < len(NASTY) else f"k{n}",)),
    "float": ("id real primary key,", lambda n: ([math.inf, 1e300, -2.5][n] if n < 3 else n / 6,)),
    "blob": ("id blob primary key,", lambda n: (bytes([n, 255]),)),
    "number without a type": ("id primary key,", lambda n: (n,)),
    "mixed": ("id primary key,", lambda n: ([n, n + 0.5, f"{n}", bytes([n]), None][n % 5],)),
    "compound": ("a text, b real,", lambda n: (NASTY[n % len(NASTY)], n / 2)),
    "compound with NULL": ("a, b,", lambda n: (None if n % 3 else "a", n if n % 2 else f"{n}")),
    "no rowid": ("a, b integer,", lambda n: (bytes([n % 2]) if n % 3 else "a", n)),
}  # fmt: skip
LINKED = ("rowid", "integer")
"""Tables of which each row has an address."""


def make(path: Path, kind: str) -> dict[tuple[Any, ...], str]:
    """The table t with such a key; gives the text of each row by its key, as it is shown."""
    columns, key_of = KEYS[kind]
    end = ", primary key (a, b)" if columns.startswith("a") else ""
    tail = " without rowid" if kind in ("compound", "no rowid") else ""
    with closing(town_database(path)) as conn, conn:
        conn.execute(f"create table t ({columns} message, topic{end}){tail}")
        texts = conn.execute("select message, topic from messages limit ?", [ROWS]).fetchall()
        for n, (text, topic) in enumerate(texts):
            said = f"{n} {text}"
            if n % 7 == 5:
                said += f" ann{n}@example.com"
            label = [topic, topic, topic, None, f" {topic}"][n % 5] if n > 8 else topic
            key = key_of(n)
            marks = ", ".join("?" * (len(key) + 2))
            conn.execute(f"insert into t values ({marks})", [*key, said, label])
        source = relation(conn, "t")
        rowid = source.rowid if source.primary_key else None
        shown = [*source.identity, *([rowid] if rowid else []), "message"]
        rows = conn.execute(f"select {quote_all(shown)} from t").fetchall()
    found = {}
    for *cells, text in rows:
        key = tuple(cells[: len(source.identity)])
        found[json_key(tuple(cells) if rowid and None in key else key)] = text
    return found


async def texts_at(datasette: Any, address: str) -> list[str]:
    path, _, query = address.partition("?")
    found = await get(datasette, f"{path}.json?_shape=objects&{query}", "ann")
    assert found.status_code == 200, (address, found.text)
    return [row["message"] for row in found.json()["rows"]]


@pytest.mark.parametrize("kind", KEYS)
async def test_each_link_to_rows_shows_them(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "town.db"
    texts = make(path, kind)
    datasette = serve(path, grants=TRAIN)
    sent = await submit(datasette, page(table="t"), "ann", table="t", text="message", label="topic",
                        action="check", test="0.4")  # fmt: skip
    assert sent.status_code == 302, sent.text
    with closing(connect(path)) as conn:
        job = list_jobs(conn)[0]
        run_job(conn, job.id)
    assert job_of(path, job.id).state == "finished"
    where = f"/town/-/ftclassify/train.json?table=t&check={job.id}"
    check = (await get(datasette, where, "ann")).json()["check"]["report"]
    rows = check["sample"]
    for n in range(len(check["findings"])):
        address = f"/town/-/ftclassify/jobs/{job.id}/finding/{n}.json"
        listed = (await get(datasette, address, "ann")).json()["rows"]
        rows += [{**row, "shown": row["cells"][0]} if row["cells"] else row for row in listed]
    linked = {row["url"]: texts[tuple(row["key"])] for row in rows if row["url"]}
    assert (None in [row["url"] for row in rows]) == (kind not in LINKED)
    for row in rows:
        text = texts.get(tuple(row["key"]))
        said = row.get("shown", text)
        assert said == text or (text is None and said in texts.values()), row
    for address, text in linked.items():
        assert await texts_at(datasette, address) == [text]
    tables = [f for f in check["findings"] if (f["url"] or "").startswith("/town/t?")]
    for finding in tables:  # the count may be one of labels
        found = await texts_at(datasette, f"{finding['url']}&_size=max")
        assert len(found) >= finding["count"], finding


async def test_rows_of_an_evaluation_are_told_by_a_blob(tmp_path: Path) -> None:
    path = tmp_path / "town.db"
    texts = make(path, "blob")
    with closing(connect(path)) as conn:
        task = define(conn, "t", text=["message"], labels=["topic"])
        train_classifier(conn, task, TrainRequest(name="c", curve=False))
        evaluate_classifier(conn, find_classifier(conn, "c"))
    datasette = serve(path, grants=TRAIN)
    address = "/town/-/ftclassify/classifiers/c/rows"
    assert (await get(datasette, address, "ann")).status_code == 200
    rows = (await get(datasette, f"{address}.json", "ann")).json()["rows"]
    assert rows
    assert all(texts[tuple(row["key"])] == row["text"] for row in rows)
    assert {row["url"] for row in rows} == {None}
