"""The result of the checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.database import Cell, Key
from ..core.labels import named
from ..core.task import Task
from .codes import CODES, SEVERITIES, Severity
from .report_data import (
    Distributions,
    Estimate,
    FindingData,
    JsonKey,
    ReportData,
    Rows,
    SampleRow,
    Splits,
    Tokens,
)
from .row_conditions import RowGroup

MAX_KEYS = 10
"""Sample keys of a finding, where nobody asks for more."""
_MOST_TOGETHER = 4


@dataclass(frozen=True)
class Finding:
    """One thing that was found in the data.

    code:     stable name, one of `CODES`
    count:    how many rows (or labels, words, columns: the message says which)
    message:  what was found, one sentence
    advice:   what to do next, one sentence
    keys:     keys of some of the rows, as many as `run_checks` was asked for
    details:  JSON-safe; `set`: fields of the task (merged, markup or delimiter) by which what was
              found is put right, if somebody agrees
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
    keys: tuple[Key, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    where: str | None = None
    groups: tuple[RowGroup, ...] = ()

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"{self.code} is the code of no check")
        if self.severity not in CODES[self.code].severities:
            raise ValueError(f"{self.code} cannot be of severity {self.severity}")

    def to_dict(self) -> FindingData:
        return {
            "code": self.code,
            "severity": self.severity,
            "count": self.count,
            "message": self.message,
            "advice": self.advice,
            "keys": [json_key(key) for key in self.keys],
            "details": self.details,
            "where": self.where,
            "groups": [
                {"rows": group.rows, "keys": [json_key(key) for key in group.keys]}
                for group in self.groups
            ],
        }


@dataclass
class CheckReport:
    """All findings about a task's rows, gravest first, and what the rows look like.

    tokens:   None when the texts stay on this machine
    estimate: None when it is not known what is counted
    """

    task: Task
    findings: tuple[Finding, ...]
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

    def to_dict(self) -> ReportData:
        return {
            "task": self.task.to_dict(),
            "findings": [finding.to_dict() for finding in self.findings],
            "rows": self.rows,
            "distributions": self.distributions,
            "sample": self.sample,
            "splits": self.splits,
            "tokens": self.tokens,
            "estimate": self.estimate,
        }


def ordered(findings: list[Finding]) -> tuple[Finding, ...]:
    """Gravest first, then the larger count, then by code."""
    return tuple(sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), -f.count, f.code)))


def json_key(key: Key) -> JsonKey:
    return [json_cell(cell) for cell in key]


def json_cell(cell: Cell) -> str | int | float | None:
    """A cell as JSON has it: bytes as hexadecimal digits, infinities as text."""
    if isinstance(cell, bytes):
        return cell.hex()
    if isinstance(cell, float) and cell in (float("inf"), float("-inf")):
        return str(cell)
    return cell


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
