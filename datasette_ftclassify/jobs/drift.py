"""Whether the rows that came after a training are of the kind that it was tested on.

The rows that were in no split are answered as the test rows are, and compared (`metrics.drift`).
Both are bounded: of a large table the newest rows are read. Texts that were there before say
nothing new, and each text counts once, with its near copies, or a mail sent to everybody would be a
change.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..core.database import (
    Cell,
    JsonKey,
    Key,
    Params,
    Relation,
    check_condition,
    condition,
    json_key,
    key_text,
    quote,
    quote_all,
    reading,
    relation,
    row_condition,
)
from ..core.errors import EvaluationError
from ..core.humanize import rows_text
from ..core.prediction import Answerer
from ..core.text import text_hash
from ..core.typed_json import in_json
from ..metrics.drift import Answered, DriftTest, drift_tests, grown
from ..store.classifiers import Classifier
from ..store.splits import keys_of_split, knows_training_rows, splits_of_rows, text_hashes
from .load_classifier import load_answerer, service_of

MOST_ROWS = 1_000
"""Texts of each kind that are answered."""

MOST_MOMENTS = 100
"""Tenths of a second for the answers of each kind, where a classifier reads texts slowly."""

MOST_READ = 20_000
"""Rows of the table that are read for them, the newest ones."""

MOST_CHARACTERS = 4_000_000
"""Of the texts of each kind together."""

LEAST_ROWS = 50
"""Texts of each kind; fewer cannot show a change."""

MOST_TESTED = 0.4
"""Share of the labelled rows, 0-1, that is proposed for a test at most."""
_STEP = 0.05

CLEARLY = 3.0
"""Standard errors by which a word or a label must have grown to be named."""

_MOST_NAMED = 10
_MOST_SHOWN = 300
_PIECE = 100
_words = re.compile(r"[^\W\d_]{3,}").findall


@dataclass(frozen=True)
class Growth:
    """A word or a label, and the shares (0-1) of test rows and of new rows that have it."""

    name: str
    before: float
    now: float


@dataclass(frozen=True)
class NewRow:
    """A row that is least like the training rows. known: None: not measured"""

    key: JsonKey
    text: str
    label: str
    score: float
    known: float | None


@dataclass(frozen=True)
class Drift:
    """What the new rows are like.

    new, test: texts that were compared
    read:      rows of the table that were looked at, the newest ones
    all_read:  whether these are all
    tests:     none where `problem` says why nothing can be said
    share:     0-1, for the test of another training, where that would give enough test rows
    """

    new: int
    test: int
    read: int
    all_read: bool
    tests: Sequence[DriftTest] = ()
    words: Sequence[Growth] = ()
    labels: Sequence[Growth] = ()
    rows: Sequence[NewRow] = ()
    problem: str | None = None
    share: float | None = None

    @property
    @in_json
    def changed(self) -> bool:
        return any(test.changed for test in self.tests)


def most_texts(answerer: Answerer) -> int:
    """Texts that are answered while somebody waits: MOST_ROWS, or as many as an encoder reads."""
    at_once: int | None = getattr(answerer.predictor, "texts_at_once", None)
    return MOST_ROWS if at_once is None else min(MOST_ROWS, at_once * MOST_MOMENTS)


def find_drift(
    conn: sqlite3.Connection,
    classifier: Classifier,
    *,
    where: str | None = None,
    params: Params | None = None,
) -> Drift:
    """Compares the rows of the classifier's table that were in no split with its test rows.

    where, params: only new rows that meet the condition as well; the values of its :names
    Raises EvaluationError where there is nothing to compare, SourceError when the table or the
    condition does not fit, ArtifactError for a damaged classifier.
    """
    source = _source(conn, classifier)
    if where:
        check_condition(conn, source, where, params or {})
    answerer = load_answerer(conn, classifier)
    most = most_texts(answerer)
    reader = _Reader(conn, classifier, source, most)
    test = reader.test_rows()
    new = reader.new_rows(where, params or {})
    found = Drift(len(new), len(test), reader.read, reader.all_read)
    if found.test < LEAST_ROWS:
        problem, share = _too_few_tested(classifier, found.test)
        return replace(found, problem=problem, share=share)
    if found.new < LEAST_ROWS:
        problem = (
            f"There are {rows_text(found.new)} with new texts, and {LEAST_ROWS} are needed to tell "
            "a change from chance."
        )
        return replace(found, problem=problem)
    before, now = (answered(answerer, list(rows.values())) for rows in (test, new))
    names = classifier.labels.names
    return replace(
        found,
        tests=drift_tests(before, now, len(names)),
        words=_grown_words(list(test.values()), list(new.values())),
        labels=_grown_labels(before, now, names),
        rows=_least_known(new, now, names),
    )


def answered(answerer: Answerer, texts: Sequence[str]) -> Answered:
    """What the tests compare, of at least one text."""
    predictions, known = answerer.answers_known(texts)
    return Answered(
        np.array([prediction.score for prediction in predictions]),
        np.array([np.argmax(prediction.logprobs) for prediction in predictions]),
        None if None in known else np.array(known, dtype=np.float64),
    )


def _source(conn: sqlite3.Connection, classifier: Classifier) -> Relation:
    title = classifier.title
    if service_of(classifier) is not None:
        raise EvaluationError(
            f"The model of {title} is at a service, where each answer costs money: drift is looked "
            "for by classifiers whose model is in the file."
        )
    source = relation(conn, classifier.task.source)
    source.require_columns(classifier.task.text)
    if not source.identity:
        raise EvaluationError(
            f"{source.name} is a view, whose rows have no identity: train on its table to see "
            "which rows are new."
        )
    if not knows_training_rows(conn, classifier.split_id):
        raise EvaluationError(
            f"This copy does not say which rows {title} was trained on: look in the file in which "
            "it was trained."
        )
    return source


def _too_few_tested(classifier: Classifier, texts: int) -> tuple[str, float | None]:
    """Why so few test texts say nothing and what helps, and the share for the test that would do;
    None: no share of these rows would, or a column says which rows are the test's."""
    problem = (
        f"{classifier.title} has {rows_text(texts)} with texts of their own in its test part, and "
        f"{LEAST_ROWS} are needed to compare with. A new version keeps these test rows"
    )
    if classifier.task.split_column is not None:
        column = classifier.task.split_column
        return f"{problem}: let {column} say test of more rows, and train it again.", None
    rows = classifier.report.get("rows") or {}
    labelled = sum(rows.values())
    share = rows.get("test", 0) / labelled * LEAST_ROWS / texts if texts and labelled else 1.0
    if share > MOST_TESTED:
        return f"{problem}, and there are too few others: label more, and train it again.", None
    share = math.ceil(share / _STEP) * _STEP
    return f"{problem}: train it again with a test share of {share:.2g}.", round(share, 2)


class _Reader:
    """Texts by key of the source's rows, one of each group of near copies, at most `most`."""

    def __init__(
        self, conn: sqlite3.Connection, classifier: Classifier, source: Relation, most: int
    ) -> None:
        self._conn = conn
        self._most = most
        self._split = classifier.split_id
        self._task = classifier.task
        self._render = classifier.task.renderer()
        self._source = source
        self._n_keys = len(source.identity)
        table = quote(source.name)
        self._select = (
            f"select {quote_all(source.identity)}, {quote_all(classifier.task.text)} from {table}"
        )
        self.read = 0
        self.all_read = False

    def test_rows(self) -> dict[Key, str]:
        """As they read now, if they have the text that they had."""
        stored = keys_of_split(self._conn, self._split, "test", MOST_READ)
        chosen = np.random.default_rng(0).permutation(len(stored))

        def rows() -> Iterator[tuple[Key, str]]:
            for place in chosen:
                key, hashed = stored[place]
                found = row_condition(self._source, key)
                if found is None:
                    continue
                row = self._conn.execute(f"{self._select} where {found[0]}", found[1]).fetchone()
                text = None if row is None else self._text(row)
                if text is not None and text_hash(text) == hashed:
                    yield key, text

        with reading(self._source, None):
            return _different(rows(), self._most)

    def new_rows(self, where: str | None, params: Params) -> dict[Key, str]:
        """Of the newest rows those that were in no split, and whose texts were in none."""
        seen = text_hashes(self._conn, self._split)
        descending = ", ".join(f"{quote(name)} desc" for name in self._source.cursor)
        conditions = f"{condition(self._task.where)} and {condition(where)}"
        sql = f"{self._select} where {conditions} order by {descending} limit {MOST_READ}"
        values = {**dict(self._task.params), **dict(params)}

        def rows() -> Iterator[tuple[Key, str]]:
            cursor = self._conn.execute(sql, values)
            while piece := cursor.fetchmany(_PIECE):
                keys = [tuple(row[: self._n_keys]) for row in piece]
                known = splits_of_rows(self._conn, self._split, keys)
                self.read += len(piece)
                for key, row in zip(keys, piece, strict=True):
                    text = None if key_text(key) in known else self._text(row)
                    if text is not None and text_hash(text) not in seen:
                        yield key, text
            self.all_read = self.read < MOST_READ

        with reading(self._source, where):
            return _different(rows(), self._most)

    def _text(self, row: Sequence[Cell]) -> str | None:
        return self._render(tuple(row[self._n_keys :])).text


def _different(rows: Iterator[tuple[Key, str]], most: int) -> dict[Key, str]:
    """The first `most` of them, without later copies and near copies."""
    from ..core.near_duplicates import near_groups

    found: dict[Key, str] = {}
    texts: set[int] = set()
    characters = 0
    for key, text in rows:
        if (hashed := text_hash(text)) in texts:
            continue
        texts.add(hashed)
        found[key] = text
        characters += len(text)
        if len(found) == most or characters > MOST_CHARACTERS:
            break
    groups = near_groups(list(found.values())).tolist() if found else []
    first = dict(zip(reversed(groups), reversed(found), strict=True))
    return {key: found[key] for key in reversed(first.values())}


def _grown_words(before: Sequence[str], now: Sequence[str]) -> list[Growth]:
    had, has = _rows_with_words(before), _rows_with_words(now)
    words = [word for word, rows in has.items() if rows >= max(3, len(now) // 50)]
    return _growths(words, [had[w] for w in words], len(before), [has[w] for w in words], len(now))


def _rows_with_words(texts: Sequence[str]) -> Counter[str]:
    return Counter(word for text in texts for word in set(_words(text.lower())))


def _grown_labels(before: Answered, now: Answered, names: Sequence[str]) -> list[Growth]:
    had, has = (Counter(batch.labels.tolist()) for batch in (before, now))
    places = range(len(names))
    return _growths(
        names, [had[i] for i in places], len(before), [has[i] for i in places], len(now)
    )


def _growths(
    names: Sequence[str], had: list[int], rows: int, has: list[int], new_rows: int
) -> list[Growth]:
    places = grown([*had, rows], [*has, new_rows], CLEARLY)[:_MOST_NAMED]
    return [Growth(names[i], had[i] / rows, has[i] / new_rows) for i in places]


def _least_known(new: Mapping[Key, str], now: Answered, names: Sequence[str]) -> list[NewRow]:
    values = now.scores if now.known is None else now.known
    keys = list(new)
    return [
        NewRow(
            json_key(keys[i]),
            new[keys[i]][:_MOST_SHOWN],
            names[now.labels[i]],
            float(now.scores[i]),
            None if now.known is None else float(now.known[i]),
        )
        for i in np.argsort(values, kind="stable")[:_MOST_NAMED]
    ]
