"""Our columns on a table's page: scores as quiet bars, labels as links to their rows.

Datasette asks for every cell of every page, so which columns are ours is remembered for a moment.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Awaitable, Mapping
from typing import Any
from urllib.parse import urlencode

import markupsafe
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils import await_me_maybe

from ..core.errors import ArtifactError, FtclassifyError
from ..core.label_kinds import KINDS
from ..core.sqlite_errors import SQLITE_ERRORS
from ..core.untrusted_json import read_json
from ..jobs.columns import LABEL_SCORE
from ..store.classifiers import has_store
from ..store.columns import our_columns
from . import answer_ages
from .datasette_reads import ReadCache, read

Columns = Mapping[tuple[str, str], tuple[str, str]]
"""As `store.columns.our_columns` gives them."""

Drawn = markupsafe.Markup | Awaitable[markupsafe.Markup | None] | None

FRESH = 1.0
"""Seconds for which the columns of a database are not asked for again."""

REST = 30.0
"""Seconds for which a database whose columns could not be read is believed to have none."""

_LONGEST = 200
"""Characters of a label that are shown."""

_MOST = 50
"""Labels of a cell that are shown."""

_columns = ReadCache[Columns]()


async def columns_of(database: Database) -> Columns:
    """Our columns in a database; none where they cannot be read."""
    known = _columns.get(database)
    if known is not None:
        return known
    try:
        found = await read(database, _read)
    except SQLITE_ERRORS:  # no page of a table fails for our sake
        return _columns.keep(database, {}, FRESH)
    except FtclassifyError:  # nor is it slow for a file that is not as ours are
        return _columns.keep(database, {}, REST)
    return _columns.keep(database, found, FRESH if database.is_mutable else math.inf)


def _read(conn: sqlite3.Connection) -> Columns:
    return our_columns(conn) if has_store(conn) else {}


def cell(
    datasette: Datasette,
    database: str | None,
    table: str | None,
    column: str,
    value: Any,
    row: Any = None,
) -> Drawn:
    """The cell as HTML; None to leave it to Datasette, as for every cell that is not ours."""
    if not database or not table or value is None or database not in datasette.databases:
        return None
    db = datasette.get_database(database)

    def draw(columns: Columns) -> Drawn:
        role, kind = columns.get((table, column), ("", ""))
        if role == "fingerprint":
            return answer_ages.cell(datasette, database, table, column, value, row)
        return _drawn(datasette, database, table, column, value, role, kind)

    async def ask_first() -> markupsafe.Markup | None:
        drawn: markupsafe.Markup | None = await await_me_maybe(draw(await columns_of(db)))
        return drawn

    known = _columns.get(db)
    return ask_first() if known is None else draw(known)


def _drawn(
    datasette: Datasette, database: str, table: str, column: str, value: Any, role: str, kind: str
) -> markupsafe.Markup | None:
    if role in ("score", "known") or role.startswith(LABEL_SCORE):
        return score(value)
    if role == "logprob":
        return logprob(value)
    if role == "logprobs":
        return logprobs(value)
    if role != "label":
        return None
    address = str(datasette.urls.table(database, table))
    if kind in KINDS and not KINDS[kind].exclusive:
        return labels(address, column, value)
    return label(address, f"{column}__exact", value)


def score(value: Any) -> markupsafe.Markup | None:
    """A probability, 0-1, as a number on a bar; None for anything else that stands there."""
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        return None
    return markupsafe.Markup(
        '<span class="ft-score" style="--ft-share: {:.1f}%" title="{}">{}</span>'
    ).format(value * 100, value, f"{value:.3f}")


def logprob(value: Any) -> markupsafe.Markup | None:
    """A natural logarithm of a probability, short, with all its digits in the title."""
    if not isinstance(value, (int, float)) or value > 0:
        return None
    return markupsafe.Markup('<span class="ft-logprob" title="{}">{}</span>').format(
        value, f"{value:.4g}"
    )


def logprobs(value: Any) -> markupsafe.Markup | None:
    """All labels' probabilities, folded: with many labels they would fill the page."""
    found = _json(value)
    if not isinstance(found, dict) or not found:
        return None
    if not all(isinstance(p, (int, float)) and p <= 0 for p in found.values()):
        return None
    most = sorted(found.items(), key=lambda item: -item[1])[:_MOST]
    rows = markupsafe.Markup("").join(
        markupsafe.Markup('<li><span dir="auto">{}</span> {}</li>').format(
            _cut(name), f"{math.exp(logprob):.3f}"
        )
        for name, logprob in most
    )
    return markupsafe.Markup(
        '<details class="ft-folded"><summary>{} labels</summary><ul>{}</ul></details>'
    ).format(f"{len(found):,}", rows)


_MOST_BYTES = 100_000
"""Of a JSON cell that is drawn: a page has hundreds of them."""


def _json(value: Any) -> Any:
    """What a JSON text says; None when it is none."""
    try:
        return read_json(value, "cell", most_bytes=_MOST_BYTES)
    except ArtifactError:
        return None


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def labels(address: str, column: str, value: Any) -> markupsafe.Markup | None:
    """The labels of a JSON array, each with a link to the rows that have it, too."""
    names = json_array(value)
    if names is None:
        return None
    drawn = [label(address, f"{column}__arraycontains", name) for name in names[:_MOST]]
    if any(one is None for one in drawn):
        return None
    return markupsafe.Markup(", ").join(one for one in drawn if one is not None)


def json_array(value: Any) -> list[Any] | None:
    """What a JSON array in a cell holds; None for anything else, and for an empty one."""
    found = _json(value)
    return found if isinstance(found, list) and found else None


def label(address: str, filter_: str, value: Any) -> markupsafe.Markup | None:
    """A label with a link to the rows that have it."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == "":
        return None
    text = str(value)
    href = f"{address}?{urlencode({filter_: text})}"
    return markupsafe.Markup('<a href="{}" dir="auto">{}</a>').format(href, _cut(text))
