"""Our tables in a copy that is published: what answering and the card of a classifier need.

They are made anew and filled with what is chosen here, so that nothing else can come along,
whatever a later version keeps in them or a stranger put there.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ..core.database import Key, quote, relation, row_condition
from ..core.errors import ArtifactError, SourceError
from ..core.service_model import PUBLISHED
from ..core.table_copy import SOURCE, row_count
from ..core.training_report import Header
from ..core.untrusted_json import JsonObject
from .aliases import ALIAS, aliases_of
from .card_notes import notes_key
from .cell_size import fits
from .classifiers import MOST_VERSIONS, Classifier, default_name, has_store
from .evaluations import LONGEST_CELL, TEST
from .reviews import read_cells
from .schema import TABLES, ensure_schema
from .settings import SETTING
from .tables import MIGRATIONS, PREFIX

_KEPT = frozenset(
    f"{PREFIX}{name}"
    for name in (
        "tasks", "splits", "split_rows", "classifiers", "artifacts", "evaluations",
        "evaluation_rows", "columns", "settings", "answers", "minimum_scores",
    )
)  # fmt: skip
"""Tables of ours that a copy has rows of."""


def why_unasked(classifier: Classifier) -> str | None:
    """Why nobody can be asked for more answers of a model at a service; None in other files than
    those that were made to be published."""
    if not classifier.at_service.published:
        return None
    return (
        f"{classifier.title} has only the answers that were stored before this file was published: "
        "for other texts, use the original file."
    )


@dataclass(frozen=True)
class Published:
    """A classifier that goes along, with the header and the report that readers may see.

    answers: whether its stored answers go along: its model is at a service
    texts:   whether the table or view that it was trained on goes along, and so its test rows
    """

    classifier: Classifier
    header: Header
    report: JsonObject
    answers: bool
    texts: bool


def is_ours(name: str) -> bool:
    """Whether a table of that name is not the user's."""
    return name.lower().startswith(PREFIX) or name.lower() == MIGRATIONS


def holds_more(conn: sqlite3.Connection) -> bool:
    """Whether the main database has more of ours than a copy that was made for readers: it is none,
    or has been worked with since."""
    found = conn.execute(
        "select name from sqlite_master where type = 'table' and substr(lower(name), 1, ?) = ?"
        " limit 1000",
        [len(PREFIX), PREFIX],
    )
    names = [str(name) for (name,) in found.fetchall()]
    if not names:
        return False
    if (
        conn.execute("select 1 from _ftclassify_settings where key = ?", [PUBLISHED]).fetchone()
        is None
    ):
        return True
    others = [name for name in names if name.lower() not in _KEPT]
    return any(conn.execute(f"select 1 from {quote(name)} limit 1").fetchone() for name in others)


def copy_classifiers(
    conn: sqlite3.Connection, published: Sequence[Published], tables: Collection[str]
) -> None:
    """Fills our tables of the main database from those of the attached one, in a transaction.

    tables: that go along, in small letters
    """
    if not published:
        return
    ensure_schema(conn)
    for one in published:
        _copy_classifier(conn, one)
    for name in dict.fromkeys(one.classifier.name for one in published):
        for alias in aliases_of(conn, name, SOURCE):
            conn.execute(SETTING, [f"{ALIAS}{alias}", name])
        _copy_columns(conn, name, tables)
    default = _default_of(conn, [one.classifier for one in published])
    conn.execute(SETTING, ["default", default])
    conn.execute(SETTING, [PUBLISHED, "true"])


def _default_of(conn: sqlite3.Connection, published: Sequence[Classifier]) -> str:
    """The default's name in the copy: the same one, or else the newest that goes along."""
    default = default_name(conn, SOURCE)
    names = {one.name for one in published}
    if default in names:
        return str(default)
    return max(published, key=lambda c: c.id).name


def _copy_classifier(conn: sqlite3.Connection, one: Published) -> None:
    id, split_id = one.classifier.id, one.classifier.split_id
    task = {} if one.texts else {"definition": _TASK}
    _copy(conn, "tasks", "id = (select task_id from {}classifiers where id = ?)", [id], **task)
    # Its digest tells whoever has the rows that it is of them.
    _copy(conn, "splits", "id = ?", [split_id], digest=f"'published-{split_id}'")
    # At once, so that what readers may not see is at no time in the file.
    shown = [_json(one.header), _json(one.report)]
    _copy(conn, "classifiers", "id = ?3", [*shown, id], header="?1", report="?2")
    if not one.answers:  # else they say nothing without the service
        _copy(conn, "artifacts", "classifier_id = ?", [id])
    _copy(conn, "settings", "key = ?", [notes_key(one.classifier)])
    _copy(conn, "minimum_scores", "classifier_id = ?", [id], set_by="null")  # a person's name
    newest = f"(select max(id) from {{}}evaluations where classifier_id = ? and split = '{TEST}')"
    _copy(conn, "evaluations", f"id = {newest}", [id], metrics=_METRICS)
    if one.texts:
        _copy(conn, "evaluation_rows", f"evaluation_id = {newest}", [id])
        _drop_deleted_rows(conn, one.classifier)
        # A short text could be guessed from its hash, also after the row has another.
        tested = (
            "select row_key from main._ftclassify_evaluation_rows where evaluation_id in"
            " (select id from main._ftclassify_evaluations where classifier_id = ?)"
        )
        _copy(
            conn, "split_rows", f"split_id = ? and split = 'test' and row_key in ({tested})",
            [split_id, id], text_hash="0",
        )  # fmt: skip
    if one.answers:
        # What a model said may be a part of the text, which may be of any table.
        _copy(conn, "answers", "classifier_id = ?", [id], raw="null")


_TASK = "json_set(json_remove(definition, '$.where', '$.params', '$.other'), '$.published', id)"
"""Of a table that stays behind without conditions, which have keys and cells of its rows; with its
id, as two tasks may have been different by these alone."""

_METRICS = (
    "case when json_valid(metrics)"
    " then json_remove(metrics, '$.spent', '$.abstained_reasons') else '{}' end"
)
"""Of an evaluation without what it cost, and what a service said of texts that it refused."""


def _copy(
    conn: sqlite3.Connection, table: str, where: str, values: list[Any], **changed: str
) -> None:
    """Rows of one of our tables, some columns of which are made by an expression. A file from an
    earlier version may lack the table, or columns of it."""
    name = f"{PREFIX}{table}"
    if name not in _KEPT:
        raise ValueError(f"{name} is not declared as a table that goes along")
    there = _columns(conn, SOURCE, name)
    columns = [column for column in _columns(conn, "main", name) if column in there]
    if columns:
        cells = ", ".join(changed.get(column, column) for column in columns)
        conn.execute(
            f"insert or ignore into main.{name} ({', '.join(columns)})"
            f" select {cells} from {SOURCE}.{name}"
            f" where {where.format(f'{SOURCE}.{PREFIX}')}",
            values,
        )


def _columns(conn: sqlite3.Connection, schema: str, table: str) -> list[str]:
    sql = "select name from pragma_table_info(?, ?)"
    return [str(name) for (name,) in conn.execute(sql, [table, schema]).fetchall()]


def _copy_columns(conn: sqlite3.Connection, name: str, tables: Collection[str]) -> None:
    rows = conn.execute(
        f"select source, column_name, classifier, role from {SOURCE}._ftclassify_columns"
        " where classifier = ?",
        [name],
    ).fetchall()
    conn.executemany(
        "insert or ignore into main._ftclassify_columns (source, column_name, classifier, role)"
        " values (?, ?, ?, ?)",
        [row for row in rows if str(row[0]).lower() in tables],
    )


def _drop_deleted_rows(conn: sqlite3.Connection, classifier: Classifier) -> None:
    """Results of rows that are no longer in the table: a key may be a name, or an address."""
    try:
        source = relation(conn, classifier.task.source)
    except SourceError:
        return
    if not source.identity:
        return
    sql = f"select 1 from main.{quote(source.name)} where "
    rows = (
        "from main._ftclassify_evaluation_rows where evaluation_id in"
        " (select id from main._ftclassify_evaluations where classifier_id = ?)"
    )
    gone = []
    with closing(conn.execute(f"select row_key {rows}", [classifier.id])) as found:
        for (text,) in found:
            there = row_condition(source, _key(text))
            if there is None or conn.execute(sql + there[0], there[1]).fetchone() is None:
                gone.append((classifier.id, text))
    conn.executemany(f"delete {rows} and row_key = ?", gone)


def _key(text: object) -> Key:
    try:
        return read_cells(text, LONGEST_CELL)
    except ArtifactError:
        return ()


def kept_counts(conn: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """{table of ours, without its prefix: (rows in the original, rows in the copy)}."""
    found = {}
    for name in TABLES:
        before, after = (
            row_count(conn, schema, name) if _columns(conn, schema, name) else 0
            for schema in (SOURCE, "main")
        )
        found[name.removeprefix(PREFIX)] = (before, after)
    return found


def stored_answers(conn: sqlite3.Connection, published: Sequence[Published]) -> dict[str, int]:
    """{NAME@VERSION: answers in the copy}, of those whose model is at a service."""
    sql = "select count(*) from main._ftclassify_answers where classifier_id = ?"
    asked = [one.classifier for one in published if one.answers]
    return {one.title: int(conn.execute(sql, [one.id]).fetchone()[0]) for one in asked}


def service_hosts(conn: sqlite3.Connection) -> list[str]:
    """Of the models at services of the attached database."""
    if not has_store(conn, SOURCE):
        return []
    host = "case when json_valid(header) then json_extract(header, '$.host') end"
    rows = conn.execute(
        f"select distinct {host} from {SOURCE}._ftclassify_classifiers"
        f" where typeof({host}) = 'text' limit {MOST_VERSIONS}"
    )
    return [host for (host,) in rows.fetchall() if host]


def versions(conn: sqlite3.Connection) -> list[str]:
    """NAME@VERSION of all classifiers of the attached database, damaged ones included."""
    if not has_store(conn, SOURCE):
        return []
    rows = conn.execute(
        f"select name || '@' || version from {SOURCE}._ftclassify_classifiers"
        f" where {fits('name')} order by name, version desc limit {MOST_VERSIONS}"
    )
    return [str(title) for (title,) in rows.fetchall()]


def _json(data: object) -> str:
    return json.dumps(data, ensure_ascii=False)
