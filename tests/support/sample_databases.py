"""Databases that tests share: the demo's messages to a town hall, in several shapes."""

from __future__ import annotations

import csv
import json
import sqlite3
from importlib.resources import as_file, files
from pathlib import Path

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.task import define
from datasette_ftclassify.demo.build import load_messages
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest

FEW = 300
"""Of the 557 messages, where a test trains on the way to something else: that takes a sixth of the
time, since support vector machines are tried from more than 300 labelled rows on."""


def town_database(path: Path, rows: int | None = None) -> sqlite3.Connection:
    """The table of messages alone. rows: only the first ones"""
    conn = connect(path, must_exist=False)
    load_messages(conn)
    if rows is not None:
        with conn:
            conn.execute("delete from messages where id > ?", [rows])
    return conn


def make_trained(path: Path) -> None:
    """Messages, with a multiclass classifier `topics` (the default), a binary one over integers
    (`urgent`) and a multilabel one over a JSON column (`subjects`)."""
    conn = town_database(path)
    with conn:
        conn.execute("alter table messages add column urgent integer")
        conn.execute("alter table messages add column subjects text")
        conn.execute("update messages set urgent = topic in ('Noise', 'Water and drains')")
        conn.execute(
            "update messages set subjects = case when topic is null then null"
            " when message like '%street%' then json_array(topic, 'street')"
            " else json_array(topic) end"
        )
    for name, label in (("topics", "topic"), ("urgent", "urgent"), ("subjects", "subjects")):
        task = define(conn, "messages", text=["message"], labels=[label])
        train_classifier(conn, task, TrainRequest(name=name, curve=False))
    conn.close()


def messages() -> list[dict[str, str]]:
    source = files("datasette_ftclassify.demo").joinpath("messages.csv")
    with as_file(source) as path, path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def rows(conn: sqlite3.Connection, sql: str, params: object = ()) -> list[tuple]:
    return conn.execute(sql, params).fetchall()


def value(conn: sqlite3.Connection, sql: str, params: object = ()) -> object:
    return conn.execute(sql, params).fetchone()[0]


def answer(conn: sqlite3.Connection, sql: str, params: object = ()) -> dict:
    """The JSON object that the query gives."""
    return json.loads(str(value(conn, sql, params)))
