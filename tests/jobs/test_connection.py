"""What we do on a connection leaves its settings as they were: it writes the user's rows."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from table_shapes import fill

from datasette_ftclassify.checks import run_checks
from datasette_ftclassify.core.database import is_read_only
from datasette_ftclassify.core.task import define
from datasette_ftclassify.export import ExportFormat
from datasette_ftclassify.jobs.evaluate import evaluate_classifier
from datasette_ftclassify.jobs.export import export_task
from datasette_ftclassify.jobs.new_rows import queue_new_rows
from datasette_ftclassify.jobs.predict import predict_rows, submit_predict
from datasette_ftclassify.jobs.runner import work
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.deletion import delete_classifier
from datasette_ftclassify.store.schema import ensure_schema

Conn = sqlite3.Connection

_ACTING = {
    "incremental_vacuum", "optimize", "wal_checkpoint", "integrity_check", "quick_check",
    "foreign_key_check", "shrink_memory", "data_version", "schema_version", "page_count",
    "freelist_count", "stats", "table_list", "module_list", "function_list",
     "case_sensitive_like",
}  # fmt: skip
"""Pragmas that do something, or tell of the data and not of the connection."""


def task_of(conn: Conn) -> Any:
    return define(conn, "t", text=["text"], labels=["label"])


ENTRIES: dict[str, Callable[[Conn, Path], object]] = {
    "ensure_schema": lambda conn, _: ensure_schema(conn),
    "check": lambda conn, _: run_checks(conn, task_of(conn)),
    "train": lambda conn, _: train_classifier(conn, task_of(conn), TrainRequest(name="c")),
    "evaluate": lambda conn, _: evaluate_classifier(conn, find_classifier(conn, "c")),
    "export": lambda conn, folder: export_task(
        conn, task_of(conn), ExportFormat(), folder / "out", overwrite=True
    ),
    "predict": lambda conn, _: predict_rows(conn, find_classifier(conn, "c"), "t"),
    "queue": lambda conn, _: submit_predict(conn, find_classifier(conn, "c"), "t"),
    "work": lambda conn, _: work(conn),
    "follow": lambda conn, _: queue_new_rows(conn),
    "functions": lambda conn, _: (register(conn), conn.execute("select ft_classify('x', 'c')")),
    "is_read_only": lambda conn, _: is_read_only(conn),
    "delete": lambda conn, _: delete_classifier(conn, "c"),
}
"""In an order in which each finds what it needs."""


def settings(conn: Conn) -> dict[str, Any]:
    """All that a statement on the connection could run into."""
    row_factory, conn.row_factory = conn.row_factory, None
    names = {name for (name,) in conn.execute("select name from pragma_pragma_list")} - _ACTING
    values = {}
    for name in sorted(names):
        try:
            values[name] = conn.execute(f"pragma {name}").fetchall()
        except sqlite3.Error as error:  # one that needs an argument
            values[name] = str(error)
    functions = conn.execute("select distinct name, narg from pragma_function_list").fetchall()
    own = {(name, n) for name, n in functions if not re.match(r"ft_", name)}
    conn.row_factory = row_factory
    return {
        **values,
        "functions": own,
        "like": conn.execute("select 'a' like 'A'").fetchone()[0],
        "temporary": conn.execute("select count(*) from sqlite_temp_master").fetchone()[0],
        "isolation_level": conn.isolation_level,
        "row_factory": conn.row_factory,
        "text_factory": conn.text_factory,
        "in_transaction": conn.in_transaction,
    }


def upper(data: bytes) -> str:
    return data.decode("utf-8", "replace")


@pytest.mark.parametrize("changed", ["as it comes", "as somebody set it"])
def test_every_setting_is_as_it_was(tmp_path: Path, changed: str):
    fill(tmp_path / "t.db", "integer key")
    conn = sqlite3.connect(tmp_path / "t.db")
    looks: list[int] = []
    if changed == "as somebody set it":
        for pragma in ("recursive_triggers = 1", "foreign_keys = 1", "busy_timeout = 1234"):
            conn.execute(f"pragma {pragma}")
        conn.row_factory, conn.text_factory = sqlite3.Row, upper
        conn.create_function("their_own", 1, lambda x: x)
    conn.set_progress_handler(lambda: looks.append(1), 1_000)
    settings(conn)  # which opens the temporary database
    before = settings(conn)
    for name, act in ENTRIES.items():
        act(conn, tmp_path)
        after = settings(conn)
        assert {k: v for k, v in after.items() if v != before[k]} == {}, name
        looks.clear()
        conn.execute("select count(*) from t a, t b, t c where a.id < 9").fetchone()
        assert looks, f"{name} took a progress handler away"
    conn.close()
