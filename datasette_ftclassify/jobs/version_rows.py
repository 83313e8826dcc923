"""The rows of a new version of a classifier: as their labels are now, in the split of the one
before, so that both are judged by the same test rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from ..core.database import Key, relation
from ..core.errors import FtclassifyError, TrainingError
from ..core.examples import Example, Record, Split, read_records
from ..core.foreign_keys import with_names
from ..core.humanize import counted, rows_text
from ..core.label_kinds import MULTICLASS
from ..core.labels import LabelValue
from ..core.splits import SplitReport
from ..core.task import Task
from ..core.text import text_hash
from ..core.training_report import AboutRows
from ..core.typed_json import as_json
from ..store.change_batches import merged_since
from ..store.classifiers import Classifier
from ..store.evaluations import row_results
from ..store.jobs.state import get_job
from ..store.label_changes import changed_since, chosen_rows
from ..store.splits import Membership, split_plan
from .train_rows import SplitData, how_read, is_unread, members_of

_MOST_TEST_ROWS = 1_000_000


@dataclass(frozen=True)
class VersionChanges:
    """What a new version would learn that the one before did not.

    corrections:  rows whose label was changed in a review since that was trained
    new_rows:     rows with a label that it did not have
    left_out:     new rows that are copies of test rows, or nearly, and so are not learnt from
    removed:      rows that it had, and that have no label any more, or are gone
    test_rows:    that both are judged by; test_changed: of them, those with another label now
    new_labels:   names of labels that it does not know
    """

    corrections: int
    new_rows: int
    left_out: int
    removed: int
    test_rows: int
    test_changed: int
    new_labels: tuple[str, ...] = ()

    @property
    def has_new_labels(self) -> bool:
        """Whether a row has a label that the version before did not learn or was not judged by."""
        return any((self.corrections, self.new_rows, self.test_changed))

    def sentences(self, title: str) -> list[str]:
        """For people; title: of the version before"""
        said = [
            f"{rows_text(self.test_rows).capitalize()} that were held back from {title} judge both."
        ]
        said += corrected(self.corrections, title)
        if self.new_rows:
            have = counted(self.new_rows, "row has", "rows have")
            said.append(f"{have} a label that was not there then, and are trained on.")
        if self.left_out:
            are = counted(self.left_out, "new row is a copy", "new rows are copies")
            said.append(f"{are} of test rows, or nearly, and left out.")
        if self.removed:
            are = counted(self.removed, "row", "rows")
            said.append(f"{are} that it was trained on or judged by, are gone or without a label.")
        if self.test_changed:
            have = counted(self.test_changed, "test row has", "test rows have")
            said.append(
                f"{have} another label now, so earlier figures of {title} are about other labels."
            )
        if self.new_labels:
            names = ", ".join(name[:40] for name in self.new_labels[:5])
            said.append(f"It learns labels that {title} does not know: {names}.")
        return said


def corrected(count: int, title: str) -> list[str]:
    """The sentence on labels that reviews corrected; none where they are none."""
    what = counted(count, "label was", "labels were")
    return [f"{what} corrected in reviews since {title} was trained."] if count else []


def task_now(conn: sqlite3.Connection, first: Classifier) -> Task:
    """Its task; of two labels to which a third was added, one of several."""
    task = first.task
    most = first.labels.label_kind.most
    if most is None:
        return task
    values = {v for record in read_records(conn, task) for v in record.labels.values or ()}
    return task if len(values) <= most else replace(task, kind=MULTICLASS.name)


def read_new_version(conn: sqlite3.Connection, task: Task, first: Classifier) -> SplitData:
    """The examples of a classifier's task as they are now: rows that were held back from it are
    tested on, all others trained on, but for copies of those. Raises TrainingError when no row is
    left."""
    rows = _Rows(conn, task, first, read_records(conn, task))
    if not rows.examples:
        raise TrainingError(f"{task.source} has no row with both a text and a label any more.")
    report = SplitReport()
    for example in rows.examples:
        report.count(example.split, example.labels)
    seen = dict.fromkeys(label for example in rows.examples for label in example.labels)
    labels = with_names(conn, task, task.label_set(seen))
    changes = rows.changes
    notes: AboutRows = {
        **how_read(task, labels, rows.records, rows.examples, rows.unread),
        "version_of": first.title,
        "version_changes": as_json(changes),
        "version_said": changes.sentences(first.title),
        "chosen_left_out": rows.chosen_left_out,
    }
    plan = split_plan(conn, first.split_id)
    plan["version_of"] = first.uid
    return SplitData(
        rows.examples, members_of(rows.examples), labels, report, plan, notes, chosen=rows.chosen
    )


def version_changes(conn: sqlite3.Connection, first: Classifier) -> VersionChanges:
    """Reads the table's rows. Raises SourceError when it is gone, or lacks a column."""
    task = task_now(conn, first)
    return _Rows(conn, task, first, read_records(conn, task)).changes


def version_changes_of_few(
    conn: sqlite3.Connection, first: Classifier, most: int
) -> VersionChanges | None:
    """The same where neither the table's rows nor the test rows are more than `most`; else None."""
    records = list(islice(read_records(conn, first.task), most + 1))
    if len(records) > most or row_results(conn, first, limit=0)[1] > most:
        return None
    return _Rows(conn, first.task, first, records).changes


class _Rows:
    """The rows of a task as they are now, divided as a classifier's were."""

    def __init__(
        self, conn: sqlite3.Connection, task: Task, first: Classifier, records: Iterable[Record]
    ) -> None:
        from ..core.near_duplicates import near_groups

        source = relation(conn, task.source)
        before = Membership(conn, first.split_id, source)
        known: list[tuple[Record, Split | None]] = []
        new_text = False
        self.unread = 0
        for record in records:
            self.unread += is_unread(record)
            if record.usable:
                split = before.split_of(record.key, text_hash(record.text or ""))
                new_text |= split is None
                known.append((record, split))
        self.records = [record for record, _ in known]
        copies: set[int] = set()
        groups: Sequence[int] = [0] * len(known)
        if new_text:
            groups = near_groups([record.text or "" for record in self.records]).tolist()
            copies = {g for g, (_, split) in zip(groups, known, strict=True) if split == "test"}
        self.examples: list[Example] = []
        self.chosen = chosen_rows(conn, source.name)
        self.chosen_left_out = 0
        new = left_out = 0
        for (record, split), group in zip(known, groups, strict=True):
            if split is None and group in copies:
                left_out += 1
                continue
            if split == "test" and self.chosen.has(record.key, record.text):
                self.chosen_left_out += 1
                continue
            new += split is None
            labels = record.labels.values or ()
            self.examples.append(Example(record.key, record.text or "", labels, split or "train"))
        test = {e.key: e.labels for e in self.examples if e.split == "test"}
        names = {label for example in self.examples for label in example.labels}
        unknown = sorted(str(v) for v in names if first.labels.index(v) is None)
        self.changes = VersionChanges(
            corrections=corrections(conn, first),
            new_rows=new,
            left_out=left_out,
            removed=max(len(before) - (len(known) - new - left_out), 0),
            test_rows=len(test),
            test_changed=_test_changed(conn, first, test),
            new_labels=tuple(unknown),
        )


def _test_changed(
    conn: sqlite3.Connection, first: Classifier, now: Mapping[Key, tuple[LabelValue, ...]]
) -> int:
    """Test rows that have other labels than when the classifier was evaluated last."""
    found, _ = row_results(conn, first, limit=_MOST_TEST_ROWS)
    values = first.labels.values
    changed = 0
    for row in found:
        if row.key in now:
            then = {values[i] for i in row.truth if i < len(values)}
            changed += then != set(now[row.key])
    return changed


def corrections(conn: sqlite3.Connection, first: Classifier) -> int:
    """Rows whose label was changed in reviews since the classifier was trained, and not back."""
    wanted: dict[int, bool] = {}
    count = 0
    for job_id, rows in changed_since(conn, first.task.source, first.created_at).items():
        if job_id not in wanted:
            try:
                task = Task.from_dict(get_job(conn, job_id).settings["task"])
                wanted[job_id] = task.labels == first.task.labels
            except (KeyError, TypeError, FtclassifyError):
                wanted[job_id] = False
        count += rows if wanted[job_id] else 0
    task = first.task
    return count + merged_since(conn, task.source, task.labels, first.created_at)
