"""Checking the rows of a task as a job, for pages: it may take longer than a request may."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, TypedDict

from ..checks import run_checks
from ..checks.report import Finding
from ..checks.row_conditions import MOST_KEYS
from ..core.database import JsonKey, Relation, condition, json_key, quote, quote_all, relation
from ..core.examples import Record, read_records
from ..core.labels import LabelSet
from ..core.splits import SplitPlan
from ..core.task import Task
from ..core.typed_json import as_json
from ..core.untrusted_json import JsonObject
from ..export import ExportFormat
from ..prompts.tokenizer import DEFAULT_MODEL
from ..store.columns import predicted_columns
from ..store.jobs.job import Job
from ..store.jobs.state import add_job
from ..store.schema import ensure_schema, transaction
from ..trainers.access import Access
from ..trainers.base import TrainerOptions
from ..trainers.configuration import read_access
from ..trainers.registry import get_trainer, list_services
from ..trainers.service import Service
from .agreements import agree
from .lease import Lease
from .settings import CheckSettings, settings_of
from .step_progress import recorded

LISTED = 1_000
"""Keys that are kept of a finding's rows, where a condition leads to all of them."""


def submit_check(
    conn: sqlite3.Connection,
    task: Task,
    plan: SplitPlan,
    *,
    model: str | None = None,
    trainer: str | None = None,
    leaves_machine: bool | None = False,
    fields: Mapping[str, Any] | None = None,
    access: Access | None = None,
) -> Job:
    """A queued job, and a person's agreement to it. Its result is the report of `run_checks`, with
    these of its arguments.

    trainer: whose training is priced; None: as `as_trained_by` says
    fields: JSON, kept with the job: what a page needs to show its form as it was
    """
    settings = CheckSettings(task, plan, model, leaves_machine, trainer, dict(fields or {}))
    ensure_schema(conn)
    with transaction(conn):
        job = add_job(conn, "check", as_json(settings))
        agree(conn, job, access or read_access())
    return job


class RowsDigest:
    """A hash of all that a task reads of its rows, in their order. Takes a tenth of the time of the
    checks, or less."""

    def __init__(self) -> None:
        self._hash = sha256()

    def add(self, record: Record) -> None:
        words = (record.key, record.rendered, record.labels, record.split)
        self._hash.update(repr(words).encode("utf-8", "backslashreplace"))

    @property
    def value(self) -> str:
        return self._hash.hexdigest()


def rows_digest(conn: sqlite3.Connection, task: Task) -> str:
    """Of the rows as they are now. Raises SourceError when the source has changed so that the task
    no longer fits it."""
    digest = RowsDigest()
    for record in read_records(conn, task):
        digest.add(record)
    return digest.value


class Sent(TypedDict, total=False):
    """Arguments of `run_checks`."""

    fmt: Callable[[LabelSet], ExportFormat]
    epochs_for: Callable[[int], int]


def as_trained_by(trainer: object, model: str | None) -> Sent:
    """By which it counts what a training by that trainer would send and
    cost; nothing for one that trains nothing elsewhere.

    trainer: its name; None: a service that trains, rather one whose models answer at once
    Raises TrainingError for an unknown one.
    """
    training = [service for service in list_services() if _takes_examples(service)]
    training.sort(key=lambda service: service.capabilities.deploys)
    service = next(iter(training), None) if trainer is None else get_trainer(str(trainer))
    if not isinstance(service, Service) or not _takes_examples(service):
        return {}
    options = TrainerOptions(model=model or DEFAULT_MODEL)

    def choose(labels: LabelSet) -> ExportFormat:
        return ExportFormat.from_dict(service.choose_format(labels, options))

    return {"fmt": choose, "epochs_for": service.epochs_for}


def _takes_examples(service: Service) -> bool:
    """Whether a training sends examples with their labels there."""
    able = service.capabilities
    return able.trains and not able.learns_here


def run_check(lease: Lease) -> JsonObject:
    """Runs a claimed check. Raises as `run_checks` does; JobError for settings that are none."""
    settings = settings_of(lease.job, CheckSettings)
    task, plan = settings.task, settings.plan
    priced = as_trained_by(settings.trainer, settings.model)
    source = relation(lease.conn, task.source)
    before = rows_digest(lease.conn, task)
    report = run_checks(
        lease.conn,
        task,
        plan=plan,
        model=settings.model,
        leaves_machine=settings.leaves_machine,
        seed=plan.seed,
        most_keys=MOST_KEYS,
        predicted=predicted_columns(lease.conn, source),
        progress=recorded(lease),
        **priced,
    )
    # The digest must be of these very rows, since later calls compare theirs with it.
    same = rows_digest(lease.conn, task) == before
    findings = [replace(f, keys=_keys(lease.conn, source, f)) for f in report.findings]
    report = replace(report, findings=findings)
    return {**as_json(report), "rows_digest": before if same else None}


def _keys(conn: sqlite3.Connection, source: Relation, finding: Finding) -> Sequence[JsonKey]:
    """As many as are stored, those of the rows that the finding's own condition selects."""
    if finding.suggestions:  # which have an order
        return [row["key"] for row in finding.details["rows"]]
    if not finding.where or not source.identity or finding.groups:
        return finding.keys
    columns, table = quote_all(source.identity), quote(source.name)
    sql = f"select {columns} from {table} where {condition(finding.where)} limit ?"
    return [json_key(row) for row in conn.execute(sql, [LISTED])]
