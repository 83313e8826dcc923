"""An item in the menu of a query (Datasette 1.0): the same query, with the label of each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from datasette.app import Datasette
from datasette.database import QueryInterrupted
from datasette.utils import InvalidSql, validate_sql_select

from ..core.database import quote
from ..core.errors import FtclassifyError
from ..core.sqlite_errors import SQLITE_ERRORS
from ..store.classifiers import Classifier
from ..store.used_version import used_versions
from ..trainers.registry import get_trainer
from .classifier_names import seen_classifiers
from .datasette_reads import PART_SECONDS, read
from .menus import Items, holds_ours
from .permissions import may_run_sql

MOST = 5
"""Classifiers that are offered for one query."""


async def query_menu(
    datasette: Datasette, actor: Any, database: str, sql: str | None, params: Any
) -> Items:
    """A link for each classifier whose text column is among the columns of the query's result.

    Only classifiers that answer on this machine: a query is repeated by whoever has its address.
    """
    db = datasette.get_database(database)
    if not sql or not await holds_ours(db) or not await may_run_sql(datasette, actor, database):
        return []
    try:
        validate_sql_select(sql)
        # As Datasette runs it: what is read with `read` may read our tables, a visitor's SQL not.
        asked = f"select * from (\n{_bare(sql)}\n) limit 0"
        limit = int(PART_SECONDS * 1000)
        found = await db.execute(asked, dict(params or {}), custom_time_limit=limit)
        fitting = _fitting(await read(db, used_versions), found.columns)
    except (*SQLITE_ERRORS, FtclassifyError, InvalidSql, QueryInterrupted):
        return []
    base = str(datasette.urls.database(database)) + "/-/query?"
    return [
        {
            "href": base + urlencode({"sql": _labelled(sql, one), **(params or {})}),
            "label": f"Classify these rows with {one.name}",
            "description": f"The same query, with the label of each {one.task.text[0]}",
        }
        for one in await seen_classifiers(datasette, actor, database, fitting)
    ][:MOST]


def _fitting(classifiers: Sequence[Classifier], columns: Sequence[str]) -> list[Classifier]:
    """Those whose text is among the columns of the query's result."""
    return [
        one
        for one in classifiers
        if one.task.template is None
        and len(one.task.text) == 1
        and one.task.text[0] in columns
        and _column(one) not in columns  # such a query was made by this link
        and not get_trainer(one.trainer).capabilities.leaves_machine
    ]


def _column(classifier: Classifier) -> str:
    return f"{classifier.name}_label"


def _labelled(sql: str, classifier: Classifier) -> str:
    text, column = quote(classifier.task.text[0]), quote(_column(classifier))
    name = "'" + classifier.name.replace("'", "''") + "'"
    # Over the query and not in it, so that its order, groups and limit stay what they are.
    return f"select *, ft_classify({text}, {name}) as {column}\nfrom (\n{_bare(sql)}\n)"


def _bare(sql: str) -> str:
    return sql.strip().rstrip(";").rstrip()
