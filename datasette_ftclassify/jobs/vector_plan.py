"""What the vectors of a training's texts cost, and those of its test rows: known before anything
leaves this machine. A text whose vector is stored here costs nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..core.errors import TrainingError
from ..core.humanize import counted, price
from ..core.task import Task
from ..prompts.prices import estimate_inference
from ..prompts.tokenizer import tokenizer_for
from ..trainers.access import Access
from ..trainers.embeddings.trainer import EmbeddingsTrainer
from .train_plan import UNSURE, TrainEstimate, TrainPlan, earlier_results


@dataclass(frozen=True)
class VectorCost:
    """See `train_plan.Priced`. texts: that are sent; usd: None where no price is known"""

    texts: int
    tokens: int
    exact: bool
    usd: float | None
    note: str

    @property
    def most_usd(self) -> float | None:
        return self.usd if self.usd is None or self.exact else self.usd * UNSURE

    @property
    def price(self) -> str:
        return price(self.usd, self.most_usd)

    @property
    def notes(self) -> Sequence[str]:
        return (self.note,)


def cost_of_vectors(
    service: EmbeddingsTrainer,
    access: Access,
    model: str,
    texts: Sequence[str],
    *,
    download: bool = False,
) -> VectorCost:
    """Of texts without a vector. download: as of `tokenizer_for`"""
    tokenizer = tokenizer_for(model, download=download)
    tokens = sum(map(tokenizer.count, texts))
    table = service.prices(access.endpoint(service.name))
    priced = service.priced_as(model)
    found = estimate_inference(table, priced, input_tokens=tokens, output_tokens=0)
    usd = 0.0 if not texts else found.usd
    return VectorCost(len(texts), tokens, tokenizer.exact, usd, found.note)


def estimate_vectors(
    conn: sqlite3.Connection,
    task: Task,
    plan: TrainPlan,
    service: EmbeddingsTrainer,
    access: Access,
    *,
    download: bool = False,
) -> TrainEstimate:
    """As `train_plan.estimate_plan`, for vectors.

    Raises TrainingError for more texts than vectors are stored of.
    """
    spec, endpoint = plan.spec, access.endpoint(service.name)
    vectors = service.vectors(spec.model, spec.options.dimensions, endpoint)
    texts = [example.text for example in plan.data.of("train", "validation")]
    test = [example.text for example in plan.data.of("test")]
    wanted = service.texts_for(texts, spec.labels)
    if not vectors.has_room_for(len(wanted)):
        raise TrainingError(
            f"The vectors of {counted(len(wanted), 'text')} are more than are stored on this "
            "machine: train on fewer rows, or with fewer dimensions.",
            fields=("where", "dimensions"),
        )
    known = set(wanted)
    sent = vectors.missing(wanted)
    tested = vectors.missing([text for text in dict.fromkeys(test) if text not in known])
    first, then = (
        cost_of_vectors(service, access, spec.model, part, download=download)
        for part in (sent, tested)
    )
    tokenizer = tokenizer_for(spec.model)
    notes = [first.note if sent else then.note] if sent or tested else []
    notes += [tokenizer.note] if tokenizer.note and notes else []
    if len(wanted) > len({text for text in texts if text.strip()}):
        notes.append("The names of the labels are sent, too, but not which row has which.")
    if kept := len(wanted) - len(sent):
        notes.append(f"Vectors of {counted(kept, 'text')} are stored here, and cost nothing.")
    return TrainEstimate(
        model=spec.model,
        host=service.host(endpoint),
        rows_sent=_rows_of(plan, {*sent, *tested}),
        epochs=0,
        training_tokens=first.tokens,
        billed_tokens=first.tokens,
        exact=first.exact,
        training_usd=first.usd,
        evaluation_usd=then.usd,
        requests=then.texts,
        input_tokens=then.tokens,
        output_tokens=0,
        notes=tuple(notes),
        local=earlier_results(conn, task, plan),
        digest=plan.digest,
    )


def _rows_of(plan: TrainPlan, texts: Collection[str]) -> int:
    return sum(example.text in texts for example in plan.data.examples)
