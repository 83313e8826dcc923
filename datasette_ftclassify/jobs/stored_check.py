"""The result of a check job, as it is in a file: of this version, an older one or a stranger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..checks.report import CheckReport, Finding
from ..core.typed_json import read_stored
from ..store.jobs.job import Job


@dataclass(frozen=True)
class StoredFinding(Finding):
    """A finding as pages show it, which may have a code that other versions know.

    job, number: the check job that has it in its result, and its place there; None for neither
    """

    job: int | None = None
    number: int | None = None

    def __post_init__(self) -> None:
        _ = self.proposal  # what is none is refused when it is read


@dataclass(frozen=True)
class StoredCheck(CheckReport):
    """rows_digest: of the rows that were checked, as `check.rows_digest` has it; None: they were
    changed meanwhile"""

    findings: Sequence[StoredFinding]
    rows_digest: str | None = None


def read_check(job: Job) -> StoredCheck:
    """What a check job has found. Raises ArtifactError for what this software has not written."""
    check = read_stored(StoredCheck, job.result, "This check was", "check the rows again")
    found = [replace(f, job=job.id, number=n) for n, f in enumerate(check.findings)]
    return replace(check, findings=tuple(found))
