"""Prediction into columns: every row once, however often the process dies.

Rows are taken in the order of a key that SQLite guarantees (the rowid, or the primary key of a
WITHOUT ROWID table). The answers of a batch and the position behind it are committed together, so
an interrupted job goes on after the last row that it wrote.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import PredictError, SourceError
from ..labels import LabelSet
from ..loading import load_answerer
from ..predictions import Answerer, LogprobsJson, Prediction, label_cell
from ..rendering import renderer
from ..sql import Cell, Relation, check_condition, condition, count, quote, quote_all, relation
from ..store.classifiers import Classifier, find_by_uid
from ..store.columns import column_owners, own_column
from ..store.jobs import Job, add_job, save_progress
from ..store.schema import ensure_schema, transaction
from .lease import Lease, leased

BATCH = 1_000
"""Rows between commits."""

RowProgress = Callable[[int, int], None]
"""Called with the rows done and the rows in all."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns to write; None for one that is not wanted."""

    label: str | None
    score: str | None
    logprob: str | None
    logprobs: str | None

    @classmethod
    def named(cls, prefix: str) -> Columns:
        return cls(*(f"{prefix}_{role}" for role in ("label", "score", "logprob", "logprobs")))

    def renamed(self, names: Mapping[str, str]) -> Columns:
        """With other names for some roles; an empty one leaves the column out."""
        return replace(self, **{role: name or None for role, name in names.items()})

    def items(self) -> list[tuple[str, str]]:
        """(role, column) of those that are wanted."""
        return [(role, name) for role, name in asdict(self).items() if name]


@dataclass(frozen=True)
class PredictResult:
    """What a prediction job did: rows in all, rows answered, rows without a text, and how many of
    them an interrupted attempt had already done."""

    columns: Columns
    total: int
    written: int
    skipped: int
    resumed_at: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "rows": self.total,
            "predicted": self.written,
            "skipped": self.skipped,
            "resumed_at": self.resumed_at,
            "columns": asdict(self.columns),
        }


def column_prefix(classifier_name: str) -> str:
    """The classifier's name as the start of a column name: letters, digits and underscores."""
    return re.sub(r"\W+", "_", classifier_name).strip("_") or "ft"


def predict_rows(
    conn: sqlite3.Connection,
    classifier: Classifier,
    table: str,
    *,
    columns: Columns | None = None,
    where: str | None = None,
    params: Mapping[str, Any] | None = None,
    unlabelled: bool = False,
    overwrite: bool = False,
    progress: RowProgress = lambda done, total: None,
) -> PredictResult:
    """Classifies the rows of `table` (all, the unlabelled ones, those that meet `where`).

    Asked again in the same words after an interruption, it goes on where it stopped.
    Rows without a text get NULLs. Columns that this classifier filled before are written again;
    any other existing one needs `overwrite`.
    Raises PredictError when the table cannot be written, SourceError when it does not fit, JobError
    when another process is at it.
    """
    job = submit_predict(
        conn,
        classifier,
        table,
        columns=columns,
        where=where,
        params=params,
        unlabelled=unlabelled,
        overwrite=overwrite,
    )
    with leased(conn, job.id) as lease:
        result = run_predict(lease, progress)
        lease.result = result.to_dict()
    return result


def submit_predict(
    conn: sqlite3.Connection,
    classifier: Classifier,
    table: str,
    *,
    columns: Columns | None = None,
    where: str | None = None,
    params: Mapping[str, Any] | None = None,
    unlabelled: bool = False,
    overwrite: bool = False,
) -> Job:
    """A queued job that does what `predict_rows` says; refuses at once what cannot work."""
    ensure_schema(conn)
    columns = columns or Columns.named(column_prefix(classifier.name))
    settings = {
        "classifier": classifier.title,
        "uid": classifier.uid,
        "table": relation(conn, table).name,
        "columns": asdict(columns),
        "where": where,
        "params": dict(params or {}),
        "unlabelled": unlabelled,
        "overwrite": overwrite,
    }
    _Plan(conn, classifier, settings)
    return add_job(conn, "predict", settings, classifier_id=classifier.id)


def run_predict(lease: Lease, progress: RowProgress) -> PredictResult:
    """Runs a claimed job from its position to the end."""
    conn, job = lease.conn, lease.job
    plan = _Plan(conn, find_by_uid(conn, job.settings["uid"]), job.settings)
    answerer = load_answerer(conn, plan.classifier)
    _make_columns(conn, plan, job)
    resumed_at = job.done + job.skipped
    writer = _Writer(plan.target, plan.columns, plan.classifier.labels)
    while batch := plan.rows.after(conn, job.position):
        lease.check()
        updates = _answers(batch, answerer, writer)
        with transaction(conn):
            _write(conn, batch, updates, writer, job)
        progress(job.done + job.skipped, job.total or 0)
    return PredictResult(plan.columns, job.done + job.skipped, job.done, job.skipped, resumed_at)


class _Plan:
    """What a job's settings mean in the database as it is now. Raises as `predict_rows` does."""

    def __init__(
        self, conn: sqlite3.Connection, classifier: Classifier, settings: Mapping[str, Any]
    ) -> None:
        where, params = settings["where"], settings["params"]
        self.classifier = classifier
        self.columns = Columns(**settings["columns"])
        self.target = _check_target(conn, classifier, settings["table"])
        check_condition(conn, self.target, where, params)
        _check_columns(conn, self.target, self.columns, classifier, settings["overwrite"])
        self.rows = _Rows(self.target, classifier, where, params, settings["unlabelled"])


def _check_target(conn: sqlite3.Connection, classifier: Classifier, table: str) -> Relation:
    target = relation(conn, table)
    if target.is_view:
        raise PredictError(
            f"{target.name} is a view and has no columns of its own to write: predict into the "
            "table behind it, or use ft_classify() in the view."
        )
    if not target.cursor:
        raise PredictError(
            f"Table {target.name} has no primary key and columns called rowid, _rowid_ and oid, "
            "so its rows cannot be told apart: rename one of those columns."
        )
    try:
        target.require_columns(classifier.task.text)
    except SourceError as error:
        raise SourceError(
            f"{classifier.title} reads {', '.join(classifier.task.text)}: {error}"
        ) from error
    return target


class _Rows:
    """The rows to classify, a batch at a time, in the order of the table's cursor."""

    def __init__(
        self,
        target: Relation,
        classifier: Classifier,
        where: str | None,
        params: dict[str, Any],
        unlabelled: bool,
    ) -> None:
        self.params = params
        conditions = [condition(where)]
        if unlabelled:
            conditions.append(_is_unlabelled(target, classifier))
        self._where = " and ".join(conditions)
        self._from = f"from {quote(target.name)} where {self._where}"
        keys = quote_all(target.cursor)
        marks = ", ".join(f":_ft_{i}" for i in range(len(target.cursor)))
        text = quote_all(classifier.task.text)
        self._first = f"select {keys}, {text} {self._from} order by {keys} limit {BATCH}"
        self._next = (
            f"select {keys}, {text} {self._from} and ({keys}) > ({marks})"
            f" order by {keys} limit {BATCH}"
        )
        self._n_keys = len(target.cursor)
        self._render = renderer(classifier.task.text, classifier.task.template)

    def count(self, conn: sqlite3.Connection) -> int:
        """Raises SourceError when the condition does not run."""
        try:
            return count(conn, f"select count(*) {self._from}", self.params)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise SourceError(f"The condition does not run: {error}.") from error

    def after(self, conn: sqlite3.Connection, position: Sequence[Any] | None) -> Batch:
        """The next rows as (key, text); the text is None where there is none to classify."""
        if position is None:
            cursor = conn.execute(self._first, self.params)
        else:
            marks = {f"_ft_{i}": _unpack(value) for i, value in enumerate(position)}
            cursor = conn.execute(self._next, {**self.params, **marks})
        n = self._n_keys
        return [(tuple(row[:n]), self._render(row[n:]).text) for row in cursor]


def _is_unlabelled(target: Relation, classifier: Classifier) -> str:
    target.require_columns(classifier.task.labels)
    return " and ".join(
        f"({quote(column)} is null or trim({quote(column)}) = '')"
        for column in classifier.task.labels
    )


def count_unlabelled(conn: sqlite3.Connection, classifier: Classifier) -> int:
    """Rows of the classifier's own source that it could label."""
    source = relation(conn, classifier.task.source)
    where = f"{condition(classifier.task.where)} and {_is_unlabelled(source, classifier)}"
    sql = f"select count(*) from {quote(source.name)} where {where}"
    return count(conn, sql, dict(classifier.task.params))


def _check_columns(
    conn: sqlite3.Connection,
    target: Relation,
    columns: Columns,
    classifier: Classifier,
    overwrite: bool,
) -> None:
    """Raises PredictError when a column to write is somebody else's."""
    owners = column_owners(conn, target.name)
    task = classifier.task
    for _, column in columns.items():
        name = target.column(column)
        if name is None:
            continue
        if name in (*target.primary_key, *task.text, *task.labels, task.split_column):
            raise PredictError(f"Column {name} is what the classifier reads: choose another name.")
        if owners.get(name) != classifier.name and not overwrite:
            raise PredictError(
                f"Table {target.name} already has a column {name}: choose another prefix, "
                "or allow overwriting (--overwrite)."
            )


def _make_columns(conn: sqlite3.Connection, plan: _Plan, job: Job) -> None:
    """Adds the columns, notes that they are ours, and counts the rows: all or nothing."""
    types = {"label": plan.classifier.labels.sqlite_type, "logprobs": "TEXT"}
    table = quote(plan.target.name)
    try:
        with transaction(conn):
            for role, column in plan.columns.items():
                if plan.target.column(column) is None:
                    type_ = types.get(role, "REAL")
                    conn.execute(f"alter table {table} add column {quote(column)} {type_}")
                own_column(conn, plan.target.name, column, plan.classifier.name, role)
            job.step = "classifying"
            job.total = plan.rows.count(conn)
            save_progress(conn, job)
    except sqlite3.OperationalError as error:
        raise PredictError(f"Table {plan.target.name} cannot get new columns: {error}.") from error


class _Writer:
    """Turns predictions into the values of one UPDATE."""

    def __init__(self, target: Relation, columns: Columns, labels: LabelSet) -> None:
        logprobs_json = LogprobsJson(labels)
        values: dict[str, Callable[[Prediction], Any]] = {
            "label": lambda p: label_cell(labels, p),
            "score": lambda p: p.score,
            "logprob": lambda p: p.logprob,
            "logprobs": lambda p: logprobs_json(p.logprobs),
        }
        self._values = [values[role] for role, _ in columns.items()]
        assignments = ", ".join(f"{quote(name)} = ?" for _, name in columns.items())
        matches = " and ".join(f"{quote(key)} = ?" for key in target.cursor)
        self.sql = f"update {quote(target.name)} set {assignments} where {matches}"

    def parameters(self, prediction: Prediction | None, key: tuple[Cell, ...]) -> list[Any]:
        """The answer and the row's key; NULLs for a row that has no text to classify."""
        if prediction is None:
            return [None] * len(self._values) + list(key)
        return [value(prediction) for value in self._values] + list(key)


Batch = list[tuple[tuple[Cell, ...], str | None]]
"""Rows as (key, text)."""


def _answers(batch: Batch, answerer: Answerer, writer: _Writer) -> list[list[Any]]:
    """The parameters of the UPDATE, for each row. Done before the write lock is taken: whoever
    else wants to write must wait for the writing alone."""
    answers = iter(answerer.answers([text for _, text in batch if text is not None]))
    return [writer.parameters(None if text is None else next(answers), key) for key, text in batch]


def _write(
    conn: sqlite3.Connection, batch: Batch, updates: list[list[Any]], writer: _Writer, job: Job
) -> None:
    conn.executemany(writer.sql, updates)
    answered = sum(text is not None for _, text in batch)
    job.position = [_pack(value) for value in batch[-1][0]]
    job.done += answered
    job.skipped += len(batch) - answered
    job.total = max(job.total or 0, job.done + job.skipped)  # rows may have come since
    save_progress(conn, job)


def _pack(value: Cell) -> Any:
    """A key's value as JSON; a BLOB as an object, so that it comes back as one."""
    return {"blob": value.hex()} if isinstance(value, bytes) else value


def _unpack(value: Any) -> Cell:
    return bytes.fromhex(value["blob"]) if isinstance(value, dict) else value
