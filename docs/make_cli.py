"""Writes docs/cli.md from the commands' own help: `python docs/make_cli.py`."""

from __future__ import annotations

from pathlib import Path

import click
from click.testing import CliRunner

from datasette_ftclassify.cli import ftclassify

TARGET = Path(__file__).with_name("cli.md")
HEAD = """# Commands

Written by `docs/make_cli.py` from the commands' own help.

Results go to standard output, progress and messages to standard error. With `--json` the result is
one JSON object. An error is one line and exit code 1, as is a job that failed; bad usage is exit
code 2, and Ctrl-C 130. NO_COLOR in the environment leaves colours out.
"""


def commands(command: click.Command, words: list[str]) -> list[list[str]]:
    """The words of every command and sub-command below `command`, in order."""
    below = command.commands.items() if isinstance(command, click.Group) else []
    return [words] + [w for name, c in below for w in commands(c, [*words, name])]


def render() -> str:
    """The whole of docs/cli.md."""
    parts = [HEAD]
    for words in commands(ftclassify, []):
        result = CliRunner().invoke(
            ftclassify, [*words, "--help"], prog_name="datasette ftclassify", terminal_width=90
        )
        title = " ".join(["datasette ftclassify", *words])
        parts.append(f"## {title}\n\n```\n{result.output.rstrip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
