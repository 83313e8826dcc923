"""`trainers`"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from .options import json_option
from .output import friendly, print_json

if TYPE_CHECKING:
    from ..trainers.base import Capabilities, Limits


@click.command()
@json_option
@friendly
def trainers(as_json: bool) -> None:
    """Who can train: what each trainer does, and what it takes."""
    from ..trainers.registry import list_trainers

    found = list_trainers()
    if as_json:
        rows = [{"name": t.name, "title": t.title, **asdict(t.capabilities)} for t in found]
        print_json({"trainers": rows})
        return
    for trainer in found:
        click.echo(f"{trainer.name:10}  {trainer.title}")
        click.echo(f"{'':10}  {_sentence(trainer.capabilities)}")
        if limits := _limits(trainer.capabilities.limits):
            click.echo(f"{'':10}  {limits}")


def _sentence(can: Capabilities) -> str:
    parts = [
        "trains a model of its own" if can.trains else "asks a ready model, without training",
        "costs money" if can.costs_money else "free",
        "texts leave this machine" if can.leaves_machine else "nothing leaves this machine",
        "needs labelled rows" if can.needs_examples else "needs no labelled rows",
        "a probability for every label" if can.scores_every_label else "labels without scores",
    ]
    parts += [
        words
        for has, words in (
            (can.says_anything, "may answer outside the label set"),
            (can.batch, "batches for less money"),
            (can.trains and not can.cancels, "a training cannot be cancelled"),
            (can.deploys, "a model answers once you have deployed it there"),
        )
        if has
    ]
    return ", ".join(parts)


def _limits(limits: Limits) -> str:
    parts = [f"{limits.examples:,} examples at least"] if limits.examples > 2 else []
    if limits.file_bytes is not None:
        parts.append(f"files up to {limits.file_bytes / 1024**2:,.0f} MiB")
    if limits.suffix is not None:
        parts.append(f"a suffix up to {limits.suffix} characters")
    for name, bounds in (("epochs", limits.epochs), ("batch size", limits.batch_size)):
        if bounds is not None:
            parts.append(f"{name} {bounds[0]:,} to {bounds[1]:,}")
    return ", ".join(parts)
