"""The rows of a check's finding, read in a process of its own:
`python -m datasette_ftclassify.jobs.finding_rows URI JOB FINDING START MOST` prints JSON.

The condition that selects them is in the database file, so it is SQL of whoever made the file. It
can take hours or gigabytes in one step of SQLite, where nothing can stop it, so it never runs in a
server's own process.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from itertools import product
from typing import TypedDict

from ..core.database import (
    Cell,
    JsonKey,
    Relation,
    check_condition,
    condition,
    decode,
    json_key,
    meant_by,
    quote,
    quote_all,
    relation,
    row_condition,
)
from ..core.errors import ArtifactError, FtclassifyError
from ..core.humanize import shortened
from ..core.labels import label_name
from ..core.sqlite_errors import SQLITE_ERRORS
from ..core.time_limit import TooSlow, within
from ..store.jobs.state import get_job
from ..store.tables import check_tables
from .settings import CheckSettings, settings_of
from .stored_check import read_check

SQL_SECONDS = 1.5
"""Of the processor, for SQLite where it can be stopped."""

CPU_SECONDS = 2
"""Of the processor, after the start and to the nearest second, for what cannot be stopped: the
system then ends it."""

SECONDS = 20.0
"""For the process in all, however busy the machine is. It starts in some tenths of a second."""

MEMORY = 1_000_000_000
"""Bytes of address space of the process, where the system can limit them."""

LONGEST_CELL = 400
"""Characters of a cell that are given."""

MOST_AT_ONCE = 2
"""Processes of this kind at the same time; further requests wait for them."""

_slots = threading.BoundedSemaphore(MOST_AT_ONCE)


class Row(TypedDict):
    """key: the values that identify the row; cells: of the text and label columns, as text"""

    key: JsonKey
    cells: list[str]


def read_finding_rows(uri: str, job_id: int, finding: int, start: int, most: int) -> list[Row]:
    """The rows of finding number `finding` of a check, from row number `start` on.

    uri: of the database file, as SQLite takes it
    Raises TooSlow, or FtclassifyError when the rows cannot be read.
    """
    if not _slots.acquire(timeout=SECONDS):
        raise TooSlow("Others are looking at rows of findings: try again in a moment.")
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, uri, *map(str, (job_id, finding, start, most))],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise TooSlow(_HOPELESS) from error
    finally:
        _slots.release()
    try:
        answer = json.loads(done.stdout)
        rows: list[Row] = answer["rows"]
    except (ValueError, KeyError) as error:
        raise FtclassifyError(_HOPELESS) from error
    if answer["error"]:
        raise FtclassifyError(answer["error"])
    return rows


_HOPELESS = "The rows of this finding cannot be read in a moment: check the rows again."


def main(uri: str, job_id: int, finding: int, start: int, most: int) -> None:
    _limit_resources()
    rows: list[Row] = []
    error = ""
    try:
        with (
            closing(sqlite3.connect(uri, uri=True)) as conn,
            within(conn, SQL_SECONDS, time.process_time),
        ):
            conn.text_factory = decode
            check_tables(conn)
            rows = _rows(conn, job_id, finding, start, most)
    except ArtifactError as problem:
        error = str(problem)
    except (FtclassifyError, *SQLITE_ERRORS, IndexError) as problem:
        error = (
            f"The rows cannot be listed: {str(problem).rstrip('.')}. Check the rows again, since "
            "the table may have changed."
        )
    print(json.dumps({"rows": rows, "error": error}))


def _rows(conn: sqlite3.Connection, job_id: int, number: int, start: int, most: int) -> list[Row]:
    job = get_job(conn, job_id)
    task = settings_of(job, CheckSettings).task
    finding = read_check(job).findings[number]
    source = relation(conn, task.source)
    columns = quote_all([*task.text, *task.labels])
    identity = source.identity
    keys = finding.keys[start : start + most]
    if not identity:
        return [_row(key, ()) for key in keys]
    n_keys, table = len(identity), quote(source.name)
    if finding.where and not finding.in_order:
        check_condition(conn, source, finding.where, {})
        sql = (
            f"select {quote_all(identity)}, {columns} from {table}"
            f" where {condition(finding.where)} limit ? offset ?"
        )
        found = conn.execute(sql, [most, start])
        return [_row(json_key(row[:n_keys]), row[n_keys:]) for row in found]
    sql = f"select {columns} from {table} where "
    return [_row(key, _read_row(conn, sql, source, key)) for key in keys]


def _read_row(conn: sqlite3.Connection, sql: str, source: Relation, key: JsonKey) -> Sequence[Cell]:
    """sql: up to the condition. Empty where there is no such row any more"""
    for cells in product(*map(meant_by, key)):
        found = row_condition(source, cells)
        row = None if found is None else conn.execute(sql + found[0], found[1]).fetchone()
        if row is not None:
            return tuple(row)
    return ()


def _row(key: JsonKey, cells: Sequence[Cell]) -> Row:
    shown = ["" if c is None else "BLOB" if isinstance(c, bytes) else label_name(c) for c in cells]
    return {"key": key, "cells": [shortened(text, LONGEST_CELL) for text in shown]}


def _limit_resources() -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    seconds = round(time.process_time()) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
