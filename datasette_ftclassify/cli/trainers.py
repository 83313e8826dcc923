"""`trainers`"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from ..core.errors import AccessError
from ..present.capabilities import capability_words
from ..prompts.price_table import today
from ..trainers.access import Access
from ..trainers.base import Capabilities, Trainer, options_of, usual_encoder_of
from ..trainers.registry import list_trainers
from ..trainers.service import Service
from .options import json_command
from .output import echo, print_json


@click.command()
@json_command
def trainers(as_json: bool) -> None:
    """List the trainers: what each does, and what it needs."""
    from ..trainers.configuration import read_access

    found, access = list_trainers(), read_access()
    if as_json:
        rows = [
            {"name": t.name, "title": t.title, **asdict(t.capabilities),
             "options": _options(t), "encoder": usual_encoder_of(t), **_models(t, access)}
            for t in found
        ]  # fmt: skip
        print_json({"trainers": rows})
        return
    for trainer in found:
        echo(f"{trainer.name:10}  {trainer.title}")
        echo(f"{'':10}  {_sentence(trainer.capabilities)}")
        if limits := _limits(trainer):
            echo(f"{'':10}  {limits}")
        if encoder := usual_encoder_of(trainer):
            echo(f"{'':10}  sentence encoder: {encoder}")
        offered = _models(trainer, access)
        if offered.get("closed"):
            echo(f"{'':10}  {offered['closed']}")
        elif offered.get("models"):
            echo(f"{'':10}  models: {', '.join(offered['models'])}")


def _options(trainer: Trainer) -> list[dict[str, Any]]:
    shown = ("name", "label", "kind", "help", "least", "most")
    return [{n: getattr(option, n) for n in shown} for option in options_of(trainer).values()]


def _models(trainer: Trainer, access: Access) -> dict[str, Any]:
    """The models that are known to be at the host and open today, and why there is none."""
    if not isinstance(trainer, Service):
        return {}
    endpoint = access.endpoint(trainer.name)
    try:
        models = list(trainer.proposed_models(endpoint, today()))
        return {"models": models, "closed": trainer.why_closed(None, endpoint, today())}
    except AccessError:
        return {"models": [], "closed": None}  # nobody has said where it is


def _sentence(can: Capabilities) -> str:
    untrained = "prompts a model, no training" if can.leaves_machine else "no training"
    parts = [
        "trains a model of its own" if can.trains else untrained,
        "costs money" if can.costs_money else "free",
        "texts leave this machine" if can.leaves_machine else "nothing leaves this machine",
        *capability_words(can),
    ]
    return ", ".join(parts)


def _limits(trainer: Trainer) -> str:
    limits = trainer.capabilities.limits
    parts = [f"{limits.examples:,} examples at least"] if limits.examples > 2 else []
    if limits.file_bytes is not None:
        parts.append(f"files up to {limits.file_bytes / 1024**2:,.0f} MiB")
    parts += [
        f"{name.replace('_', ' ')} {option.bounds}"
        for name, option in options_of(trainer).items() if option.most is not None
    ]  # fmt: skip
    return ", ".join(parts)
