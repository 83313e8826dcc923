"""The columns that predictions are written to: their names, and which of them are ours."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..core.database import Relation, quote
from ..core.errors import PredictError
from ..core.foreign_keys import find_lookup
from ..core.labels import LabelSet
from ..core.sqlite_errors import SQLITE_ERRORS
from ..store.classifiers import Classifier
from ..store.columns import column_owners, own_column
from .load_classifier import TrainedModel, service_of

ROLES = ("label", "score", "logprob", "logprobs", "raw", "reason", "known", "group", "fingerprint")
"""What a column may hold. `raw` is what a language model said, `reason` why a row has no label,
`known` how much its text is like the training rows, `group` which group of labels a row without
label is in, `fingerprint` what the answer was made from
(see `fingerprints`)."""

LABEL_SCORE = "label_score:"
"""What the role of a column begins with that holds the probability of one label, which follows."""

MOST_LABEL_SCORES = 100
"""Such columns in a table: more are read by nobody, and SQLite has room for 2,000 in all."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns to write; None for one that is not written.

    label_scores: by the name of a label, of columns for its probability
    Raises TypeError for names of those that are no texts.
    """

    label: str | None
    score: str | None
    logprob: str | None
    logprobs: str | None
    raw: str | None = None
    reason: str | None = None
    known: str | None = None
    group: str | None = None
    fingerprint: str | None = None
    label_scores: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not all(isinstance(name, str) for pair in self.label_scores.items() for name in pair):
            raise TypeError("a column of a label's probability has no name")

    @classmethod
    def named(cls, prefix: str, roles: Sequence[str] = ROLES[:4]) -> Columns:
        """PREFIX_label and so on."""
        names: dict[str, Any] = {
            role: f"{prefix}_{role}" if role in roles else None for role in ROLES
        }
        return cls(**names)

    def renamed(self, names: Mapping[str, str]) -> Columns:
        """With other names for some roles; an empty one leaves the column out."""
        given: dict[str, Any] = {role: name or None for role, name in names.items()}
        return replace(self, **given)

    def with_group(self, there: bool) -> Columns:
        """With a column for the group of labels beside that of the label, or without one."""
        name = f"{self.label.removesuffix('_label')}_group" if there and self.label else None
        return replace(self, group=name)

    def items(self) -> list[tuple[str, str]]:
        """(role, column) of those that are written."""
        roles = [(role, getattr(self, role)) for role in ROLES]
        scores = [(LABEL_SCORE + label, name) for label, name in self.label_scores.items()]
        return [(role, name) for role, name in [*roles, *scores] if name]

    def to_dict(self) -> dict[str, Any]:
        """Without what earlier versions did not know and nobody asks for."""
        said = asdict(self)
        for later in ("known", "group", "fingerprint", "label_scores"):
            if not said[later]:
                del said[later]
        return said


def column_prefix(classifier_name: str) -> str:
    """The classifier's name as the start of a column name: letters, digits and underscores."""
    return re.sub(r"\W+", "_", classifier_name).strip("_") or "ft"


def usual_columns(
    classifier: TrainedModel,
    prefix: str = "",
    *,
    known: bool = False,
    min_known: float | None = None,
    label_scores: bool = False,
    fingerprint: bool = True,
) -> Columns:
    """What is written where nobody chooses, named with the prefix or after the classifier: also
    `raw` and `reason` of answers that may be anything, and `reason` where texts may be too unlike.

    known:        with that column, which only local models can fill
    label_scores: with one for the probability of each label
    fingerprint:  with that column, which rows of a table have
    """
    service = service_of(classifier)
    roles = {*ROLES[:4]} | ({"fingerprint"} if fingerprint else set())
    if service is not None and service.capabilities.says_anything:
        roles |= {"raw", "reason"}
    roles |= {"known"} if known else set()
    roles |= set() if min_known is None else {"reason"}
    prefix = prefix or column_prefix(classifier.name)
    columns = Columns.named(prefix, sorted(roles))
    if label_scores:
        return replace(columns, label_scores=label_score_columns(classifier.labels, prefix))
    return columns


def label_score_columns(
    labels: LabelSet, prefix: str, kept: Mapping[str, str] | None = None
) -> dict[str, str]:
    """By label, PREFIX_score_LABEL with letters, digits and underscores, each name once.

    kept: of some labels, whose columns have names already
    Raises PredictError for more labels than MOST_LABEL_SCORES.
    """
    if len(labels) > MOST_LABEL_SCORES:
        raise PredictError(
            f"{len(labels):,} labels are more than the {MOST_LABEL_SCORES} that can have a column "
            "each for their probability: write those of all labels into one column instead.",
            fields=("label_scores",),
        )
    found = {label: column for label, column in (kept or {}).items() if label in labels.names}
    taken = {column.lower() for column in found.values()}
    for number, label in enumerate(labels.names, 1):
        if label in found:
            continue
        name = prefix + _score_suffix(label, number)
        while name.lower() in taken:
            name += f"_{number}"
        taken.add(name.lower())
        found[label] = name
    return found


def _score_suffix(label: str, number: int) -> str:
    plain = re.sub(r"\W+", "_", label).strip("_")[:60]
    return f"_score_{plain or number}"


def label_scores_now(former: Mapping[str, str], labels: LabelSet) -> dict[str, str]:
    """Columns for the labels of a newer version: those that the former one filled, also where a
    label is gone, and new ones named alike; without these where `labels` are too many."""
    suffixes = ((column, _score_suffix(label, 0)) for label, column in former.items())
    prefixes = (column[: -len(end)] for column, end in suffixes if column.endswith(end))
    prefix = next(prefixes, None)
    if prefix is None or len(labels) > MOST_LABEL_SCORES:
        return dict(former)
    found = label_score_columns(labels, prefix, former)
    taken = {column.lower() for column in found.values()}
    return found | {label: c for label, c in former.items() if c.lower() not in taken}


def check_columns(
    conn: sqlite3.Connection,
    target: Relation,
    columns: Columns,
    classifier: Classifier,
    overwrite: bool,
) -> None:
    """Raises PredictError when a column to write exists and was not made for predictions,
    LabelError for the score of a label that the classifier does not have, and for which no version
    of it has made the column."""
    task = classifier.task
    owners = column_owners(conn, target.name)
    for name, column in columns.label_scores.items():
        if owners.get(target.column(column) or "") != classifier.name:
            classifier.position_of(name)
    for _, column in columns.items():
        there = target.column(column)
        if there is None:
            continue
        if there in (*target.primary_key, *task.text, *task.labels, task.split_column):
            raise PredictError(f"Column {there} is what the classifier reads: choose another name.")
    label = target.column(columns.label) if columns.label else None
    if label and (changed := _changed_by(conn, target.name, label, classifier.labels)):
        raise PredictError(
            f"Column {label} of {target.name} has a type in which the label {changed} would become "
            f"another value: drop it (alter table {quote(target.name)} drop column {quote(label)})"
            " so that it is made anew, or choose another prefix."
        )
    taken = taken_columns(conn, target, columns, classifier)
    if taken and not overwrite:
        raise PredictError(
            f"Table {target.name} already has a column {taken[0]}: choose another prefix, "
            "or allow overwriting.",
            fields=("columns_prefix", "prefix", "overwrite"),
        )


def _changed_by(conn: sqlite3.Connection, table: str, column: str, labels: LabelSet) -> str | None:
    """A label that the column, as it is declared, would not give back as it is."""
    if not labels.exclusive:
        return None
    sql = "select type from pragma_table_xinfo(?) where name = ?"
    (type_,) = conn.execute(sql, [table, column]).fetchone()
    declared = f"{quote(type_)} " if type_ else ""
    strict = " strict" if _is_strict(conn, table) else ""
    with closing(sqlite3.connect(":memory:")) as trial:
        try:
            trial.execute(f"create table t (id integer primary key, c {declared}){strict}")
            trial.executemany("insert into t (c) values (?)", [(value,) for value in labels.values])
        except SQLITE_ERRORS:
            return labels.names[0]
        kept = [value for (value,) in trial.execute("select c from t order by id")]
    for name, value, back in zip(labels.names, labels.values, kept, strict=True):
        if back != value or isinstance(back, str) != isinstance(value, str):
            return name
    return None


def _is_strict(conn: sqlite3.Connection, table: str) -> bool:
    if sqlite3.sqlite_version_info < (3, 37):
        return False
    row = conn.execute("select strict from pragma_table_list(?)", [table]).fetchone()
    return bool(row and row[0])


def taken_columns(
    conn: sqlite3.Connection, target: Relation, columns: Columns, classifier: Classifier
) -> list[str]:
    """Those of the columns that the table has, and that this classifier did not fill."""
    owners = column_owners(conn, target.name)
    names = (target.column(column) for _, column in columns.items())
    return [name for name in names if name is not None and owners.get(name) != classifier.name]


def make_columns(
    conn: sqlite3.Connection, target: Relation, columns: Columns, classifier: Classifier
) -> bool:
    """Adds those that are missing, and notes that they are ours; whether any was missing. Call
    inside a transaction."""
    label = classifier.labels.sqlite_type or ("ANY" if _is_strict(conn, target.name) else "")
    label += _reference(conn, classifier)
    types = {"label": label, "score": "REAL", "logprob": "REAL", "known": "REAL"}
    types["fingerprint"] = "INTEGER"
    table = quote(target.name)
    missing = [column for _, column in columns.items() if target.column(column) is None]
    for role, column in columns.items():
        if column in missing:
            type_ = "REAL" if role.startswith(LABEL_SCORE) else types.get(role, "TEXT")
            conn.execute(f"alter table {table} add column {quote(column)} {type_}")
        own_column(conn, target.name, target.column(column) or column, classifier.name, role)
    return bool(missing)


def _reference(conn: sqlite3.Connection, classifier: Classifier) -> str:
    """What makes a column of keys refer to the table that names them, so that Datasette shows the
    names as it does in the label column. When such a row is deleted, and foreign keys are enforced,
    the predictions do not stand in the way."""
    lookup = find_lookup(conn, classifier.task) if classifier.labels.lookup else None
    if lookup is None:
        return ""
    return f" references {quote(lookup.table)} ({quote(lookup.key)}) on delete set null"
