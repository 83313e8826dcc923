"""The filters of a table page, carried along to the pages that work on the same rows.

They stay what they are in Datasette's own addresses (`column__operator=value`), and Datasette's own
code makes SQL of them. Only columns of the table may be named, so nobody writes SQL on our pages:
what people could write into `_where` on the table page is left behind, and the page says so.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from datasette.filters import Filters

from ..core.database import Params, relation
from ..core.errors import SourceError

LEFT_BEHIND = ("_where", "_search", "_through")
"""Arguments of a table page that select rows by other means than a column's filter."""

Pair = tuple[str, str]


@dataclass(frozen=True)
class RowFilter:
    """Filters, and what they mean in SQL.

    pairs:  (`column__operator`, value), as in an address
    where:  a condition with named parameters; None without filters
    texts:  each filter in words, in the order of `pairs`
    """

    pairs: tuple[Pair, ...] = ()
    where: str | None = None
    params: Params = field(default_factory=dict)
    texts: tuple[str, ...] = ()

    def query(self, without: int | None = None) -> dict[str, list[str]]:
        """The filters as arguments of an address, all or all but one."""
        arguments: dict[str, list[str]] = {}
        for number, (name, value) in enumerate(self.pairs):
            if number != without:
                arguments.setdefault(name, []).append(value)
        return arguments


def carried(arguments: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The filters among the arguments of a table page, in the form with an operator, as arguments
    of one of ours.

    A bare `column=value` becomes `column__exact=value`, since our pages have fields of their own
    that may be called as a column is.
    """
    kept: dict[str, list[str]] = {}
    for name, values in arguments.items():
        if name.startswith("_") and "__" not in name:
            continue
        full = name if "__" in name else f"{name}__exact"
        kept.setdefault(full, []).extend(map(str, values))
    return kept


def filter_pairs(arguments: Mapping[str, Any]) -> list[Pair]:
    """The filters among the fields of one of our own pages: all that have an operator."""
    pairs = []
    for name, given in arguments.items():
        if "__" not in name or name.startswith(LEFT_BEHIND):
            continue
        values = given if isinstance(given, list) else [given]
        pairs += [(name, str(value)) for value in values if value is not None]
    return pairs


def facet_of(column: str, *, arrays: bool) -> dict[str, str]:
    """The argument of a table page that counts the labels in a column; those of JSON arrays
    (`arrays`) one by one."""
    # Datasette takes what begins with a brace for JSON.
    plain = json.dumps({"simple": column}) if column.startswith("{") else column
    return {"_facet_array" if arrays else "_facet": plain}


def left_behind(arguments: Iterable[str]) -> list[str]:
    """The arguments of a table page that our pages do not follow."""
    return sorted(name for name in arguments if name.startswith(LEFT_BEHIND))


def read_filters(conn: sqlite3.Connection, table: str, pairs: Iterable[Pair]) -> RowFilter:
    """What the filters mean for that table.

    Raises SourceError for a column that is not there, or an operator that Datasette has not.
    """
    chosen = tuple(sorted(pairs))
    if not chosen:
        return RowFilter()
    source = relation(conn, table)
    known = {lookup for lookup, _, _ in Filters([]).lookups()}
    for name, _ in chosen:
        column, operator = name.rsplit("__", 1)
        if column not in source.columns and column != source.rowid:
            raise SourceError(f"The filter {name} is for a column that {source.name} has not.")
        if operator not in known:
            raise SourceError(
                f"The filter {name} has none of Datasette's operators: {', '.join(sorted(known))}."
            )
    try:
        filters = Filters(list(chosen))
        clauses, params = filters.build_where_clauses(source.name)
        texts = tuple(
            Filters([pair]).human_description_en().removeprefix("where ") for pair in chosen
        )
    except (ValueError, TypeError, AttributeError) as error:  # a list that is no JSON
        raise SourceError("A filter cannot be read: remove it, and set it again.") from error
    if any(isinstance(v, int) and not -(2**63) <= v < 2**63 for v in params.values()):
        raise SourceError("A filter has a number that is too large for a column: change it.")
    return RowFilter(chosen, " and ".join(f"({c})" for c in clauses), params, texts)


def in_filter(column: str, values: Sequence[object]) -> Pair | None:
    """A filter for the rows in which the column has one of these values; None when no address can
    say so."""
    if not all(isinstance(v, (str, int)) and not isinstance(v, bool) for v in values):
        return None
    return f"{column}__in", json.dumps(list(values), ensure_ascii=False)
