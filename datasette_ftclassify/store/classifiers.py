"""Classifiers in the database: kept, found, renamed, deleted.

A name stands for its newest version, or for the one before while that is a checkpoint that nobody
has evaluated. Reading works on any database that holds the tables,
attached, immutable or in memory, and trusts nothing that it reads.
"""

from __future__ import annotations

import difflib
import json
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ..core.database import did_you_mean, quote
from ..core.errors import ArtifactError, ClassifierNotFound, FtclassifyError, LabelError
from ..core.labels import LabelSet
from ..core.service_model import ServiceModel
from ..core.sqlite_errors import DATABASE_ERRORS
from ..core.task import Task
from ..core.training_report import Header, TrainingReport
from ..core.untrusted_json import MOST_SHOWN, JsonObject, read_object
from .aliases import note_name, note_renaming, resolve_alias
from .cell_size import LONGEST_NAME, at_most, fits
from .reports import read_report
from .schema import ensure_schema, transaction
from .settings import SETTING, read_setting
from .tables import has_table
from .version_numbers import keep_version_numbers, next_version, split_title

LISTED_BYTES = 32_000_000
"""Characters that are read for a list in all: about half a second."""

MOST_VERSIONS = 5_000
"""Classifiers in one file, all versions counted: more than anyone trains."""

_COLUMNS = ", ".join([
    "c.id", *(at_most(f"c.{name}", LONGEST_NAME) for name in ("uid", "name")), "c.version",
    at_most("c.trainer", LONGEST_NAME), at_most("c.labels"), "c.task_id", "c.split_id", "c.seed",
    "c.training_rows", at_most("c.header"), at_most("c.report"),
    at_most("c.created_at", LONGEST_NAME), at_most("t.definition"),
])  # fmt: skip


@dataclass(frozen=True)
class Classifier:
    """What is stored of one version of a classifier, without its artifact."""

    id: int
    uid: str
    name: str
    version: int
    trainer: str
    labels: LabelSet
    task: Task
    split_id: int
    seed: int
    training_rows: int
    header: Header
    report: TrainingReport
    created_at: str

    @property
    def title(self) -> str:
        return f"{self.name}@{self.version}"

    def position_of(self, label: str) -> int:
        """Of a label in its label set. Raises LabelError for one that it does not have."""
        position = self.labels.position_called(label)
        if position is None:
            raise LabelError(f"{self.title} has no label {label}.")
        return position

    @property
    def at_service(self) -> ServiceModel:
        """Its model, where that is at a service."""
        return ServiceModel.read(self.header)


def now() -> str:
    """The time as stored: UTC, to the second, ISO 8601."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def add_classifier(
    conn: sqlite3.Connection,
    *,
    name: str,
    trainer: str,
    labels: LabelSet,
    task: Task,
    split_id: int,
    seed: int,
    training_rows: int,
    header: Header,
    parts: Mapping[str, bytes],
    report: JsonObject,
) -> Classifier:
    """Stores a trained classifier as the next version of `name`, whole or not at all.

    The first classifier of a database becomes its default. Raises ArtifactError for a report whose
    parts are not what `core.training_report` says.
    """
    stored = _json(report)
    read_report(stored)  # what cannot be read again is not stored
    ensure_schema(conn)
    with transaction(conn):
        task_id = add_task(conn, task)
        note_name(conn, name)
        version = next_version(conn, name)
        cursor = conn.execute(
            "insert into _ftclassify_classifiers (uid, name, version, trainer, kind, labels,"
            " task_id, split_id, seed, training_rows, header, report, created_at)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                uuid.uuid4().hex, name, version, trainer, labels.kind, _json(labels.to_dict()),
                task_id, split_id, seed, training_rows, _json(header), stored, now(),
            ],
        )  # fmt: skip
        classifier_id = cursor.lastrowid
        conn.executemany(
            "insert into _ftclassify_artifacts (classifier_id, part, data) values (?, ?, ?)",
            [(classifier_id, part, data) for part, data in parts.items()],
        )
        conn.execute(
            "insert into _ftclassify_settings (key, value) values ('default', ?)"
            " on conflict do nothing",
            [name],
        )
    return find_classifier(conn, f"{name}@{version}")


def _json(data: object) -> str:
    return json.dumps(data, ensure_ascii=False)


def is_taken(conn: sqlite3.Connection, name: str) -> bool:
    """Whether there is a classifier of that name, read or not."""
    sql = "select 1 from _ftclassify_classifiers where name = ?"
    return conn.execute(sql, [name]).fetchone() is not None


def add_task(conn: sqlite3.Connection, task: Task) -> int:
    """The id of the stored task, storing it if it is new. Call inside a transaction."""
    definition = json.dumps(task.to_dict(), ensure_ascii=False, sort_keys=True)
    sql = "insert into _ftclassify_tasks (definition, created_at) values (?, ?)"
    conn.execute(f"{sql} on conflict do nothing", [definition, now()])
    row = conn.execute("select id from _ftclassify_tasks where definition = ?", [definition])
    return int(row.fetchone()[0])


def has_store(conn: sqlite3.Connection, schema: str = "main") -> bool:
    """Whether the (attached) database holds our tables."""
    return has_table(conn, "classifiers", schema)


def find_classifier(
    conn: sqlite3.Connection, name: str | None = None, schema: str = "main"
) -> Classifier:
    """The classifier called `name` (the version in use), `name@version`, or the default one.

    Raises ClassifierNotFound, or ArtifactError when what is stored makes no sense.
    """
    with reading_store():
        row = None
        if has_store(conn, schema):
            row = find_row(conn, name or default_name(conn, schema), schema)
        if row is None:
            raise not_found(conn, name, schema)
    return _classifier(row)


def find_for_table(conn: sqlite3.Connection, table: str) -> Classifier:
    """The one to classify a table with when none is named: the default if it was trained on that
    table, else the newest that was, else the default. Raises as `find_classifier` does."""
    trained = [c for c in list_classifiers(conn) if c.task.source.lower() == table.lower()]
    default = default_name(conn) if has_store(conn) else None
    if not trained or any(c.name == default for c in trained):
        return find_classifier(conn)
    return find_classifier(conn, max(trained, key=lambda c: c.id).name)


def find_by_uid(conn: sqlite3.Connection, uid: str) -> Classifier:
    """The very training that `uid` names. Raises ClassifierNotFound when it was deleted."""
    return _find_exactly(conn, "uid", uid)


def find_by_id(conn: sqlite3.Connection, classifier_id: int) -> Classifier:
    """The one with that id in this database. Raises ClassifierNotFound when it was deleted."""
    return _find_exactly(conn, "id", classifier_id)


def _find_exactly(conn: sqlite3.Connection, column: str, value: object) -> Classifier:
    with reading_store():
        row = conn.execute(_select("main", f"where c.{column} = ?"), [value]).fetchone()
    if row is None:
        raise ClassifierNotFound("The classifier of this job was deleted: cancel the job.")
    return _classifier(row)


@contextmanager
def reading_store() -> Iterator[None]:
    """Around reading: tables of our name that somebody else has changed are an ArtifactError."""
    try:
        yield
    except DATABASE_ERRORS as error:
        raise ArtifactError(f"The classifiers in this file cannot be read: {error}.") from error


def find_row(conn: sqlite3.Connection, name: str | None, schema: str) -> tuple[Any, ...] | None:
    """What is stored under a name or an alias, unread: it may be damaged."""
    if name is None:
        return None
    return _find_named(conn, resolve_name(conn, name, schema), schema)


def resolve_name(conn: sqlite3.Connection, name: str, schema: str = "main") -> str:
    """The name by which a classifier is stored that answers to `name`."""
    stored = _find_named(conn, name, schema) is not None
    return name if stored else resolve_alias(conn, name, schema)


def _find_named(conn: sqlite3.Connection, name: str, schema: str) -> tuple[Any, ...] | None:
    sql = _select(schema, f"where c.name = ? order by {untried(schema)}, c.version desc limit 1")
    row: tuple[Any, ...] | None = conn.execute(sql, [name]).fetchone()
    base, version = split_title(name)
    if row is None and base and version.isdecimal() and len(version) < 10:
        sql = _select(schema, "where c.name = ? and c.version = ?")
        row = conn.execute(sql, [base, int(version)]).fetchone()
    return row


def untried(schema: str) -> str:
    """1 for a checkpoint that was never evaluated, and for a version that was trained to be used
    only if it is as good as the one before: its name stands for an earlier version."""
    checkpoint, not_used = (
        f"case when json_valid(c.report) then json_extract(c.report, '$.{key}') end is not null"
        for key in ("checkpoint", "not_used")
    )
    evaluated = f"select 1 from {quote(schema)}._ftclassify_evaluations where classifier_id = c.id"
    return f"(({checkpoint} and not exists ({evaluated})) or {not_used})"


def _select(schema: str, tail: str) -> str:
    s = quote(schema)
    return (
        f"select {_COLUMNS} from {s}._ftclassify_classifiers c"
        f" left join {s}._ftclassify_tasks t on t.id = c.task_id {tail}"
    )


def not_found(conn: sqlite3.Connection, name: str | None, schema: str) -> ClassifierNotFound:
    """What to raise for a name that no classifier has, with the names that are like it."""
    known: list[str] = []
    if has_store(conn, schema):
        names = (  # few and short enough to be compared
            f"select distinct name from {quote(schema)}._ftclassify_classifiers"
            f" where {fits('name')} limit 500"
        )
        known = [str(row[0]) for row in conn.execute(names)]
    if not known:
        return ClassifierNotFound("There is no classifier in this database: train one first.")
    if name is None:
        return ClassifierNotFound(
            "The database has no default classifier: make one the default, or name one."
        )
    similar = difflib.get_close_matches(name, known, n=5)
    return ClassifierNotFound(f"No classifier called {name}{did_you_mean(name, known)}", similar)


def _classifier(row: tuple[Any, ...]) -> Classifier:
    try:
        return Classifier(
            id=_number(row[0]),
            uid=_short(row[1]),
            name=_short(row[2]),
            version=int(row[3]),
            trainer=_short(row[4]),
            labels=LabelSet.from_dict(read_object(row[5], "label set")),
            task=Task.from_dict(read_object(row[13], "task", most_characters=MOST_SHOWN)),
            split_id=_number(row[7]),
            seed=int(row[8]),
            training_rows=int(row[9]),
            header=read_object(row[10], "header"),
            report=read_report(row[11]),
            created_at=_short(row[12]),
        )
    except (ValueError, TypeError, OverflowError, FtclassifyError) as error:
        raise ArtifactError(
            f"Classifier {str(row[2])[:100]} is damaged in this file ({str(error)[:300]}): "
            "train it again."
        ) from error


def _number(cell: object) -> int:
    """An id, which statements are made with: SQLite keeps any text in such a column."""
    if type(cell) is not int:
        raise ValueError("an id is no number")
    return cell


def _short(cell: object) -> str:
    if not isinstance(cell, str) or len(cell) > LONGEST_NAME:
        raise ValueError("a name or a time makes no sense")
    return cell


def list_classifiers(
    conn: sqlite3.Connection, schema: str = "main", name: str | None = None
) -> list[Classifier]:
    """All versions of all classifiers, or of those called `name`, by name, newest version first.

    Without damaged ones. Raises ArtifactError for more than MOST_VERSIONS or LISTED_BYTES.
    """
    if not has_store(conn, schema):
        return []
    with reading_store():
        found = list(_undamaged(conn, schema, name))
    return sorted(found, key=lambda c: (c.name, -c.version))


def _undamaged(conn: sqlite3.Connection, schema: str, name: str | None) -> Iterator[Classifier]:
    # One row at a time: sorting would hold all of them, and they may be of any size.
    ids = conn.execute(
        f"select id from {quote(schema)}._ftclassify_classifiers where ?1 is null or name = ?1"
        " limit ?2",
        [name, MOST_VERSIONS + 1],
    ).fetchall()
    if len(ids) > MOST_VERSIONS:
        raise ArtifactError(f"This file has more than {MOST_VERSIONS:,} classifiers: too many.")
    left = LISTED_BYTES
    for (number,) in ids:
        row = conn.execute(_select(schema, "where c.id = ?"), [number]).fetchone()
        left -= sum(len(cell) for cell in row or () if isinstance(cell, (str, bytes)))
        if left < 0:
            raise ArtifactError(
                f"The classifiers in this file have more than {LISTED_BYTES:,} characters of "
                "labels, headers and reports: too many to list."
            )
        found = None if row is None else _classifier_or_none(row)
        if found is not None:
            yield found


def _classifier_or_none(row: tuple[Any, ...]) -> Classifier | None:
    try:
        return _classifier(row)
    except ArtifactError:
        return None


def default_name(conn: sqlite3.Connection, schema: str = "main") -> str | None:
    """The name of the database's default classifier."""
    return read_setting(conn, "default", schema)


def set_default(conn: sqlite3.Connection, name: str) -> None:
    """Makes `name` the classifier that the SQL functions use without a name."""
    name = find_classifier(conn, name).name
    with transaction(conn):
        conn.execute(SETTING, ["default", name])


def rename_classifier(conn: sqlite3.Connection, old: str, new: str) -> None:
    """Renames all versions; the old name stays as an alias.

    Raises ClassifierNotFound, or FtclassifyError when `new` is taken.
    """
    old = find_classifier(conn, old).name
    new = check_name(new)
    with transaction(conn):
        if is_taken(conn, new):
            raise FtclassifyError(f"There is already a classifier called {new}: choose another.")
        keep_version_numbers(conn, old, new)
        conn.execute("update _ftclassify_classifiers set name = ? where name = ?", [new, old])
        conn.execute(
            "update _ftclassify_columns set classifier = ? where classifier = ?", [new, old]
        )
        conn.execute(
            "update _ftclassify_settings set value = ? where key = 'default' and value = ?",
            [new, old],
        )
        note_renaming(conn, old, new)


def check_name(name: str) -> str:
    """`name` without surrounding white space. Raises FtclassifyError when it cannot be one."""
    name = name.strip()
    if not name or len(name) > 100 or "@" in name or not name.isprintable():
        raise FtclassifyError(
            "A classifier's name must have 1 to 100 printable characters and no @, which marks a "
            "version."
        )
    return name
