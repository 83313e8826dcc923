"""The choices on the page that classifies rows, read from the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from ..core.database import Relation, condition, count, quote, relation
from ..core.errors import ClassifierNotFound, FtclassifyError, SourceError, TrainingError
from ..core.sqlite_errors import SQLITE_ERRORS
from ..core.time_limit import TooSlow, within
from ..jobs.columns import taken_columns
from ..jobs.load_classifier import service_of
from ..jobs.row_updates import RowUpdates
from ..jobs.rows import Rows
from ..present.writing import triggers_sentence
from ..store.classifiers import Classifier, find_for_table, list_classifiers
from ..store.jobs.new_rows import list_following
from ..store.jobs.state import get_job
from ..store.used_version import used_ids
from .classify_form import Form, named_columns, row_condition
from .filters import RowFilter, read_filters

COUNT_SECONDS = 0.04
"""For each number of rows on the page; larger tables have theirs said in another way."""

MAX_SHOWN = 400
"""Characters of the text of a single row."""


class RowCount(TypedDict):
    """count: None where it takes too long; about: it is not exact"""

    count: int | None
    about: bool


class ShownRow(TypedDict):
    """A single row: its key as in an address, and the text that is to be classified."""

    key: str
    text: str | None


class Followed(TypedDict, total=False):
    """The job that answers new rows, and how far it is; `url` of its page."""

    job: int
    state: str
    url: str


class Facts(TypedDict, total=False):
    """The choices, and what the chosen ones mean for the table; what follows `labels` only where a
    classifier is chosen.

    rows:      by "all", "unlabelled" and "filter"
    following: by the title of the classifier
    taken:     columns that are there already, and that the classifier did not write
    sql:       a query that gives the same labels without writing them
    """

    classifiers: list[dict[str, Any]]
    classifier: str | None
    filters: list[str]
    rows: dict[str, RowCount]
    proposed_rows: str
    row: ShownRow | None
    followed_by: list[str]
    following: dict[str, Followed]
    labels: tuple[str, ...]
    columns: dict[str, str]
    taken: list[str]
    triggers: list[str]
    triggers_say: str
    sql: str | None


@dataclass(frozen=True)
class Choice:
    """A classifier that fits the table.

    used:   it is the version that the name alone stands for
    remote: texts are sent somewhere else
    paid:   its answers cost money
    batch:  its service takes many requests at once, for less
    """

    classifier: Classifier
    used: bool
    remote: bool = False
    paid: bool = False
    batch: bool = False

    @property
    def title(self) -> str:
        return self.classifier.title

    def to_dict(self) -> dict[str, Any]:
        """For the page's script."""
        classifier = self.classifier
        return {
            "classifier": classifier.name,
            "version": classifier.version,
            "title": classifier.title,
            "used": self.used,
            "source": classifier.task.source,
            "kind": classifier.labels.kind,
            "one_label": classifier.labels.exclusive,
            "trainer": classifier.trainer,
            "leaves_machine": self.remote,
            "costs_money": self.paid,
            "batch": self.batch,
            "columns": dict(named_columns(classifier).items()),
        }


def choices(conn: sqlite3.Connection, table: str) -> list[Choice]:
    """The classifiers whose text columns the table has: versions in use first, by name."""
    columns = set(relation(conn, table).columns)
    fitting = [c for c in list_classifiers(conn) if columns.issuperset(c.task.text)]
    used = used_ids(conn, fitting)
    every = (_choice(classifier, used=classifier.id in used) for classifier in fitting)
    return sorted(filter(None, every), key=lambda choice: not choice.used)


def _choice(classifier: Classifier, *, used: bool) -> Choice | None:
    """None when its trainer is not installed here."""
    try:
        service = service_of(classifier)
    except TrainingError:
        return None
    if service is None:
        return Choice(classifier, used)
    able = service.capabilities
    return Choice(classifier, used, able.leaves_machine, able.costs_money, able.batch)


def pick(allowed: Sequence[Choice], name: str) -> Choice:
    """The one called `name` (its version in use) or `name@version`.

    Raises ClassifierNotFound for one that is not there, does not fit the table or may not be
    seen; the message does not say which.
    """
    for choice in allowed:
        if name in (choice.title, choice.classifier.name):
            return choice
    known = ", ".join(choice.classifier.name for choice in allowed if choice.used)
    if not name:
        raise ClassifierNotFound(f"Choose a classifier: there is {known or 'none for this table'}.")
    raise ClassifierNotFound(
        f"No classifier {name} fits the columns of this table: there is {known or 'none'}."
    )


def facts(conn: sqlite3.Connection, form: Form, allowed: Sequence[Choice]) -> Facts:
    """Raises SourceError for a filter or a row that does not fit."""
    target = relation(conn, form.table)
    chosen = _chosen(conn, form, allowed)
    filters = read_filters(conn, target.name, form.filters)
    following = _following(conn, target, allowed)
    data: Facts = {
        "classifiers": [choice.to_dict() for choice in allowed],
        "classifier": None if chosen is None else chosen.title,
        "filters": list(filters.texts),
        "rows": {},
        "proposed_rows": "all",
        "row": None,
        "followed_by": list(following),
        "following": following,
    }
    if chosen is None:
        return data
    classifier = chosen.classifier
    rows = _counts(conn, target, classifier, filters)
    unlabelled = "unlabelled" in rows and rows["unlabelled"]["count"] != 0
    return {
        **data,
        "rows": rows,
        "proposed_rows": "unlabelled" if unlabelled else "all",
        "row": _row(conn, target, classifier, form.row) if form.row else None,
        "labels": classifier.labels.names,
        "columns": dict(named_columns(classifier, form.prefix).items()),
        "taken": _taken(conn, target, classifier, form),
        "triggers": (triggers := _triggers(conn, target, form, classifier)),
        "triggers_say": triggers_sentence(target.name, triggers),
        "sql": _sql(classifier, target),
    }


def _chosen(conn: sqlite3.Connection, form: Form, allowed: Sequence[Choice]) -> Choice | None:
    """The classifier that the form names, else the one that commands would take."""
    try:
        name = form.classifier or find_for_table(conn, form.table).title
        return pick(allowed, name)
    except FtclassifyError:
        return allowed[0] if allowed else None


def _counts(
    conn: sqlite3.Connection, target: Relation, classifier: Classifier, filters: RowFilter
) -> dict[str, RowCount]:
    """By "all", "unlabelled" and "filter"; those without a label only where the table has the label
    columns."""
    found = {"all": _count(conn, target, RowFilter())}
    if found["all"]["count"] is None and target.rowid:
        highest = f"select coalesce(max({quote(target.rowid)}), 0) from {quote(target.name)}"
        found["all"] = {"count": count(conn, highest), "about": True}
    if set(target.columns).issuperset(classifier.task.labels):
        found["unlabelled"] = _unlabelled(conn, target, classifier)
    if filters.where:
        found["filter"] = _count(conn, target, filters)
    return found


def _count(conn: sqlite3.Connection, target: Relation, filters: RowFilter) -> RowCount:
    sql = f"select count(*) from {quote(target.name)} where {condition(filters.where)}"
    try:
        with within(conn, COUNT_SECONDS):
            return {"count": count(conn, sql, dict(filters.params)), "about": False}
    except TooSlow:
        return {"count": None, "about": True}
    except SQLITE_ERRORS as error:
        raise SourceError(f"The filters do not run on {target.name}: {error}.") from error


def _unlabelled(conn: sqlite3.Connection, target: Relation, classifier: Classifier) -> RowCount:
    try:
        with within(conn, COUNT_SECONDS):
            rows = Rows(target, classifier, None, {}, unlabelled=True)
            return {"count": rows.count(conn), "about": False}
    except TooSlow:
        return {"count": None, "about": True}


def _row(conn: sqlite3.Connection, target: Relation, classifier: Classifier, row: str) -> ShownRow:
    where, params = row_condition(target, row)
    if not target.cursor:
        raise SourceError(f"The rows of {target.name} cannot be told apart.")
    found = Rows(target, classifier, where, params, unlabelled=False).after(conn, None, 1)
    if not found:
        raise SourceError(f"Table {target.name} has no row {row}.")
    text = found[0][1]
    return {"key": row, "text": None if text is None else text[:MAX_SHOWN]}


def _taken(
    conn: sqlite3.Connection, target: Relation, classifier: Classifier, form: Form
) -> list[str]:
    """Columns that are there already, and that the classifier did not write."""
    return taken_columns(conn, target, form.wanted_columns(classifier), classifier)


def _triggers(
    conn: sqlite3.Connection, target: Relation, form: Form, classifier: Classifier
) -> list[str]:
    """What the table does whenever one of its rows is written, as by an edit in Datasette."""
    if target.is_view:
        return []
    columns = form.wanted_columns(classifier)
    updates = RowUpdates(target, columns, classifier, overwrite=form.overwrite)
    return list(updates.triggers(conn))


def _following(
    conn: sqlite3.Connection, target: Relation, allowed: Sequence[Choice]
) -> dict[str, Followed]:
    """The classifiers that answer new rows of the table as they come, by title."""
    titles = {choice.classifier.uid: choice.title for choice in allowed}
    found: dict[str, Followed] = {}
    for one in list_following(conn, target.name):
        if one.uid not in titles:
            continue
        try:
            state = get_job(conn, one.job_id).shown_state
        except FtclassifyError:
            state = "failed"
        found[titles[one.uid]] = {"job": one.job_id, "state": state}
    return found


def _sql(classifier: Classifier, target: Relation) -> str | None:
    """A query that gives the same labels without writing them."""
    from ..present.usage_sql import usage_sql

    return usage_sql(replace(classifier, task=replace(classifier.task, source=target.name)))
