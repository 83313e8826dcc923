"""The result of a check job, as it is in a file: of this version, an older one or a stranger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

from ..checks.codes import Severity
from ..checks.report_data import (
    Distributions,
    Estimate,
    GroupData,
    JsonKey,
    Rows,
    SampleRow,
    Splits,
    Tokens,
)
from ..core.labels import LabelValue
from ..core.task import Task
from ..core.typed_json import read_stored, read_typed_dict
from ..core.untrusted_json import JsonObject
from ..store.jobs.job import Job


class Proposal(TypedDict, total=False):
    """Fields of a task by which what was found is put right, if somebody agrees."""

    merged: list[LabelValue]
    markup: str
    delimiter: str


@dataclass(frozen=True)
class Found:
    """A finding as pages show it; fields as in `checks.Finding`, keys as JSON has them.

    job, number: the check job that has it in its result, and its place there; None for neither
    """

    code: str
    severity: Severity
    count: int
    message: str
    advice: str
    keys: Sequence[JsonKey] = ()
    where: str | None = None
    details: JsonObject = field(default_factory=dict)
    groups: Sequence[GroupData] = ()
    job: int | None = None
    number: int | None = None

    def __post_init__(self) -> None:
        _ = self.proposal  # what is none is refused when it is read

    @property
    def proposal(self) -> Proposal | None:
        """What it proposes."""
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
class StoredCheck:
    """Fields as in `checks.ReportData`."""

    task: Task
    findings: Sequence[Found]
    rows: Rows
    distributions: Distributions
    sample: Sequence[SampleRow]
    splits: Splits
    tokens: Tokens | None = None
    estimate: Estimate | None = None
    rows_digest: str | None = None


def read_check(job: Job) -> StoredCheck:
    """What a check job has found. Raises ArtifactError for what this software has not written."""
    check = read_stored(StoredCheck, job.result, "This check was", "check the rows again")
    found = [replace(f, job=job.id, number=n) for n, f in enumerate(check.findings)]
    return replace(check, findings=tuple(found))
