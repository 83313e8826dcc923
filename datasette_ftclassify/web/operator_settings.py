"""What the operator of a Datasette lets trainers reach and spend.

The plugin's settings come first, then the environment, then keys kept by datasette-secrets, where
that is installed. It is asked each time, since a secret may be changed while the server runs.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from datasette.app import Datasette

from ..core.errors import AccessError
from ..core.settings import WORKER
from ..trainers.access import Access, Endpoint
from ..trainers.configuration import read_access
from ..trainers.registry import list_services
from .permissions import PLUGIN

_log = logging.getLogger(__name__)


def plugin_settings(datasette: Datasette) -> dict[str, Any]:
    """The plugin's settings, those from the environment or a file (`$env`, `$file`) resolved."""
    return datasette.plugin_config(PLUGIN) or {}


def runs_jobs(datasette: Datasette) -> bool:
    """Whether this server is to have a worker. Not where that is set to what makes no sense."""
    try:
        return WORKER.of(plugin_settings(datasette), {}) is not False
    except AccessError as error:
        _log.error("No job is run here: %s", error)
        return False


def warn_of_settings(datasette: Datasette) -> None:
    """Says at the start what is wrong with the settings, which pages say where they need them, and
    hands on what is not asked for each time."""
    from ..trainers.encoders.allowed import allow_encoders

    try:
        allow_encoders(read_access(plugin_settings(datasette)).encoder)
    except AccessError as error:
        _log.error("%s", error)


async def access_of(datasette: Datasette) -> Access:
    """Raises AccessError, naming the setting, when one is malformed."""
    access = read_access(plugin_settings(datasette))
    endpoints = dict(access.endpoints)
    for secret, trainers in _secrets().items():
        without = [name for name in trainers if access.endpoint(name).api_key is None]
        key = await _secret(datasette, secret) if without else None
        for name in without:
            endpoints[name] = replace(endpoints.get(name, Endpoint()), api_key=key)
    return replace(access, endpoints=endpoints)


async def access_or_why(datasette: Datasette) -> tuple[Access, str | None]:
    """The same, or nothing and why that is not known."""
    try:
        return await access_of(datasette), None
    except AccessError as error:
        return Access(), str(error)


def limits_of(access: Access) -> dict[str, float | None]:
    """What may be spent here, as pages and JSON have it."""
    return {"usd_per_job": access.usd_per_job, "usd_per_day": access.usd_per_day}


def _secrets() -> dict[str, list[str]]:
    """The trainers that use a key, by its name."""
    found: dict[str, list[str]] = {}
    for service in list_services():
        if key := service.variables.get("api_key"):
            found.setdefault(key, []).append(service.name)
    return found


async def _secret(datasette: Datasette, name: str) -> str | None:
    try:
        from datasette_secrets import get_secret
    except ImportError:
        return None
    try:
        return await get_secret(datasette, name) or None
    except Exception as error:  # a wrong encryption key, a missing table: theirs to explain
        _log.warning("datasette-secrets cannot give %s: %s", name, type(error).__name__)
        return None


def secrets() -> list[Any]:
    """What datasette-secrets offers to keep for us."""
    from datasette_secrets import Secret

    return [
        Secret(name=name, description=f"For training and asking classifiers: {', '.join(users)}")
        for name, users in _secrets().items()
    ]
