"""The commands that publish a copy."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from .our_command import our_command

_HOSTS = (
    ("cloudrun", "--service"),
    ("heroku", "--name"),
    ("fly", "--app"),
    ("vercel", "--project"),
)
PLUGINS = {"fly": "datasette-publish-fly httpx", "vercel": "datasette-publish-vercel"}
"""What `datasette install` needs for a host that Datasette does not know of itself. The plugin for
Fly needs httpx, and does not bring it along; Datasette 1.0 does not either."""

_IMAGES = ("cloudrun", "fly")
"""Hosts for which Datasette writes the file's name into a command that builds an image, without
quotes."""

_LONGEST = 30
"""Characters of the name of a service: Heroku takes no more."""


def publish_commands(path: str, packages: Sequence[str]) -> dict[str, str]:
    """{host: command}, quoted for a shell; `serve` is a plain server. Without the hosts that cannot
    take a file of that name."""
    file = f"./{path}" if path.startswith("-") else path
    install = [word for package in packages for word in ("--install", package)]
    name = service_name(path)
    found = {
        host: shlex.join(["datasette", "publish", host, file, *install, option, name])
        for host, option in _HOSTS
        if host not in _IMAGES or _is_plain(path)
    }
    return {**found, "serve": shlex.join(["datasette", "serve", "-i", file])}


def why_fewer(path: str) -> str | None:
    """Why commands are left out; None: none is."""
    if _is_plain(path):
        return None
    return (
        f"Cloud Run and Fly take no file named {Path(path).name}, since Datasette writes its name "
        f"into a command there without quotes. They take one that is named {plain_name(path)}."
    )


def plain_name(path: str) -> str:
    """A name like that of the file which a shell reads as it is, without quotes."""
    return re.sub(r"[^\w.-]+", "-", Path(path).name).lstrip("-")


def _is_plain(path: str) -> bool:
    return plain_name(path) == Path(path).name


def service_name(path: str) -> str:
    """A name that all of them take, after that of the file: small letters, digits and hyphens, with
    a letter first."""
    letters = unicodedata.normalize("NFKD", Path(path).stem).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "-", letters.lower()).strip("-")
    if not name or not name[0].isalpha():
        name = f"data-{name}"
    return name[:_LONGEST].strip("-")


def copy_command(
    path: str, out: str, classifiers: Sequence[str] = (), tables: Sequence[str] = ()
) -> str:
    """The command that makes a copy of a database, quoted for a shell."""
    words = [word for name in tables for word in ("--table", name)]
    words += [word for name in classifiers for word in ("--classifier", name)]
    return our_command("publish-copy", path, out, *words)
