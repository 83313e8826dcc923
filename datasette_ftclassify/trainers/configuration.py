"""What the operator has set: from the environment, the plugin's configuration or the command line.

Never from a database file or a page: a file that somebody else made must not choose where a key is
sent, nor how much is spent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..core.errors import AccessError
from ..core.settings import (
    ENCODER,
    LEDGER,
    SETTINGS,
    SQL_USD_PER_DAY,
    USD_PER_DAY,
    USD_PER_JOB,
    expect_known,
)
from .access import Access, Endpoint
from .registry import list_services


def read_access(
    config: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Access:
    """From the plugin's configuration where it says something, else from the environment.

    config: `{"usd_per_job": 5, "openai": {"api_key": …, "base_url": …, "extra_body": {…}}, …}`,
            in which an endpoint has the fields of `Endpoint`
    The environment's variables are those that each service names (`Service.variables`), and
    those of `core.settings`.
    Raises AccessError, naming the setting and never its value, when one is malformed or unknown.
    """
    config = config or {}
    environ = os.environ if environ is None else environ
    others = {name for name, value in config.items() if isinstance(value, Mapping)}
    services = {service.name: service for service in list_services()}
    expect_known(config, services)
    endpoints = {}
    for name in sorted({*services, *others} - {setting.name for setting in SETTINGS}):
        service = services.get(name)
        source = service.reached_as if service and name not in config else name
        given = config.get(source) or {}
        variables = service.variables if service else {}
        endpoints[name] = _endpoint(
            source, given, {f: environ.get(v) for f, v in variables.items()}
        )
    return Access(
        endpoints=endpoints,
        usd_per_job=USD_PER_JOB.of(config, environ),
        usd_per_day=USD_PER_DAY.of(config, environ),
        sql_usd_per_day=SQL_USD_PER_DAY.of(config, environ),
        ledger=LEDGER.of(config, environ),
        encoder=ENCODER.of(config, environ),
    )


def _endpoint(name: str, given: object, usual: Mapping[str, str | None]) -> Endpoint:
    """From the setting, and what the environment says for some of its fields."""
    if not isinstance(given, Mapping):
        raise AccessError(f"The setting {name} of datasette-ftclassify must be an object.")
    unknown = set(given) - set(Endpoint.__dataclass_fields__)
    if unknown:
        known = ", ".join(Endpoint.__dataclass_fields__)
        raise AccessError(f"The setting {name} has {sorted(unknown)[0]}: there is {known}.")
    found: dict[str, str | None] = {}
    for setting in ("api_key", "base_url", "api_version"):
        value = given.get(setting) or usual.get(setting)
        if value is not None and not isinstance(value, str):
            raise AccessError(f"The setting {name}.{setting} must be a text.")
        found[setting] = (value or "").strip() or None
    extra = given.get("extra_body") or {}
    if not isinstance(extra, Mapping):
        raise AccessError(f"The setting {name}.extra_body must be an object.")
    return Endpoint(**found, extra_body=dict(extra))
