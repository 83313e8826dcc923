"""Commands, run in this process."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from datasette_ftclassify.cli import ftclassify


def run(*arguments: object, code: int = 0, **environ: str) -> Result:
    result = CliRunner().invoke(ftclassify, [str(a) for a in arguments], env=environ)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def says(*arguments: object, code: int = 0) -> str:
    """What a command prints, or how it says that it failed."""
    result = run(*arguments, code=code)
    return result.stdout if code == 0 else result.stderr


def run_json(*arguments: object) -> dict:
    """What --json prints: exactly one JSON object on standard output."""
    return json.loads(run(*arguments, "--json").stdout)
