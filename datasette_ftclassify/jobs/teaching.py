"""What a classifier answers for texts without a label, for a student to learn from.

A teacher on this machine is asked. Of one at a service the stored answers are taken, and nothing is
sent: a prediction job, which says its price, makes more of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from ..core.errors import TrainingError
from ..core.examples import read_records
from ..core.humanize import counted
from ..core.text import text_hash
from ..store.answers import find_answers, input_key
from ..store.classifiers import Classifier
from ..store.splits import Membership
from ..store.tables import has_table
from ..trainers.base import Progress, Taught, no_progress
from .load_classifier import load_answerer, service_of
from .remote.answer_cache import is_sound
from .train_rows import TextSample

if TYPE_CHECKING:
    import numpy as np

MOST_TAUGHT = 10_000
"""Texts that a student learns from, drawn at random of more."""
_AT_ONCE = 500


def taught_by(
    conn: sqlite3.Connection, teacher: Classifier, seed: int, progress: Progress = no_progress
) -> Taught:
    """The teacher's answers for different texts of its table that have no label; none that it is
    tested with. Raises TrainingError where there are none."""
    here = service_of(teacher) is None
    sample = TextSample(seed, MOST_TAUGHT)
    for text in _unlabelled(conn, teacher) if here else _answered(conn, teacher):
        sample.add(text)
    if not sample.texts:
        missing = "no row without a label" if here else "no stored answer for a row without one"
        raise TrainingError(
            f"A student learns from rows without a label that {teacher.title} has answered: there "
            f"is {missing}{'' if here else '. Classify such rows first'}."
        )
    texts = sorted(sample.texts)
    chances = (_asked if here else _stored)(conn, teacher, texts, progress)
    return Taught(texts, chances, teacher.title)


def _unlabelled(conn: sqlite3.Connection, teacher: Classifier) -> Iterator[str]:
    before = Membership(conn, teacher.split_id)
    seen: set[int] = set()
    for record in read_records(conn, teacher.task):
        if (
            record.text
            and record.labels.values is None
            and record.labels.problem in (None, "empty")
        ):
            name = text_hash(record.text)
            if name not in seen and not before.is_tested(name):
                seen.add(name)
                yield record.text


def _answered(conn: sqlite3.Connection, teacher: Classifier) -> Iterator[str]:
    """Those of them that have a stored answer."""
    if has_table(conn, "answers"):
        for texts in _pieces(_unlabelled(conn, teacher)):
            keys = [input_key(text) for text in texts]
            found = find_answers(conn, teacher.id, keys)
            for key, text in zip(keys, texts, strict=True):
                answer = found.get(key)
                if answer is not None and answer.labels and is_sound(answer, teacher.labels):
                    yield text


def _asked(
    conn: sqlite3.Connection, teacher: Classifier, texts: Sequence[str], progress: Progress
) -> np.ndarray:
    import numpy as np

    predictor = load_answerer(conn, teacher).predictor
    at_once = getattr(predictor, "texts_at_once", None) or _AT_ONCE
    found = []
    for start in range(0, len(texts), at_once):
        step = f"asking {teacher.title} about {counted(len(texts), 'text')}"
        progress(step, start / len(texts))
        found.append(np.exp(predictor.log_probabilities(texts[start : start + at_once])))
    return np.concatenate(found).astype(np.float32)


def _stored(
    conn: sqlite3.Connection, teacher: Classifier, texts: Sequence[str], progress: Progress
) -> np.ndarray:
    """An answer without scores counts as sure."""
    import numpy as np

    labels, rows = teacher.labels, []
    for some in _pieces(texts):
        keys = [input_key(text) for text in some]
        found = find_answers(conn, teacher.id, keys)
        for key in keys:
            answer = found[key]
            if answer.logprobs is not None:
                rows.append(np.exp(np.array(answer.logprobs)))
                continue
            row = np.zeros(len(labels))
            row[labels.positions(answer.labels or ())] = 1
            rows.append(row)
    chances = np.array(rows, dtype=np.float32)
    if labels.exclusive:  # the rest of their probability is outside the label set
        chances /= np.maximum(chances.sum(axis=1, keepdims=True), 1e-9)
    return chances


def _pieces(texts: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(texts)
    while piece := list(islice(rest, _AT_ONCE)):
        yield piece
