"""Evaluations of classifiers, and the answers for each row that they were judged by: the test rows,
or those that training answered in cross-validation."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..core.database import Key, key_text, unpacked
from ..core.errors import ArtifactError
from ..core.untrusted_json import read_json
from .cell_size import at_most
from .classifiers import Classifier, now
from .schema import ensure_schema, transaction

if TYPE_CHECKING:
    from ..metrics.result import Evaluation

TEST = "test"
VALIDATION = "validation"
OUT_OF_FOLD = "out of fold"
"""An evaluation is of the test split, of the validation split where a model was not trained on it,
or of training rows by models that had not seen them."""

LONGEST_CELL = 50_000
"""Bytes of a row's key or positions."""
MOST_ROWS = 500_000
"""Of one evaluation, that are read at once."""


@dataclass(frozen=True, slots=True)
class RowResult:
    """A row that was judged: the positions of its labels, and of those that were answered (None: no
    answer), ascending, so that equal sets of labels are equal, here and as stored.

    score:         the probability of the answer, 0-1; None when there is none
    group:         the same number for rows whose texts are equal or near copies; None: not known
    truth_score:   the probability of the row's own labels, 0-1; None: not known
    probabilities: positions of labels, each with its probability, the largest first: of the most
                   probable ones, of the row's own and of the answer
    sampled:       False for a row that is kept besides a random sample
    """

    key: Key
    truth: tuple[int, ...]
    chosen: tuple[int, ...] | None
    score: float | None
    group: int | None = None
    truth_score: float | None = None
    probabilities: tuple[tuple[int, float], ...] = ()
    sampled: bool = True

    @property
    def right(self) -> bool:
        """Whether exactly the labels of the row were answered."""
        return self.chosen == self.truth


RIGHT = "{0}.chosen is {0}.truth"
"""The same in SQL, of a row of _ftclassify_evaluation_rows by the name in its place."""


def add_evaluation(
    conn: sqlite3.Connection,
    classifier: Classifier,
    split: str,
    metrics: Evaluation,
    rows: Iterable[RowResult] = (),
) -> None:
    """Keeps an evaluation. The rows of an earlier one go: they were about the same split."""
    ensure_schema(conn)
    with transaction(conn):
        conn.execute(
            "delete from _ftclassify_evaluation_rows where evaluation_id in"
            " (select id from _ftclassify_evaluations where classifier_id = ? and split = ?)",
            [classifier.id, split],
        )
        cursor = conn.execute(
            "insert into _ftclassify_evaluations (classifier_id, split, metrics, created_at)"
            " values (?, ?, ?, ?)",
            [classifier.id, split, json.dumps(metrics, ensure_ascii=False), now()],
        )
        conn.executemany(
            "insert into _ftclassify_evaluation_rows"
            " (evaluation_id, row_key, truth, chosen, score, text_group, truth_score,"
            " probabilities, sampled) values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
            ((cursor.lastrowid, *_cells(row)) for row in rows),
        )


def _cells(row: RowResult) -> tuple[Any, ...]:
    chosen = None if row.chosen is None else json.dumps(row.chosen)
    key, truth = key_text(row.key), json.dumps(row.truth)
    listed = ", ".join(f"{label}, {probability:.6g}" for label, probability in row.probabilities)
    return (
        key, truth, chosen, row.score, row.group, row.truth_score, f"[{listed}]",
        None if row.sampled else 0,
    )  # fmt: skip


def evaluation_text(
    conn: sqlite3.Connection, classifier: Classifier, split: str = TEST
) -> str | None:
    """The newest metrics of the classifier as they are stored; None when it was never evaluated.

    Raises ArtifactError when they are no text.
    """
    row = conn.execute(
        f"select {at_most('metrics')} from _ftclassify_evaluations"
        " where classifier_id = ? and split = ? order by id desc limit 1",
        [classifier.id, split],
    ).fetchone()
    if row is not None and not isinstance(row[0], str):
        raise ArtifactError("The evaluation is no text.")
    return None if row is None else row[0]


def metrics_of(classifier: Classifier, text: str) -> Evaluation:
    """The metrics in a stored text. Raises ArtifactError: they are damaged, or too many."""
    from ..metrics.stored import read_metrics  # numpy comes with it

    try:
        return read_metrics(text)
    except ArtifactError as error:
        raise ArtifactError(f"{error} Evaluate {classifier.title} again.") from None


def row_results(
    conn: sqlite3.Connection,
    classifier: Classifier,
    *,
    truth: int | None = None,
    chosen: int | None = None,
    abstained: bool = False,
    wrong: bool = False,
    limit: int = 100,
    offset: int = 0,
    split: str = TEST,
) -> tuple[list[RowResult], int]:
    """Rows of the newest evaluation, least sure first, and how many there are in all.

    truth, chosen: only rows that have, or were given, the label at that position
    abstained:     only rows without an answer
    wrong:         only rows whose answer is not the truth
    A file from an earlier version has none.
    """
    if not row_columns(conn):
        return [], 0
    conditions = ["e.classifier_id = :classifier", "e.split = :split"]
    if truth is not None:
        conditions.append(_holds("r.truth", ":truth"))
    if chosen is not None:
        conditions.append(_holds("r.chosen", ":chosen"))
    if abstained:
        conditions.append("r.chosen is null")
    if wrong:
        conditions.append(f"not ({RIGHT.format('r')})")
    values = {
        "classifier": classifier.id, "truth": truth, "chosen": chosen, "limit": limit,
        "offset": offset, "split": split,
    }  # fmt: skip
    where = (
        "from _ftclassify_evaluation_rows r join _ftclassify_evaluations e"
        f" on e.id = r.evaluation_id where {' and '.join(conditions)}"
    )
    cells = ", ".join(at_most(f"r.{name}", LONGEST_CELL) for name in ("row_key", "truth", "chosen"))
    total = int(conn.execute(f"select count(*) {where}", values).fetchone()[0])
    found = conn.execute(
        f"select {cells}, r.score {where}"
        " order by r.score is null desc, r.score, r.row_key limit :limit offset :offset",
        values,
    )
    return [row for row in map(_row, found.fetchall()) if row is not None], total


MOST_SCORED = 100_000
"""Test rows whose scores are read at once."""


def scored_rows(
    conn: sqlite3.Connection, classifier: Classifier, split: str = TEST
) -> list[tuple[float, int, int, int]]:
    """Of the rows of the newest evaluation that have an answer with a score: the score, 0-1,
    whether the answer is right (1 or 0), the position of the first label that was answered, and a
    number that is the same for rows whose texts are equal or near copies. Without rows that are
    kept besides a random sample."""
    columns = row_columns(conn)
    if not columns or (split == OUT_OF_FOLD and "sampled" not in columns):
        return []
    drawn = " and r.sampled is null" if "sampled" in columns else ""
    group = "r.text_group" if "text_group" in columns else "null"
    position = "cast(substr(r.chosen, 2, 10) as integer)"  # of a JSON array, as we write it
    found = conn.execute(
        f"select r.score, {RIGHT.format('r')}, {position},"
        f" case typeof({group}) when 'integer' then {group} else null end"
        " from _ftclassify_evaluation_rows r where r.evaluation_id ="
        " (select max(id) from _ftclassify_evaluations where classifier_id = ? and split = ?)"
        " and r.score between 0 and 1 and typeof(r.score) in ('real', 'integer')"
        f" and r.chosen is not null{drawn} limit {MOST_SCORED}",
        [classifier.id, split],
    ).fetchall()
    # A row of which no group is known is a text of its own.
    return [
        (float(score), int(right), place, -1 - i if group is None else group)
        for i, (score, right, place, group) in enumerate(found)
    ]


def judged_rows(
    conn: sqlite3.Connection, classifier: Classifier, split: str = TEST
) -> list[RowResult]:
    """All rows of the newest evaluation, by key, without their probabilities; none in a file of an
    earlier version, or of a view whose rows have no key. Raises ArtifactError for more than
    MOST_ROWS."""
    if not row_columns(conn):
        return []
    group = "r.text_group" if "text_group" in row_columns(conn) else "null"
    cells = ", ".join(at_most(f"r.{name}", LONGEST_CELL) for name in ("row_key", "truth", "chosen"))
    found = conn.execute(
        f"select {cells}, r.score, {group} from _ftclassify_evaluation_rows r"
        " where r.evaluation_id = (select max(id) from _ftclassify_evaluations"
        f" where classifier_id = ? and split = ?) order by r.row_key limit {MOST_ROWS + 1}",
        [classifier.id, split],
    ).fetchall()
    if len(found) > MOST_ROWS:
        raise ArtifactError(f"{classifier.title} has more than {MOST_ROWS:,} test rows: too many.")
    rows = ((_row(cells), cells[4]) for cells in found)
    return [
        replace(row, group=group if isinstance(group, int) else None)
        for row, group in rows
        if row is not None
    ]


def paired_counts(
    conn: sqlite3.Connection, first: Classifier, second: Classifier
) -> dict[str, int]:
    """Of the test rows on which both were evaluated: what `paired.compare_counts` wants. Rows of an
    earlier version, of which no group is known, count as texts of their own."""
    names = ("both", "only_first", "only_second", "neither", "texts", "texts_first", "texts_second")
    if not row_columns(conn):
        return dict.fromkeys(names, 0)
    text = "a.row_key"
    if "text_group" in row_columns(conn):
        text = f"case typeof(a.text_group) when 'integer' then a.text_group else {text} end"
    evaluation = (
        "(select max(id) from _ftclassify_evaluations where classifier_id = {} and split = :split)"
    )
    counts = conn.execute(
        "select sum(b), sum(f), sum(s), sum(n), count(*), sum(f > s), sum(s > f) from"
        " (select sum(f and s) as b, sum(f and not s) as f, sum(s and not f) as s,"
        " sum(not f and not s) as n from"
        f" (select {RIGHT.format('a')} as f, {RIGHT.format('b')} as s, {text} as text"
        " from _ftclassify_evaluation_rows a join _ftclassify_evaluation_rows b"
        f" on b.evaluation_id = {evaluation.format(':second')} and b.row_key = a.row_key"
        f" where a.evaluation_id = {evaluation.format(':first')}) group by text)",
        {"first": first.id, "second": second.id, "split": TEST},
    ).fetchone()
    return {name: count or 0 for name, count in zip(names, counts, strict=True)}


def row_columns(conn: sqlite3.Connection) -> set[str]:
    """Of the stored rows: a file that nobody has written to since an earlier version lacks the
    newest ones, or all."""
    return {row[1] for row in conn.execute("pragma table_info(_ftclassify_evaluation_rows)")}


def _holds(array: str, position: str) -> str:
    """A condition: the JSON array, as we write it, holds the position."""
    # [1, 12] becomes ", 1, 12,": plain text functions, since an old SQLite may lack JSON.
    plain = f"replace(replace({array}, '[', ', '), ']', ',')"
    return f"instr({plain}, ', ' || {position} || ',') > 0"


def _row(cells: Sequence[Any]) -> RowResult | None:
    try:
        key, truth = tuple(map(unpacked, _list(cells[0]))), _positions(cells[1])
        chosen = None if cells[2] is None else _positions(cells[2])
        score = None if cells[3] is None else float(cells[3])
    except (ValueError, TypeError, ArtifactError):
        return None
    if any(isinstance(value, bool) for value in key):
        return None
    return RowResult(key, truth, chosen, score) if score is None or 0 <= score <= 1 else None


def _positions(text: str) -> tuple[int, ...]:
    positions = _list(text)
    if not all(type(position) is int and position >= 0 for position in positions):
        raise ValueError("a position is none")
    return tuple(positions)


def _list(text: str) -> list[Any]:
    items = read_json(text, "row of the evaluation", most_bytes=LONGEST_CELL)
    if not isinstance(items, list):
        raise ValueError("it is no JSON array")
    return items
