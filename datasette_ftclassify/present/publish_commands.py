"""The commands that publish a copy."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

_HOSTS = (
    ("cloudrun", "--service"),
    ("heroku", "--name"),
    ("fly", "--app"),
    ("vercel", "--project"),
)
PLUGINS = {"fly": "datasette-publish-fly httpx", "vercel": "datasette-publish-vercel"}
"""What `datasette install` needs for a host that Datasette does not know of itself. The plugin for
Fly needs httpx, and does not bring it along; Datasette 1.0 does not either."""

_LONGEST = 30
"""Characters of the name of a service: Heroku takes no more."""


def publish_commands(path: str, packages: Sequence[str]) -> dict[str, str]:
    """{host: command}, quoted for a shell; `serve` is a plain server."""
    file = f"./{path}" if path.startswith("-") else path
    install = [word for package in packages for word in ("--install", package)]
    name = service_name(path)
    found = {
        host: shlex.join(["datasette", "publish", host, file, *install, option, name])
        for host, option in _HOSTS
    }
    return {**found, "serve": shlex.join(["datasette", "serve", "-i", file])}


def service_name(path: str) -> str:
    """A name that all of them take, after that of the file: small letters, digits and hyphens, with
    a letter first."""
    name = re.sub(r"[^a-z0-9]+", "-", Path(path).stem.lower()).strip("-")
    if not name or not name[0].isalpha():
        name = f"data-{name}"
    return name[:_LONGEST].strip("-")


def copy_command(
    path: str, out: str, classifiers: Sequence[str] = (), tables: Sequence[str] = ()
) -> str:
    """The command that makes a copy of a database, quoted for a shell."""
    words = ["datasette", "ftclassify", "publish-copy", path, out]
    words += [word for name in tables for word in ("--table", name)]
    words += [word for name in classifiers for word in ("--classifier", name)]
    return shlex.join(words)
