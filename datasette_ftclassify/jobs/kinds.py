"""The kinds of jobs: what commands, pages and the worker do about each.

A kind is added here, and in the module that does its work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..core.errors import JobError
from ..store.jobs.job import Job
from .settings import (
    AskSettings,
    CheckSettings,
    EvaluateSettings,
    PredictSettings,
    ReviewSettings,
    TrainSettings,
)

if TYPE_CHECKING:
    from ..trainers.access import Access
    from .lease import Lease
    from .predict_result import RowProgress

    Run = Callable[[Lease, Access, RowProgress], Mapping[str, object]]


@dataclass(frozen=True)
class JobKind:
    """One kind.

    settings: what its settings are, see `settings_of`
    run:      does the work of a claimed job; gives the result, as JSON
    title:    for people; {table} and {classifier} are the job's own
    line:     the same where its name stands beside it
    leads_to: what its page shows when it has finished, in words, with the same fields
    result:   that, as `web.pages.jobs` knows it
    writes_rows: it goes through the table and writes row by row: who may do that, may start and
              stop it; any other is for who may train
    trains:   it has a learning curve, and what it sends are not rows to answer
    checks:   it reads all rows in this process, whatever the trainer
    """

    name: str
    settings: type
    run: Run
    title: str
    line: str = "{classifier}"
    leads_to: str = "See the classifier {classifier}"
    result: Literal["classifier", "rows", "findings", "queue"] = "classifier"
    writes_rows: bool = False
    trains: bool = False
    checks: bool = False


def _train(lease: Lease, access: Access, rows: RowProgress) -> Mapping[str, object]:
    from .train import run_train

    return run_train(lease, access=access).to_dict()


def _evaluate(lease: Lease, access: Access, rows: RowProgress) -> Mapping[str, object]:
    from .evaluate import run_evaluate

    return run_evaluate(lease, access)


def _predict(lease: Lease, access: Access, rows: RowProgress) -> Mapping[str, object]:
    from .predict import run_predict

    return run_predict(lease, rows, access).to_dict()


def _check(lease: Lease, access: Access, rows: RowProgress) -> Mapping[str, object]:
    from .check import run_check

    return run_check(lease)


def _review(lease: Lease, access: Access, rows: RowProgress) -> Mapping[str, object]:
    from .review.build import run_review

    return run_review(lease)


def _ask(lease: Lease, access: Access, rows: RowProgress) -> Mapping[str, object]:
    from .ask import end_abandoned

    end_abandoned(lease)


def _refuse(lease: Lease, access: Access, rows: RowProgress) -> Mapping[str, object]:
    job = lease.job
    raise JobError(f"Job {job.id} is a {job.kind}, which this version cannot run.")


KINDS = {
    kind.name: kind
    for kind in (
        JobKind(
            "train",
            TrainSettings,
            _train,
            title="Training of {classifier}",
            line="{classifier} from {table}",
            trains=True,
        ),
        JobKind("evaluate", EvaluateSettings, _evaluate, title="Evaluation of {classifier}"),
        JobKind(
            "predict",
            PredictSettings,
            _predict,
            title="Prediction for {table} with {classifier}",
            line="{table} with {classifier}",
            leads_to="See the labels in {table}",
            result="rows",
            writes_rows=True,
        ),
        JobKind(
            "check",
            CheckSettings,
            _check,
            title="Check of {table}",
            line="{table}",
            leads_to="See the findings, and train",
            result="findings",
            checks=True,
        ),
        JobKind(
            "review",
            ReviewSettings,
            _review,
            title="Review queue of {table}",
            line="{table}",
            leads_to="Review the rows",
            result="queue",
        ),
        JobKind("ask", AskSettings, _ask, title="Request to {classifier}"),
    )
}


def kind_of(name: str) -> JobKind:
    """One of KINDS, or what may be said of a kind that a newer version or a stranger wrote."""
    known = KINDS.get(name)
    if known is not None:
        return known
    said = name.replace("{", "{{").replace("}", "}}")
    return JobKind(name, dict, _refuse, title=f"{said} of {{classifier}}")


def named(text: str, job: Job, table: str | None, classifier: str | None) -> str:
    """A title, a line or what a page leads to, of a job.

    table, classifier: as they are known now; None: as the settings say
    """
    said = job.settings
    known = classifier or said.get("name") or said.get("classifier")
    return text.format(
        table=table or job.table or "?",
        classifier=known or f"classifier {job.classifier_id or ''}".strip(),
    )
