"""Prices and dates of models by name, at the host that is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date as Date
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.metadata import version
from typing import Any


@dataclass(frozen=True)
class Price:
    """One model. Amounts are USD for a million tokens; None: not known.

    training:        for each token of the training file, times the epochs
    input, output:   inference with the fine-tuned model; cached_input: a prefix it has seen lately
    batch_discount:  what the Batch API takes off input and output (0-1)
    example_tokens:  the longest training example
    file_bytes:      the largest training file
    training_ends:   the last day on which the provider starts a training of it
    shutdown:        the day on which the model, and every fine-tune of it, is retired
    origin:          where the figures are from, for people
    host:            of the provider whose figures they are; None: they hold wherever it is used
    borrowed:        the host that is asked is not known to have the model at all
    """

    model: str
    training: float | None = None
    input: float | None = None
    cached_input: float | None = None
    output: float | None = None
    batch_discount: float | None = None
    example_tokens: int | None = None
    file_bytes: int | None = None
    training_ends: Date | None = None
    shutdown: Date | None = None
    sources: tuple[str, ...] = ()
    origin: str = ""
    host: str | None = None
    borrowed: bool = False

    def is_open(self, day: Date) -> bool:
        """Whether the model, and fine-tunes of it, answer on a day."""
        return self.shutdown is None or day < self.shutdown

    def can_be_trained(self, day: Date) -> bool:
        return self.is_open(day) and (self.training_ends is None or day <= self.training_ends)


_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_AZURE_TUNED = re.compile(r"\.ft-.*$")

UNTUNED = "-untuned"
"""Ends the names of the entries for models as their provider made them."""

DECISIONS = "-decisions"
"""Ends the names of the entries for models that answer closed questions."""


def today() -> Date:
    """The day (UTC) by which models are open or closed, for whoever was not given one."""
    return _now().date()


def _now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class ClosedTo:
    """Whom a provider trains nothing for, since a day."""

    since: Date
    whom: str


@dataclass(frozen=True)
class OtherHost:
    """Dates that are other ones at hosts which have the same models.

    hosts: patterns such as `*.openai.azure.com`
    dates: (training_ends, shutdown) by model; a model that is not among them is not there
    open_to: whom they train for, for people; None: anyone
    """

    hosts: tuple[str, ...]
    dates: Mapping[str, tuple[Date | None, Date | None]]
    open_to: str | None = None

    def trains_until(self, day: Date) -> Date | None:
        """The last day of training there, of the models that are trained on a day; None: none."""
        ends = [last for last, _ in self.dates.values() if last is not None and last >= day]
        return max(ends, default=None)

    def covers(self, host: str) -> bool:
        name = host.rpartition(":")[0] or host
        return any(fnmatchcase(name, pattern) for pattern in self.hosts)


@dataclass(frozen=True)
class PriceTable:
    """Prices by model, with the day the table was made and its sources.

    training_ends: the last day on which the provider starts a training job for anyone
    closed_to:     whom it started none for before that
    host:          of the provider whose figures they are; None: they hold wherever they are used
    used_for:      the host that is asked, where it is known
    others:        hosts that have the same models until other days
    under:         the table that is asked for what this one does not have
    published:     whether genai-prices is asked last, for models as their provider made them
    """

    date: Date
    currency: str
    sources: tuple[str, ...]
    models: Mapping[str, Price]
    training_ends: Date | None = None
    closed_to: tuple[ClosedTo, ...] = ()
    host: str | None = None
    used_for: str | None = None
    others: tuple[OtherHost, ...] = ()
    under: PriceTable | None = None
    published: bool = False

    def at(self, host: str) -> PriceTable:
        """The same for a host. Where it is another than the prices are from, they stay and are told
        as borrowed, but the dates are its own, or unknown."""
        under = self.under.at(host) if self.under is not None else None
        if self.host in (None, host):
            return replace(self, used_for=host, under=under)
        other = next((o for o in self.others if o.covers(host)), None)
        models = {name: _elsewhere(name, price, other) for name, price in self.models.items()}
        return replace(self, used_for=host, under=under, models=models, training_ends=None)

    def get(self, model: str) -> Price | None:
        """The price of a model, of a dated version, or of a fine-tune of it.

        Of a name that ends in UNTUNED or DECISIONS that of the plain model, which may be another;
        where nobody knows that of an untuned one, that of its fine-tunes: it is at least as high.
        """
        name = base_model(model)
        own = self._own(name)
        plain = self._own(name.removesuffix(UNTUNED)) if name.endswith(UNTUNED) else None
        if own is None and plain is not None and plain.training is None:
            own = plain  # it cannot be tuned, so its price is that of the model itself
        if own is not None:
            return own
        below = self.under.get(name) if self.under is not None else None
        if below is None and self.published:
            below = self._published(name)
        if below is None or plain is None:
            return below or plain
        # The price is known from elsewhere, and here until when the model is there.
        return replace(below, shutdown=plain.shutdown, borrowed=plain.borrowed)

    def _own(self, name: str) -> Price | None:
        stem, ending = (
            (name.removesuffix(UNTUNED), UNTUNED) if name.endswith(UNTUNED) else (name, "")
        )
        return self.models.get(name) or self.models.get(_DATED.sub("", stem) + ending)

    def _published(self, name: str) -> Price | None:
        """Of a model as its provider made it, by its name with one of the two endings."""
        ending = next((e for e in (UNTUNED, DECISIONS) if name.endswith(e)), None)
        if ending is None:
            return None  # perhaps a fine-tune, which costs more
        asked, decisions = self.used_for or self.host, ending == DECISIONS
        return published_price(name.removesuffix(ending), asked, self.host, decisions=decisions)

    def layers(self) -> Iterator[PriceTable]:
        """This one, and those that are asked after it."""
        table: PriceTable | None = self
        while table is not None:
            yield table
            table = table.under

    def trainable(self, day: Date) -> list[str]:
        """The models that the host is known to train on a day."""
        return [
            name
            for name, price in self._here().items()
            if price.training is not None and self.why_closed(name, day, trains=True) is None
        ]

    def answering(self, day: Date) -> list[str]:
        """The models that the host is known to have untuned on a day, as far as it says so."""
        names = dict.fromkeys(
            name.removesuffix(UNTUNED)
            for name, price in self._here().items()
            if not name.endswith(DECISIONS) and (price.input is not None or price.training)
        )
        return [n for n in names if self.why_closed(n + UNTUNED, day, trains=False) is None]

    def _here(self) -> dict[str, Price]:
        """What is known of the host that is asked, and not of another only."""
        found: dict[str, Price] = {}
        for table in self.layers():
            for name, price in table.models.items():
                found.setdefault(name, price)
        return {name: price for name, price in found.items() if not price.borrowed}

    def why_closed(self, model: str, day: Date, *, trains: bool) -> str | None:
        """Why a model cannot be trained, or asked, on a day, in a sentence; None when nothing is
        known that forbids it."""
        price = self.get(model)
        name = base_model(model).removesuffix(UNTUNED).removesuffix(DECISIONS)
        host = self.used_for or self.host or "the provider"
        if price is not None and not price.is_open(day):
            return f"{name} and its fine-tunes stopped answering at {host} on {price.shutdown}."
        if not trains:
            return None
        of_host = (table.training_ends for table in self.layers() if table.training_ends)
        ends = price.training_ends if price is not None else next(of_host, None)
        if ends is not None and ends < day:
            return f"{host} has started no training of {name} since {ends}."
        return None

    def training_over(self, day: Date) -> str | None:
        """Why the host trains nothing any more, in a sentence; None while it does, or when that is
        not known."""
        tuned = [price for price in self._here().values() if price.training is not None]
        if not tuned or any(price.can_be_trained(day) for price in tuned):
            return None
        ends = [min(e for e in (p.training_ends, p.shutdown) if e is not None) for p in tuned]
        return f"{self.used_for or self.host} has started no training since {max(ends)}."

    def why_refused(self, host: str, day: Date) -> str | None:
        """Whom a host trains nothing for on a day, in a sentence; None when that is not known. Of
        the table as it was loaded (see `at`)."""
        table = next((t for t in self.layers() if t.host == host), None)
        if table is None:
            return None
        said = [f"{c.whom} (since {c.since})" for c in table.closed_to if c.since <= day]
        if table.training_ends is not None:
            since = "since" if table.training_ends < day else "after"
            said.append(f"anybody {since} {table.training_ends}")
        return f"{host} trains nothing for {', nor for '.join(said)}." if said else None

    def trained_elsewhere(self, host: str, day: Date) -> list[str]:
        """Where models are trained on a day besides a host, for people. Of the table as it was
        loaded (see `at`)."""
        found = []
        for table in self.layers():
            ends = table.training_ends
            if table.host not in (None, host) and ends is not None and ends >= day:
                found.append(f"{table.host} (until {ends})")
            for other in table.others:
                until = None if other.covers(host) else other.trains_until(day)
                whom = f"for {other.open_to}, " if other.open_to else ""
                found += [f"{other.hosts[0]} ({whom}until {until})"] if until else []
        return found


def _elsewhere(name: str, price: Price, other: OtherHost | None) -> Price:
    """The price of a model at a host which is not the one that it is from."""
    stem = name.removesuffix(UNTUNED)
    if other is None or stem not in other.dates:
        return replace(price, shutdown=None, training_ends=None, borrowed=True)
    training_ends, shutdown = other.dates[stem]
    return replace(price, shutdown=shutdown, training_ends=training_ends)


def base_model(model: str) -> str:
    """The model that a fine-tune was made from.

    OpenAI's `ft:gpt-4.1-mini-2025-04-14:org:suffix:id` and Azure's
    `gpt-4.1-mini-2025-04-14.ft-id` give `gpt-4.1-mini-2025-04-14`; other names are their own.
    """
    name = model.strip().lower()
    if name.startswith("ft:"):
        name = name.split(":")[1]
    return _AZURE_TUNED.sub("", name)


def untuned_name(model: str) -> str:
    """The name by which tables price a model that is asked without having been tuned."""
    return base_model(model) + UNTUNED


_TOKENS = 1_000
"""For which prices are computed: below every tier of them that begins at long prompts."""


@lru_cache(maxsize=256)
def published_price(
    model: str, host: str | None, usual_host: str | None, *, decisions: bool = False
) -> Price | None:
    """USD for a million tokens at `host`, from the library genai-prices; where it does not know
    that host, at `usual_host`, whose price it then is. None for a model that it does not know
    there.

    Its data come with the package, and nothing is fetched. It knows no price of training, no dates,
    and only a few fine-tunes by the beginnings of their names, so it is asked for nothing but plain
    models, and believed only for the very model that was asked for.

    decisions: for closed questions, which are priced apart
    """
    for asked in dict.fromkeys(name for name in (host, usual_host) if name):
        found = _price(model, asked, decisions=decisions)
        if found is not None:
            return found
    return None


def _price(model: str, host: str, *, decisions: bool) -> Price | None:
    try:
        from genai_prices import Usage, calc_price
    except ImportError:  # where only what answers is installed, and nothing is paid
        return None
    where: dict[str, Any] = {"provider_api_url": f"https://{host}/"}
    if decisions:
        where = {"provider_id": "openai-decisions"}
    fresh = Usage(input_tokens=_TOKENS, output_tokens=_TOKENS)
    cached = Usage(input_tokens=_TOKENS, cache_read_tokens=_TOKENS, output_tokens=0)
    try:
        price, read = (calc_price(usage, model, **where) for usage in (fresh, cached))
    except (LookupError, ValueError):
        return None
    if price.model.id.lower() not in (model, _DATED.sub("", model)):
        return None  # one that only begins like it
    per_million = 1_000_000 / _TOKENS
    return Price(
        model=model,
        input=float(price.input_price) * per_million,
        cached_input=float(read.input_price) * per_million,
        output=float(price.output_price) * per_million,
        sources=(f"https://pypi.org/project/genai-prices/{version('genai-prices')}/",),
        origin=f"by genai-prices {version('genai-prices')}",
        host=host,
    )
