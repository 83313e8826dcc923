"""Export of a task, into files or as a download: two passes over its rows, neither of which holds
them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from pathlib import Path

from ..core.errors import ExportError
from ..core.examples import read_records
from ..core.foreign_keys import with_names
from ..core.labels import LabelSet, LabelValue
from ..core.splits import SplitPlan, Splitter, split_examples
from ..core.task import Task
from ..export import ExportFormat, ExportResult, Lines, Manifest, export
from ..prompts.tokenizer import Tokenizer


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
    splitter, labels, usable = _divide(conn, task, plan)
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


def _divide(
    conn: sqlite3.Connection, task: Task, plan: SplitPlan
) -> tuple[Splitter, LabelSet, int]:
    """The first pass: the split of each row, the label set, and how many rows to write."""
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
            f"{task.source} has no row with both a text and a label: check the rows, "
            "and read the findings."
        )
    return splitter, with_names(conn, task, task.label_set(seen)), usable


class SplitExport:
    """One split as it would be exported, without a file: for a download.

    conn is used as long as chunks are read, in one thread at a time.
    Raises ExportError when there is nothing to write, or the format does not suit the labels.
    """

    def __init__(
        self, conn: sqlite3.Connection, task: Task, fmt: ExportFormat, plan: SplitPlan, split: str
    ) -> None:
        self._conn, self._task, self._plan = conn, task, plan
        self._splitter, labels, _ = _divide(conn, task, plan)
        self._lines = Lines(split, fmt.bind(labels))

    def chunks(self, size: int = 1 << 16) -> Generator[bytes, None, None]:
        """The content in pieces of about so many bytes. Raises ExportError for a split without
        rows, before the first piece."""
        waiting = [self._lines.start()]
        length = 0
        for example in split_examples(read_records(self._conn, self._task), self._splitter):
            if example.split != self._lines.split:
                continue
            line = self._lines.line(example)
            waiting.append(line)
            length += len(line)
            if length >= size:
                yield b"".join(waiting)
                waiting, length = [], 0
        if not self._lines.rows:
            raise ExportError(f"No row is in the split {self._lines.split}: choose other shares.")
        if waiting:
            yield b"".join(waiting)

    def manifest(self, file: str) -> Manifest:
        """Of a file with that name and the chunks so far; of all, when they have been read."""
        return self._lines.manifest(file, self._task, self._plan)
