"""Tables for the tests of the checks: a clean one, and ways to spoil it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from datasette_ftclassify.checks import CheckReport, Finding, run_checks
from datasette_ftclassify.core.task import define

SUBJECTS = {
    "garden": "roses tulips hedge lawn compost weeds seedlings mulch pruning orchard soil spade",
    "house": "oven saucepan recipe flour simmer butter skillet onions broth spices dough whisk",
    "port": "ferry anchor tide mooring gulls trawler jetty cargo rudder sails lighthouse buoy",
}
Row = tuple[Any, ...]


def sentence(label: str, number: int) -> str:
    """A text about the label, another one for every number, without one word in all of them."""
    words = SUBJECTS[label].split()
    chosen = [words[(number * step + step) % len(words)] for step in (1, 5, 7, 11)]
    return f"{chosen[0]} {number} says {' and '.join(dict.fromkeys(chosen))} or {number}"


def clean_rows(each: int = 110) -> list[Row]:
    return [(sentence(label, n), label) for n in range(each) for label in SUBJECTS]


def table(rows: Iterable[Sequence[Any]], columns: str = "text, label") -> sqlite3.Connection:
    """A table `t` with an integer key `id`, and columns without a type unless they name one."""
    conn = sqlite3.connect(":memory:")
    conn.execute(f"create table t (id integer primary key, {columns})")
    count = columns.count(",") + 1
    names = ", ".join(column.split()[0] for column in columns.split(","))
    marks = ", ".join("?" * count)
    conn.executemany(f"insert into t ({names}) values ({marks})", rows)
    conn.commit()
    return conn


def check(
    rows: Iterable[Sequence[Any]],
    columns: str = "text, label",
    *,
    text: Sequence[str] = ("text",),
    labels: Sequence[str] = ("label",),
    task: dict[str, Any] | None = None,
    deep: bool = False,
    **options: Any,
) -> CheckReport:
    conn = table(rows, columns)
    defined = define(conn, "t", text=text, labels=labels, **(task or {}))
    report = run_checks(conn, defined, deep=deep, **options)
    for finding in report.findings:
        assert_leads_to_rows(conn, finding)
    return report


def assert_leads_to_rows(conn: sqlite3.Connection, finding: Finding) -> None:
    """The condition of a finding runs, and selects the rows whose keys it shows."""
    if finding.where is None:
        return
    selected = set(conn.execute(f"select id from t where {finding.where}"))
    assert selected >= set(finding.keys)
    assert selected


def codes(report: CheckReport) -> set[str]:
    return {finding.code for finding in report.findings}


def found(report: CheckReport, code: str) -> Finding:
    finding = report.finding(code)
    assert finding is not None, f"no {code} among {sorted(codes(report))}"
    return finding
