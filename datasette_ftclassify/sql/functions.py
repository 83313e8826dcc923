"""The SQL functions: classifiers inside any query.

They answer from what is stored in the database of their own connection (main or attached), see a
new classifier at the next query, and never raise: SQLite would show a bare "user-defined function
raised exception" in place of a page. ft_classify_json and ft_explain report what went wrong. For a
classifier whose model is at a service, its stored answers are used (see `cached_answers`).

A query may call a function any number of times, so each call checks the time that its query has
left, and its own time and memory are bounded.

Nothing heavy is imported until the first text is classified.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..core.errors import ClassifierNotFound, FtclassifyError
from ..core.prediction import Prediction, label_cell
from ..trainers.access import Access
from ..trainers.configuration import read_access
from .query_limit import QueryLimit
from .registration import Borrowed, CutText, Scalar, create_function
from .resolver import LONGEST_NAME, Loaded, Resolver, Served
from .texts import as_text, classifiable, text_for

if TYPE_CHECKING:
    import numpy as np

    from .cached_answers import CachedAnswers

MEMO_SIZE = 2_048
"""Answers kept for each connection: one page of a view asks for the same row several times."""
MEMO_CHARACTERS = 4_000_000
"""Characters of the texts whose answers are kept, in all."""
TEXT_BYTES = 1_000_000
"""UTF-8 of a text that is looked at; classifiers read its first 20,000 characters."""
MANY_BYTES = 50_000_000
"""The longest array that ft_classify_many takes."""
MANY_LIMIT = 100_000
"""Texts that one ft_classify_many takes."""
CHUNK_TEXTS, CHUNK_CHARACTERS = 256, 100_000
"""What ft_classify_many answers between two looks at the clock, each text for itself at least."""
TOKENS_BYTES = 2_000_000
"""The longest text whose tokens are counted."""
WAIT_SECONDS = 60.0
"""How long the functions of a query may wait for services, by default."""

_skip_space = re.compile(r"[ \t\n\r]*").match
_decode_item = json.JSONDecoder().raw_decode


def register(
    conn: sqlite3.Connection,
    *,
    time_limit: float = WAIT_SECONDS,
    access: Callable[[], Access] = read_access,
    writable: Callable[[str], bool] = lambda path: True,
) -> None:
    """Adds the functions to a connection.

    A query ends as interrupted when the connection's progress handler says so, which is how
    Datasette limits a query; without a handler it may take as long as it likes. `time_limit`
    bounds, in seconds, the waiting for services. `access` is asked when a text of a classifier at a
    service has no kept answer, and may raise AccessError; `writable` says of a database file
    whether an answer that was paid for may be kept in it.
    None is declared deterministic: the answer depends on the stored classifier, and an index
    made of it would silently grow old.
    """
    functions = Functions(Borrowed(conn), time_limit, access, writable)
    for name, longest, function in functions.table():
        for count in (1, 2):
            create_function(conn, name, count, functions.within_limit(function), longest)


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
        self._limit = QueryLimit(connection)
        self._memo: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()
        self._memo_characters = 0

    @cached_property
    def _kept(self) -> CachedAnswers:
        from .cached_answers import CachedAnswers, ConnectionInference

        inference = ConnectionInference(self._access, self._writable, self._time_limit)
        return CachedAnswers(self._connection, inference)

    def table(self) -> list[tuple[str, int, Callable[..., Scalar]]]:
        """(name, bytes of the longest text that it is given whole, function)"""
        return [
            ("ft_classify", TEXT_BYTES, self.classify),
            ("ft_score", TEXT_BYTES, self.score),
            ("ft_logprob", TEXT_BYTES, self.logprob),
            ("ft_classify_json", TEXT_BYTES, self.classify_json),
            ("ft_labels", TEXT_BYTES, self.labels),
            ("ft_classify_many", MANY_BYTES, self.classify_many),
            ("ft_explain", TEXT_BYTES, self.explain),
            ("ft_tokens", TOKENS_BYTES, self.tokens),
        ]

    def within_limit(self, function: Callable[..., Scalar]) -> Callable[..., Scalar]:
        """The function, which raises QueryStopped when the query has used up its time."""
        check, note_call = self._limit.check, self._resolver.note_call

        def limited(*arguments: object) -> Scalar:
            check()
            try:
                return function(*arguments)
            finally:
                note_call()

        return limited

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
            return _json(_unresolved(classifier, error))
        if text_for(text, loaded) is None:
            what = "a BLOB, not a text" if isinstance(text, bytes) else "empty"
            return _json({"error": f"The value is {what}.", **loaded.identity})
        if isinstance(loaded, Served):
            return _json(self._kept.full(text, loaded))
        prediction = self._predict(text, loaded)
        return None if prediction is None else _json(_full_answer(prediction, loaded))

    def classify_many(self, texts: object, classifier: object = None) -> Scalar:
        """A JSON array of labels for a JSON array of texts, null for null; NULL past the limits."""
        if not isinstance(texts, str) or isinstance(texts, CutText):
            return None
        loaded = self._resolver.resolve(classifier)
        plain: list[str | None] = []
        for item in array_items(texts):
            if len(plain) == MANY_LIMIT:
                return None
            long = isinstance(item, str) and len(item) > TEXT_BYTES
            item = CutText(item[:TEXT_BYTES]) if long else item  # type: ignore[index]
            plain.append(text_for(item, loaded))
            if len(plain) % CHUNK_TEXTS == 0:
                self._limit.check()
        if isinstance(loaded, Served):
            return _json(self._kept.many(plain, loaded, self._limit.check))
        answers = self._answers((text for text in plain if text is not None), loaded)
        told: list[str] = []
        room = MANY_BYTES
        for text in plain:
            told.append("null" if text is None else next(answers))
            room -= len(told[-1])
            if room < 0:  # labels of a stranger's file may be of any length
                return None
        return f"[{', '.join(told)}]"

    def _answers(self, texts: Iterable[str], loaded: Loaded) -> Iterator[str]:
        """The labels of each text as JSON."""
        for chunk in _chunks(texts):
            self._limit.check()
            for prediction in loaded.answerer.answers(chunk):
                yield _json(prediction.labels if loaded.labels.multilabel else prediction.labels[0])

    def explain(self, text: object, classifier: object = None) -> Scalar:
        """The words that spoke for (above 0) and against the answer, strongest first, as JSON."""
        if classifiable(text) is None:
            return None
        try:
            loaded = self._resolver.resolve(classifier)
        except FtclassifyError as error:
            return _json(_unresolved(classifier, error))
        if isinstance(loaded, Served):
            return _json({"error": self._kept.cannot_explain(loaded), **loaded.identity})
        plain = text_for(text, loaded)
        if plain is None:
            return None
        prediction = loaded.answerer.answer(plain)
        spoken = {}
        for label in prediction.labels:
            self._limit.check()
            words = loaded.answerer.predictor.explain(plain, loaded.labels.positions([label])[0])
            spoken[label] = [{"word": word, "weight": round(weight, 4)} for word, weight in words]
        if loaded.labels.multilabel:
            return _json({"labels": prediction.labels, "words": spoken})
        return _json({"label": prediction.labels[0], "words": spoken[prediction.labels[0]]})

    def tokens(self, text: object, model: object = None) -> Scalar:
        """How many tokens the text has for a model; NULL for NULL, BLOB and a longer text."""
        plain = as_text(text)
        if plain is None or isinstance(plain, CutText):
            return None
        from ..prompts.tokenizer import slices, tokenizer_for

        named = isinstance(model, str) and len(model) <= LONGEST_NAME
        tokenizer = tokenizer_for(str(model) if named else None)
        count = 0
        for part in slices(plain):
            self._limit.check()
            count += tokenizer.count(part)
        return count

    def _predict(self, text: object, loaded: Loaded) -> Prediction | None:
        row = self._logprobs(text, loaded)
        return None if row is None else loaded.answerer.from_logprobs(row)

    def _logprobs(self, text: object, loaded: Loaded) -> np.ndarray | None:
        """Of all labels, remembered for the next function; None where there is no text."""
        plain = text if isinstance(text, str) else as_text(text)
        if plain is None:
            return None
        key = (loaded.uid, plain)
        row = self._memo.get(key)
        if row is None:
            read = text_for(plain, loaded)
            if read is None:
                return None
            row = self._memo[key] = loaded.answerer.predictor.log_probabilities_one(read)
            self._memo_characters += len(plain)
            while len(self._memo) > MEMO_SIZE or self._memo_characters > MEMO_CHARACTERS:
                (_, oldest), _ = self._memo.popitem(last=False)
                self._memo_characters -= len(oldest)
        return row


def array_items(array: str) -> Iterator[object]:
    """The texts, numbers and nulls of a JSON array, one by one: parsed as a whole it could take a
    hundred times its room. Raises ValueError for anything else, an array within it included."""
    place = _skip_space(array).end()  # type: ignore[union-attr]
    if array[place : place + 1] != "[":
        raise ValueError("This is no JSON array.")
    place = _skip_space(array, place + 1).end()  # type: ignore[union-attr]
    follows = ","
    if array[place : place + 1] == "]":
        follows, place = "]", _skip_space(array, place + 1).end()  # type: ignore[union-attr]
    while follows == ",":
        if array[place : place + 1] in "[{":
            raise ValueError("Not a text, a number or null.")
        item, place = _decode_item(array, place)
        yield item
        place = _skip_space(array, place).end()  # type: ignore[union-attr]
        follows = array[place : place + 1]
        place = _skip_space(array, place + 1).end()  # type: ignore[union-attr]
    if follows != "]" or place < len(array):
        raise ValueError("This is no JSON array.")


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
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
    if loaded.labels.given is not None:
        answer["name"] = loaded.labels.name_of(prediction.labels[0])
    if loaded.labels.multilabel:
        answer = {"labels": prediction.labels}
    return {
        **answer,
        "score": prediction.score,
        "logprob": prediction.logprob,
        "logprobs": logprobs,
        **loaded.identity,
    }


def _unresolved(classifier: object, error: FtclassifyError) -> dict[str, Any]:
    """Why no classifier answers, and which names are like the one that was given."""
    similar = error.similar if isinstance(error, ClassifierNotFound) else ()
    told = {"error": str(error), "classifier": _name(classifier)}
    return {**told, "similar": similar} if similar else told


def _name(classifier: object) -> object:
    named = classifier[:LONGEST_NAME] if isinstance(classifier, str) else classifier
    return named if isinstance(named, (str, int, float)) else None


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
