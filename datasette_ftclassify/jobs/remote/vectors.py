"""Vectors of a training's texts by a service, within the budget of its job: each is paid for once,
and stored on this machine before it is booked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...core.errors import JobPaused
from ...core.humanize import counted
from ...store.answers import CachedAnswer
from ...trainers.access import Access
from ...trainers.base import Progress, Trained, TrainerOptions, TrainingSet, within
from ...trainers.embeddings.paid_vectors import PaidVectors
from ...trainers.embeddings.trainer import EmbeddingsTrainer
from ...trainers.encoders.vector_store import VectorStoreError, text_key
from ..agreements import agreement_to
from ..lease import Lease
from ..train_plan import check_confirmed, check_host, check_limits, check_open
from ..vector_plan import cost_of_vectors
from .budget import JobSpending
from .evaluate import require_answers
from .network import InferenceRequest
from .predict import open_loop

SENDING_SHARE = 0.6
"""Of a training's time, as its progress has it, where texts are to be sent."""
AT_ONCE = 128
"""Texts under way at once, some dozens of them in one request."""
_READ = 1_000


class VectorLearner:
    """Trains as a `Learner` does, once it has bought the vectors that are missing.

    host: that the rows may be sent to; None: the one that is set
    Raises AccessError for another one.
    """

    def __init__(
        self, lease: Lease, service: EmbeddingsTrainer, access: Access, host: str | None
    ) -> None:
        self._lease, self._service, self._access = lease, service, access
        check_host(service, access.endpoint(service.name), host)

    def train(self, data: TrainingSet, options: TrainerOptions, progress: Progress) -> Trained:
        """Raises as `train_classifier` does; JobPaused where not all can be bought now."""
        service = self._service
        endpoint = self._access.endpoint(service.name)
        model = options.model or service.default_model or ""
        check_open(service, model, endpoint)
        vectors = service.vectors(model, options.dimensions, endpoint)
        missing = vectors.missing(service.texts_for(data.texts, data.labels))
        share, rejected = 0.0, dict[str, str]()
        if missing:
            share = SENDING_SHARE
            rejected = self._buy(vectors, missing, within(progress, 0.0, share))
        learnt = within(progress, share, 1.0)
        found = service.learn(data, options, vectors, list(rejected), learnt)
        return replace(found, report=_with_rejected(found.report, rejected))

    def _buy(
        self, vectors: PaidVectors, texts: Sequence[str], progress: Progress
    ) -> dict[str, str]:
        """The texts that the service rejected, and why."""
        lease, service, access = self._lease, self._service, self._access
        model = vectors.model
        try:
            vectors.check()
        except VectorStoreError as error:
            raise JobPaused.by(error) from error
        cost = cost_of_vectors(service, access, model.name, texts)
        agreement = agreement_to(lease.conn, lease.job, access)
        check_confirmed(cost, agreement.expected_usd if agreement else None)
        check_limits(cost, JobSpending(lease.conn, lease.job, access).rooms())
        endpoint = access.endpoint(service.name)
        client = service.vector_client(vectors, endpoint, hold=True)
        step = f"sending {counted(len(texts), 'text')} to {model.host} for vectors by {model.name}"
        progress(step, 0.0)
        begun, requests = time.monotonic(), list[InferenceRequest]()
        prices, answers = service.prices(endpoint), VectorAnswers(vectors)
        with open_loop(lease, answers, client, prices, access, usual_concurrency=AT_ONCE) as loop:
            while loop.unanswered or len(requests) < len(texts):
                if len(requests) < len(texts) and loop.wants_more:
                    more = texts[len(requests) : len(requests) + _READ]
                    requests += loop.requests(more)
                loop.turn()
                if loop.has_uncommitted:
                    loop.commit()
                done = len(requests) - loop.unanswered
                rate = done / max(time.monotonic() - begun, 1e-9)
                progress(f"{step} ({rate:,.0f} a second)", done / len(texts))
        require_answers(requests)
        return {
            text: request.answer.reason or ""
            for text, request in zip(texts, requests, strict=True)
            if request.answer is not None and not request.kept
        }


class VectorAnswers:
    """See `answer_cache.Answers`. Whoever asks for a vector has stored it before it is told of: by
    then there is nothing more to keep."""

    def __init__(self, vectors: PaidVectors) -> None:
        self._vectors = vectors

    def find(self, texts: Mapping[bytes, str]) -> dict[bytes, CachedAnswer]:
        known = self._vectors.find([text_key(text) for text in texts.values()])
        return {key: CachedAnswer(None) for key, text in texts.items() if text_key(text) in known}

    def keep(self, answers: Mapping[bytes, CachedAnswer]) -> None: ...

    def is_new(self, seconds: float) -> bool:
        return False


def _with_rejected(report: Mapping[str, object], rejected: Mapping[str, str]) -> dict[str, object]:
    if not rejected:
        return dict(report)
    texts = counted(len(rejected), "text has", "texts have")
    reason, _ = Counter(rejected.values()).most_common(1)[0]
    said = f"{texts} no vector, and only the words count there: {reason}"
    warnings = report.get("warnings")
    return {**report, "warnings": [*(warnings if isinstance(warnings, list) else ()), said]}
