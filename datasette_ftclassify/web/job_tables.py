"""Whose jobs a visitor is shown."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from datasette.app import Datasette

from ..core.errors import FtclassifyError
from ..store.classifiers import find_by_id
from ..store.jobs.job import Job
from ..store.jobs.queries import Find
from .permissions import VIEW, may, may_see_jobs
from .routing import table_of, tables_behind


@dataclass(frozen=True)
class JobTables:
    """The table that a job reads or writes, None when nothing says it any more; and those that its
    classifier reveals something of."""

    own: str | None
    behind: frozenset[str]


def tables_of_job(conn: sqlite3.Connection, job: Job, find: Find = find_by_id) -> JobTables:
    try:
        own = table_of(conn, job, find)
    except FtclassifyError:
        own = None
    return JobTables(own, frozenset() if own is None else tables_behind(conn, job, find))


class JobViewer:
    """Who looks at jobs of a database, and what was found out about the tables there."""

    def __init__(self, datasette: Datasette, actor: Any, database: str) -> None:
        self._datasette, self._actor, self._database = datasette, actor, database
        self._works: dict[str, bool] = {}
        self._seen: dict[str, bool] = {}

    async def works_on(self, table: str) -> bool:
        """Whether the visitor does any work on the table."""
        if table not in self._works:
            who = self._datasette, self._actor
            self._works[table] = await may_see_jobs(*who, self._database, table)
        return self._works[table]

    async def sees(self, tables: JobTables) -> bool:
        """Whether the visitor works on the job's table, and may see the others."""
        if tables.own is None or not await self.works_on(tables.own):
            return False
        for table in tables.behind - self._seen.keys():
            who = self._datasette, self._actor
            self._seen[table] = await may(*who, VIEW, self._database, table)
        return all(self._seen[table] for table in tables.behind)
