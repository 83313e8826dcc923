"""The answer cache: answers of a service, stored so that no request is paid for twice.

They belong to one version of a classifier, whose model and prompts never change.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ..core.database import quote
from ..core.errors import ArtifactError
from ..core.labels import LabelValue
from ..core.untrusted_json import read_json
from .cell_size import at_most, cut
from .classifiers import now
from .schema import upsert

MOST_RAW = 10_000
"""Characters of what a service said that are kept: a label has fewer."""
_ASKED_AT_ONCE = 500
"""Keys in one query: SQLite takes 999 parameters."""


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """What a service said about a text.

    labels:   a tuple of one where labels exclude each other, else of any length; None for an
              abstention, whose `reason` says why
    logprobs: of each label, natural logarithms, in the label set's order; None: no scores
    other:    the probability of an answer outside the label set, 0-1
    """

    labels: tuple[LabelValue, ...] | None
    how: str | None = None
    reason: str | None = None
    raw: str | None = None
    logprobs: tuple[float, ...] | None = None
    other: float | None = None


def input_key(text: str) -> bytes:
    """The cache key of a text, 16 bytes."""
    return sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


_KEEP = upsert(
    "_ftclassify_answers",
    ["classifier_id", "input"],
    ["labels", "how", "reason", "raw", "logprobs", "other", "created_at"],
)


def keep_answers(
    conn: sqlite3.Connection, classifier_id: int, answers: Mapping[bytes, CachedAnswer]
) -> None:
    """Keeps them; one that is there already is replaced. Call inside a transaction."""
    at = now()
    rows = [
        (
            classifier_id,
            key,
            _json(answer.labels),
            answer.how,
            answer.reason,
            answer.raw,
            _json(_rounded(answer.logprobs)),
            answer.other,
            at,
        )
        for key, answer in answers.items()
    ]
    conn.executemany(_KEEP, rows)


def _json(values: Sequence[Any] | None) -> str | None:
    return None if values is None else json.dumps(values, ensure_ascii=False)


def _logprobs(text: object) -> tuple[float, ...]:
    """null is the logarithm of a probability of 0. Earlier versions wrote -Infinity, which is no
    number of JSON, and which `read_json` refuses."""
    values = read_json(re.sub(r"-Infinity\b", "null", str(text)), "answer")
    return tuple(-math.inf if value is None else float(value) for value in values)


def _rounded(logprobs: Sequence[float] | None) -> Sequence[float | None] | None:
    """To six significant digits: more than they mean, and two thirds less to store."""
    if logprobs is None:
        return None
    return [None if value == -math.inf else float(f"{value:.6g}") for value in logprobs]


def find_answers(
    conn: sqlite3.Connection, classifier_id: int, keys: Iterable[bytes], schema: str = "main"
) -> dict[bytes, CachedAnswer]:
    """Those of the keys that are known. A damaged answer counts as unknown."""
    wanted = list(dict.fromkeys(keys))
    found: dict[bytes, CachedAnswer] = {}
    for start in range(0, len(wanted), _ASKED_AT_ONCE):
        some = wanted[start : start + _ASKED_AT_ONCE]
        rows = conn.execute(
            f"select input, {_CELLS} from {quote(schema)}._ftclassify_answers"
            f" where classifier_id = ? and input in ({', '.join('?' * len(some))})",
            [classifier_id, *some],
        )
        found.update((row[0], answer) for row in rows if (answer := _read(row)) is not None)
    return found


_CELLS = ", ".join([
    at_most("labels"), *map(cut, ("how", "reason")), cut("raw", MOST_RAW), at_most("logprobs"),
    "case when other between 0 and 1 then other end",
])  # fmt: skip
"""Of any size in a file that somebody else has made."""


def _read(row: tuple[Any, ...]) -> CachedAnswer | None:
    if not all(text is None or isinstance(text, str) for text in row[2:5]):
        return None
    try:
        labels = None if row[1] is None else tuple(read_json(row[1], "answer"))
        logprobs = None if row[5] is None else _logprobs(row[5])
        return CachedAnswer(labels, row[2], row[3], row[4], logprobs, row[6])
    except (ValueError, TypeError, ArtifactError):
        return None
