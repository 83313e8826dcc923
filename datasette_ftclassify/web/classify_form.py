"""The form of the page that classifies rows: from a query string, a form or JSON to a prediction
request, and back into fields, so that nothing typed is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from datasette.utils import tilde_encode, urlsafe_components

from ..core.database import Params, Relation, quote
from ..core.errors import SourceError
from ..core.numbers import LIMIT_USD, SHARE, WRONG_SHARE
from ..core.strengths import PROMISES
from ..jobs.columns import ROLES, Columns, column_prefix, label_score_columns, usual_columns
from ..jobs.load_classifier import service_of
from ..jobs.plan import CONCURRENCY, MAX_ERRORS, PredictRequest
from ..jobs.stale import Answers, find_answers_in
from ..store.classifiers import Classifier
from .filters import Pair, filter_pairs, read_filters
from .form_fields import FieldError, many, number, one, ticked, whole

ROWS = ("all", "unlabelled", "filter", "row", "stale")
MAX_PREFIX = 200
"""Characters: a column's name is not a text."""

ROLES_TEXT = {
    "label": "the label",
    "score": "its probability, 0 to 1",
    "logprob": "its natural logarithm",
    "logprobs": "log-probabilities of all labels as JSON; if more than 50, of the 20 most probable",
    "raw": "what the model said",
    "reason": "why a row has no label",
    "fingerprint": "by which stale answers are recognised",
    "group": "a group of labels, if no single label is certain enough",
    "known": "how familiar the text is, 0 to 1",
}

ON_ERRORS_TEXT = (
    ("null", "has no label"),
    ("label", "gets a label of my choice"),
    ("fail", "ends the job"),
)

_PLAIN = (
    "classifier", "rows", "row", "prefix", "min_score", "wrong", "strength", "min_known",
    "on_error", "default_label", "max_errors", "concurrency", "limit_usd", "answers",
)  # fmt: skip

_BOXES = ("batch", "overwrite", "follow", "label_scores")


@dataclass(frozen=True)
class Form:
    """As typed: every value is text, an empty one was not chosen.

    answers:  the column of fingerprints that tells which answers are stale; empty: the only one
    rows:     one of ROWS; empty, as when it was not chosen, means all of them
    row:      a row's key as in Datasette's address of it
    roles:    of the columns to write; None: all that the classifier has
    on_error: `null`, `fail` or `label`, which is `default_label` then
    follow:   new rows, too, as they come
    label_scores: a column for the probability of each label, too
    wrong:    the share of answers that may be wrong, as far as `strength` can tell
    """

    table: str
    classifier: str = ""
    rows: str = ""
    row: str = ""
    prefix: str = ""
    min_score: str = ""
    wrong: str = ""
    strength: str = ""
    min_known: str = ""
    on_error: str = ""
    default_label: str = ""
    max_errors: str = ""
    concurrency: str = ""
    limit_usd: str = ""
    answers: str = ""
    batch: bool = False
    overwrite: bool = False
    follow: bool = False
    label_scores: bool = False
    roles: tuple[str, ...] | None = None
    filters: tuple[Pair, ...] = ()

    @classmethod
    def read(cls, table: str, fields: Mapping[str, Any]) -> Form:
        """From the fields of an address, a form or a JSON body; those of others are passed over."""
        plain: dict[str, Any] = {name: one(fields.get(name)).strip() for name in _PLAIN}
        boxes: dict[str, Any] = {name: ticked(fields.get(name)) for name in _BOXES}
        plain["row"] = _row(fields.get("row"))
        filters = tuple(sorted(filter_pairs(fields)))
        if not plain["rows"]:
            plain["rows"] = "row" if plain["row"] else "filter" if filters else ""
        if plain["on_error"] not in ("", "null", "fail", "label"):  # a label, as commands take it
            plain |= {"on_error": "label", "default_label": plain["on_error"]}
        roles = fields.get("roles")
        return cls(
            table=table,
            **boxes,
            roles=None if roles is None else tuple(r for r in ROLES if r in many(roles)),
            filters=filters,
            **plain,
        )

    def fields(self) -> list[Pair]:
        """As the hidden fields of a form."""
        pairs: list[Pair] = [("table", self.table), *self.filters]
        pairs += [(name, getattr(self, name)) for name in _PLAIN if getattr(self, name)]
        pairs += [(name, "1") for name in _BOXES if getattr(self, name)]
        if self.roles is not None:
            pairs += [("roles", role) for role in ("", *self.roles)]
        return pairs

    def wants(self, role: str) -> bool:
        """Whether the column of that role is to be written. With a minimum of known each row
        without a label says why; edited rows are known by their fingerprints."""
        if (role == "reason" and self.min_known) or (role == "fingerprint" and self.follow):
            return True
        return role != "known" if self.roles is None else role in self.roles

    def columns(self, classifier: Classifier) -> Columns:
        """The columns to write. Raises FieldError when there is none."""
        columns = self.wanted_columns(classifier)
        if not columns.items():
            raise FieldError("roles", "Choose at least one column to write.")
        return columns

    def wanted_columns(self, classifier: Classifier) -> Columns:
        """The same, or none."""
        named = named_columns(classifier, self.prefix, reason=bool(self.min_known))
        named = named.renamed({role: "" for role, _ in named.items() if not self.wants(role)})
        if not self.label_scores:
            return named
        prefix = self.prefix or column_prefix(classifier.name)
        return replace(named, label_scores=label_score_columns(classifier.labels, prefix))

    def request(
        self, conn: sqlite3.Connection, classifier: Classifier, target: Relation
    ) -> PredictRequest:
        """Raises FieldError or SourceError."""
        if len(self.prefix) > MAX_PREFIX or "\0" in self.prefix:
            raise FieldError("prefix", f"A prefix has at most {MAX_PREFIX} characters.")
        if self.rows == "stale":
            return self._again(self.stale_answers(conn, classifier, target))
        where, params = self._where(conn, target)
        given: dict[str, Any] = {}
        if service_of(classifier) is not None:
            given = {**self._terms(), "on_error": self._on_error(classifier)}
        return PredictRequest(
            columns=self.columns(classifier),
            where=where,
            params=params,
            unlabelled=self.rows == "unlabelled",
            overwrite=self.overwrite,
            threshold=number("min_score", self.min_score, SHARE),
            wrong=number("wrong", self.wrong, WRONG_SHARE),
            strength=self.strength or PROMISES[0],
            min_known=number("min_known", self.min_known, SHARE),
            **given,
        )

    def stale_answers(
        self, conn: sqlite3.Connection, classifier: Classifier, target: Relation
    ) -> Answers:
        """Of the classifier's, which are to be made again where they are stale."""
        answers = find_answers_in(conn, target.name, classifier, self.answers or None)
        if answers.classifier.uid != classifier.uid:
            raise FieldError(
                "classifier",
                f"Stale answers are made again by {answers.classifier.title}: choose it, or rows of"
                " another kind.",
            )
        return answers

    def _again(self, answers: Answers) -> PredictRequest:
        """With the columns and the minimum score that they have."""
        remote = service_of(answers.classifier) is not None
        return answers.request(**(self._terms() if remote else {}))

    def _terms(self) -> dict[str, Any]:
        """How a service is asked, and for how much."""
        max_errors = number("max_errors", self.max_errors, SHARE)
        return {
            "concurrency": whole("concurrency", self.concurrency, CONCURRENCY),
            "max_errors": MAX_ERRORS if max_errors is None else max_errors,
            "limit_usd": self.limit(),
            "batch": self.batch,
        }

    def limit(self) -> float | None:
        """What the job may cost in USD, as typed. Raises FieldError."""
        return number("limit_usd", self.limit_usd, LIMIT_USD)

    def _on_error(self, classifier: Classifier) -> str:
        if self.on_error != "label":
            return self.on_error or "null"
        if self.default_label not in classifier.labels.names:
            raise FieldError(
                "default_label",
                f"{classifier.title} has no label {self.default_label!r}: choose one of "
                f"{', '.join(classifier.labels.names[:20])}.",
            )
        return self.default_label

    def _where(self, conn: sqlite3.Connection, target: Relation) -> tuple[str | None, Params]:
        """The condition for the rows that were chosen, and its parameters."""
        if self.rows == "row":
            return row_condition(target, self.row)
        if self.rows == "filter":
            chosen = read_filters(conn, target.name, self.filters)
            return chosen.where, chosen.params
        if self.rows not in ("", *ROWS):
            raise FieldError("rows", f"The rows must be one of {', '.join(ROWS)}, not {self.rows}.")
        return None, {}


def named_columns(classifier: Classifier, prefix: str = "", *, reason: bool = False) -> Columns:
    """All columns that the classifier can write, named with the prefix or after itself.

    reason: with the one that says why a row has no label, also where each is answered
    """
    known, least = service_of(classifier) is None, 0.0 if reason else None
    return usual_columns(classifier, prefix, known=known, min_known=least)


def row_condition(target: Relation, row: str) -> tuple[str, dict[str, str]]:
    """A condition for one row by its key in an address, and its parameters.

    Raises SourceError when the key has not as many parts as the table's.
    """
    values = urlsafe_components(row)
    if not target.identity or len(values) != len(target.identity):
        raise SourceError(
            f"A row of {target.name} is named by {', '.join(target.identity) or 'nothing'}: {row} "
            "does not fit."
        )
    condition = " and ".join(f"{quote(c)} = :pk{i}" for i, c in enumerate(target.identity))
    return condition, {f"pk{i}": value for i, value in enumerate(values)}


def _row(value: Any) -> str:
    """JSON may give the parts of a key as a list."""
    if isinstance(value, list) and len(value) > 1:
        return ",".join(tilde_encode(str(part)) for part in value)
    return one(value)
