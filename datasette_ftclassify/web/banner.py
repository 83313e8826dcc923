"""What we add to Datasette's own pages: a banner while jobs of the table run, problems of the
classifiers that the SQL names, and the styles of our cells. Other pages get nothing."""

from __future__ import annotations

import sqlite3
from typing import Any
from urllib.parse import urlencode

from datasette.app import Datasette

from ..store.jobs.queries import newest_brief, remembered
from .datasette_reads import read_or
from .job_tables import JobTables, JobViewer, tables_of_job
from .named_classifiers import silent_classifiers
from .page_request import page_url
from .static_files import static_name
from .table_cells import columns_of

_MOST = 1_000
"""Active jobs that are looked at; more than a server works at by far."""


async def script_urls(
    datasette: Datasette, request: Any, view: str, database: str | None, table: str | None
) -> list[dict[str, str | bool]]:
    """The banner's script, with its messages and the URL of jobs in its query string; none when
    there is nothing to show."""
    params: dict[str, str | list[str]] = {}
    if view == "table" and await _is_worked_on(datasette, request, database, table):
        path = page_url(datasette, str(database), "jobs") + ".json"
        params["jobs"] = f"{path}?{urlencode({'table': table, 'active': 1})}"
    said = await silent_classifiers(datasette, request, database, table)
    if said:
        params["say"], params["see"] = said, page_url(datasette, str(database))
    if not params:
        return []
    script = datasette.urls.static_plugins(static_name(), "strip.js")
    return [{"url": script + "?" + urlencode(params, doseq=True), "module": True}]


async def style_urls(
    datasette: Datasette, request: Any, view: str, database: str | None, table: str | None
) -> list[str]:
    """Our styles, for a page with our columns or a strip."""
    styles = [datasette.urls.static_plugins(static_name(), "ftclassify.css")]
    if await silent_classifiers(datasette, request, database, table):
        return styles
    if view not in ("table", "row") or not database or not table:
        return []
    columns = await columns_of(datasette.get_database(database))
    ours = any(source == table for source, _ in columns)
    if not ours and hasattr(datasette, "get_column_types"):  # Datasette 1.0
        from .column_types import has_ours

        ours = await has_ours(datasette, database, table)
    if not ours and not await _is_worked_on(datasette, request, database, table):
        return []
    return styles


async def _is_worked_on(
    datasette: Datasette, request: Any, database: str | None, table: str | None
) -> bool:
    """Whether a job runs on the table that the visitor is shown."""
    if not database or not table or database not in datasette.databases:
        return False
    db = datasette.get_database(database)
    if not db.is_mutable:
        return False
    jobs = await read_or(db, lambda conn: _active(conn, table), ())
    viewer = JobViewer(datasette, request.actor, database)
    return any([await viewer.sees(tables) for tables in jobs])


def _active(conn: sqlite3.Connection, table: str) -> set[JobTables]:
    """The tables that each running job of this one reveals something of."""
    find = remembered()
    of_jobs = (tables_of_job(conn, job, find) for job in newest_brief(conn, _MOST, active=True))
    return {tables for tables in of_jobs if tables.own == table}
