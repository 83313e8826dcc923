"""The numbers of versions and jobs: none is given twice, even after what had it was deleted.

The highest one that a name has had is a setting of the database: `versions:NAME`, and so is the
highest one of a job: `jobs:highest`.
"""

from __future__ import annotations

import sqlite3

from .settings import SETTING

_HIGHEST_VERSION = 10**9 - 2
"""A file that somebody else made may hold a number that has no next one, or more than nine digits:
`classifiers.find_row` reads no longer ones."""


def split_title(title: str) -> tuple[str, str]:
    """Name and version of NAME@VERSION; the name is empty where there is no @."""
    name, _, version = title.rpartition("@")
    return name, version


def next_version(conn: sqlite3.Connection, name: str) -> int:
    """A number that no version of the name has had: ids, columns and notes speak of those."""
    row = conn.execute(
        "select coalesce(max(number), 0) from"
        " (select version as number from _ftclassify_classifiers where name = :name"
        " union all select cast(value as integer) from _ftclassify_settings where key = :key)"
        " where typeof(number) = 'integer' and number between 0 and :most",
        {"name": name, "key": _numbers_key(name), "most": _HIGHEST_VERSION},
    ).fetchone()
    return int(row[0]) + 1


def _numbers_key(name: str) -> str:
    return f"versions:{name}"


def keep_version_numbers(conn: sqlite3.Connection, name: str, new: str | None = None) -> None:
    """Remembers the highest number that the name (or, once it is renamed, the new name) has had.

    Call in a transaction, before versions go."""
    for one in {name, new or name}:
        highest = max(next_version(conn, name), next_version(conn, one)) - 1
        conn.execute(SETTING, [_numbers_key(one), str(highest)])


_HIGHEST_JOB = "jobs:highest"


def new_job_number(conn: sqlite3.Connection) -> int:
    """A number that no job has had: links, notes and what deleted jobs spent are kept under theirs.

    A file from before the setting knows only of jobs that are there, or have spent something. Call
    in a transaction.
    """
    row = conn.execute(
        "select coalesce(max(number), 0) from (select id as number from _ftclassify_jobs"
        " union all select job_id from _ftclassify_spending"
        " union all select cast(value as integer) from _ftclassify_settings where key = ?)"
        " where typeof(number) = 'integer' and number between 0 and ?",
        [_HIGHEST_JOB, 2**53],  # a file that somebody else made may hold one that has no next
    )
    number = int(row.fetchone()[0]) + 1
    conn.execute(SETTING, [_HIGHEST_JOB, str(number)])
    return number
