"""Export of a task: two passes over its rows, neither of which holds them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from ..errors import ExportError
from ..examples import read_records
from ..export import ExportFormat, ExportResult, export
from ..labels import LabelValue
from ..splits import SplitPlan, Splitter, split_examples
from ..tasks import Task
from ..tokens import Tokenizer


def export_task(
    conn: sqlite3.Connection,
    task: Task,
    fmt: ExportFormat,
    out_dir: str | Path,
    *,
    plan: SplitPlan | None = None,
    overwrite: bool = False,
    tokenizer: Tokenizer | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ExportResult:
    """Splits the task's examples and writes a file and a manifest for each split.

    Raises ExportError when there is nothing to write, or files are in the way.
    """
    plan = plan or SplitPlan()
    splitter = Splitter(plan, split_column=task.split_column is not None)
    seen: set[LabelValue] = set()
    usable = 0
    for record in read_records(conn, task):
        splitter.add(record)
        if record.usable:
            usable += 1
            seen.update(record.labels.values or ())
    if not usable:
        raise ExportError(
            f"{task.source} has no row with both a text and a label: look at the findings of "
            "datasette ftclassify check."
        )
    labels = task.label_set(seen)
    return export(
        split_examples(read_records(conn, task), splitter),
        labels,
        task,
        fmt,
        Path(out_dir),
        plan=plan,
        overwrite=overwrite,
        tokenizer=tokenizer,
        progress=lambda done: progress(done, usable),
    )
