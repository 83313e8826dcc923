"""`encoders list | add | download | remove`"""

from __future__ import annotations

from dataclasses import asdict

import click

from ..core.errors import TrainingError
from ..core.humanize import bytes_text, counted
from .confirmation import confirm
from .options import json_command
from .output import echo, friendly, print_json, say


@click.group()
def encoders() -> None:
    """List, add, download and remove the sentence encoders of this machine."""


@encoders.command("list")
@json_command
def list_command(as_json: bool) -> None:
    """List encoders and static vectors, with the number of stored vectors of each."""
    from ..trainers.encoders.known import encoders_here
    from ..trainers.encoders.made_here import databases_of, is_made_here, made_from

    known = [
        (one, is_made_here(one.digest), made_from(one.digest), databases_of(one.digest))
        for one in encoders_here()
    ]
    if as_json:
        print_json({"encoders": [
            {**asdict(one), "kept_bytes": one.kept_bytes,
             "fine_tuned_here": made, "made_from": asdict(base) if base else None,
             "databases": used}
            for one, made, base, used in known
        ]})  # fmt: skip
        return
    if not known:
        echo("No sentence encoder was used on this machine yet.")
    for one, made, base, used in known:
        size = bytes_text(one.bytes) if one.bytes else "at a service"
        dimensions = counted(one.dimensions, "dimension") if one.dimensions else None
        about = [dimensions, size, one.licence, one.revision]
        echo(f"{one.name}  {', '.join(part for part in about if part)}")
        if made:
            whose = f", for classifiers in {', '.join(used)}" if used else ""
            echo(f"  fine-tuned here{f' from {base}' if base else ''}{whose}")
        echo(f"  {one.vectors:,} vectors, {bytes_text(one.kept_bytes)}, {one.digest[:12]}…")


@encoders.command("add")
@click.argument("name")
@json_command
def add(name: str, as_json: bool) -> None:
    """Let classifiers use the encoder NAME on this machine: a folder, or an installed package."""
    from ..trainers.encoders.known import use_encoder

    encoder = use_encoder(name)
    if as_json:
        print_json({"name": name, "digest": encoder.digest, "dimensions": encoder.dimensions})
        return
    size = bytes_text(encoder.files.size)
    echo(f"{name}: {size}, {encoder.dimensions} dimensions, {encoder.digest[:12]}…")


@encoders.command("download")
@click.argument("name")
@click.option(
    "--weights", is_flag=True, help="Download the weights for fine-tuning instead of ONNX."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@friendly
def download_command(name: str, weights: bool, yes: bool) -> None:
    """Download the encoder NAME from the Hugging Face hub, and add it."""
    from ..trainers.encoders.download import download, plan_download
    from ..trainers.encoders.known import use_encoder

    planned = plan_download(name, weights=weights)
    licence = planned.licence or "no licence named"
    say(f"{name}: {bytes_text(planned.bytes)}, {licence}, revision {planned.revision[:12]}")
    if not yes:
        click.confirm("Download it?", abort=True, err=True)
    download(planned)
    if weights:
        echo(f"{name}: can be fine-tuned by the trainer encoder.")
        return
    encoder = use_encoder(name)
    echo(f"{name}: {encoder.dimensions} dimensions, {encoder.digest[:12]}…")


@encoders.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Delete one that was fine-tuned here without asking.")
@friendly
def remove(name: str, yes: bool) -> None:
    """Delete the vectors stored for the encoder NAME, and its files if it was fine-tuned here.

    NAME is its name or its SHA-256, as `encoders list` has them. Other files stay. Classifiers
    that need a deleted encoder answer no more.
    """
    from ..trainers.encoders import made_here
    from ..trainers.encoders.known import encoders_here
    from ..trainers.encoders.vector_store import opened_store

    found = [one for one in encoders_here() if name in (one.name, one.digest, one.digest[:12])]
    if not found:
        raise TrainingError(f"No encoder {name} was used on this machine: see those that were.")
    for one in filter(lambda one: made_here.is_made_here(one.digest), found):
        used = ", ".join(made_here.databases_of(one.digest)) or "no database that is known"
        say(
            f"It was fine-tuned here for classifiers in {used}. There and in copies of these, "
            "they answer no more without it, and nothing brings it back but another training."
        )
        confirm(f"Delete {one.name}?", yes=yes, otherwise="Nothing was deleted.")
    with opened_store() as store:
        for one in found:
            store.forget(one.digest)
            echo(f"Deleted {one.vectors:,} vectors of {one.name}.")
            if size := made_here.size_of(one.digest):
                made_here.remove(one.digest)
                echo(f"Deleted {bytes_text(size)} that were fine-tuned here.")
