"""Training at a service: a state machine that can be killed at any point and never pays twice.

1. The rows are read, divided, and noted with everything that the classifier will need. If rows
   change before they are sent, this is done again: nothing has been paid.
2. The service trains. What was noted counts from then on, whatever happens to the table.
3. The classifier, its cost, and the job's state are committed together.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ..core.errors import JobStopped, TrainingError
from ..core.job_events import ANOTHER_TRAINING
from ..core.labels import LabelSet
from ..core.service_model import OVER
from ..core.task import Task
from ..core.training_report import AboutRows
from ..core.typed_json import as_json, read_stored
from ..core.untrusted_json import JsonObject
from ..export import ExportFormat
from ..prompts.price_table import PriceTable
from ..prompts.prices import estimate_training
from ..store.classifiers import add_classifier
from ..store.jobs.state import save_progress
from ..store.schema import transaction
from ..store.spending import Spent, add_spending
from ..store.splits import add_split
from ..trainers.access import Access
from ..trainers.base import Progress
from ..trainers.service import FineTunedModel, Service, TrainingSpec
from .agreements import agreement_to
from .lease import Lease
from .remote.budget import Reservations
from .remote.model_names import note_trained
from .train_plan import (
    TrainPlan,
    check_confirmed,
    check_host,
    check_limits,
    estimate_plan,
    plan_training,
    write_examples,
)
from .train_request import TrainRequest
from .train_rows import about_rows
from .training_log import JobTrainingLog

_PREPARATION = "preparation"


class _RowsChanged(Exception):
    """The rows to be sent are not those that were noted."""


@dataclass(frozen=True)
class _Prepared:
    """What is noted before anything is sent; in the job's `remote`, as JSON."""

    split_id: int
    labels: LabelSet
    format: ExportFormat
    model: str
    epochs: int
    training_rows: int
    tokens: int
    digest: str
    about: AboutRows
    usd: float | None = None

    def __post_init__(self) -> None:
        if min(self.split_id, self.epochs) < 1 or min(self.training_rows, self.tokens) < 0:
            raise ValueError("a number makes no sense")


class ServiceTraining:
    """One attempt of this process at a training at a service."""

    def __init__(
        self,
        lease: Lease,
        task: Task,
        request: TrainRequest,
        service: Service,
        access: Access,
        progress: Progress,
    ) -> None:
        self.lease, self.task, self.request = lease, task, request
        self.service, self.access = service, access
        self.training_log = JobTrainingLog(lease, progress)
        self._plan: TrainPlan | None = None
        self._holds: Reservations | None = None
        if service.capabilities.costs_money:
            self._holds = Reservations(lease.conn, lease.job, access)

    @property
    def conn(self) -> sqlite3.Connection:
        return self.lease.conn

    def run(self) -> None:
        """Goes on from where the job stands; stores a classifier and notes it in the job.

        Raises as `Service.train` does, LimitReached when it may not cost so much.
        """
        endpoint = self.access.endpoint(self.service.name)
        check_host(self.service, endpoint, self.request.host)
        if self.lease.job.at_service.step == OVER:
            self._after_the_end()
        while True:
            prepared = self._prepared()
            try:
                tuned = self.service.train(self._order(prepared), self.training_log, endpoint)
                break
            except _RowsChanged:
                self._begin_anew("The rows changed before all were sent: they are sent anew.")
            except (JobStopped, TrainingError):
                self._settle_end()
                raise
        self._store(prepared, tuned)

    def _settle_end(self) -> None:
        """What was set aside for a training that has ended without a model. A cancelled one counts
        as spent: no service says what it bills for the part that was done."""
        if self._holds is None:
            return
        if self.lease.job.at_service.step == OVER:
            self._holds.end(self.training_log.tag)
        elif self.lease.job.wanted == "cancel" and self._has_begun():
            spent = self._holds.settle(self.training_log.tag, Spent(), None)
            self._holds.end(self.training_log.tag)
            with transaction(self.conn):
                add_spending(self.conn, self.lease.job.id, spent)

    def _has_begun(self) -> bool:
        """Whether the training is at the service, so that following it costs no more."""
        return bool(self.lease.job.at_service.job_id)

    def _after_the_end(self) -> None:
        """Another training costs money again, so somebody must have asked for it: a process that
        takes the job over only writes down how the first one ended."""
        if not self.lease.job.tried_again:
            self.lease.check()
            why = self.lease.job.at_service.why or (
                "The training ended at the service without a model."
            )
            raise TrainingError(f"{why} Retry the job to pay for another training.")
        self._begin_anew("The earlier training ended without a model: this is another one.")

    def _begin_anew(self, why: str) -> None:
        self._plan = None
        self.training_log.event(why, kind=ANOTHER_TRAINING)
        if self._holds is not None:
            self._holds.end(self.training_log.tag)
        self.training_log.restart()

    def _prepared(self) -> _Prepared:
        """What was noted, or what is noted now."""
        noted = self.training_log.state.get(_PREPARATION)
        if noted is not None and self._is_held(noted):
            return read_stored(
                _Prepared,
                noted,
                f"What job {self.lease.job.id} has prepared was",
                "cancel the training at the service if it goes on there, and start a new one",
            )
        if noted is not None:
            self._begin_anew("What was noted of it is not from here: the training begins anew.")
        self.training_log.report_progress("reading rows", 0.0)
        self.lease.check()
        plan = self._read()
        job = self.lease.job
        estimate = estimate_plan(self.conn, self.task, plan, self.service, self.access)
        if self._holds is not None:
            agreement = agreement_to(self.conn, job, self.access)
            check_confirmed(estimate, agreement.expected_usd if agreement else None)
            check_limits(estimate, self._holds.rooms())
        with transaction(self.conn):
            prepared = _Prepared(
                split_id=add_split(self.conn, self.task, plan.data.plan, plan.data.members),
                labels=plan.data.labels,
                format=plan.spec.codec.format,
                model=plan.spec.model,
                epochs=plan.spec.epochs,
                training_rows=len(plan.training) if self.service.capabilities.trains else 0,
                tokens=estimate.training_tokens,
                digest=plan.digest,
                about=about_rows(plan.training, plan.data),
                usd=estimate.usd,
            )
            noted = json.loads(json.dumps(as_json(prepared)))
            if self._holds is not None:
                self._holds.hold(self.training_log.tag, estimate.most_usd, 0, _digest(noted))
            self.training_log.save(**{_PREPARATION: noted})
        return prepared

    def _is_held(self, noted: JsonObject) -> bool:
        """Whether it was noted here, with what it costs set aside; else the file brought it."""
        if self._holds is None or self._has_begun():
            return True
        return self._holds.holds(self.training_log.tag, _digest(noted))

    def _read(self) -> TrainPlan:
        if self._plan is None:
            self._plan = plan_training(
                self.conn, self.task, self.request, self.service, self.access
            )
        return self._plan

    def _order(self, prepared: _Prepared) -> TrainingSpec:
        return TrainingSpec(
            model=prepared.model,
            epochs=prepared.epochs,
            labels=prepared.labels,
            codec=prepared.format.bind(prepared.labels),
            options=self.request.chosen,
            write=lambda split, folder: self._write(prepared, split, folder),
        )

    def _write(self, prepared: _Prepared, split: str, folder: Path) -> Path | None:
        """The examples of a split, as long as they are those that were noted."""
        plan = self._read()
        if plan.digest != prepared.digest:
            raise _RowsChanged
        return write_examples(plan.data, plan.spec.codec, self.task, self.request, split, folder)

    def _store(self, prepared: _Prepared, tuned: FineTunedModel) -> None:
        prices = self.service.prices(self.access.endpoint(self.service.name))
        job, spent, note = self.lease.job, *_cost(prepared, tuned, self.service, prices)
        report = {**tuned.report, **prepared.about, "usd": spent.usd}
        if note:
            report["warnings"] = [*report.get("warnings", []), note]
        note_trained(self.access, tuned.header, tuned.report)
        # One transaction: a job that was killed has either stored its classifier, or not.
        with transaction(self.conn):
            classifier = add_classifier(
                self.conn,
                name=str(self.request.name),
                trainer=self.service.name,
                labels=prepared.labels,
                task=self.task,
                split_id=prepared.split_id,
                seed=self.request.plan.seed,
                training_rows=prepared.training_rows,
                header=tuned.header,
                parts={},
                report=report,
            )
            if self._holds is not None and spent.trained_tokens:
                spent = self._holds.settle(self.training_log.tag, spent, spent.usd)
                add_spending(self.conn, job.id, spent)
            job.classifier_id = classifier.id
            job.step = "evaluating"
            save_progress(self.conn, job)
        if self._holds is not None:
            self._holds.end(self.training_log.tag)


def _digest(noted: JsonObject) -> str:
    return sha256(json.dumps(noted, sort_keys=True).encode()).hexdigest()


def _cost(
    prepared: _Prepared, tuned: FineTunedModel, service: Service, prices: PriceTable
) -> tuple[Spent, str | None]:
    """What the training took, and what is to be said about that."""
    can = service.capabilities
    if not (can.trains and can.costs_money):
        return Spent(), None
    tokens = tuned.trained_tokens
    billed = prepared.tokens * prepared.epochs if tokens is None else tokens
    estimate = estimate_training(prices, prepared.model, billed, 1)
    note = None
    if estimate.usd is None:
        note = f"What the training cost is not known. {estimate.note}"
    elif tokens is None:
        note = "The service did not say what it billed: the cost is an estimate."
    return Spent(usd=estimate.usd or 0.0, trained_tokens=billed), note
