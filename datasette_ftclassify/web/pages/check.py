"""What a check has found, for the page: how far it is, its findings with links to their very rows,
and the figures behind its pictures."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from datasette.utils import tilde_encode
from datasette.utils.asgi import NotFound

from ...checks.codes import SEVERITIES
from ...core.database import Relation, relation
from ...core.errors import FtclassifyError
from ...core.label_kinds import KINDS
from ...core.label_notations import delimiter_words, name_list
from ...core.task import Task
from ...jobs.finding_rows import read_finding_rows
from ...jobs.settings import CheckSettings, settings_of
from ...store.jobs.job import Job
from ...store.jobs.state import get_job
from .. import charts
from ..background_reads import read_uri
from ..filters import Pair
from ..finding_links import rows_url
from ..permissions import TRAIN, may_edit
from ..registry import page
from ..responses import show

if TYPE_CHECKING:
    from datasette.utils.asgi import Response

    from ..column_suggestions import TablePreview
    from ..page_request import PageRequest

PAGE_ROWS = 50


def find_check(conn: sqlite3.Connection, number: str, table: str) -> Job | None:
    """The check of that table with that number; None when there is none, or it is damaged."""
    try:
        job = get_job(conn, int(number))
        source = settings_of(job, CheckSettings).task.source
    except (ValueError, OverflowError, FtclassifyError):
        return None
    return job if job.kind == "check" and source == table else None


def progress_of(job: Job) -> dict[str, Any]:
    """How far a check is, in a few words; cheap, for a page that polls."""
    state = "interrupted" if job.interrupted else job.state
    active = state in ("queued", "running", "interrupted")
    return {"id": job.id, "state": state, "active": active, "step": job.step, "error": job.error}


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


def report_of(
    ask: PageRequest, job: Job, source: Relation
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The report of a check that has ended well, its findings with addresses of their rows, and
    its pictures; None for what a stranger's file has damaged."""
    if job.state != "finished" or job.result is None:
        return None, None
    try:
        report = _report(ask, job, job.result, source)
        return report, _pictures(ask, report, job.result["task"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None, None


def _report(
    ask: PageRequest, job: Job, result: Mapping[str, Any], source: Relation
) -> dict[str, Any]:
    findings = []
    for number, finding in enumerate(result["findings"]):
        told = {k: finding[k] for k in ("code", "severity", "count", "message", "advice")}
        proposed = (finding.get("details") or {}).get("set")
        told["set"] = json.dumps(proposed) if proposed else None
        told["button"] = _button(proposed) if proposed else None
        findings.append({**told, "url": rows_url(ask, finding, source, job.id, number)})
    worst = [{"name": s, "count": sum(f["severity"] == s for f in findings)} for s in SEVERITIES]
    reading = Task.from_dict(result["task"]).label_reading
    read_as = reading.kind + reading.words
    kept = ("rows", "distributions", "sample", "splits", "tokens")
    sample = [{**row, "url": row_url(ask, source, row["key"])} for row in result["sample"]]
    return {**{name: result[name] for name in kept}, "sample": sample, "findings": findings,
            "severities": worst, "kind": result["task"]["kind"],
            "delimiter": result["task"]["delimiter"], "read_as": read_as}  # fmt: skip


def _button(proposed: Mapping[str, Any]) -> str:
    """What a button says that sets these fields of a task."""
    if "delimiter" in proposed:
        return f"Read several labels with {delimiter_words(proposed['delimiter'])} between them"
    return "Count each as one label" if "merged" in proposed else "Read HTML as its words"


def row_url(ask: PageRequest, source: Relation, key: list[Any]) -> str | None:
    """The row's own page; None for a row without one, as in a view."""
    if source.is_view or len(key) != len(source.identity) or None in key:
        return None
    path = ",".join(tilde_encode(str(cell)) for cell in key)
    return str(ask.datasette.urls.row(ask.database, source.name, path))


def _pictures(
    ask: PageRequest, report: Mapping[str, Any], task: Mapping[str, Any]
) -> dict[str, Any]:
    """Bars of the labels, each with a link to its rows, and histograms of the lengths."""
    counts: dict[str, int] = {}
    for by_label in report["distributions"]["labels"].values():
        for name, rows in by_label.items():
            counts[name] = counts.get(name, 0) + rows
    table = str(ask.datasette.urls.table(ask.database, task["source"]))
    links = {
        name: f"{table}?{urlencode([pair])}"
        for name in counts
        if (pair := label_filter(task, report["distributions"].get("keys", {}).get(name, name)))
    }
    lengths = {}
    for unit in ("characters", "tokens"):
        found = report["distributions"].get(unit)
        if found:
            lengths[unit] = {**found, "picture": charts.histogram(found["bins"])}
    return {"labels": charts.bars(counts), "links": links, "lengths": lengths}


def label_filter(task: Mapping[str, Any], name: str) -> Pair | None:
    """The filter of the table's page for the rows with a label; None where it has none."""
    if len(task["labels"]) > 1:
        return (f"{name}__exact", "1") if name in task["labels"] else None
    column = task["labels"][0]
    kind = KINDS.get(str(task["kind"]))
    if kind is None or kind.exclusive:
        return f"{column}__exact", name
    plain = not (task["delimiter"] or task.get("notation"))
    return None if not plain else (f"{column}__arraycontains", name)


def _groups_of(finding: Mapping[str, Any], start: int) -> list[dict[str, int]]:
    """Of each row of a finding from number `start` on the group it belongs to, where rows are to be
    read together: its number from 1 on, its `rows`, and how many of them are `listed`."""
    found = [
        {"number": number, "rows": group["rows"], "listed": len(group["keys"])}
        for number, group in enumerate(finding.get("groups") or (), 1)
        for _ in group["keys"]
    ]
    return found[start:]


async def review_url(ask: PageRequest, job: Job, finding: Mapping[str, Any]) -> str | None:
    """Where the rows of a finding with suggested labels are reviewed, for who may."""
    if finding["code"] != "likely-mislabelled":
        return None
    table = str(ask.table)
    if not await may_edit(ask.datasette, ask.actor, ask.database, table):
        return None
    return ask.url("review", table=table, queue="mislabelled", check=job.id)


def _suggestions(finding: Mapping[str, Any]) -> list[str]:
    """Of each row of a finding the label that is suggested, where there is one."""
    rows = (finding.get("details") or {}).get("rows") or ()
    return [str(row.get("suggested", "")) for row in rows]


@page("/jobs/{id}/finding/{number}", "job", "ftclassify_finding.html", reads=TRAIN, writes=None)
async def finding_page(ask: PageRequest) -> Response:
    """GET …/jobs/ID/finding/N?start=0: the rows of a finding that no table page can list."""
    job = ask.job
    number = int(ask.request.url_vars["number"])
    findings = (job.result or {}).get("findings") if job and job.kind == "check" else None
    if job is None or not isinstance(findings, list) or number >= len(findings):
        raise NotFound("There is no such finding: check the rows again.")
    finding = findings[number]
    start = ask.number("start") or 0
    try:
        task = settings_of(job, CheckSettings).task
        shown = {k: finding[k] for k in ("code", "severity", "count", "message", "advice")}
        complete = finding["where"] or finding["count"] == len(finding["keys"])
        listed = "All rows" if complete else f"The first {len(finding['keys']):,} rows"
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise FtclassifyError(
            "This check is damaged in this file: check the rows again."
        ) from error
    source = await ask.read(lambda conn: relation(conn, task.source))
    rows = await asyncio.to_thread(
        read_finding_rows, read_uri(ask), job.id, number, start, PAGE_ROWS + 1
    )
    for row, group in zip(rows, _groups_of(finding, start), strict=False):
        row["group"] = group
    for row, suggested in zip(rows, _suggestions(finding)[start:], strict=False):
        row["suggested"] = suggested
    for row in rows:
        row["url"] = row_url(ask, source, row["key"])
    data = {"finding": shown, "start": start, "columns": [*task.text, *task.labels],
            "rows": rows[:PAGE_ROWS], "more": len(rows) > PAGE_ROWS}  # fmt: skip
    more = {
        "source": source.name,
        "listed": listed,
        "is_view": source.is_view,
        "identity": source.identity or ("row",),
        "next": ask.url("jobs", job.id, "finding", number, start=start + PAGE_ROWS),
        "back": ask.url("train", table=source.name, check=job.id),
        "review": await review_url(ask, job, finding),
    }
    return await show(ask, data, more=more)
