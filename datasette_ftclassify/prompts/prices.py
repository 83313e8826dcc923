"""Prices and dates of hosted models: of training and of inference, as dated data.

Three layers, the first that knows a model counts: the operator's table (FTCLASSIFY_PRICES), the
one that comes with this package (prices of training and of fine-tunes, dates, hosts), and, for
models asked as their provider made them, the library genai-prices (see
`price_table.published_price`). What is in none of them has no price here; nothing is guessed.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, replace
from datetime import date as Date
from functools import lru_cache
from pathlib import Path

from ..core.errors import FtclassifyError
from ..core.settings import PRICES
from .price_table import (
    DECISIONS,
    UNTUNED,
    ClosedTo,
    OtherHost,
    Price,
    PriceTable,
    base_model,
    today,
)

BUILT_IN = Path(__file__).with_name("prices.json")


class PriceError(FtclassifyError):
    """A price table cannot be read, or something in it is not what it must be."""


@dataclass(frozen=True)
class Estimate:
    """tokens_billed and what they cost, in USD; None, with the reason in the note, when the table
    does not say. The note also carries what else there is to know, such as a shutdown date."""

    tokens_billed: int
    usd: float | None
    note: str


def load_prices(path: str | Path | None = None) -> PriceTable:
    """The price table at `path`, else at FTCLASSIFY_PRICES, on top of the one that is built in.

    An entry of it replaces the whole entry of that name; an empty one takes the price away.
    Raises PriceError, naming the file and the entry, when it is missing or malformed.
    """
    chosen = Path(path or PRICES.of({}, os.environ) or BUILT_IN)
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
    except RecursionError:
        raise PriceError(f"The price table {path} is nested too deeply.") from None
    table = _Reader(path).table(data)
    if path == BUILT_IN:
        return replace(table, published=True)
    return replace(table, under=_load(BUILT_IN, BUILT_IN.stat().st_mtime_ns))


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
        host, ends = (
            self.host(data.get("host")),
            self.day(data.get("training_ends"), "training_ends"),
        )
        usual = Price("", training_ends=ends, origin=f"by the price table of {day}", host=host)
        models = {n.lower(): self.price(n.lower(), e, usual) for n, e in data["models"].items()}
        return PriceTable(
            date=day,
            currency="USD",
            sources=self.sources(data.get("sources"), "sources"),
            models=models,
            training_ends=ends,
            host=host,
            others=self.others(data.get("others")),
            closed_to=self.closed_to(data.get("closed_to")),
        )

    def closed_to(self, value: object) -> tuple[ClosedTo, ...]:
        """`[{"since": "2026-05-07", "whom": "organizations that …"}]`"""
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.fail("closed_to", "must be a list of objects")
        found = []
        for i, entry in enumerate(value):
            where = f"closed_to[{i}]"
            entry = entry if isinstance(entry, dict) else {}
            since, whom = self.day(entry.get("since"), f"{where}.since"), entry.get("whom")
            if since is None or not isinstance(whom, str) or not whom:
                raise self.fail(where, 'must be an object with "since" and "whom"')
            found.append(ClosedTo(since, whom))
        return tuple(found)

    def others(self, value: object) -> tuple[OtherHost, ...]:
        """`[{"hosts": ["*.example.com"], "open_to": "existing customers", "models": {name:
        {"training_ends", "shutdown"}}}]`"""
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.fail("others", "must be a list of objects")
        return tuple(self.other(entry, f"others[{i}]") for i, entry in enumerate(value))

    def other(self, entry: object, where: str) -> OtherHost:
        if not isinstance(entry, dict) or not isinstance(entry.get("models"), dict):
            raise self.fail(where, 'must be an object with "hosts" and "models"')
        dates = {}
        for name, given in entry["models"].items():
            if not isinstance(given, dict) or given.keys() - {"training_ends", "shutdown"}:
                raise self.fail(f"{where}.{name}", "must have training_ends, shutdown or neither")
            ends, shutdown = (
                self.day(given.get(field), f"{where}.{name}.{field}")
                for field in ("training_ends", "shutdown")
            )
            dates[name.lower()] = (ends, shutdown)
        hosts, open_to = self.sources(entry.get("hosts"), f"{where}.hosts"), entry.get("open_to")
        if not hosts or not isinstance(open_to or "", str):
            raise self.fail(where, 'must have "hosts", and "open_to" as a text')
        return OtherHost(hosts, dates, open_to or None)

    def price(self, model: str, entry: object, usual: Price) -> Price:
        """usual: what all entries of the table have, unless they say otherwise"""
        if not isinstance(entry, dict):
            raise self.fail(model, "must be an object")
        known = Price.__dataclass_fields__.keys() - {"model", "origin", "host", "borrowed"}
        for name in entry.keys() - known:
            raise self.fail(f"{model}.{name}", f"is not known: there is {', '.join(sorted(known))}")

        def amount(name: str, most: float = math.inf) -> float | None:
            return self.number(entry.get(name), f"{model}.{name}", most)

        def whole(name: str) -> int | None:
            number = amount(name)
            return None if number is None else int(number)

        ends = self.day(entry.get("training_ends"), f"{model}.training_ends")
        return replace(
            usual,
            model=model,
            training=amount("training"),
            input=amount("input"),
            cached_input=amount("cached_input"),
            output=amount("output"),
            batch_discount=amount("batch_discount", 1),
            example_tokens=whole("example_tokens"),
            file_bytes=whole("file_bytes"),
            training_ends=ends or usual.training_ends,
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
            raise self.fail(where, f"must be a date like 2026-11-29, not {value!r}") from None

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
    ends = f" Training there ends on {price.training_ends}." if price.training_ends else ""
    note = f"${price.training:g} for a million tokens, {_of(table, price)}.{ends}{_stops(price)}"
    return Estimate(billed, usd, note)


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
    return Estimate(
        billed, usd * factor / 1_000_000, f"{note}, {_of(table, price)}.{_stops(price)}"
    )


def _no_price(table: PriceTable, model: str, what: str) -> str:
    name = base_model(model).removesuffix(UNTUNED).removesuffix(DECISIONS)
    return (
        f"No price known for {what} {name}, by the price table of {table.date}: set "
        "FTCLASSIFY_PRICES to a table that has it."
    )


def _of(table: PriceTable, price: Price) -> str:
    asked, origin = table.used_for, price.origin or f"by the price table of {table.date}"
    if price.host is None or asked is None or asked == price.host:
        return origin
    return f"{origin} for {price.host}; {asked} may differ"


def _stops(price: Price) -> str:
    if price.shutdown is None:
        return ""
    verb = "stop" if price.is_open(today()) else "stopped"
    name = price.model.removesuffix(UNTUNED)
    return f" {name} and its fine-tunes {verb} on {price.shutdown}."
