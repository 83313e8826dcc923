"""The form of the page that prepares a training: from a query string or a form, and back into a
query string, so that nothing typed is lost and every choice can be linked to."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ..core.database import relation
from ..core.label_cells import is_label, json_array
from ..core.label_kinds import BINARY, KINDS, MULTICLASS
from ..core.label_notations import name_list
from ..core.labels import Kind, LabelValue
from ..core.numbers import LIMIT_USD, NUMBER, WHOLE
from ..core.splits import SPLIT_SHARE, SplitPlan
from ..core.task import Task, define, unnamed_vectors
from ..jobs.train_request import TrainRequest
from ..trainers.base import TrainerOptions, options_of
from ..trainers.options import DECLARED, Option
from ..trainers.registry import get_trainer, list_own_options
from .filters import Pair, RowFilter, filter_pairs, read_filters
from .form_fields import FieldError, called, many, number, one, whole
from .sampling import label_cells


def declared_options() -> dict[str, Option]:
    """What may be said to a trainer here, by name. On the page each trainer has its own:
    `TRAINER-epochs`."""
    options = [*DECLARED, *(option for _, option in list_own_options())]
    return {option.name: option for option in options if option.on_page}


_PLAIN = (
    "template", "markup", "kind", "delimiter", "label_names", "merged", "split_column",
    "validation", "test", "seed", "name", "trainer", "limit_usd",
)  # fmt: skip


@dataclass(frozen=True)
class Choices:
    """As typed: every value is text, an empty one was not chosen.

    settings: of trainers, `NAME` or `TRAINER-NAME` of `declared_options`
    """

    table: str
    text: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    template: str = ""
    markup: str = ""
    kind: str = ""
    delimiter: str = ""
    label_names: str = ""
    merged: str = ""
    split_column: str = ""
    validation: str = ""
    test: str = ""
    seed: str = ""
    name: str = ""
    trainer: str = ""
    limit_usd: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    filters: tuple[Pair, ...] = ()

    @classmethod
    def read(cls, table: str, fields: Mapping[str, Any]) -> Choices:
        """From the fields of an address, a form or a JSON body; those of others are passed over."""
        plain = {name: one(fields.get(name)) for name in _PLAIN}
        for name in ("label_names", "merged"):
            plain[name] = _listed(name, fields.get(name), plain[name])
        plain["template"] = plain["template"].replace("\r\n", "\n")
        known = declared_options()
        settings = {
            name: _described(fields[name], known[option])
            for name in fields
            if (option := name.rpartition("-")[2]) in known and fields[name] not in (None, "", [])
        }
        return cls(
            table=table,
            text=many(fields.get("text")),
            label=many(fields.get("label")),
            settings=settings,
            filters=tuple(sorted(filter_pairs(fields))),
            **plain,
        )

    @property
    def merged_labels(self) -> list[LabelValue]:
        """Labels that stand for their variants. Raises FieldError for what is no JSON array."""
        if not self.merged:
            return []
        labels = json_array(self.merged)
        if labels is None or not all(map(is_label, labels)):
            raise FieldError("merged", "Merged labels must be a JSON array of labels.")
        return labels

    def proposed(self, fields: str) -> Choices:
        """With what a finding of a check proposes in its `details.set`, as a JSON object: further
        labels merged, another markup or delimiter. Raises FieldError."""
        try:
            found = json.loads(fields)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not found.keys() <= {"merged", "markup", "delimiter"}:
            raise FieldError("action", "What is set is an object with merged, markup or delimiter.")
        more = replace(self, merged=json.dumps(found.get("merged", []))).merged_labels
        merged = [*self.merged_labels, *(v for v in more if v not in self.merged_labels)]
        return replace(
            self,
            merged=json.dumps(merged, ensure_ascii=False) if merged else "",
            markup=str(found.get("markup", self.markup)),
            delimiter=str(found.get("delimiter", self.delimiter)),
        )

    def query(self) -> dict[str, str | list[str]]:
        """As arguments of an address."""
        filters: dict[str, list[str]] = {}
        for name, value in self.filters:
            filters.setdefault(name, []).append(value)
        plain = {name: str(getattr(self, name)) for name in _PLAIN}
        lists = {"text": [*self.text], "label": [*self.label]}
        arguments: dict[str, str | list[str]] = {
            "table": self.table, **lists, **plain, **self.settings, **filters,
        }  # fmt: skip
        return {name: value for name, value in arguments.items() if value not in ("", [])}

    def fields(self) -> list[Pair]:
        """As the hidden fields of a form."""
        pairs: list[Pair] = []
        for name, value in self.query().items():
            pairs += [(name, v) for v in (value if isinstance(value, list) else [value])]
        return pairs

    def setting(self, trainer: str, name: str) -> str:
        """What was said to one trainer; empty when nothing was."""
        return self.settings.get(f"{trainer}-{name}") or self.settings.get(name, "")

    def proposed_kind(self) -> Kind | None:
        """The kind that was chosen; None: detect it. Raises FieldError for another word."""
        if self.kind and self.kind not in KINDS:
            raise FieldError(
                "kind", f"The kind must be one of {', '.join(KINDS)}, not {self.kind}."
            )
        return self.kind or None

    def plan(self) -> SplitPlan:
        """Raises FieldError or TaskError."""
        usual = SplitPlan()
        return SplitPlan(
            seed=_or(whole("seed", self.seed, WHOLE), usual.seed),
            validation=_or(number("validation", self.validation, SPLIT_SHARE), usual.validation),
            test=_or(number("test", self.test, SPLIT_SHARE), usual.test),
        )

    def filter(self, conn: sqlite3.Connection) -> RowFilter:
        """Raises SourceError for a filter that does not fit the table."""
        return read_filters(conn, self.table, self.filters)

    def task(self, conn: sqlite3.Connection) -> Task:
        """The checked task, in a moment: of a large table it looks at the labels of some rows.

        Raises SourceError, TaskError, TemplateError or FieldError.
        """
        chosen = self.filter(conn)
        kind = self.proposed_kind()
        cells, complete = self._label_cells(conn, chosen)
        task = define(
            conn,
            self.table,
            text=() if self.template else self.text,
            template=self.template or None,
            markup=self.markup or None,
            labels=self.label,
            kind=kind,
            where=chosen.where,
            params=chosen.params,
            split_column=self.split_column or None,
            delimiter=self.delimiter or None,
            label_names=name_list(self.label_names),
            merged=self.merged_labels,
            cells=cells,
        )
        if problem := unnamed_vectors(conn, task):
            raise FieldError("label_names", " ".join(problem))
        # Two labels here and there may be all, or not: multiclass holds either way.
        unsure = kind is None and not complete and task.kind == BINARY.name
        return replace(task, kind=MULTICLASS.name) if unsure else task

    def _label_cells(
        self, conn: sqlite3.Connection, chosen: RowFilter
    ) -> tuple[list[LabelValue], bool]:
        """What the kind is proposed from; nothing where `define` needs nothing, or will refuse."""
        source = relation(conn, self.table)
        if len(self.label) != 1 or self.delimiter or self.label[0] not in source.columns:
            return [], True
        return label_cells(conn, source, self.label[0], chosen.where, chosen.params)

    def request(self, host: str | None = None, model: str | None = None) -> TrainRequest:
        """What the trainer is asked for. Raises FieldError.

        host: where the rows go; model: the one that is meant when none was named
        """
        plan = self.plan()
        return TrainRequest(
            name=self.name or None,
            trainer=self.trainer or TrainRequest.trainer,
            plan=plan,
            options=self._options(self.trainer or TrainRequest.trainer, plan.seed, model),
            limit_usd=number("limit_usd", self.limit_usd, LIMIT_USD),
            host=host,
        )

    def _options(self, trainer: str, seed: int, model: str | None) -> TrainerOptions:
        known = {**declared_options(), **options_of(get_trainer(trainer))}
        said = {name: self.setting(trainer, name) for name in known}
        values = {
            name: _read_option(known[name], f"{trainer}-{name}", text)
            for name, text in said.items() if text
        }  # fmt: skip
        return TrainerOptions.of({"model": model, **values}, seed)


T = TypeVar("T")


def _or(value: T | None, usual: T) -> T:
    return usual if value is None else value


def _read_option(option: Option, name: str, text: str) -> Any:
    """The value that was typed. Raises FieldError."""
    require_offered(option, name, text)
    # Each trainer says itself how large a number may be.
    if option.kind == "whole":
        return whole(name, text, WHOLE)
    if option.kind == "number":
        return number(name, text, NUMBER)
    if option.kind == "meanings":
        return _descriptions(name, text)
    return _object(name, text) if option.kind == "object" else text


def require_offered(option: Option, name: str, value: Any) -> None:
    """Raises FieldError for what a visitor may not name: a folder of this machine."""
    if why := option.why_not_from_others(value):
        raise FieldError(name, why)


def _object(name: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise FieldError(name, f"{called(name)} is a JSON object, not {text[:100]}.")
    return found


def _described(value: Any, option: Option) -> str:
    """What was said as text: a JSON body may have objects."""
    if isinstance(value, Mapping) and option.kind == "meanings":
        return "\n".join(f"{label}: {text}" for label, text in value.items())
    if isinstance(value, Mapping):
        return json.dumps(value)
    return one(value).replace("\r\n", "\n")


def _listed(name: str, value: Any, text: str) -> str:
    """What was typed, which an address has in a list of one; a list of a JSON body as JSON."""
    if not isinstance(value, list) or not value:
        return text
    typed = value == [text] and (name == "label_names" or json_array(text) is not None)
    return text if typed else json.dumps(value)


def _descriptions(field: str, text: str) -> dict[str, str]:
    """From lines of `label: what it means`, or of a label alone. Raises FieldError for another."""
    found = {}
    for line in text.split("\n"):
        label, colon, meaning = (part.strip() for part in line.partition(": "))
        if not line.strip():
            continue
        if not label or (colon and not meaning):
            raise FieldError(field, f"Write `label: what it means` on each line, not {line}.")
        found[label] = meaning
    return found
