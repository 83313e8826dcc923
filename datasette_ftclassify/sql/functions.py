"""The SQL functions: classifiers inside any query.

They answer from what is stored in the database of their own connection (main or attached), see a
new classifier at the next query, and never raise: SQLite would show a bare "user-defined function
raised exception" in place of a page. ft_classify_json and ft_explain report what went wrong. For a
classifier whose model is at a service, its stored answers are used (see `remote_classifier`).

A query may call a function any number of times, so each call checks the time that its query has
left, and its own time and memory are bounded.

Nothing heavy is imported until the first text is classified.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ..core.errors import ClassifierNotFound, FtclassifyError
from ..core.prediction import probability_at
from ..core.sqlite_errors import SQLITE_ERRORS
from ..prompts.tokenizer import slices, tokenizer_for
from ..store.cell_size import LONGEST_NAME
from ..trainers.access import Access
from ..trainers.configuration import read_access
from .classifier import AnswerJson, described, plain_labels
from .declaration import FUNCTIONS as FUNCTIONS
from .declaration import sql_function
from .query_limit import QueryStopped, was_stopped
from .registration import Borrowed, CutText, Scalar, create_function
from .resolver import WAIT_SECONDS, ConnectionState, Resolver
from .table_guard import TableGuard
from .texts import as_text, classifiable, text_for

TEXT_BYTES = 1_000_000
"""UTF-8 of a text that is looked at; classifiers read its first 20,000 characters."""
MANY_BYTES = 50_000_000
"""The longest array that ft_classify_many takes."""
MANY_LIMIT = 100_000
"""Texts that one ft_classify_many takes."""
CHECK_EVERY = 256
"""Texts that ft_classify_many reads between two looks at the clock."""
TOKENS_BYTES = 2_000_000
"""The longest text whose tokens are counted."""

_THE_ANSWER = object()
"""In the place of a label: the one that is answered."""

_skip_space = re.compile(r"[ \t\n\r]*").match
_decode_item = json.JSONDecoder().raw_decode


def register(
    conn: sqlite3.Connection,
    *,
    time_limit: float = WAIT_SECONDS,
    access: Callable[[], Access] = read_access,
    writable: Callable[[str], bool] = lambda path: True,
    guard: TableGuard | None = None,
) -> None:
    """Adds the functions to a connection, the one of `guard` if that is given.

    A query ends as interrupted when the connection's progress handler says so, which is how
    Datasette limits a query; without a handler it may take as long as it likes. `time_limit`
    bounds, in seconds, the waiting for services. `access` is asked when a text of a classifier at a
    service has no kept answer, and may raise AccessError; `writable` says of a database file
    whether an answer that was paid for may be kept in it.
    """
    functions = Functions(ConnectionState(Borrowed(conn), time_limit, access, writable), guard)
    for declared in FUNCTIONS.values():
        function = functions.within_limit(partial(declared.call, functions))
        for count in declared.counts:
            create_function(conn, declared.name, count, function, declared.longest)


class Functions:
    """The functions of one connection: each is declared once, and asks a local classifier and one
    at a service alike (`classifier.SqlClassifier`)."""

    def __init__(self, state: ConnectionState, guard: TableGuard | None) -> None:
        self._guard = guard
        resolver = Resolver(state)
        self.resolve = resolver.resolve
        self._note_call = resolver.note_call
        self._check = state.limit.check

    def within_limit(self, function: Callable[..., Scalar]) -> Callable[..., Scalar]:
        """The function, which raises QueryStopped when the query has used up its time, and may read
        our tables where its query may not."""
        check, note_call, guard = self._check, self._note_call, self._guard

        def limited(*arguments: object) -> Scalar:
            check()
            if guard is not None:
                guard.begin()
            try:
                return function(*arguments)
            except SQLITE_ERRORS as error:
                if was_stopped(error):
                    raise QueryStopped from None
                raise
            finally:
                if guard is not None:
                    guard.end()
                note_call()

        return limited

    @sql_function(
        "the label, with the type it had in the table, or NULL below the classifier's minimum "
        "score; a JSON array of labels for a multilabel classifier",
        longest=TEXT_BYTES,
    )
    def ft_classify(self, text: object, classifier: object = None) -> Scalar:
        return self.resolve(classifier).cell(text)

    @sql_function(
        "the probability of that answer (also below the minimum score) or of the named label, 0 to "
        "1; NULL for a label that the classifier does not have",
        longest=TEXT_BYTES,
    )
    def ft_score(
        self, text: object, classifier: object = None, label: object = _THE_ANSWER
    ) -> Scalar:
        found = self.resolve(classifier)
        answer = found.answer(text)
        if answer is None or label is _THE_ANSWER:
            return None if answer is None else answer.score
        position = found.labels.position_called(label)
        if position is None or answer.logprobs is None:
            return None
        return probability_at(answer.logprobs, position)

    @sql_function("its natural logarithm", longest=TEXT_BYTES)
    def ft_logprob(self, text: object, classifier: object = None) -> Scalar:
        answer = self.resolve(classifier).answer(text)
        return None if answer is None else answer.logprob

    @sql_function(
        "how familiar the text is, 0 to 1: the share of the training rows that looked less "
        "familiar; NULL if that was not measured (a model at a service, or trained by an earlier "
        "version)",
        longest=TEXT_BYTES,
    )
    def ft_known(self, text: object, classifier: object = None) -> Scalar:
        return self.resolve(classifier).known(text)

    @sql_function(
        "a JSON object: `label` (or `labels`), `score`, `logprob`, `logprobs` of every label, "
        "`known`, `classifier`, `version`; or `error`. Below the minimum score `label` is null, "
        "and `reason`, `minimum_score` and `likeliest` say why and what it would be",
        longest=TEXT_BYTES,
    )
    def ft_classify_json(self, text: object, classifier: object = None) -> Scalar:
        if text is None:
            return None
        try:
            found = self.resolve(classifier)
        except FtclassifyError as error:
            return _json(_unresolved(classifier, error))
        if text_for(text, found.read) is None:
            what = "a BLOB, not a text" if isinstance(text, bytes) else "empty"
            return _json({"error": f"The value is {what}.", **found.identity})
        try:
            answer = found.answer(text)
            known = found.known(text)
        except FtclassifyError as error:
            return _json({"error": str(error), **found.identity})
        if answer is None:
            return None
        return _json(described(answer, found.labels, known) | found.identity)

    @sql_function("a JSON array of labels: any number for multilabel, else one", longest=TEXT_BYTES)
    def ft_labels(self, text: object, classifier: object = None) -> Scalar:
        answer = self.resolve(classifier).answer(text)
        return None if answer is None or answer.labels is None else _json(answer.labels)

    @sql_function("a JSON array of answers for a JSON array of texts", longest=MANY_BYTES)
    def ft_classify_many(self, texts: object, classifier: object = None) -> Scalar:
        """null for null; NULL past the limits."""
        if not isinstance(texts, str) or isinstance(texts, CutText):
            return None
        found = self.resolve(classifier)
        plain: list[str | None] = []
        for item in array_items(texts):
            if len(plain) == MANY_LIMIT:
                return None
            long = isinstance(item, str) and len(item) > TEXT_BYTES
            item = CutText(item[:TEXT_BYTES]) if long else item  # type: ignore[index]
            plain.append(text_for(item, found.read))
            if len(plain) % CHECK_EVERY == 0:
                self._check()
        items: list[str] = []
        room = MANY_BYTES
        for labels in found.labels_of(plain):
            items.append(_json(plain_labels(labels, found.labels)))
            room -= len(items[-1])
            if room < 0:  # labels of a stranger's file may be of any length
                return None
        return f"[{', '.join(items)}]"

    @sql_function(
        "a JSON object: the answer, and the words for (above 0) and against it, strongest first; "
        "in scripts without spaces (Thai, Chinese, Japanese) parts of a clause",
        longest=TEXT_BYTES,
    )
    def ft_explain(self, text: object, classifier: object = None) -> Scalar:
        if classifiable(text) is None:
            return None
        try:
            found = self.resolve(classifier)
        except FtclassifyError as error:
            return _json(_unresolved(classifier, error))
        plain = text_for(text, found.read)
        if plain is None:
            return None
        try:
            return _json(found.explain(plain))
        except FtclassifyError as error:
            return _json({"error": str(error), **found.identity})

    @sql_function("the number of tokens the text has for a hosted model", longest=TOKENS_BYTES)
    def ft_tokens(self, text: object, model: object = None) -> Scalar:
        """NULL for NULL, BLOB and a longer text."""
        plain = as_text(text)
        if plain is None or isinstance(plain, CutText):
            return None

        named = isinstance(model, str) and len(model) <= LONGEST_NAME
        tokenizer = tokenizer_for(str(model) if named else None)
        count = 0
        for part in slices(plain):
            self._check()
            count += tokenizer.count(part)
        return count


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


def answer_json(conn: sqlite3.Connection, text: str, classifier: str) -> AnswerJson:
    """What ft_classify_json says, on a connection that has the functions."""
    said = conn.execute("select ft_classify_json(?, ?)", [text, classifier]).fetchone()[0]
    answer: AnswerJson = json.loads(said) if said else {"error": "There is no answer."}
    return answer


def explained_json(conn: sqlite3.Connection, text: str, classifier: str) -> AnswerJson:
    """The same with the words that ft_explain gives; None where it gives none."""
    words = conn.execute("select ft_explain(?, ?)", [text, classifier]).fetchone()[0]
    found: AnswerJson = json.loads(words) if words else {}
    return {**answer_json(conn, text, classifier), "words": found.get("words")}


def _unresolved(classifier: object, error: FtclassifyError) -> dict[str, Any]:
    """Why no classifier answers, and which names are like the one that was given."""
    similar = error.similar if isinstance(error, ClassifierNotFound) else ()
    refusal = {"error": str(error), "classifier": _name(classifier)}
    return {**refusal, "similar": similar} if similar else refusal


def _name(classifier: object) -> object:
    named = classifier[:LONGEST_NAME] if isinstance(classifier, str) else classifier
    return named if isinstance(named, (str, int, float)) else None


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
