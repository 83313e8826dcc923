"""What a job is expected to cost, before anybody agrees to pay for it."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any

from ..core.errors import TrainingError
from ..core.humanize import price
from ..core.typed_json import NOT_IN_JSON, as_json, in_json
from ..prompts.price_table import PriceTable, today
from ..prompts.prices import estimate_inference
from ..store.answers import find_answers, input_key
from ..store.classifiers import Classifier, has_store
from ..trainers.access import Access
from ..trainers.service import BatchClient, InferenceClient
from ..trainers.usage import Usage
from .load_classifier import load_inference_client, prices_of, why_stopped

SAMPLED_ROWS = 2_000
"""Rows whose texts are counted; of more, so many are drawn at random."""

MARGIN = 1.5
SPARE_USD = 0.01
"""A job may cost MARGIN times its estimate and SPARE_USD, unless another limit was given."""


def usual_limit(usd: float, spent: float = 0.0) -> float:
    """What a job may cost in USD that is expected to cost so much, beside what it has spent; in
    cents, rounded up, so that what is shown is what holds."""
    return whole_cents(spent + MARGIN * usd + SPARE_USD)


def whole_cents(usd: float) -> float:
    """Rounded up, as a limit that is easy to type."""
    return math.ceil(round(100 * usd, 6)) / 100


@dataclass(frozen=True)
class JobEstimate:
    """What a job is expected to cost in USD; None, with the reason in the note, when no price is
    known. The note also says where the price is from, and what is uncertain.

    tries:    attempts of one request that a person waits for; None: of many requests
    most_usd: what the job may cost unless another limit is given; it pauses before that is exceeded
    """

    usd: float | None
    requests: int
    input_tokens: int
    output_tokens: int
    note: str
    tries: int | None = field(default=None, metadata=NOT_IN_JSON)

    @property
    @in_json
    def most_usd(self) -> float | None:
        if self.usd is None or self.tries is None:
            return None if self.usd is None else usual_limit(self.usd)
        return round(self.tries * self.usd + 1e-8, 9)  # a sum of prices may be rounded up

    @property
    def price(self) -> str:
        return price(self.usd, self.most_usd)


def agreed(estimate: JobEstimate | None, limit_usd: float | None, spent: float) -> dict[str, Any]:
    """The terms stored with a job as agreed: its estimate and its limit.

    limit_usd: of the whole job, as it was given; None: what `estimate` leaves room for
    spent:     by the job so far, USD; the estimate is of the rest
    """
    if limit_usd is None and estimate is not None and estimate.usd is not None:
        limit_usd = usual_limit(estimate.usd, spent) if spent else estimate.most_usd
    known = {} if estimate is None else as_json(estimate)
    if estimate is not None and estimate.usd is not None:
        known["usd"] = round(spent + estimate.usd, 9)  # of the whole job, as what it has spent
    return {**known, "limit_usd": limit_usd}


def estimate_texts(
    conn: sqlite3.Connection,
    classifier: Classifier,
    texts: Sequence[str | None],
    total: int,
    access: Access,
    *,
    batch: bool = False,
) -> JobEstimate:
    """Of the requests for `total` rows, whose texts these are, or a random sample of them; None for
    a row without one."""
    counted = texts[:SAMPLED_ROWS]
    unanswered = without_answer(conn, classifier, [text for text in counted if text is not None])
    prices, rows = prices_of(classifier, access), max(len(counted), 1)
    inference_client = load_inference_client(classifier, access)
    if unanswered:
        check_answers(classifier)
    return estimate_requests(
        inference_client, unanswered, prices, batch=batch, scale=max(1.0, total / rows), rows=rows
    )


def check_answers(classifier: Classifier) -> None:
    """Raises TrainingError when the classifier's model is known to answer no more."""
    if (why := why_stopped(classifier, today())) is not None:
        raise TrainingError(why)


def without_answer(
    conn: sqlite3.Connection, classifier: Classifier, texts: Iterable[str]
) -> list[str]:
    """The texts without a stored answer, each once."""
    by_key = {input_key(text): text for text in texts}
    kept = find_answers(conn, classifier.id, by_key) if has_store(conn) else {}
    return [text for key, text in by_key.items() if key not in kept]


def estimate_requests(
    inference_client: InferenceClient,
    texts: Iterable[str],
    prices: PriceTable,
    *,
    batch: bool = False,
    scale: float = 1.0,
    rows: int = SAMPLED_ROWS,
    tries: int | None = None,
) -> JobEstimate:
    """What the requests for these texts cost at most, with equal texts counted once.

    scale: factor from these texts to all, when they are a sample; they are of so many `rows`
    """
    usage, requests = Usage(), 0
    for text in dict.fromkeys(texts):
        expected = inference_client.expected(text)
        usage += expected
        requests += expected != Usage()  # else nothing has to be sent
    scaled = Usage(*(round(tokens * scale) for tokens in astuple(usage)))
    found = estimate_inference(prices, inference_client.model, batch=batch, **asdict(scaled))
    note = found.note
    if scale > 1:
        note += f" Scaled from {rows:,} rows; repeated texts make it less."
    return JobEstimate(
        found.usd, round(requests * scale), scaled.input_tokens, scaled.output_tokens, note, tries
    )


def pricing(
    inference_client: InferenceClient | BatchClient, prices: PriceTable, *, batch: bool = False
) -> Callable[[Usage], float | None]:
    """A function from tokens to USD; it gives None when the model has no known price."""

    def cost(usage: Usage) -> float | None:
        model = inference_client.model  # what it stands for may be told later
        return estimate_inference(prices, model, batch=batch, **asdict(usage)).usd

    return cost
