"""The SQL functions: classifiers inside any query.

They answer from what is stored in the database of their own connection (main or attached), see a
new classifier at the next query, and never raise: SQLite would show a bare "user-defined function
raised exception" in place of a page. What went wrong is told by ft_classify_json and ft_explain.
For a classifier whose model is at a service, what is stored are its answers (see `sql_answers`).

Nothing heavy is imported until the first text is classified.
"""

from __future__ import annotations

import ctypes
import json
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .errors import FtclassifyError
from .predictions import Prediction, label_cell
from .resolver import Loaded, Resolver, Served
from .trainers.access import Access, read_access

if TYPE_CHECKING:
    import numpy as np

    from .sql_answers import KeptAnswers

MEMO_SIZE = 2_048
"""Answers kept for each connection: one page of a view asks for the same row several times."""
MEMO_TEXT = 20_000
"""Characters of the longest text whose answer is kept."""
MANY_LIMIT = 100_000
"""Texts that one ft_classify_many takes."""
MANY_CHARACTERS = 50_000_000
"""Characters that they may have in all: parsed JSON takes many times the room."""
CHUNK_TEXTS, CHUNK_CHARACTERS = 256, 100_000
"""What ft_classify_many answers between two looks at the clock, each text for itself at least."""
TOKENS_CHARACTERS = 2_000_000
"""Characters of the longest text whose tokens are counted: some tenths of a second."""
TIME_LIMIT = 60.0
"""Seconds one ft_classify_many may take, unless told otherwise."""

Scalar = str | int | float | None


def register(
    conn: sqlite3.Connection,
    *,
    time_limit: float = TIME_LIMIT,
    access: Callable[[], Access] = read_access,
    writable: Callable[[str], bool] = lambda path: True,
) -> None:
    """Adds the functions to a connection.

    `time_limit` bounds, in seconds, one call of ft_classify_many and the waiting for services,
    which SQLite's own limits cannot interrupt. `access` is asked when a text of a classifier at a
    service has no kept answer, and may raise AccessError; `writable` says of a database file
    whether an answer that was paid for may be kept in it.
    None is declared deterministic: the answer depends on the stored classifier, and an index
    made of it would silently grow old.
    """
    functions = Functions(_Borrowed(conn), time_limit, access, writable)
    for name, counts, function in functions.table():
        for count in counts:
            conn.create_function(name, count, _never_raise(function))


class _Borrowed:
    """A connection that is not kept alive.

    SQLite keeps a function as long as its connection; a function that in turn kept the Python
    connection would make both immortal, beyond the reach of the garbage collector, and leak a file
    handle for every connection that is dropped without close(). sqlite3.Connection has no weak
    references. A function only ever runs while a statement of its own connection does, so the
    object is alive whenever it is looked up here.
    """

    def __init__(self, conn: sqlite3.Connection) -> None:
        # A view of the bare address: unlike py_object(conn), it owns no reference.
        self._view: Any = ctypes.py_object.from_buffer(ctypes.c_size_t(id(conn)))

    def __call__(self) -> sqlite3.Connection:
        conn: sqlite3.Connection = self._view.value
        return conn


def _never_raise(function: Callable[..., Scalar]) -> Callable[..., Scalar]:
    def guarded(*arguments: object) -> Scalar:
        try:
            return function(*arguments)
        except Exception:
            # Whatever a stranger's file makes us trip over, a query goes on.
            return None

    return guarded


class Functions:
    """The functions of one connection, and what they remember."""

    def __init__(
        self,
        connection: Callable[[], sqlite3.Connection],
        time_limit: float,
        access: Callable[[], Access],
        writable: Callable[[str], bool],
    ) -> None:
        self._connection = connection
        self._resolver = Resolver(connection)
        self._time_limit = time_limit
        self._access = access
        self._writable = writable
        self._memo: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()

    @cached_property
    def _kept(self) -> KeptAnswers:
        from .sql_answers import Asking, KeptAnswers

        asking = Asking(self._access, self._writable, self._time_limit)
        return KeptAnswers(self._connection, asking)

    def table(self) -> list[tuple[str, tuple[int, ...], Callable[..., Scalar]]]:
        """(name, numbers of arguments, function)"""
        return [
            ("ft_classify", (1, 2), self.classify),
            ("ft_score", (1, 2), self.score),
            ("ft_logprob", (1, 2), self.logprob),
            ("ft_classify_json", (1, 2), self.classify_json),
            ("ft_labels", (1, 2), self.labels),
            ("ft_classify_many", (1, 2), self.classify_many),
            ("ft_explain", (1, 2), self.explain),
            ("ft_tokens", (1, 2), count_tokens),
        ]

    def classify(self, text: object, classifier: object = None) -> Scalar:
        """The label of the text; a JSON array of labels for a multilabel classifier."""
        loaded = self._resolver.resolve(classifier)
        if isinstance(loaded, Served):
            return self._kept.classify(text, loaded)
        row = self._logprobs(text, loaded)
        if row is None:
            return None
        if loaded.labels.multilabel:
            return label_cell(loaded.labels, loaded.answerer.from_logprobs(row))
        return loaded.labels.values[row.argmax()]

    def score(self, text: object, classifier: object = None) -> Scalar:
        """The probability of what ft_classify answers, 0-1."""
        loaded = self._resolver.resolve(classifier)
        if isinstance(loaded, Served):
            return self._kept.score(text, loaded)
        prediction = self._predict(text, loaded)
        return None if prediction is None else prediction.score

    def logprob(self, text: object, classifier: object = None) -> Scalar:
        """The natural logarithm of ft_score."""
        loaded = self._resolver.resolve(classifier)
        if isinstance(loaded, Served):
            return self._kept.logprob(text, loaded)
        prediction = self._predict(text, loaded)
        return None if prediction is None else prediction.logprob

    def labels(self, text: object, classifier: object = None) -> Scalar:
        """A JSON array of the labels: any number for multilabel, else one."""
        loaded = self._resolver.resolve(classifier)
        if isinstance(loaded, Served):
            return self._kept.labels(text, loaded)
        prediction = self._predict(text, loaded)
        return None if prediction is None else _json(prediction.labels)

    def classify_json(self, text: object, classifier: object = None) -> Scalar:
        """All there is to say about the text, or `{"error": …}`. NULL for NULL."""
        if text is None:
            return None
        try:
            loaded = self._resolver.resolve(classifier)
        except FtclassifyError as error:
            return _json({"error": str(error), "classifier": _name(classifier)})
        plain = classifiable(text)
        if plain is None:
            what = "a BLOB, not a text" if isinstance(text, bytes) else "empty"
            return _json({"error": f"The value is {what}.", **loaded.identity})
        if isinstance(loaded, Served):
            return _json(self._kept.full(plain, loaded))
        prediction = loaded.answerer.from_logprobs(self._logprobs_of(plain, loaded))
        return _json(_full_answer(prediction, loaded))

    def classify_many(self, texts: object, classifier: object = None) -> Scalar:
        """A JSON array of labels for a JSON array of texts, null for null; NULL past the limits."""
        if not isinstance(texts, str) or len(texts) > MANY_CHARACTERS:
            return None
        items = json.loads(texts)
        if not isinstance(items, list) or len(items) > MANY_LIMIT:
            return None
        loaded = self._resolver.resolve(classifier)
        plain = [classifiable(item) for item in items]
        known = [text for text in plain if text is not None]
        deadline = time.monotonic() + self._time_limit
        if isinstance(loaded, Served):
            found = self._kept.many(plain, loaded, deadline)
            return None if found is None else _json(found)
        answers = []
        for chunk in _chunks(known):
            if time.monotonic() > deadline:
                return None
            answers += loaded.answerer.answers(chunk)
        left = iter(answers)
        return _json([None if text is None else _shown(next(left), loaded) for text in plain])

    def explain(self, text: object, classifier: object = None) -> Scalar:
        """The words that spoke for (above 0) and against the answer, strongest first, as JSON."""
        plain = classifiable(text)
        if plain is None:
            return None
        try:
            loaded = self._resolver.resolve(classifier)
        except FtclassifyError as error:
            return _json({"error": str(error), "classifier": _name(classifier)})
        if isinstance(loaded, Served):
            return _json({"error": self._kept.cannot_explain(loaded), **loaded.identity})
        prediction = loaded.answerer.answer(plain)
        spoken = {}
        for label in prediction.labels:
            words = loaded.answerer.predictor.explain(plain, loaded.labels.positions([label])[0])
            spoken[label] = [{"word": word, "weight": round(weight, 4)} for word, weight in words]
        if loaded.labels.multilabel:
            return _json({"labels": prediction.labels, "words": spoken})
        return _json({"label": prediction.labels[0], "words": spoken[prediction.labels[0]]})

    def _predict(self, text: object, loaded: Loaded) -> Prediction | None:
        row = self._logprobs(text, loaded)
        return None if row is None else loaded.answerer.from_logprobs(row)

    def _logprobs(self, text: object, loaded: Loaded) -> np.ndarray | None:
        """Of all labels, remembered for the next function; None where there is no text."""
        plain = classifiable(text)
        return None if plain is None else self._logprobs_of(plain, loaded)

    def _logprobs_of(self, plain: str, loaded: Loaded) -> np.ndarray:
        key = (loaded.uid, plain)
        row = self._memo.get(key)
        if row is None:
            row = loaded.answerer.predictor.log_probabilities_one(plain)
            if len(plain) <= MEMO_TEXT:
                self._memo[key] = row
            if len(self._memo) > MEMO_SIZE:
                self._memo.popitem(last=False)
        return row


def classifiable(value: object) -> str | None:
    """The text of a cell; None where a row of a table would have no text either: NULL, BLOB,
    nothing but white space."""
    plain = value if isinstance(value, str) else as_text(value)
    return None if not plain or plain.isspace() else plain


def as_text(value: object) -> str | None:
    """A cell as text: numbers as Python shows them; None for NULL and BLOB."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return str(value)


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, few enough at a time that none keeps anybody waiting for long."""
    chunk: list[str] = []
    size = 0
    for text in texts:
        if chunk and (len(chunk) == CHUNK_TEXTS or size + len(text) > CHUNK_CHARACTERS):
            yield chunk
            chunk, size = [], 0
        chunk.append(text)
        size += len(text)
    if chunk:
        yield chunk


def _full_answer(prediction: Prediction, loaded: Loaded) -> dict[str, Any]:
    logprobs = {
        name: round(value, 6)
        for name, value in zip(loaded.labels.names, prediction.logprobs, strict=True)
    }
    answer: dict[str, Any] = {"label": prediction.labels[0]} if not loaded.labels.multilabel else {}
    if loaded.labels.multilabel:
        answer = {"labels": prediction.labels}
    return {
        **answer,
        "score": prediction.score,
        "logprob": prediction.logprob,
        "logprobs": logprobs,
        **loaded.identity,
    }


def _shown(prediction: Prediction, loaded: Loaded) -> Any:
    return list(prediction.labels) if loaded.labels.multilabel else prediction.labels[0]


def count_tokens(text: object, model: object = None) -> Scalar:
    """How many tokens the text has for a model; NULL for NULL, BLOB and a text of millions of
    characters, at which nothing could interrupt the count."""
    plain = as_text(text)
    if plain is None or len(plain) > TOKENS_CHARACTERS:
        return None
    from .tokens import tokenizer_for

    return tokenizer_for(model if isinstance(model, str) else None).count(plain)


def _name(classifier: object) -> object:
    return classifier if isinstance(classifier, (str, int, float)) else None


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
