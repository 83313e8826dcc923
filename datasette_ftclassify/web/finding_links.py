"""Addresses of the very rows that a finding is about."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from ..core.database import Relation, meant_by, relation
from ..jobs.check import LISTED
from ..jobs.confirming import EvaluateConfirmation, PredictConfirmation, TrainConfirmation
from ..jobs.stored_check import StoredFinding
from .filters import Pair, in_filter
from .page_request import PageRequest
from .permissions import TRAIN

LONGEST_ADDRESS = 1_800
"""Characters; proxies and browsers start to refuse addresses at a few thousand."""

_SOME = 50
"""Rows that are linked to where nothing leads to all."""

_NULLS = re.compile(r'"((?:[^"]|"")+)" is null(?: and |$)')
_IN = re.compile(r'"((?:[^"]|"")+)" in \((.*)\)', re.DOTALL)
_LITERAL = re.compile(r"(?:'((?:[^']|'')*)'|(-?\d+))(?:, |$)")


async def review_urls(
    ask: PageRequest,
    shown: TrainConfirmation | PredictConfirmation | EvaluateConfirmation | None,
    source: str,
) -> dict[str, list[str | None] | str | None]:
    """Of what is shown before a payment: `row_urls` for each finding, None without an address; and
    `check_url`, where all findings about the table stand, or can be looked for, for who may."""
    if shown is None:
        return {"row_urls": [], "check_url": None}
    table = await ask.read(lambda conn: relation(conn, source))
    rows = [rows_url(ask, finding, table) for finding in shown.review.findings]
    check = ask.url("train", table=source, check=shown.review.check_job)
    return {"row_urls": rows, "check_url": check if await ask.may(TRAIN, source) else None}


def rows_url(ask: PageRequest, finding: StoredFinding, source: Relation) -> str | None:
    """Of the finding's rows: the table page with filters where those say the same, else ours of the
    finding, if a check job has it with a number. None without either."""
    where, keys = finding.where, finding.keys
    ours = None
    if finding.job is not None and (keys or where):
        ours = ask.url("jobs", finding.job, "finding", finding.number)
    if ours and finding.in_order:
        return ours  # which shows what belongs together, or what is suggested
    filters = as_filters(where) if where else None
    whole = finding.count == len(keys) or (where and len(keys) < LISTED)
    if filters is None and keys and (whole or ours is None) and len(source.identity) == 1:
        some = keys if whole else keys[:_SOME]
        plain = all(len(key) == 1 and len(meant_by(key[0])) == 1 for key in some)
        pair = in_filter(source.identity[0], [key[0] for key in some]) if plain else None
        filters = [pair] if pair else None
    if filters:
        table = ask.table_url(source.name)
        address = f"{table}?{urlencode(filters)}"
        if len(address) <= LONGEST_ADDRESS:
            return address
    return ours


def as_filters(where: str) -> list[Pair] | None:
    """A condition of the checks as Datasette's filters; None when it is none of the two simple
    forms: columns that are NULL, and a column that has one of some values."""
    nulls = list(_NULLS.finditer(where))
    if nulls and sum(len(found[0]) for found in nulls) == len(where):
        return [(f"{_unquoted(found[1])}__isnull", "1") for found in nulls]
    listed = _IN.fullmatch(where)
    if listed is None:
        return None
    values: list[str | int] = []
    at = 0
    while at < len(listed[2]):
        literal = _LITERAL.match(listed[2], at)
        if literal is None:
            return None
        text, number = literal[1], literal[2]
        values.append(int(number) if number else text.replace("''", "'"))
        at = literal.end()
    pair = in_filter(_unquoted(listed[1]), values)
    return [pair] if pair else None


def _unquoted(name: str) -> str:
    return name.replace('""', '"')
