"""`trainers`"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from .options import json_option
from .output import friendly, print_json

if TYPE_CHECKING:
    from ..trainers.base import Capabilities


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


def _sentence(can: Capabilities) -> str:
    parts = [
        "costs money" if can.costs_money else "free",
        "texts leave this machine" if can.leaves_machine else "nothing leaves this machine",
        "needs labelled rows" if can.needs_examples else "needs no labelled rows",
        "a probability for every label" if can.scores_every_label else "labels without scores",
    ]
    return ", ".join(parts)
