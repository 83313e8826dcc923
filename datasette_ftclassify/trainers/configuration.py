"""What the operator has set: from the environment, the plugin's configuration or the command line.

Never from a database file or a page: a file that somebody else made must not choose where a key is
sent, nor how much is spent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..core.errors import AccessError
from .access import Access, Endpoint
from .registry import list_services

_LIMITS = {
    "usd_per_job": "FTCLASSIFY_USD_PER_JOB",
    "usd_per_day": "FTCLASSIFY_USD_PER_DAY",
    "sql_usd_per_day": "FTCLASSIFY_SQL_USD_PER_DAY",
}


_NO_ENDPOINTS = {"permissions"}
"""Settings that are objects and say nothing about a service."""


def read_access(
    config: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Access:
    """From the plugin's configuration where it says something, else from the environment.

    config: `{"usd_per_job": 5, "openai": {"api_key": …, "base_url": …, "extra_body": {…}}, …}`,
            in which an endpoint has the fields of `Endpoint`
    The environment's variables are those that each service names (`Service.variables`), and
    FTCLASSIFY_USD_PER_JOB, FTCLASSIFY_USD_PER_DAY, FTCLASSIFY_SQL_USD_PER_DAY.
    Raises AccessError, naming the setting and never its value, when one is malformed.
    """
    config = config or {}
    environ = os.environ if environ is None else environ
    limits = {
        name: _amount(name, config[name]) if name in config else _amount(v, environ.get(v) or None)
        for name, v in _LIMITS.items()
    }
    others = {name for name, value in config.items() if isinstance(value, Mapping)}
    services = {service.name: service for service in list_services()}
    endpoints = {}
    for name in sorted({*services, *(others - _NO_ENDPOINTS)}):
        service = services.get(name)
        given = config.get(name, config.get(service.reached_as) if service else None) or {}
        variables = service.variables if service else {}
        endpoints[name] = _endpoint(name, given, {f: environ.get(v) for f, v in variables.items()})
    return Access(endpoints=endpoints, ledger=_ledger(config, environ), **limits)


def _ledger(config: Mapping[str, Any], environ: Mapping[str, str]) -> str | None:
    path = config.get("ledger") or environ.get("FTCLASSIFY_LEDGER") or None
    if path is not None and not isinstance(path, str):
        raise AccessError("The setting ledger of datasette-ftclassify must be a path.")
    return path


def _endpoint(name: str, given: object, usual: Mapping[str, str | None]) -> Endpoint:
    """From the setting, and what the environment says for some of its fields."""
    if not isinstance(given, Mapping):
        raise AccessError(f"The setting {name} of datasette-ftclassify must be an object.")
    unknown = set(given) - set(Endpoint.__dataclass_fields__)
    if unknown:
        known = ", ".join(Endpoint.__dataclass_fields__)
        raise AccessError(f"The setting {name} has {sorted(unknown)[0]}: there is {known}.")
    found: dict[str, Any] = {}
    for setting in ("api_key", "base_url", "api_version"):
        value = given.get(setting) or usual.get(setting)
        if value is not None and not isinstance(value, str):
            raise AccessError(f"The setting {name}.{setting} must be a text.")
        found[setting] = (value or "").strip() or None
    extra = given.get("extra_body") or {}
    if not isinstance(extra, Mapping):
        raise AccessError(f"The setting {name}.extra_body must be an object.")
    return Endpoint(**found, extra_body=dict(extra))


def _amount(name: str, value: object) -> float | None:
    if value is None:
        return None
    try:
        amount = float(str(value))
    except ValueError:
        amount = -1.0
    if isinstance(value, bool) or not 0 <= amount < float("inf"):
        raise AccessError(f"{name} must be an amount in USD, such as 5 or 0.50.")
    return amount
