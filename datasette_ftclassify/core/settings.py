"""What the operator can set, each thing declared once: the code, docs/jobs.md and a test read it.

A setting stands in the plugin's configuration, in the environment, or in both; never in a database
file or on a page. How services are reached is set besides: `trainers.access.Endpoint`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .errors import AccessError
from .numbers import AGREED_USD

T = TypeVar("T")


@dataclass(frozen=True)
class Setting(Generic[T]):
    """name:     in the configuration; of one for the environment alone, what it is about
    variable: in the environment; None: it is for the configuration alone
    help:     what it does, for the documentation
    read:     checks a value that was given. Raises AccessError, with the name and never the value
    """

    name: str
    variable: str | None
    help: str
    read: Callable[[str, object], T]
    configured: bool = True

    def of(self, config: Mapping[str, object], environ: Mapping[str, str]) -> T | None:
        """The configuration goes before the environment; None when neither says anything."""
        name, value = self.name, config.get(self.name)
        if not (self.configured and self.name in config) and self.variable:
            name, value = self.variable, environ.get(self.variable)
        return None if value is None or value == "" else self.read(name, value)


_MOST_PROXIES = 20


def _amount(name: str, value: object) -> float:
    amount = AGREED_USD.read(str(value))
    if amount is None:
        raise AccessError(f"{name} must be an amount in USD, such as 5 or 0.50.")
    return amount


def _path(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise AccessError(f"The setting {name} of datasette-ftclassify must be a path.")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise AccessError(f"The setting {name} of datasette-ftclassify must be a text.")
    return value


def _flag(name: str, value: object) -> bool:
    said = str(value).strip().lower()
    if said not in ("true", "1", "yes", "on", "false", "0", "no", "off"):
        raise AccessError(f"The setting {name} of datasette-ftclassify must be true or false.")
    return said in ("true", "1", "yes", "on")


def _count(name: str, value: object) -> int:
    if not str(value).isdecimal() or int(str(value)) > _MOST_PROXIES:
        raise AccessError(
            f"The setting {name} of datasette-ftclassify must be a whole number from 0 to "
            f"{_MOST_PROXIES}."
        )
    return int(str(value))


def _is_set(name: str, value: object) -> bool:
    return True


def _object(name: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise AccessError(f"The setting {name} of datasette-ftclassify must be an object.")
    return value


USD_PER_JOB = Setting(
    "usd_per_job",
    "FTCLASSIFY_USD_PER_JOB",
    "what each job may spend, over all its attempts; 0: nothing",
    _amount,
)
USD_PER_DAY = Setting(
    "usd_per_day",
    "FTCLASSIFY_USD_PER_DAY",
    "what this installation may spend in a day (UTC): jobs and SQL functions of all files together",
    _amount,
)
SQL_USD_PER_DAY = Setting(
    "sql_usd_per_day",
    "FTCLASSIFY_SQL_USD_PER_DAY",
    "what SQL functions may spend in a day; without it they send no requests",
    _amount,
)
LEDGER = Setting(
    "ledger",
    "FTCLASSIFY_LEDGER",
    "the ledger file of agreements and spending; else one in the user's data folder",
    _path,
)
ENCODER = Setting(
    "encoder",
    "FTCLASSIFY_ENCODER",
    "sentence encoders and static vectors, separated by commas, that classifiers may use here, "
    "besides those trained with here: installed packages or folders",
    _text,
)
VECTORS = Setting(
    "vectors",
    "FTCLASSIFY_VECTORS",
    "the file that stores vectors of texts; else vectors.db beside the ledger",
    _path,
    configured=False,
)
WORKER = Setting("worker", None, "false: this server runs no jobs", _flag)
TRY_BOX = Setting(
    "try_box",
    None,
    "false: no box for trying a classifier on Datasette's own pages (1.0)",
    _flag,
)
PROXIES = Setting(
    "proxies",
    None,
    "number of proxies in front of this server that append to X-Forwarded-For: visitors are then "
    "counted by the address that the first one saw. Without it, the header is ignored",
    _count,
)
PERMISSIONS = Setting(
    "permissions",
    None,
    "who may do what, also for a database or a table: docs/permissions.md",
    _object,
)
RETRAIN = Setting(
    "retrain",
    None,
    "with datasette-cron: when new versions are trained, such as "
    '`{"town": {"topics": "0 3 * * *"}}`: docs/hooks.md',
    _object,
)
PRICES = Setting(
    "prices",
    "FTCLASSIFY_PRICES",
    "a price table that overrides the built-in one: docs/trainers.md",
    _path,
    configured=False,
)
OFFLINE = Setting(
    "offline",
    "FTCLASSIFY_OFFLINE",
    "when set, no vocabulary is downloaded to count tokens",
    _is_set,
    configured=False,
)
SETTINGS: tuple[Setting[Any], ...] = (
    USD_PER_JOB, USD_PER_DAY, SQL_USD_PER_DAY, LEDGER, ENCODER, VECTORS, WORKER, TRY_BOX, PROXIES,
    PERMISSIONS, RETRAIN, PRICES, OFFLINE,
)  # fmt: skip


def expect_known(config: Mapping[str, object], services: Collection[str]) -> None:
    """Raises AccessError for a setting that there is not, such as a limit with its name misspelt.
    An object may be about a service that another package brings."""
    known = [setting.name for setting in SETTINGS if setting.configured]
    for name, value in config.items():
        if name in known or name in services or isinstance(value, Mapping) or value is None:
            continue
        near = difflib.get_close_matches(name, known, 1)
        meant = f"did you mean {near[0]}?" if near else f"there is {', '.join(known)}."
        raise AccessError(f"datasette-ftclassify has no setting {name}: {meant}")
