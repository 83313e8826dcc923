"""What training and asking a hosted model costs, from a dated table.

Prices change more often than software is released, so they are data: a table with its date and
its sources, which an operator replaces by a file of the same form (FTCLASSIFY_PRICES). What is not
in the table has no price here; nothing is guessed.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date as Date
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import FtclassifyError

BUILT_IN = Path(__file__).with_name("prices.json")

_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_AZURE_TUNED = re.compile(r"\.ft-.*$")


UNTUNED = "-untuned"
"""Ends the names of the entries for models as their provider made them."""


class PriceError(FtclassifyError):
    """A price table cannot be read, or something in it is not what it must be."""


@dataclass(frozen=True)
class Price:
    """One model. Amounts are USD for a million tokens; None: not known.

    training:        for each token of the training file, times the epochs
    input, output:   asking the fine-tuned model; cached_input: a prefix it has seen lately
    batch_discount:  what the Batch API takes off input and output (0-1)
    example_tokens:  the longest training example
    file_bytes:      the largest training file
    shutdown:        the day from which the model, and every fine-tune of it, answers no more
    """

    model: str
    training: float | None = None
    input: float | None = None
    cached_input: float | None = None
    output: float | None = None
    batch_discount: float | None = None
    example_tokens: int | None = None
    file_bytes: int | None = None
    shutdown: Date | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class PriceTable:
    """Prices by model, with the day the table was made and its sources.

    training_ends: the last day on which the provider starts a training job for anyone
    host:          of the provider whose figures they are; None: they hold wherever they are used
    used_for:      the host that is asked, where that is another one
    """

    date: Date
    currency: str
    sources: tuple[str, ...]
    models: Mapping[str, Price]
    training_ends: Date | None = None
    host: str | None = None
    used_for: str | None = None

    def at(self, host: str) -> PriceTable:
        """The same for a host, which may ask for other prices than the one they are from."""
        return self if self.host in (None, host) else replace(self, used_for=host)

    def get(self, model: str) -> Price | None:
        """The price of a model, of a dated version, or of a fine-tune of it."""
        name = base_model(model)
        return self.models.get(name) or self.models.get(_DATED.sub("", name))


@dataclass(frozen=True)
class Estimate:
    """tokens_billed and what they cost, in USD; None, with the reason in the note, when the table
    does not say. The note also carries what else there is to know, such as a shutdown date."""

    tokens_billed: int
    usd: float | None
    note: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


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
    """The name by which the table prices a model that is asked without having been tuned; the
    model's own where it has no such entry, whose price is that of a fine-tune: at least as high."""
    name = _DATED.sub("", base_model(model)) + UNTUNED
    return name if name in load_prices().models else model


def load_prices(path: str | Path | None = None) -> PriceTable:
    """The price table at `path`, else at FTCLASSIFY_PRICES, else the one that is built in.

    Raises PriceError, naming the file and the entry, when it is missing or malformed.
    """
    chosen = Path(path or os.environ.get("FTCLASSIFY_PRICES") or BUILT_IN)
    try:
        return _load(chosen, chosen.stat().st_mtime_ns)
    except OSError as error:
        raise PriceError(
            f"Cannot read the price table {chosen}: {error.strerror or error}."
        ) from error


@lru_cache(maxsize=4)
def _load(path: Path, modified: int) -> PriceTable:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise PriceError(f"The price table {path} is not JSON: {error}.") from error
    return _Reader(path).table(data)


@dataclass(frozen=True)
class _Reader:
    """Checks a table on the way in, so that an error names the place and not a traceback."""

    path: Path

    def fail(self, where: str, what: str) -> PriceError:
        return PriceError(f"In the price table {self.path}, {where} {what}.")

    def table(self, data: object) -> PriceTable:
        if not isinstance(data, dict) or not isinstance(data.get("models"), dict):
            raise self.fail("the file", 'must be an object with "date" and "models"')
        if data.get("currency", "USD") != "USD":
            raise self.fail("currency", "must be USD")
        day = self.day(data.get("date"), "date")
        if day is None:
            raise self.fail("date", "is missing: write the day the table was made, YYYY-MM-DD")
        models = {name.lower(): self.price(name.lower(), e) for name, e in data["models"].items()}
        return PriceTable(
            date=day,
            currency="USD",
            sources=self.sources(data.get("sources"), "sources"),
            models=models,
            training_ends=self.day(data.get("training_ends"), "training_ends"),
            host=self.host(data.get("host")),
        )

    def price(self, model: str, entry: object) -> Price:
        if not isinstance(entry, dict):
            raise self.fail(model, "must be an object")
        known = Price.__dataclass_fields__.keys() - {"model"}
        for name in entry.keys() - known:
            raise self.fail(f"{model}.{name}", f"is not known: there is {', '.join(sorted(known))}")

        def amount(name: str, most: float = math.inf) -> float | None:
            return self.number(entry.get(name), f"{model}.{name}", most)

        def whole(name: str) -> int | None:
            number = amount(name)
            return None if number is None else int(number)

        return Price(
            model=model,
            training=amount("training"),
            input=amount("input"),
            cached_input=amount("cached_input"),
            output=amount("output"),
            batch_discount=amount("batch_discount", 1),
            example_tokens=whole("example_tokens"),
            file_bytes=whole("file_bytes"),
            shutdown=self.day(entry.get("shutdown"), f"{model}.shutdown"),
            sources=self.sources(entry.get("sources"), f"{model}.sources"),
        )

    def number(self, value: object, where: str, most: float) -> float | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.fail(where, f"must be a number, not {value!r}")
        if not (math.isfinite(value) and 0 <= value <= most):
            raise self.fail(where, f"must be between 0 and {most:g}, not {value}")
        return value

    def day(self, value: object, where: str) -> Date | None:
        if value is None:
            return None
        try:
            return Date.fromisoformat(str(value))
        except ValueError:
            raise self.fail(where, f"must be a date like 2026-11-21, not {value!r}") from None

    def host(self, value: object) -> str | None:
        if value is not None and (not isinstance(value, str) or not value):
            raise self.fail("host", 'must be a name such as "api.openai.com"')
        return value

    def sources(self, value: object, where: str) -> tuple[str, ...]:
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise self.fail(where, "must be a list of addresses")
        return tuple(value)


def estimate_training(table: PriceTable, model: str, training_tokens: int, epochs: int) -> Estimate:
    """What a training job costs: the tokens of the training file, once for each epoch.

    The validation file is not billed by OpenAI.
    """
    billed = training_tokens * epochs
    price = table.get(model)
    if price is None or price.training is None:
        return Estimate(billed, None, _no_price(table, model, "training"))
    usd = billed / 1_000_000 * price.training
    where = f"At {table.host} training" if table.used_for else "Training there"
    ends = f" {where} ends on {table.training_ends}." if table.training_ends else ""
    return Estimate(
        billed, usd, f"${price.training:g} for a million tokens, {_of(table)}.{ends}{_stops(price)}"
    )


def estimate_inference(
    table: PriceTable,
    model: str,
    *,
    input_tokens: int,
    output_tokens: int,
    cached_tokens: int = 0,
    batch: bool = False,
) -> Estimate:
    """What it costs to ask a fine-tune of the model, or, by its `untuned_name`, the model itself.

    cached_tokens: how many of the input tokens are a prefix that the provider has cached
    batch:         through the Batch API, whose discount does not add to the cache's
    """
    billed = input_tokens + output_tokens
    price = table.get(model)
    if price is None or price.input is None or price.output is None:
        return Estimate(billed, None, _no_price(table, model, "asking"))
    factor = 1 - (price.batch_discount or 0) if batch else 1
    cached_price = price.input if batch or price.cached_input is None else price.cached_input
    fresh = input_tokens - cached_tokens
    usd = fresh * price.input + cached_tokens * cached_price + output_tokens * price.output
    note = f"${price.input:g} for a million input tokens and ${price.output:g} for output"
    if factor != 1:
        note += f", and {1 - factor:.0%} less in batches"
    return Estimate(billed, usd * factor / 1_000_000, f"{note}, {_of(table)}.{_stops(price)}")


def dollars(amount: float) -> str:
    """For people: cents from a dollar on, else four digits that say something ("$0.0000728")."""
    if amount >= 1:
        return f"${amount:,.2f}"
    if not 0 < amount < math.inf:
        return "$0"
    places = min(max(3 - math.floor(math.log10(amount)), 2), 12)
    text = f"{amount:.{places}f}".rstrip("0")
    return f"${text + '0' * (2 - len(text.partition('.')[2]))}"


def _no_price(table: PriceTable, model: str, what: str) -> str:
    return (
        f"No price known for {what} {base_model(model)}, {_of(table)}: set FTCLASSIFY_PRICES to a "
        "table that has it."
    )


def _of(table: PriceTable) -> str:
    whose = f" for {table.host}; {table.used_for} may differ" if table.used_for else ""
    return f"by the price table of {table.date}{whose}"


def _stops(price: Price) -> str:
    if price.shutdown is None:
        return ""
    verb = "stop" if price.shutdown > Date.today() else "stopped"
    name = price.model.removesuffix(UNTUNED)
    return f" {name} and its fine-tunes {verb} on {price.shutdown}."
