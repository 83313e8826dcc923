"""The result of the checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from ..core.database import JsonKey
from ..core.labels import LabelValue, named
from ..core.task import Task
from ..core.typed_json import read_typed_dict
from ..core.untrusted_json import JsonObject
from .codes import CODES, SEVERITIES, Severity
from .report_data import Distributions, Estimate, Rows, SampleRow, Splits, Tokens
from .row_conditions import RowGroup

MAX_KEYS = 10
"""Sample keys of a finding, where nobody asks for more."""
_MOST_TOGETHER = 4


class Proposal(TypedDict, total=False):
    """Fields of a task by which what was found is put right, if somebody agrees."""

    merged: list[LabelValue]
    markup: str
    delimiter: str


@dataclass(frozen=True)
class Finding:
    """One thing that was found in the data.

    code:     stable name, one of `CODES`
    count:    how many rows (or labels, words, columns: the message says which)
    message:  what was found, one sentence
    advice:   what to do next, one sentence
    keys:     keys of some of the rows, as many as `run_checks` was asked for
    details:  JSON-safe, by code; `set`: see `proposal`; `rows`: of each key, its label that is
              suggested
    where:    condition on the source that selects exactly the rows in question, None when there
              is no simple one
    groups:   of rows that are to be read together, such as copies of a text: `keys` group by group,
              the largest first; empty where rows stand for themselves
    """

    code: str
    severity: Severity
    count: int
    message: str
    advice: str
    keys: Sequence[JsonKey] = ()
    details: JsonObject = field(default_factory=dict)
    where: str | None = None
    groups: Sequence[RowGroup] = ()

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"{self.code} is the code of no check")
        if self.severity not in CODES[self.code].severities:
            raise ValueError(f"{self.code} cannot be of severity {self.severity}")

    @property
    def proposal(self) -> Proposal | None:
        """What it proposes. Raises TypeError for what is none."""
        found = self.details.get("set")
        if found is None and "merge" in self.details:
            found = {"merged": self.details["merge"]}  # as checks were stored before there was more
        proposal: Proposal | None = read_typed_dict(Proposal, found) if found else None
        return proposal

    @property
    def suggestions(self) -> list[str]:
        """Of each row the label that is suggested; empty where none are."""
        rows = self.details.get("rows")
        return [
            str(row.get("suggested", "")) if isinstance(row, Mapping) else ""
            for row in (rows if isinstance(rows, list) else ())
        ]

    @property
    def in_order(self) -> bool:
        """Whether its rows stand in the order of `keys`: in groups, or with suggestions."""
        return bool(self.groups or self.suggestions)

    @property
    def lists_all(self) -> bool:
        """Whether all of its rows can be listed."""
        return self.where is not None or self.count == len(self.keys)


@dataclass(frozen=True)
class CheckReport:
    """All findings about a task's rows, gravest first, and what the rows look like.

    tokens:   None when the texts stay on this machine
    estimate: None when it is not known what is counted
    """

    task: Task
    findings: Sequence[Finding]
    rows: Rows
    distributions: Distributions
    sample: list[SampleRow]
    splits: Splits
    tokens: Tokens | None = None
    estimate: Estimate | None = None

    def finding(self, code: str) -> Finding | None:
        """The first finding of that code."""
        return next((f for f in self.findings if f.code == code), None)

    @property
    def ok(self) -> bool:
        """Whether nothing was found that stops a training run."""
        return not any(f.severity == "error" for f in self.findings)


def ordered(findings: list[Finding]) -> tuple[Finding, ...]:
    """Gravest first, then the larger count, then by code."""
    return tuple(sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), -f.count, f.code)))


def listing(shown: Sequence[str], most: int = 5) -> str:
    """`a, b, c and 4 more`, of names as `named` shows them or of what was made with it."""
    rest = len(shown) - most
    listed = ", ".join(shown[:most])
    return f"{listed} and {rest:,} more" if rest > 0 else listed


def names_listing(names: Sequence[str], most: int = 5) -> str:
    return listing([named(name) for name in names], most)


def together(names: Sequence[str], mark: str, *, always: bool = False) -> str:
    """Up to four names of a group, with `mark` between them."""
    shown = [named(name, always=always) for name in names[:_MOST_TOGETHER]]
    return mark.join(shown + ["…"] * (len(names) > _MOST_TOGETHER))
