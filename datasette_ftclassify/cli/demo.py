"""`demo`"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from .options import json_command
from .output import print_result, say, step_progress


@click.command()
@click.argument("path", default="ftclassify-demo.db", type=click.Path(dir_okay=False))
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
@json_command
def demo(path: str, overwrite: bool, as_json: bool) -> None:
    """Make a small example database, and check, train and predict on it.

    No key, no network. Prints what it found and what to type next.
    """
    from ..demo import build

    say(f"Making {path}: check, train, evaluate, predict …")
    with step_progress() as progress:
        result = build.run(Path(path), overwrite=overwrite, progress=progress)
    lines = result.lines(_program("datasette"), _program("sqlite-utils"))
    print_result(as_json, result.to_dict(), *lines)


def _program(name: str) -> str:
    """What to type for a program that stands beside this one, which may not be on the PATH."""
    beside = Path(sys.argv[0]).with_name(name)
    on_path = shutil.which(name)
    if not beside.exists() or (on_path and Path(on_path).resolve() == beside.resolve()):
        return name
    return str(beside)
