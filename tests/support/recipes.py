"""The code of docs/scale.md, a folder in which it works, and what must come of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as pq
from commands import run
from folders import ROOT
from sample_databases import rows

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.minimum_scores import MinimumScore, set_minimum

ROWS = 63


def recipe(heading: str) -> str:
    """The code below a heading."""
    text = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE))


def make_folder(trained_file: Path, place: Path, names: Sequence[str] = ("topics",)) -> Path:
    """With the database, in which `topics` has a minimum score, the models of classifiers, and
    Parquet files."""
    (place / "mail.db").write_bytes(trained_file.read_bytes())
    with closing(connect(place / "mail.db")) as conn:
        minimum = MinimumScore("fixed", 0.9)
        set_minimum(conn, find_classifier(conn, "topics"), minimum)
        texts = [text for (text,) in rows(conn, "select message from messages limit 60")]
    for name in names:
        run("export-model", place / "mail.db", name, place / f"{name}-model")
    (place / "in").mkdir()
    table = pyarrow.table({"id": list(range(ROWS)), "message": [*texts, None, "", "zzz"]})
    pq.write_table(table.slice(0, 40), place / "in" / "a.parquet", row_group_size=16)
    pq.write_table(table.slice(40), place / "in" / "b.parquet")
    return place


def said_by_sql(place: Path, name: str, cells: list[Any]) -> list[tuple]:
    """ft_classify, ft_score, ft_logprob and ft_known of each cell."""
    with closing(connect(place / "mail.db")) as conn:
        register(conn)
        sql = "select ft_classify(?1, ?2), ft_score(?1, ?2), ft_logprob(?1, ?2), ft_known(?1, ?2)"
        return [rows(conn, sql, [cell, name])[0] for cell in cells]


def check_written(place: Path) -> None:
    """Each row is in topics.parquet once, with the label that SQL gives it."""
    table = pq.read_table(place / "topics.parquet").sort_by("id")
    column = "topic" if "topic" in table.column_names else "label"
    assert table["id"].to_pylist() == list(range(ROWS))
    right = said_by_sql(place, "topics", table["message"].to_pylist())
    assert table[column].to_pylist() == [one[0] for one in right]
    assert {None} < set(table[column].to_pylist())
