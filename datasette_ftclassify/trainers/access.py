"""What the operator lets trainers reach and spend.

It comes from the environment, the plugin's configuration or the command line, never from a
database file or a page: a file that somebody else made must not choose where a key is sent, nor how
much is spent. It is never stored, and keys are in no representation of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Endpoint:
    """How one service is reached.

    api_key:     None: none is known
    base_url:    None: the service's own
    api_version: Azure's older form of addresses; None: its v1 form
    extra_body:  fields added to every request for training or inference, as some servers want them
    """

    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    api_version: str | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Access:
    """Endpoints by the name of the trainer, and limits in USD (None: none was set).

    usd_per_job:     for each training, evaluation or prediction
    usd_per_day:     for everything that this installation spends in a day (UTC)
    sql_usd_per_day: for what SQL functions ask, in all files; None: they never ask
    ledger:          the file that keeps what was agreed to and spent; None: the usual one
    encoder:         sentence encoders that classifiers of files may use, see `core.settings`
    """

    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    usd_per_job: float | None = None
    usd_per_day: float | None = None
    sql_usd_per_day: float | None = None
    ledger: str | None = None
    encoder: str | None = None

    def why_unlimited(self, what: str) -> str | None:
        """Why `what`, which costs money, may not begin from a page or a queue: nobody has said how
        much may be spent. None where somebody has."""
        if self.usd_per_job is not None or self.usd_per_day is not None:
            return None
        return (
            f"{what} costs money, and no limit is set: the operator sets usd_per_job or "
            "usd_per_day for datasette-ftclassify, or FTCLASSIFY_USD_PER_JOB or "
            "FTCLASSIFY_USD_PER_DAY."
        )

    def endpoint(self, trainer: str) -> Endpoint:
        """Of a trainer; an empty one when nothing is known of it."""
        return self.endpoints.get(trainer, Endpoint())

    def at(self, trainer: str, base_url: str | None) -> Access:
        """The same with another base URL for one trainer; None changes nothing."""
        if base_url is None:
            return self
        changed = replace(self.endpoint(trainer), base_url=base_url)
        return replace(self, endpoints={**self.endpoints, trainer: changed})
