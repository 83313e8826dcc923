"""What is shown before a payment, besides the price: the findings of the checks, and which data
leaves this machine.

The checks that matter are run, or the result of the last check job is taken when it was about the
very same rows. Private data is looked for in the texts that would be sent, and in no others.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

from ..checks.codes import stopping
from ..checks.private_data import DETECTORS, private_text
from ..checks.row_conditions import MOST_KEYS
from ..core.database import Key, json_key
from ..core.humanize import shortened
from ..core.task import Task
from ..store.classifiers import Classifier
from ..trainers.access import Access
from ..trainers.registry import get_trainer
from ..trainers.service import Service
from .check import RowsDigest
from .check_results import Checked, check_rows
from .estimates import JobEstimate, check_answers, estimate_requests, estimate_texts, without_answer
from .evaluate import read_test_rows
from .load_classifier import load_inference_client, paid_service, prices_of
from .plan import Plan, PredictRequest
from .rows import Rows
from .stored_check import StoredFinding
from .train import plan_and_estimate
from .train_plan import TrainEstimate, TrainPlan
from .train_request import TrainRequest

SCANNED = 20_000
SCANNED_CHARACTERS = 10_000_000
"""Private data is looked for in so many texts, about a second's work; of more, in so many drawn at
random, unless a check has looked through all of them."""

CHECKED_ROWS = 20_000
"""Before a prediction, the labels of so many rows are checked at most: it would take too long."""

EXAMPLE = 300
"""Characters of the text that is shown."""

_ABOUT_AMOUNTS = stopping("examples")
"""Errors that are none for a trainer that needs no examples."""

_ABOUT_TRAINING = stopping("training", "examples")
"""Errors that are none for a model that is trained already: the rows that are to be classified may
have no label at all."""


@dataclass(frozen=True)
class Sending:
    """What leaves this machine.

    rows:    of a training, with its evaluation; texts of a prediction, equal ones once
    columns: that the texts are made of
    labels:  columns whose labels go along
    example: the beginning of one of the texts; None where there is none
    """

    host: str
    rows: int
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    example: str | None


@dataclass(frozen=True)
class Review:
    """What was found in the rows.

    findings: errors, and private data in what would be sent
    warnings: other findings that say that the rows should be looked at
    checked:  when that was looked for and in how much of it, in a sentence
    check_job: that has looked for them; None: they were looked for just now, or not at all
    """

    sending: Sending
    findings: tuple[StoredFinding, ...]
    warnings: int
    checked: str
    check_job: int | None = None

    @property
    def errors(self) -> tuple[StoredFinding, ...]:
        return tuple(found for found in self.findings if found.severity == "error")

    @property
    def refusal(self) -> str | None:
        """Why this is not paid for without an explicit consent; None without an error."""
        if not self.errors:
            return None
        first = self.errors[0].message
        more = f" (and {len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
        return f"The checks found an error: {first}{more} Nothing was sent."

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "errors": len(self.errors)}


@dataclass(frozen=True)
class TrainConfirmation:
    estimate: TrainEstimate
    review: Review


@dataclass(frozen=True)
class EvaluateConfirmation:
    estimate: JobEstimate
    review: Review


@dataclass(frozen=True)
class PredictConfirmation(EvaluateConfirmation):
    """unlabelled: what the rows without a label alone would cost; None where that is no less"""

    unlabelled: JobEstimate | None


def confirm_train(
    conn: sqlite3.Connection,
    task: Task,
    request: TrainRequest,
    access: Access,
    *,
    download: bool = False,
) -> TrainConfirmation | None:
    """What is to be agreed to before a training; None when it is free. Sends no request, writes
    nothing.

    Raises as `plan_and_estimate` does.
    """
    trainer = get_trainer(request.trainer)
    if not isinstance(trainer, Service) or not trainer.capabilities.costs_money:
        return None
    digest = RowsDigest()
    plan, estimate = plan_and_estimate(
        conn, task, request, trainer, access, download=download, see=digest.add
    )
    whole = request.like is None and request.version_of is None
    read = digest.value if whole else None
    review = _review_training(conn, task, request, trainer, plan, estimate, read)
    return TrainConfirmation(estimate, review)


def confirm_predict(
    conn: sqlite3.Connection, plan: Plan, request: PredictRequest, access: Access
) -> PredictConfirmation | None:
    """What is to be agreed to before a prediction; None when it is free.

    plan: of the request
    Raises AccessError without a key, SourceError for a condition that does not run.
    """
    classifier = plan.classifier
    service = paid_service(classifier)
    if service is None:
        return None
    texts = plan.rows.sample(conn, SCANNED, SCANNED_CHARACTERS)
    total = plan.rows.count(conn)
    estimate = estimate_texts(conn, classifier, texts, total, access, batch=request.batch)
    review = _review_prediction(conn, plan, service, texts, total, estimate)
    unlabelled = None
    if estimate.requests and not request.unlabelled and request.where is None:
        unlabelled = _unlabelled(conn, plan, total, request, access)
    return PredictConfirmation(estimate, review, unlabelled)


def confirm_evaluate(
    conn: sqlite3.Connection, classifier: Classifier, access: Access
) -> EvaluateConfirmation | None:
    """What is to be agreed to before an evaluation; None when it is free.

    Raises EvaluationError when there is no row to evaluate on, AccessError without a key.
    """
    service = paid_service(classifier)
    if service is None:
        return None
    rows, _ = read_test_rows(conn, classifier)
    keys = {row.text or "": row.key for row in reversed(rows)}
    texts = without_answer(conn, classifier, [row.text or "" for row in rows])
    if texts:
        check_answers(classifier)
    inference_client = load_inference_client(classifier, access)
    estimate = estimate_requests(inference_client, texts, prices_of(classifier, access))
    checked = check_rows(conn, classifier.task, None, service, None, most=CHECKED_ROWS)
    sending = _requests(classifier, service, estimate, texts)
    review = _review(sending, checked, texts, len(texts), _ABOUT_TRAINING, keys)
    return EvaluateConfirmation(estimate, review)


def _unlabelled(
    conn: sqlite3.Connection, plan: Plan, total: int, request: PredictRequest, access: Access
) -> JobEstimate | None:
    classifier = plan.classifier
    if not set(plan.target.columns).issuperset(classifier.task.labels):
        return None
    rows = Rows(plan.target, classifier, None, {}, unlabelled=True)
    count = rows.count(conn)
    if not 0 < count < total:
        return None
    texts = rows.sample(conn, SCANNED, SCANNED_CHARACTERS)
    return estimate_texts(conn, classifier, texts, count, access, batch=request.batch)


def _review_training(
    conn: sqlite3.Connection,
    task: Task,
    request: TrainRequest,
    trainer: Service,
    plan: TrainPlan,
    estimate: TrainEstimate,
    digest: str | None,
) -> Review:
    """digest: of the rows that the plan was made of; None: of other ones"""
    trains = trainer.capabilities.trains
    sent = plan.data.examples if trains else plan.data.of("test")
    usable = None if digest is None else plan.data.records
    checked = check_rows(
        conn, task, request.plan, trainer, plan.spec.model, digest=digest, usable=usable
    )
    texts = [example.text for example in sent]
    # The test rows go without their labels.
    labels = task.labels if trains and not trainer.capabilities.learns_here else ()
    sending = Sending(estimate.host, estimate.rows_sent, task.text, labels, _example(texts))
    aside = frozenset() if trainer.capabilities.needs_examples else _ABOUT_AMOUNTS
    keys = {example.text: example.key for example in reversed(sent)}
    return _review(sending, checked, texts, len(texts), aside, keys)


def _review_prediction(
    conn: sqlite3.Connection,
    plan: Plan,
    service: Service,
    texts: Sequence[str | None],
    total: int,
    estimate: JobEstimate,
) -> Review:
    classifier = plan.classifier
    unanswered = without_answer(conn, classifier, [text for text in texts if text is not None])
    task = replace(classifier.task, source=plan.target.name)
    needed = [*task.text, *task.labels, *([task.split_column] if task.split_column else [])]
    if set(plan.target.columns).issuperset(needed):
        checked = check_rows(conn, task, None, service, None, most=CHECKED_ROWS)
    else:
        checked = Checked(None, "It has no labels that could be checked.")
    sending = _requests(classifier, service, estimate, unanswered)
    in_all = len(unanswered) if len(texts) >= total else max(estimate.requests, len(unanswered))
    return _review(sending, checked, unanswered, in_all, _ABOUT_TRAINING)


def _requests(
    classifier: Classifier, service: Service, estimate: JobEstimate, texts: Sequence[str]
) -> Sending:
    """texts: those that are sent, or some of them"""
    host = classifier.at_service.host or service.title
    return Sending(host, estimate.requests, classifier.task.text, (), _example(texts))


def _example(texts: Sequence[str]) -> str | None:
    return shortened(texts[0], EXAMPLE) if texts else None


def _review(
    sending: Sending,
    checked: Checked,
    texts: Sequence[str],
    in_all: int,
    aside: Set[str],
    keys: Mapping[str, Key] = MappingProxyType({}),
) -> Review:
    """texts: those that would be sent, or some of them, of `in_all`
    aside: errors that are none here
    keys:  of a row with each text, where that is known"""
    found = checked.findings or ()
    errors = [f for f in found if f.severity == "error" and f.code not in aside]
    others = [f for f in found if f.severity != "info" and f.code not in DETECTORS]
    kept = [_sent(f) for f in found if f.code in DETECTORS]
    some = _some(texts)
    if len(some) < in_all and checked.job is not None:
        private, where = kept, f"for private data, too: in all rows, by job {checked.job.id}"
    else:
        private = _private(some, keys)
        of = "all" if len(some) >= in_all else f"{len(some):,} drawn at random of"
        where = f"for private data in {of} {in_all:,} texts"
    how = f"{checked.how} Looked {where}."
    job = None if checked.job is None else checked.job.id
    return Review(sending, (*errors, *private), len(others) - len(errors), how, job)


def _sent(found: StoredFinding) -> StoredFinding:
    """Private data that a check found, now that it is clear that the texts are sent."""
    message, advice = private_text(found.code, found.count, leaves_machine=True)
    return replace(found, severity="warning", message=message, advice=advice)


def _some(texts: Sequence[str]) -> Sequence[str]:
    """At most SCANNED of them, drawn at random, with SCANNED_CHARACTERS in all."""
    if len(texts) > SCANNED:
        texts = random.Random(0).sample(texts, SCANNED)
    room = SCANNED_CHARACTERS
    some: list[str] = []
    for text in texts:
        room -= len(text)
        if room < 0 and some:
            break
        some.append(text[:SCANNED_CHARACTERS])
    return some


def _private(texts: Sequence[str], keys: Mapping[str, Key]) -> list[StoredFinding]:
    found = []
    for code, (_, detect) in DETECTORS.items():
        seen = [text for text in texts if detect(text)]
        if seen:
            sentences = private_text(code, len(seen), leaves_machine=True)
            rows = [json_key(keys[text]) for text in seen if text in keys][:MOST_KEYS]
            found.append(StoredFinding(code, "warning", len(seen), *sentences, rows))
    return found
