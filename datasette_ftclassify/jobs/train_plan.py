"""What a training at a service sends and costs, known before anything leaves this machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from ..core.errors import AccessError, LimitReached, TrainingError
from ..core.examples import Example, Record, Split
from ..core.humanize import counted, dollars, price
from ..core.task import Task
from ..export import Codec, ExportFormat, export
from ..ledger import Room
from ..prompts.price_table import Price, today
from ..prompts.prices import estimate_inference, estimate_training
from ..prompts.tokenizer import tokenizer_for
from ..store.classifiers import list_classifiers
from ..store.splits import find_split
from ..store.summaries import Summary, summaries_of
from ..trainers.access import Access, Endpoint
from ..trainers.base import check_options
from ..trainers.service import Service, TrainingSpec
from .load_classifier import is_elsewhere
from .train_request import TrainRequest, check_continued, read_rows
from .train_rows import SplitData, require_labels

MORE = 1.1
"""A training may cost so many times what was confirmed before it is asked about again."""

UNSURE = 1.25
"""Estimated tokens may be so many times as many, where a limit is to be kept."""


@dataclass(frozen=True)
class TrainPlan:
    """An order, with the rows that it is made of.

    digest: of all that is sent; another one means that the rows have changed
    judged_by: the split that is answered after the training
    """

    data: SplitData
    spec: TrainingSpec
    digest: str
    judged_by: Split = "test"

    @property
    def training(self) -> list[Example]:
        return self.data.of("train")


@dataclass(frozen=True)
class TrainEstimate:
    """What a training at a service, and the evaluation after it, will take.

    usd:           of both; None when a price is not known (see `notes`)
    epochs:        0: nothing is trained there, and tokens are of the texts whose vectors it makes
    billed_tokens: of the training, all epochs together; `exact` when they are the model's own
    requests:      of the evaluation, with their tokens
    rows_sent:     rows that leave this machine, to `host`
    local:         headlines of classifiers that were made on this machine from the same rows
    """

    model: str
    host: str
    rows_sent: int
    epochs: int
    training_tokens: int
    billed_tokens: int
    exact: bool
    training_usd: float | None
    evaluation_usd: float | None
    requests: int
    input_tokens: int
    output_tokens: int
    notes: tuple[str, ...]
    local: tuple[str, ...]
    digest: str

    @property
    def usd(self) -> float | None:
        if self.training_usd is None or self.evaluation_usd is None:
            return None
        return self.training_usd + self.evaluation_usd

    @property
    def most_usd(self) -> float | None:
        """What it may come to when the tokens that were estimated turn out to be more."""
        return self.usd if self.usd is None or self.exact else self.usd * UNSURE

    @property
    def price(self) -> str:
        return price(self.usd, self.most_usd)

    def to_dict(self) -> dict[str, Any]:
        figures = {"usd": self.usd, "most_usd": self.most_usd}
        return {**figures, **asdict(self), "note": " ".join(self.notes)}


def plan_training(
    conn: sqlite3.Connection,
    task: Task,
    request: TrainRequest,
    service: Service,
    access: Access,
    see: Callable[[Record], None] | None = None,
) -> TrainPlan:
    """Reads the rows and puts them in order, without any request.

    see: as of `read_rows`
    Raises TrainingError or AccessError for what the service would refuse.
    """
    check_options(service, request.chosen)
    endpoint = access.endpoint(request.trainer)
    check_host(service, endpoint, request.host)
    data = read_rows(conn, task, request, see)
    training = data.of("train")
    if service.capabilities.needs_examples:
        require_labels(training, data.labels)
    options = request.chosen
    fmt = dict(service.choose_format(data.labels, replace(options, format=None)))
    if options.format is not None:
        fmt |= options.format
        if fmt["form"] == "completion" and not options.format.get("system"):
            fmt["system"] = None  # which is a chat's
        options = replace(options, format=fmt)
        fmt = dict(service.choose_format(data.labels, options))
    codec = ExportFormat.from_dict(fmt).bind(data.labels)
    check_continued(conn, request, data.labels, codec.resolved.to_dict())
    spec = TrainingSpec(
        model=options.model or _default_model(service),
        epochs=options.epochs or service.epochs_for(len(training)),
        labels=data.labels,
        codec=codec,
        options=options,
        write=lambda split, folder: write_examples(data, codec, task, request, split, folder),
    )
    service.check(spec, endpoint)
    check_open(service, spec.model, endpoint)
    return TrainPlan(data, spec, _digest(data, codec), request.judged_by)


def _default_model(service: Service) -> str:
    model = service.default_model
    if model is None:
        use = "tune" if service.capabilities.trains else "ask"
        raise TrainingError(f"Name the model that {service.name} is to {use}.", fields=("model",))
    return model


def _digest(data: SplitData, codec: Codec) -> str:
    digest = sha256(repr((codec.resolved.to_dict(), data.labels.to_dict())).encode())
    for example in data.of("train", "validation"):
        text = repr((example.split, example.text, example.labels))
        digest.update(text.encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def write_examples(
    data: SplitData, codec: Codec, task: Task, request: TrainRequest, split: str, folder: Path
) -> Path | None:
    """Writes the lines of a split; None when it has no row."""
    examples = [example for example in data.examples if example.split == split]
    if not examples:
        return None
    # A folder of its own: an export takes the files of the other splits for older ones.
    written = export(
        examples, data.labels, task, codec.format, folder / split, plan=request.plan, overwrite=True
    )
    return written.files[split]


def check_open(service: Service, model: str, endpoint: Endpoint) -> None:
    """Raises TrainingError for a model that is known to be trained, or asked, no more."""
    if (why := service.why_closed(model, endpoint, today())) is None:
        return
    others = ", ".join(service.proposed_models(endpoint, today()))
    instead = f"There is {others} there, or another trainer" if others else "Use another trainer"
    raise TrainingError(f"{why} Nothing was sent. {instead}: local works on this machine.")


def check_host(service: Service, endpoint: Endpoint, asked: str | None) -> None:
    """Raises AccessError when rows would go to another host than the one they were meant for."""
    found = service.host(endpoint)
    if asked is not None and asked != found:
        raise AccessError(
            f"This training was asked for at {asked}, and now {found} is set: set the former "
            f"address again as the base URL of {service.name}."
        )


def estimate_plan(
    conn: sqlite3.Connection,
    task: Task,
    plan: TrainPlan,
    service: Service,
    access: Access,
    *,
    download: bool = False,
) -> TrainEstimate:
    """What carrying out the plan takes, by the price table.

    download: fetch the model's vocabulary for exact counts when it is not here, see
              `prompts.tokenizer`
    """
    spec = plan.spec
    tokenizer = tokenizer_for(spec.model, download=download)
    count = spec.codec.token_counter(tokenizer)
    trains = service.capabilities.trains
    counts = [count(e.text, e.labels) for e in plan.training] if trains else []
    tokens = sum(counts)
    test = plan.data.of(plan.judged_by)
    answers = sum(tokenizer.count(spec.codec.answer_for(e.labels)) for e in test)
    asked = sum(count(e.text, e.labels) for e in test) - answers
    table = service.prices(access.endpoint(service.name))
    training = estimate_training(table, spec.model, tokens, spec.epochs)
    # A model that is prompted without training may have a price of its own.
    asks = spec.model if trains else service.priced_as(spec.model)
    inference = estimate_inference(table, asks, input_tokens=asked, output_tokens=answers)
    free = not service.capabilities.costs_money
    notes = [] if free else [training.note] if trains else []
    if test and not free and (inference.usd is None or not trains):
        notes.append(inference.note)
    if tokenizer.note:
        notes.append(tokenizer.note)
    notes += _too_long(counts, table.get(spec.model))
    sent: set[Split] = {"train", "validation", plan.judged_by} if trains else {plan.judged_by}
    rows_sent = len(plan.data.of(*sent))
    return TrainEstimate(
        model=spec.model,
        host=service.host(access.endpoint(service.name)),
        rows_sent=rows_sent if service.capabilities.leaves_machine else 0,
        epochs=spec.epochs,
        training_tokens=tokens,
        billed_tokens=training.tokens_billed,
        exact=tokenizer.exact,
        training_usd=0.0 if free or not trains else training.usd,
        evaluation_usd=0.0 if free or not test else inference.usd,
        requests=len(test),
        input_tokens=asked,
        output_tokens=answers,
        notes=tuple(notes),
        local=earlier_results(conn, task, plan),
        digest=plan.digest,
    )


def _too_long(counts: Sequence[int], price: Price | None) -> list[str]:
    most = price.example_tokens if price is not None else None
    long = 0 if most is None else sum(count > most for count in counts)
    if not long:
        return []
    examples = counted(long, "example has", "examples have")
    return [
        f"{examples} more than the {most:,} tokens that a training reads of one: the rest is cut "
        "off, and the label with it. Leave such rows out."
    ]


def earlier_results(conn: sqlite3.Connection, task: Task, plan: TrainPlan) -> tuple[str, ...]:
    """Headlines of the classifiers that trainers on this machine made from the same rows and
    split."""
    split_id = find_split(conn, task, plan.data.plan, plan.data.members)
    found = [] if split_id is None else local_of_split(conn, split_id)
    return tuple(f"{s.classifier.title} ({s.classifier.trainer}): {s.headline()}" for s in found)


def local_of_split(conn: sqlite3.Connection, split_id: int) -> list[Summary]:
    """The evaluated classifiers with the split whose models are in the file, newest first."""
    same = (c for c in list_classifiers(conn) if c.split_id == split_id)
    found = summaries_of(conn, [c for c in same if is_elsewhere(c) is False])
    return sorted((s for s in found if s.metrics), key=lambda summary: -summary.classifier.id)


class Priced(Protocol):
    """Something that costs money: see `TrainEstimate`."""

    @property
    def usd(self) -> float | None: ...
    @property
    def most_usd(self) -> float | None: ...
    @property
    def price(self) -> str: ...
    @property
    def notes(self) -> Sequence[str]: ...


def check_limits(estimate: Priced, rooms: Sequence[Room]) -> None:
    """Raises LimitReached when the training would cost more than it may, or nobody knows whether.

    rooms: what the limits leave that count for it
    """
    most = estimate.most_usd
    if most == 0:
        return
    for room in rooms:
        what = {"job": "this training", "day": "a day"}[room.scope]
        if most is None:
            raise LimitReached(
                f"Nobody can promise to keep the limit of {dollars(room.limit)} for {what}. "
                f"{' '.join(estimate.notes)} Or leave out the limit. Nothing was sent."
            )
        if most > room.left:
            used = room.spent + room.others
            left = f", of which {dollars(max(room.left, 0))} is left" if used else ""
            raise LimitReached(
                f"It would cost {estimate.price}, more than the limit of "
                f"{dollars(room.limit)} for {what}{left}. Nothing was sent. Train on fewer rows, "
                "with fewer epochs or a cheaper model, or raise the limit.",
                fields=("where", "epochs", "model", "limit_usd"),
            )


def check_confirmed(estimate: Priced, agreed: float | None) -> None:
    """Raises LimitReached when it has become dearer since somebody agreed to the price: the rows
    have changed, or the prices."""
    if agreed is None or estimate.usd is None:
        return
    if estimate.usd > agreed * MORE:
        raise LimitReached(
            f"The rows or the prices have changed since about {dollars(agreed)} were agreed to: it "
            f"would cost {estimate.price} now. Start the training again to agree."
        )
