"""What there is: the classifiers and jobs of a database, and the databases of a Datasette."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from urllib.parse import urlencode

from datasette.utils.asgi import Response

from ...jobs.compare import what_it_learnt
from ...store.classifiers import Classifier
from ...store.damaged import damaged_classifiers
from ...store.jobs.queries import newest_brief, remembered
from ...store.summaries import Summary, summaries
from ...store.used_version import used_versions
from ..classifier_names import seen_classifiers, tables_revealed
from ..datasette_reads import read_or
from ..job_tables import JobTables, JobViewer, tables_of_job
from ..page_request import PageRequest, page_url
from ..permissions import DELETE, TRAIN, VIEW, may_view_database, tables_allowed
from ..registry import MenuItem, page
from ..responses import show
from ..routing import CLASSIFIERS
from .jobs import visible_jobs

SHOWN_JOBS = 10
SHOWN_TABLES = 50
"""Tables to train on that are listed; each table's own menu leads there, too."""


@page(
    "",
    MenuItem(
        "database",
        "Classifiers",
        "Classifiers trained on the tables of this database",
    ),
    MenuItem(
        "table",
        "Classifiers of this table",
        "Classifiers trained on this table",
        order=4,
        when=lambda subject: subject.own,
        filtered=False,
    ),
    about="database",
    template="ftclassify_database.html",
    reads=VIEW,
    writes=None,
)
async def database_page(ask: PageRequest) -> Response:
    """What is of tables that the visitor may see; `table=` leaves only what is of that one."""
    table = ask.argument("table") or None
    found = await ask.read(_read)
    tables = {name for one, _ in found for name in tables_revealed(one.classifier)}
    visible = await tables_allowed(ask.datasette, ask.actor, VIEW, ask.database, tables)
    seen = [
        (one, quality) for one, quality in found
        if tables_revealed(one.classifier) <= visible
        and table in (None, one.classifier.task.source)
    ]  # fmt: skip
    alike = Counter(what_it_learnt(one.classifier) for one, _ in seen)
    shown = [
        {
            **one.to_dict(),
            "label_columns": list(one.classifier.task.labels),
            "quality": quality,
            "urls": _urls(ask, one.classifier, alike[what_it_learnt(one.classifier)] > 1),
        }
        for one, quality in seen
    ]
    # Nothing says of which tables they are.
    shows_damaged = table is None and await ask.may(DELETE, CLASSIFIERS)
    damaged = await ask.read(damaged_classifiers) if shows_damaged else []
    trainable = await _trainable(ask, table)
    data = {
        "database": ask.database,
        "table": table,
        "classifiers": shown,
        "damaged": [
            {"title": one.title, "error": one.why, "url": ask.url("classifiers", one.title)}
            for one in damaged
        ],
        "jobs": await visible_jobs(ask, SHOWN_JOBS, table=table),
        "train": [
            {"table": name, "url": ask.url("train", table=name)}
            for name in trainable[:SHOWN_TABLES]
        ],
    }
    named = [
        sorted(versions, key=lambda row: not row["used"])  # others newest first
        for _, versions in groupby(shown, key=lambda row: row["classifier"])
    ]
    more = {"named": named, "more_tables": max(len(trainable) - SHOWN_TABLES, 0)}
    return await show(ask, data, more=more)


def _read(conn: sqlite3.Connection) -> list[tuple[Summary, str]]:
    """With how good each is, in a sentence."""
    return [(summary, summary.headline()) for summary in summaries(conn)]


def _urls(ask: PageRequest, classifier: Classifier, comparable: bool) -> dict[str, str]:
    """comparable: another one learnt the same"""
    title = classifier.title
    quoted = title.replace("'", "''")
    sql = f"select ft_classify_json(:text, '{quoted}') as answer"
    database = ask.datasette.urls.database(ask.database)
    urls = {
        "source": ask.table_url(classifier.task.source),
        "page": ask.url("classifiers", title),
        "try": f"{database}?{urlencode({'sql': sql, 'text': ''})}",
    }
    return {**urls, "compare": ask.url("classifiers", title, "compare")} if comparable else urls


async def _trainable(ask: PageRequest, table: str | None) -> list[str]:
    """Tables and views that the visitor may train on; or only the one that is looked at."""
    if not ask.db.is_mutable or not ask.db.path:  # jobs need a file
        return []
    hidden = set(await ask.db.hidden_table_names())
    names = [*await ask.db.table_names(), *await ask.db.view_names()]
    # Names that begin with _ are hidden on Datasette 1.0 alone.
    shown = (n for n in names if n not in hidden and not n.startswith("_"))
    wanted = [name for name in shown if table in (None, name)]
    allowed = await tables_allowed(ask.datasette, ask.actor, TRAIN, ask.database, wanted)
    return [name for name in wanted if name in allowed]


@page(
    "",
    MenuItem("main", "Classifiers", "Of all databases"),
    about="instance",
    template="ftclassify_index.html",
    reads=VIEW,
    writes=None,
)
async def instance_page(ask: PageRequest) -> Response:
    """The databases that the visitor may see."""
    databases = []
    for name in list(ask.datasette.databases):
        # Datasette 0.65 has its own notes among the databases.
        if name != "_internal" and await may_view_database(ask.datasette, ask.actor, name):
            databases.append(await _database(ask, name))
    return await show(ask, {"databases": databases})


@dataclass(frozen=True)
class _Database:
    """How many classifiers and running jobs the visitor may see in it."""

    database: str
    url: str
    classifiers: int
    active_jobs: int


async def _database(ask: PageRequest, name: str) -> _Database:
    nothing: tuple[list[Classifier], list[JobTables]] = [], []  # of tables that we cannot read
    used, worked_on = await read_or(ask.datasette.get_database(name), _used, nothing)
    seen = await seen_classifiers(ask.datasette, ask.actor, name, used)
    viewer = JobViewer(ask.datasette, ask.actor, name)
    return _Database(
        name,
        page_url(ask.datasette, name),
        len(seen),
        sum([await viewer.sees(tables) for tables in worked_on]),
    )


def _used(conn: sqlite3.Connection) -> tuple[list[Classifier], list[JobTables]]:
    """Each classifier (its version in use), and the tables of each running job."""
    find, active = remembered(), newest_brief(conn, 100, active=True)
    return used_versions(conn), [tables_of_job(conn, job, find) for job in active]
