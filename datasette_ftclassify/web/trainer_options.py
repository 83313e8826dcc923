"""The trainers side by side: price, duration, what leaves this machine, capabilities and options.
All of it follows from the attributes of a trainer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from ..core.errors import AccessError, TrainingError
from ..core.humanize import counted, dollars, rows_text
from ..core.label_kinds import MULTICLASS
from ..core.labels import LabelSet
from ..export import ExportFormat
from ..jobs.stored_check import StoredCheck
from ..present.capabilities import capability_words
from ..prompts.price_table import PriceTable, today
from ..prompts.prices import estimate_inference, estimate_training, load_prices
from ..trainers.access import Access
from ..trainers.base import Trainer, TrainerOptions, check_options, options_of, usual_encoder_of
from ..trainers.options import MODEL, Kind, Option
from ..trainers.registry import list_trainers
from ..trainers.service import Service, TrainingSpec
from ..trainers.shutdown_dates import stated_shutdown
from .train_form import Choices

_ASKED = 1_000
"""Texts for which the price of prompting a model is shown."""


class FormField(TypedDict, total=False):
    """Of a form, for an option: its `type` is that of an input, or select, or textarea.

    options:  of a select: (value, text); proposed: of a list beside an input
    usual:    what an empty one stands for; most: characters
    """

    name: str
    label: str
    value: str
    type: str
    help: str
    proposed: list[str]
    usual: str
    options: list[tuple[str, str]]
    min: float
    max: float
    step: str
    most: int


class Offer(TypedDict):
    """A trainer as it stands on the page, in sentences.

    missing: why it cannot be used yet; None: it can
    encoder: the sentence encoder that it uses here; None: none, or none is known
    until:   the day on which its model is retired; until_stated: whether the service says so
    """

    name: str
    title: str
    missing: str | None
    paid: bool
    leaves_machine: bool
    cost: str
    time: str
    leaves: str
    can: list[str]
    encoder: str | None
    until: str | None
    until_stated: bool
    settings: list[FormField]


def offers(choices: Choices, access: Access, check: StoredCheck | None) -> list[Offer]:
    """All trainers, those that cost nothing first, and quick ones before; last those that cannot be
    used yet.

    check: of what is chosen; None: nothing is known of the rows
    Takes a while at first, since it may import what a trainer needs: call it in a thread.
    """
    found = [
        _offer(trainer, choices, access, check) for trainer in sorted(list_trainers(), key=_rank)
    ]
    return sorted(found, key=lambda offer: offer["missing"] is not None)


def _rank(trainer: Trainer) -> tuple[bool, bool, str]:
    return trainer.capabilities.costs_money, trainer.capabilities.slow, trainer.name


def _offer(trainer: Trainer, choices: Choices, access: Access, check: StoredCheck | None) -> Offer:
    able = trainer.capabilities
    missing = why_not(trainer, access)
    table = _prices(trainer, access)
    model = choices.setting(trainer.name, "model") or usual_model(trainer, access)
    priced = trainer.priced_as(model) if isinstance(trainer, Service) else model
    price = table.get(priced) if model else None
    stated = None
    if isinstance(trainer, Service) and model:
        stated = stated_shutdown(trainer, access, model)
    until = stated or (price.shutdown if price else None)
    closed = _why_closed(trainer, model or None, access)
    return {
        "name": trainer.name,
        "title": trainer.title,
        "missing": missing,
        "paid": able.costs_money,
        "leaves_machine": able.leaves_machine,
        "cost": closed or _cost(trainer, model, table, check),
        "time": _time(trainer, check),
        "leaves": _leaves(trainer, access, check, missing),
        "can": capability_words(able),
        "encoder": usual_encoder_of(trainer),
        "until": None if closed or until is None else until.isoformat(),
        "until_stated": stated is not None,
        "settings": _settings(trainer, choices, model, access),
    }


def why_not(trainer: Trainer, access: Access) -> str | None:
    """What has to be configured before the trainer can be used; None: nothing."""
    endpoint = access.endpoint(trainer.name)
    if not isinstance(trainer, Service):
        return _why_not_here(trainer)
    key = trainer.variables.get("api_key")
    if key and endpoint.api_key is None:
        # Without a call of the trainer, which would import a whole SDK first.
        return (
            f"No key is set: the operator of this server sets {key} in its environment, or "
            f"{trainer.name}.api_key in the configuration of datasette-ftclassify."
        )
    labels = LabelSet(("a", "b"), MULTICLASS.name)
    order = TrainingSpec(
        model=usual_model(trainer, access) or "model",
        epochs=1,
        labels=labels,
        codec=ExportFormat().bind(labels),
        options=TrainerOptions(),
        write=lambda split, folder: None,
    )
    try:
        trainer.check(order, endpoint)
        trainer.host(endpoint)
    except AccessError as error:
        return str(error)
    except TrainingError:
        pass  # about this order, which is none
    return _why_closed(trainer, None, access)


def _why_not_here(trainer: Trainer) -> str | None:
    """Of a trainer on this machine: what it lacks where nobody chose an option."""
    try:
        check_options(trainer, TrainerOptions())
    except TrainingError as error:
        return str(error)
    return None


def _why_closed(trainer: Trainer, model: str | None, access: Access) -> str | None:
    """Why the trainer has nothing to train or ask, as far as that is known."""
    if not isinstance(trainer, Service):
        return None
    try:
        return trainer.why_closed(model, access.endpoint(trainer.name), today())
    except AccessError:
        return None


def usual_model(trainer: Trainer, access: Access) -> str:
    """The model that is meant when none is named; empty where there is none to name."""
    return next(iter(_proposed(trainer, access)), "")


def _proposed(trainer: Trainer, access: Access) -> Sequence[str]:
    if not isinstance(trainer, Service):
        return ()
    try:
        return trainer.proposed_models(access.endpoint(trainer.name), today())
    except AccessError:
        return ()


def _prices(trainer: Trainer, access: Access) -> PriceTable:
    """By the host that is asked, as far as that is known."""
    if not isinstance(trainer, Service):
        return load_prices()
    try:
        return trainer.prices(access.endpoint(trainer.name))
    except AccessError:
        return load_prices()


def _cost(trainer: Trainer, model: str, table: PriceTable, check: StoredCheck | None) -> str:
    able = trainer.capabilities
    if not able.costs_money:
        return "Nothing"
    if check is None or check.tokens is None:
        return "Check the rows for an estimate. You agree to the exact price first."
    if not model:
        return "Depends on the model: name one. You agree to the exact price first."
    rows, tokens = check.splits["rows"]["train"], check.tokens
    if able.learns_here and isinstance(trainer, Service):
        sent = tokens["text_tokens"]
        vectors = estimate_inference(
            table, trainer.priced_as(model), input_tokens=sent, output_tokens=0
        )
        if vectors.usd is None:
            return vectors.note
        return f"About {dollars(vectors.usd)} for vectors by {model}, and then for each answer"
    if able.trains and isinstance(trainer, Service):
        epochs = trainer.epochs_for(rows)
        price = estimate_training(table, model, tokens["training_tokens"], epochs)
        if price.usd is None:
            return price.note
        times = counted(epochs, "epoch")
        return f"About {dollars(price.usd)} to train {model} ({times}), and then for each answer"
    each = tokens["text_tokens"] / max(rows, 1)
    priced = trainer.priced_as(model) if isinstance(trainer, Service) else model
    inference = estimate_inference(
        table, priced, input_tokens=round(each * _ASKED), output_tokens=_ASKED
    )
    if inference.usd is None:
        return inference.note
    return f"Nothing to train; about {dollars(inference.usd)} and more for {_ASKED:,} answers"


def _time(trainer: Trainer, check: StoredCheck | None) -> str:
    able = trainer.capabilities
    rows = check.splits["rows"]["train"] if check else None
    if not able.trains:
        asked = "; then a request for each test row" if able.leaves_machine else ""
        return f"Ready at once{asked}"
    if able.leaves_machine and not able.learns_here:
        return "Minutes to hours: it waits in the service's queue"
    if able.slow:
        return "Minutes for a thousand rows, hours for a hundred thousand; less with a GPU"
    if rows is None:
        return "Seconds for a thousand rows, minutes for a hundred thousand"
    # See docs/figures.md: 2 to 31 s for 1,000 to 20,000 rows.
    if rows <= 2_000:
        return "Some seconds"
    return "Up to a minute" if rows <= 20_000 else "Some minutes"


def _leaves(
    trainer: Trainer, access: Access, check: StoredCheck | None, missing: str | None
) -> str:
    able = trainer.capabilities
    if not able.leaves_machine:
        return "Nothing"
    to = "the service"
    if missing is None and isinstance(trainer, Service):
        to = trainer.host(access.endpoint(trainer.name))
    rows = "the rows"
    if check is not None:
        sent = check.splits["rows"]
        others = sent["train"] + sent["validation"] if able.trains else 0
        rows = rows_text(sent["test"] + others)
    labels = able.trains and not able.learns_here
    what = "Texts and labels of" if labels else "Texts, without labels, of"
    return f"{what} {rows} go to {to}"


def _settings(trainer: Trainer, choices: Choices, model: str, access: Access) -> list[FormField]:
    """The fields for the options that the trainer takes, in order."""
    fields: list[FormField] = []
    for option in options_of(trainer).values():
        offered = option.offered() if option.offered else {}
        if not option.on_page or (option.offered and not offered):
            continue
        more: FormField = {}
        if option.name == MODEL.name:
            more = {"proposed": list(_proposed(trainer, access)), "usual": model}
        elif offered or option.choices:
            listed = option.choices or offered.items()
            more = {"options": [("", option.empty), *listed]}
        elif option.kind in ("whole", "number"):
            more = {"step": "1" if option.kind == "whole" else "any"}
            if option.least is not None:
                more["min"] = option.least
            if option.most is not None:
                more["max"] = option.most
        elif option.most is not None:
            more = {"most": int(option.most)}
        fields.append({
            "name": f"{trainer.name}-{option.name}",
            "label": option.label,
            "value": choices.setting(trainer.name, option.name),
            "type": "select" if offered else _INPUTS[option.kind],
            "help": _help(option),
            **more,
        })  # fmt: skip
    return fields


_INPUTS: dict[Kind, str] = {
    "whole": "number", "number": "number", "text": "text", "choice": "select",
    "lines": "textarea", "meanings": "textarea", "object": "textarea",
}  # fmt: skip


def _help(option: Option) -> str:
    if option.kind == "meanings":
        return "A line for each label: its name, or name: what it means"
    chosen = option.choices or option.offered
    empty = f"Empty: {option.empty}" if option.empty and not chosen else ""
    return f"{option.help} {empty}".strip()
