"""What a check has found, for the page: how far it is, its findings with links to their very rows,
and the figures behind its pictures."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from datasette.utils import tilde_encode
from datasette.utils.asgi import NotFound, Response

from ...checks.codes import SEVERITIES
from ...checks.report import Finding, Proposal
from ...checks.report_data import Lengths
from ...core.database import Cell, Relation, json_key, meant_by, relation
from ...core.errors import ArtifactError, FtclassifyError
from ...core.humanize import rows_text
from ...core.label_kinds import KINDS
from ...core.label_notations import delimiter_words, name_list
from ...core.literals import literal
from ...core.task import Task
from ...jobs.finding_rows import read_finding_rows
from ...jobs.settings import CheckSettings, settings_of
from ...jobs.stored_check import StoredCheck, read_check
from ...store.jobs.job import Job
from ...store.jobs.state import get_job
from .. import charts
from ..background_reads import read_uri
from ..column_suggestions import TablePreview
from ..filters import Pair
from ..finding_links import rows_url
from ..job_facts import is_active
from ..page_request import PageRequest
from ..permissions import TRAIN, may_edit
from ..registry import page
from ..responses import show

PAGE_ROWS = 50


def find_check(
    conn: sqlite3.Connection, number: str, table: str, closed: Collection[str]
) -> Job | None:
    """The check of that table with that number; None when there is none, or it is damaged.

    closed: columns whose labels are not told, see `PageRequest`
    """
    try:
        job = get_job(conn, int(number))
        task = settings_of(job, CheckSettings).task
    except (ValueError, OverflowError, FtclassifyError):
        return None
    told = not any(label.lower() in closed for label in task.labels)
    return job if told and job.kind == "check" and task.source == table else None


@dataclass(frozen=True)
class JobProgress:
    """How far a job is, in a few words; cheap, for a page that polls."""

    id: int
    state: str
    active: bool
    step: str
    error: str | None


def progress_of(job: Job) -> JobProgress:
    return JobProgress(job.id, job.shown_state, is_active(job), job.step, job.error)


def is_about(job: Job, look: TablePreview) -> bool:
    """Whether the check was of what is chosen now."""
    settings, choices = settings_of(job, CheckSettings), look.choices
    task = settings.task
    try:
        now, merged = choices.plan(), choices.merged_labels
    except FtclassifyError:
        return False
    return (
        (task.template or "") == choices.template
        and (bool(choices.template) or task.text == choices.text)
        and (task.markup or "") == choices.markup
        and task.labels == choices.label
        and (task.split_column or "") == choices.split_column
        and (not choices.kind or task.kind == choices.kind)
        and (not choices.delimiter or task.delimiter == choices.delimiter)
        and list(task.label_names) == name_list(choices.label_names)
        and list(task.merged) == merged
        and (task.where, dict(task.params)) == (look.filter.where, dict(look.filter.params))
        and settings.plan == now
    )


@dataclass(frozen=True)
class LengthsOnPage:
    """Of texts in a unit: figures, and the histogram of them."""

    figures: Lengths
    picture: charts.Histogram | None


@dataclass(frozen=True)
class Pictures:
    """labels: bars, and `links` to the rows of each; lengths: by unit"""

    labels: list[charts.Bar]
    links: dict[str, str]
    lengths: dict[str, LengthsOnPage]


def check_or_none(job: Job) -> StoredCheck | None:
    """What a check that has ended well has found; None for what a stranger's file has damaged."""
    if job.state != "finished":
        return None
    try:
        return read_check(job)
    except ArtifactError:
        return None


def report_of(ask: PageRequest, check: StoredCheck, source: Relation) -> dict[str, Any]:
    """What a check has found, as `checks.CheckReport` has it; `read_as` is how labels were read, in
    words. Findings have the `url` of their rows, and `set`, JSON of the fields that put it right,
    which a `button` says in words."""
    findings = []
    for found in check.findings:
        proposal = found.proposal
        findings.append({
            "code": found.code, "severity": found.severity, "count": found.count,
            "message": found.message, "advice": found.advice,
            "set": json.dumps(proposal) if proposal else None,
            "button": _button(proposal) if proposal else None,
            "url": rows_url(ask, found, source),
        })  # fmt: skip
    reading = check.task.label_reading
    return {
        "rows": check.rows,
        "distributions": check.distributions,
        "sample": [{**row, "url": row_url(ask, source, row["key"])} for row in check.sample],
        "splits": check.splits,
        "tokens": check.tokens,
        "findings": findings,
        "severities": [
            {"name": severity, "count": sum(f.severity == severity for f in check.findings)}
            for severity in SEVERITIES
        ],
        "kind": check.task.kind,
        "delimiter": check.task.delimiter,
        "read_as": f"{reading.kind}{reading.words}",
    }


def _button(proposal: Proposal) -> str:
    """What a button says that sets these fields of a task."""
    if "delimiter" in proposal:
        return f"Read several labels with {delimiter_words(proposal['delimiter'])} between them"
    return "Count each as one label" if "merged" in proposal else "Read HTML as its words"


def row_url(ask: PageRequest, source: Relation | None, key: Sequence[Cell]) -> str | None:
    """The row's own page; None for a row without one, as in a view. key: as it is, or as shown"""
    if source is None or source.is_view or len(key) != len(source.identity):
        return None
    if not source.primary_key and source.rowid != "rowid":
        return None  # Datasette finds such rows by the column of that name
    if not all(map(partial(_is_in_addresses, source), source.identity, json_key(key))):
        return None
    path = ",".join(tilde_encode(str(cell)) for cell in key)
    return str(ask.datasette.urls.row(ask.database, source.name, path)) if path else None


def _is_in_addresses(source: Relation, column: str, cell: Cell) -> bool:
    """Whether Datasette finds a row by the text of this cell of its key."""
    if literal(cell) is None or len(meant_by(cell)) > 1:
        return False
    return isinstance(cell, str) or column not in source.typeless


def pictures_of(ask: PageRequest, check: StoredCheck) -> Pictures:
    """Bars of the labels, each with a link to its rows, and histograms of the lengths."""
    counts: dict[str, int] = {}
    for by_label in check.distributions["labels"].values():
        for name, rows in by_label.items():
            counts[name] = counts.get(name, 0) + rows
    table = ask.table_url(check.task.source)
    keys = check.distributions.get("keys", {})
    links = {
        name: f"{table}?{urlencode([pair])}"
        for name in counts
        if (pair := label_filter(check.task, keys.get(name, name)))
    }
    lengths = {}
    for unit in ("characters", "tokens"):
        if found := check.distributions[unit]:
            bins = [charts.HistogramBin(b["from"], b["to"], b["count"]) for b in found["bins"]]
            lengths[unit] = LengthsOnPage(found, charts.histogram(bins))
    return Pictures(charts.bars(counts), links, lengths)


def label_filter(task: Task, name: str) -> Pair | None:
    """The filter of the table's page for the rows with a label; None where it has none."""
    if len(task.labels) > 1:
        return (f"{name}__exact", "1") if name in task.labels else None
    column = task.labels[0]
    if KINDS[task.kind].exclusive:
        return f"{column}__exact", name
    return None if task.delimiter or task.notation else (f"{column}__arraycontains", name)


@dataclass(frozen=True)
class Group:
    """Rows of a finding that are to be read together: their number from 1 on, how many they are,
    and how many of them are listed."""

    number: int
    rows: int
    listed: int


def _groups_of(finding: Finding, start: int) -> list[Group]:
    """Of each row of a finding from number `start` on, where rows are to be read together."""
    found = [
        Group(number, group.rows, len(group.keys))
        for number, group in enumerate(finding.groups, 1)
        for _ in group.keys
    ]
    return found[start:]


async def review_url(ask: PageRequest, table: str, check: Job | None) -> str | None:
    """Where the rows that a check calls probably mislabelled are reviewed, for who may."""
    if check is None or not await may_edit(*ask.visitor, table):
        return None
    return ask.url("review", table=table, queue="mislabelled", check=check.id)


@page("/jobs/{id}/finding/{number}", reads=TRAIN, writes=None)
async def finding_page(ask: PageRequest) -> Response:
    """The rows of a finding that no table page can list, from the one with number `start` on."""
    job = ask.job
    number = int(ask.request.url_vars["number"])
    if job is None or job.kind != "check" or not job.result:
        raise NotFound(_NO_FINDING)
    check = read_check(job)
    if number >= len(check.findings):
        raise NotFound(_NO_FINDING)
    finding = check.findings[number]
    start = ask.number("start") or 0
    task = settings_of(job, CheckSettings).task
    source = await ask.read(lambda conn: relation(conn, task.source))
    found = await asyncio.to_thread(
        read_finding_rows, read_uri(ask), job.id, number, start, PAGE_ROWS + 1
    )
    groups, suggestions = _groups_of(finding, start), finding.suggestions[start:]
    rows = []
    for place, row in enumerate(found):
        shown = {**row, "url": row_url(ask, source, row["key"])}
        if place < len(groups):
            shown["group"] = asdict(groups[place])
        if place < len(suggestions):
            shown["suggested"] = suggestions[place]
        rows.append(shown)
    fields = ("code", "severity", "count", "message", "advice")
    data = {"finding": {name: getattr(finding, name) for name in fields}, "start": start,
            "columns": [*task.text, *task.labels], "rows": rows[:PAGE_ROWS],
            "more": len(rows) > PAGE_ROWS}  # fmt: skip
    more = {
        "source": source.name,
        "listed": "All rows" if finding.lists_all else f"The first {rows_text(len(finding.keys))}",
        "identity": source.identity or ("row",),
        "next": ask.url("jobs", job.id, "finding", number, start=start + PAGE_ROWS),
        "back": ask.url("train", table=source.name, check=job.id),
        "review": await review_url(ask, ask.table, job)
        if finding.code == "likely-mislabelled"
        else None,
    }
    return await show(ask, data, more=more)


_NO_FINDING = "There is no such finding: check the rows again."
