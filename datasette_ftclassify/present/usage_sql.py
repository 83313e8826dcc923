"""The SQL with which a classifier is used."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..core.database import quote, quote_text, relation
from ..core.rendering import sql_expression
from ..core.sqlite_errors import SQLITE_ERRORS
from ..core.task import Task
from ..core.time_limit import TooSlow, within
from ..store.classifiers import Classifier
from ..store.splits import knows_training_rows

SPLIT_ROWS = "_ftclassify_split_rows"


def usage_sql(classifier: Classifier) -> str | None:
    """A query that classifies the classifier's own source; None where the text cannot be put
    together in SQL as training did."""
    task = classifier.task
    text = sql_expression(task.text, task.template)
    if text is None:
        return None
    function = "ft_classify" if task.exclusive else "ft_labels"
    call = f"{function}({text}, {quote_text(classifier.name)})"
    return f"select {call} from {quote(task.source)} limit 10"


def split_sql(
    conn: sqlite3.Connection,
    classifier: Classifier,
    table: str,
    columns: Sequence[str] = (),
    answer: str | None = None,
) -> str | None:
    """A query for the rows of the classifier's source that says of each in `split` what it was to
    the training: train, validation, test (held back) or new; or passed over, of those that are none
    of its rows and have no text, or no answer. None for another table, for rows without a key, and
    in a published copy, which does not know what was trained on.

    columns: to be shown beside the key
    answer:  the column with the classifier's answers; None: there is none
    """
    source = relation(conn, table)
    if source.name != classifier.task.source or not source.identity:
        return None
    if not knows_training_rows(conn, classifier.split_id):
        return None
    rows, known = quote(source.name), SPLIT_ROWS
    parts = [f"json_quote({rows}.{quote(column)})" for column in source.identity]
    key = "'[' || " + " || ', ' || ".join(parts) + " || ']'"
    names = dict.fromkeys([*source.identity, *columns])
    shown = ", ".join(f"{rows}.{quote(name)}" for name in names)
    left_out = f"{rows}.{quote(answer)} is null" if answer else _without_text(classifier.task, rows)
    other = f"case when {left_out} then 'passed over' else 'new' end"
    return (
        f"select {shown}, coalesce({known}.split, {other}) as split\nfrom {rows} left join {known}"
        f"\n  on {known}.split_id = {classifier.split_id} and {known}.row_key = {key}"
    )


def _without_text(task: Task, rows: str) -> str:
    cells = " || ".join(f"coalesce({rows}.{quote(name)}, '')" for name in task.text)
    return f"trim({cells}) = ''"


def split_counts(conn: sqlite3.Connection, sql: str, seconds: float) -> dict[str, int]:
    """{split: rows} of `split_sql`; empty where counting takes longer."""
    try:
        with within(conn, seconds):
            found = conn.execute(f"select split, count(*) from ({sql}) group by 1").fetchall()
    except (TooSlow, *SQLITE_ERRORS):  # an old SQLite may lack JSON
        return {}
    return {str(split): int(rows) for split, rows in found}
