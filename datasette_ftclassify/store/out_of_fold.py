"""What a classifier's training answered out of fold: for rows that the answering model had not
seen. Minimum scores, queues of doubtful labels and drift are found on it, and the test rows stay
for judging."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ..core.database import Key, unpacked
from ..core.errors import ArtifactError
from ..core.untrusted_json import read_json
from .cell_size import at_most
from .classifiers import Classifier, reading_store
from .evaluations import (
    LONGEST_CELL,
    OUT_OF_FOLD,
    TEST,
    RowResult,
    evaluation_text,
    metrics_of,
    row_columns,
)

if TYPE_CHECKING:
    import numpy as np

MOST_SAMPLED = 50_000
"""Rows that are kept of a classifier, drawn at random where cross-validation had more. They and
those below take 7 MB with whole numbers for keys; 1,000,000 rows would take 113."""
MOST_DOUBTED = 10_000
"""Other rows that are kept: those whose own label was least probable."""

_MOST_BYTES = 100_000_000
"""That are read of one classifier's rows: more than three times what is ever written."""
_AT_ONCE = 2_000


@dataclass(frozen=True)
class OutOfFold:
    """Answers for n training rows by models that had not seen them, in no order of their own.

    Probabilities are calibrated by what other rows gave, and labels that a row may have several of
    are chosen by thresholds of other rows. Only the choice of the recipe was made on these rows.

    keys:          of the rows, as the table's identity columns have them; for a view without a key
                   the row's number when it was read
    truth, chosen: positions of labels in the label set, ascending; exactly one where labels exclude
                   each other. A row always has an answer
    score:         float (n,), 0-1, the probability of the answer
    truth_score:   float (n,), 0-1, the probability of the row's own labels; NaN where they were not
                   in what the model was trained on, so that it could not be right
    probabilities: of each row (position, probability), the largest first: of its own labels, of the
                   answer, and of the most probable ones, 4 of them, or of several labels a row 20
                   from 0.01 on; to six digits
    groups:        int (n,), the same for rows whose texts are equal or near copies
    sampled:       bool (n,), in a random sample of all that was answered; the others are rows of
                   which the own label was least probable, and bias what they are counted in
    rows_answered: int, of how many rows that is: n, unless there were more than MOST_SAMPLED
    n_labels:      K, of the label set
    """

    keys: list[Key]
    truth: list[tuple[int, ...]]
    chosen: list[tuple[int, ...]]
    score: np.ndarray
    truth_score: np.ndarray
    probabilities: list[tuple[tuple[int, float], ...]]
    groups: np.ndarray
    sampled: np.ndarray
    rows_answered: int
    n_labels: int

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def right(self) -> np.ndarray:
        """bool (n,): whether exactly the row's labels were answered."""
        import numpy as np

        pairs = zip(self.truth, self.chosen, strict=True)
        return np.array([truth == chosen for truth, chosen in pairs], dtype=np.bool_)

    def drawn(self) -> list[RowResult]:
        """The rows of the random sample alone, without their probabilities."""
        rows = zip(
            self.keys, self.truth, self.chosen, self.score.tolist(), self.groups.tolist(),
            strict=True,
        )  # fmt: skip
        return [RowResult(*row) for row, drawn in zip(rows, self.sampled, strict=True) if drawn]

    def of_label(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Of one label the probability in each row, float (n,), 0 where it is not among those kept,
        and whether the row has it, bool (n,)."""
        import numpy as np

        probability = np.array([dict(row).get(position, 0.0) for row in self.probabilities])
        return probability, np.array([position in truth for truth in self.truth], dtype=np.bool_)


def read_out_of_fold(conn: sqlite3.Connection, classifier: Classifier) -> OutOfFold | None:
    """What is kept of the classifier; None where there is nothing: it was trained at a service or
    by an earlier version, no row could be held out, or the file was made to be published.

    Takes a second for 60,000 rows. Raises ArtifactError when it is damaged in this file.
    """
    return _of_split(conn, classifier, OUT_OF_FOLD)


def read_unsure(conn: sqlite3.Connection, classifier: Classifier, below: float) -> OutOfFold | None:
    """The test rows whose answers have a score below that, 0-1, as they were answered; None where
    no rows are kept. Raises as `read_out_of_fold` does."""
    return _of_split(conn, classifier, TEST, "score < ? and text_group is not null", [below])


def _of_split(
    conn: sqlite3.Connection,
    classifier: Classifier,
    split: str,
    condition: str = "true",
    values: Sequence[float] = (),
) -> OutOfFold | None:
    with reading_store():
        if "sampled" not in row_columns(conn):
            return None
        text = evaluation_text(conn, classifier, split)
        if text is None:
            return None
        answered = metrics_of(classifier, text)["n_test"]
        found = _cells(conn, classifier, split, condition, values)
    try:
        return _read(found, answered, len(classifier.labels))
    except (ValueError, TypeError, ArtifactError) as error:
        what, again = (
            ("in cross-validation", "train it")
            if split == OUT_OF_FOLD
            else ("of the test rows", "evaluate it")
        )
        raise ArtifactError(
            f"What {classifier.title} answered {what} is damaged in this file "
            f"({str(error)[:200]}): {again} again."
        ) from None


def _cells(
    conn: sqlite3.Connection,
    classifier: Classifier,
    split: str,
    condition: str,
    of_condition: Sequence[float],
) -> list[tuple[Any, ...]]:
    where = (
        "from _ftclassify_evaluation_rows where evaluation_id = (select max(id) from"
        f" _ftclassify_evaluations where classifier_id = ? and split = ?) and {condition}"
    )
    values = [classifier.id, split, *of_condition]
    texts = ("row_key", "truth", "chosen", "probabilities")
    sizes = " + ".join(f"coalesce(length({name}), 0)" for name in texts)
    rows, size = conn.execute(f"select count(*), total({sizes}) {where}", values).fetchone()
    if rows > MOST_SAMPLED + MOST_DOUBTED or size > _MOST_BYTES:
        raise ArtifactError(
            f"This file keeps more answers of {classifier.title} than are read at once: "
            f"{rows:,} rows, {size:,.0f} characters. Train it again."
        )
    cells = ", ".join(at_most(name, LONGEST_CELL) for name in texts)
    found = conn.execute(f"select {cells}, score, truth_score, text_group, sampled {where}", values)
    return found.fetchall()


def _read(rows: list[tuple[Any, ...]], answered: int, n_labels: int) -> OutOfFold:
    """Raises ValueError, TypeError or ArtifactError for what was not written by a training."""
    import numpy as np

    keys, truth, chosen, listed = (_column([row[i] for row in rows]) for i in range(4))
    score, truth_score, groups = (_numbers([row[i] for row in rows]) for i in range(4, 7))
    if not bool((np.isfinite(score) & (np.abs(groups) < 2**53)).all()):
        raise ValueError("a score or a group is missing")
    return OutOfFold(
        [tuple(map(unpacked, key)) for key in keys],
        [_positions(row, n_labels) for row in truth],
        [_positions(row, n_labels) for row in chosen],
        _shares(score),
        _shares(truth_score),
        [_pairs(row, n_labels) for row in listed],
        groups.astype(np.int64),
        np.array([row[7] is None for row in rows], dtype=np.bool_),
        answered,
        n_labels,
    )


def _column(cells: Sequence[object]) -> list[list[Any]]:
    """JSON arrays, many at once: one by one takes four times as long."""
    if not all(isinstance(cell, str) for cell in cells):
        raise TypeError("a cell is no text")
    found: list[list[Any]] = []
    for start in range(0, len(cells), _AT_ONCE):
        some = cast(Sequence[str], cells[start : start + _AT_ONCE])
        size = 3 * sum(map(len, some)) + 3 * len(some)
        read = read_json(f"[{','.join(some)}]", "rows", most_bytes=size, most_items=size)
        if len(read) != len(some) or not all(isinstance(one, list) for one in read):
            raise ValueError("a cell is no JSON array")
        found += read
    return found


def _positions(row: list[Any], n_labels: int) -> tuple[int, ...]:
    if not all(type(position) is int and 0 <= position < n_labels for position in row):
        raise ValueError("a position is none")
    return tuple(row)


def _pairs(row: list[Any], n_labels: int) -> tuple[tuple[int, float], ...]:
    positions, probabilities = _positions(row[::2], n_labels), row[1::2]
    if not all(type(share) in (int, float) and 0 <= share <= 1 for share in probabilities):
        raise ValueError("a probability is not from 0 to 1")
    return tuple(zip(positions, map(float, probabilities), strict=True))


def _numbers(cells: list[Any]) -> np.ndarray:
    import numpy as np

    if not all(cell is None or type(cell) in (int, float) for cell in cells):
        raise TypeError("a cell is no number")
    return np.array(cells, dtype=np.float64)


def _shares(numbers: np.ndarray) -> np.ndarray:
    if bool(((numbers < 0) | (numbers > 1)).any()):
        raise ValueError("a probability is not from 0 to 1")
    return numbers
