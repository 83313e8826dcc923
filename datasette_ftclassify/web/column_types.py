"""Column types of Datasette 1.0 for labels and scores, wherever they stand: in the columns of a
prediction these are drawn without it, elsewhere somebody says what a column holds."""

from __future__ import annotations

import math
from typing import Any

import markupsafe
from datasette.app import Datasette
from datasette.column_types import ColumnType, SQLiteType

from . import table_cells

_MOST_NAMED = 20
"""Labels that a refusal lists."""


class LabelType(ColumnType):  # type: ignore[misc,unused-ignore]
    """One label, or a JSON array of several: links to the rows that have them.

    config: {"labels": [...]}: those that may be written into the column; without it, any
    """

    name = "ftclassify-label"
    description = "Label of a text"
    sqlite_types = (SQLiteType.TEXT, SQLiteType.INTEGER)

    async def render_cell(
        self, value: Any, column: str, table: str, database: str, datasette: Datasette, request: Any
    ) -> markupsafe.Markup | None:
        if value is None or not table:
            return None
        address = str(datasette.urls.table(database, table))
        several = table_cells.labels(address, column, value)
        return several or table_cells.label(address, f"{column}__exact", value)

    async def validate(self, value: Any, datasette: Datasette) -> str | None:
        allowed = self._allowed()
        if value is None or value == "" or allowed is None:
            return None
        several = table_cells.json_array(value)
        unknown = [label for label in several or [value] if str(label) not in allowed]
        if not unknown:
            return None
        more = ", …" if len(allowed) > _MOST_NAMED else ""
        named = ", ".join(allowed[:_MOST_NAMED]) + more
        return f"{str(unknown[0])[:100]} is none of the labels {named}"

    def _allowed(self) -> list[str] | None:
        """The labels of the configuration; None without any, or where it holds something else."""
        labels = self.config.get("labels") if isinstance(self.config, dict) else None
        return [str(label) for label in labels] if isinstance(labels, list) and labels else None


class ScoreType(ColumnType):  # type: ignore[misc,unused-ignore]
    """A probability, 0 to 1, as a number on a bar."""

    name = "ftclassify-score"
    description = "Score, 0 to 1"
    sqlite_types = (SQLiteType.REAL, SQLiteType.NUMERIC)

    async def render_cell(
        self, value: Any, column: str, table: str, database: str, datasette: Datasette, request: Any
    ) -> markupsafe.Markup | None:
        return table_cells.score(value)

    async def validate(self, value: Any, datasette: Datasette) -> str | None:
        if value is None or value == "":
            return None
        try:
            score = float(value)
        except (TypeError, ValueError, OverflowError):
            score = math.nan
        return None if 0 <= score <= 1 else "A score is a number from 0 to 1"


TYPES = (LabelType, ScoreType)


async def has_ours(datasette: Datasette, database: str, table: str) -> bool:
    """Whether a column of the table has one of our types."""
    types = await datasette.get_column_types(database, table)
    return any(isinstance(each, TYPES) for each in types.values())
