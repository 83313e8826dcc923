"""The facts about a job, as its page shows them."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from ..core.database import relation
from ..core.errors import FtclassifyError
from ..core.humanize import counted, dollars, duration
from ..core.job_events import Figures
from ..core.service_model import ServiceIds, checkpoints_of
from ..core.untrusted_json import JsonObject, object_or_empty
from ..jobs.kinds import kind_of
from ..present.jobs import moment
from ..present.usage_sql import SPLIT_ROWS, split_counts, split_sql
from ..store.classifiers import find_by_id
from ..store.jobs.job import Job
from ..store.jobs.states import ACTIONS, ACTIVE, STATES
from ..trainers.registry import list_services
from . import charts
from .page_request import PageRequest
from .permissions import may_read_ours

RUNS_NO_JOBS = (
    "This server runs no jobs. Its operator can turn its worker on, or run a worker beside it."
)

COUNT_SECONDS = 0.2
"""For counting rows by their splits; of larger tables the page has the query alone."""

MOST_POINTS = 400
"""Of a curve: more than the picture has room for."""

_ALL = "validation, all rows"
_SERIES = {
    "loss": {"train_loss": "training", "valid_loss": "validation", "full_valid_loss": _ALL},
    "accuracy": {
        "train_mean_token_accuracy": "training", "valid_mean_token_accuracy": "validation",
        "valid_accuracy": "validation", "full_valid_mean_token_accuracy": _ALL,
    },
}  # fmt: skip


def is_active(job: Job) -> bool:
    """Whether there is something to wait for."""
    return job.state in ACTIVE


def actions_of(job: Job, *, agreed: bool = True) -> list[str]:
    """The actions that the job allows in its state, without the one that was requested already.

    agreed: whether somebody on this machine has agreed to it
    """
    if not agreed and (job.state == "queued" or job.interrupted):
        return ["run", "cancel"]
    return [
        action for action, states in ACTIONS.items()
        if action != "run" and job.state in states
        and (job.wanted is None or action == "cancel" != job.wanted)
    ]  # fmt: skip


def share_of(job: Job) -> float | None:
    """How far the job is, 0-1; None where nobody knows."""
    if job.state == "finished":
        return 1.0
    if job.total:
        return min(job.rows_done / job.total, 1.0)
    if job.at_service.shown is not None:
        return job.at_service.shown
    percent = re.search(r"(\d{1,3})%$", job.step)
    return min(int(percent[1]) / 100, 1.0) if percent else None


def money_text(job: Job, usd: float) -> str:
    """What was spent, against the limit and the estimate; empty where nothing is paid for."""
    expected, limit = job.terms.usd, job.terms.limit_usd
    if not usd and expected is None and limit is None:
        return ""
    parts = [f"{dollars(usd)} spent"]
    if limit is not None:
        parts.append(f"of at most {dollars(limit)}")
    expects = f"; expected about {dollars(expected)}" if expected is not None else ""
    return " ".join(parts) + expects


def splits_of(conn: sqlite3.Connection, job: Job) -> tuple[str | None, dict[str, int]]:
    """A query that says of each row that was classified whether it was trained on, and how many
    rows that are; nothing where the rows are of another table."""
    columns = job.settings.get("columns")
    written = [columns.get(role) for role in ("label", "score")] if columns else []
    try:
        table = relation(conn, str(job.settings.get("table")))
        shown = [name for name in written if isinstance(name, str) and table.column(name)]
        classifier = find_by_id(conn, int(job.classifier_id or 0))
        label = shown[0] if shown and shown[0] == written[0] else None
        sql = split_sql(conn, classifier, table.name, shown, label)
    except FtclassifyError:
        return None, {}
    return sql, {} if sql is None else split_counts(conn, sql, COUNT_SECONDS)


def query_link(ask: PageRequest, sql: str | None) -> dict[str, str]:
    """The query's page as the link `splits`, for whoever may read what it reads."""
    if sql is None or not may_read_ours(ask.datasette, ask.actor, ask.database, SPLIT_ROWS):
        return {}
    return {"splits": f"{ask.datasette.urls.database(ask.database)}?{urlencode({'sql': sql})}"}


def state_text(job: Job, served: bool, agreed: bool) -> str:
    """What is going on, and what happens or may be done next.

    served: whether this server runs jobs
    agreed: whether somebody on this machine has agreed to the job
    """
    state = job.shown_state
    if state in ("queued", "interrupted") and not agreed:
        return (
            "Waits for agreement: nobody on this server has asked for it, or it was changed since. "
            "It came with the file. See below what it does, then run or cancel it."
        )
    if job.wanted and state == "running":
        by_row = kind_of(job.kind).writes_rows
        when = "after the rows at hand" if by_row else "as soon as it can"
        return f"Was asked to {job.wanted}, and does so {when}."
    nobody = "" if served else f" {RUNS_NO_JOBS}"
    declared = STATES.get(state)
    if declared is None:  # of a stranger's file
        return ""
    waits = declared.active and state != "running"
    return declared.next + (nobody if waits else "")


def took(job: Job) -> str:
    """The duration of a job that has ended; empty for any other."""
    if is_active(job) or not job.started_at:
        return ""
    try:
        began, ended = moment(job.started_at), moment(job.updated_at)
    except ValueError:  # a stranger's file
        return ""
    return duration(max(round((ended - began).total_seconds()), 0))


def service_ids(job: Job, batches: Sequence[tuple[str, str, int]]) -> list[dict[str, str | None]]:
    """What the job has at a service, each a name, an id, and an href of the service's console; None
    where none is known. batches: (id, state, requests)"""
    made, log = ServiceIds.read(_report(job)), job.at_service
    host = made.host or job.terms.host or job.settings.get("host")
    rows = [("training job", "job", made.job or log.job_id), ("model", "model", made.model)]
    files = made.files or log.files
    rows += [(f"file ({name})", "file", value) for name, value in files.items()]
    rows += [("result file", "file", value) for value in made.result_files]
    rows += [(f"batch of {counted(n, 'request')}, {s}", "batch", name) for name, s, n in batches]
    return [
        {"name": name, "id": value, "href": _console(host, what, value)}
        for name, what, value in rows if value
    ]  # fmt: skip


def _report(job: Job) -> JsonObject:
    """Of the training, as its result has it."""
    return object_or_empty((job.result or {}).get("report"))


def _console(host: object, what: str, name: str) -> str | None:
    pages = (service.console_url(str(host), what, name) for service in list_services())
    return next((page for page in pages if page), None)


@dataclass(frozen=True)
class Curves:
    """Loss and accuracy over the steps; columns, rows: their figures as a table, the step first.

    of_what: the accuracy is; services say that of tokens
    """

    loss: charts.Lines | None
    accuracy: charts.Lines | None
    of_what: str
    columns: list[str]
    rows: list[list[float | None]]


def curves(points: Sequence[Figures], marks: Sequence[float]) -> Curves | None:
    """None without two points of either.

    points: as a service reported them, such as {"step": 10, "train_loss": 0.3}
    marks:  steps at which a checkpoint was kept
    """
    rows = [clean for point in points if "step" in (clean := _numbers(point))]
    drawn = {}
    for what, names in _SERIES.items():
        found: dict[str, list[tuple[float, float]]] = {}
        for name, said in names.items():
            points_of = [(row["step"], row[name]) for row in rows if name in row]
            found.setdefault(said, []).extend(points_of)
        lines = {said: thinned(line) for said, line in found.items()}
        drawn[what] = charts.lines(lines, marks=marks, share=what == "accuracy")
    if not any(drawn.values()):
        return None
    columns = [name for names in _SERIES.values() for name in names if any(name in r for r in rows)]
    return Curves(
        drawn["loss"],
        drawn["accuracy"],
        " of tokens" if any("token" in name for name in columns) else "",
        [name.replace("_", " ") for name in columns],
        [[row["step"], *(row.get(name) for name in columns)] for row in thinned(rows)],
    )


def _numbers(point: Figures) -> dict[str, float]:
    return {
        name: value for name, value in point.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    }  # fmt: skip


def thinned(line: Sequence[Any]) -> list[Any]:
    """The first, the last, and as many between them as there is room for."""
    if len(line) <= MOST_POINTS:
        return list(line)
    return [line[round(i * (len(line) - 1) / (MOST_POINTS - 1))] for i in range(MOST_POINTS)]


def checkpoint_steps(job: Job, messages: Sequence[str]) -> list[float]:
    """Steps at which checkpoints were kept, from the events and the result."""
    found = [checkpoint.step for checkpoint in checkpoints_of(_report(job))]
    mentioned = [re.search(r"step (\d{1,12})\b", message) for message in messages]
    return sorted({*map(float, found), *(float(m[1]) for m in mentioned if m)})
