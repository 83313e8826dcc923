"""Training at OpenAI, and at servers that speak its protocol, as one of the trainers.

The SDK takes a while to load, so it is imported when a method first needs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from ...core.labels import LabelSet
from ...prompts.prices import PriceTable, load_prices, today
from ...prompts.tokenizer import DEFAULT_MODEL
from .. import options as known
from ..access import Endpoint
from ..base import Capabilities, Limits, TrainerOptions, check_taken
from ..service import (
    BatchClient,
    FineTunedModel,
    InferenceClient,
    Service,
    TrainingLog,
    TrainingSpec,
)
from ..service_errors import ServiceRefused
from .dialect import OPENAI, OPENAI_VARIABLES, Dialect

_GIB = 1024**3


class OpenAITrainer(Service):
    """Fine-tunes a language model at OpenAI or a compatible server, and uses it there.

    settings: of `training.train`: poll, file_bytes, part_bytes
    timeout:  seconds for a request
    """

    name = OPENAI.trainer
    title = "OpenAI, or a server that speaks its protocol: a language model is tuned there"
    capabilities = Capabilities(
        trains=True,
        needs_examples=True,
        scores_every_label=True,
        leaves_machine=True,
        costs_money=True,
        says_anything=True,
        batch=True,
        cancels=True,
        # OpenAI's guide and API reference: files of 512 MB, and of 8 GB as Uploads.
        limits=Limits(examples=10, file_bytes=8 * _GIB),
    )
    options: Sequence[known.Option] = (
        known.MODEL,
        known.EPOCHS.within(1, 50),
        known.BATCH_SIZE.within(1, 256),
        known.LEARNING_RATE,
        known.SUFFIX.within(most=64),
        known.WANDB,
        *known.FORMAT,
        known.EXTRA,
    )
    variables: Mapping[str, str] = OPENAI_VARIABLES
    marks_files = False
    suffix_may_have_dots = True

    def __init__(self, *, timeout: float = 60.0, **settings: Any) -> None:
        self._timeout = timeout
        self._settings = settings

    @property
    def dialect(self) -> Dialect:
        """What its requests have of their own."""
        return Dialect(self.name, self.variables.get("api_key"))

    def epochs_for(self, rows: int) -> int:
        """See `options.default_epochs`."""
        from .training_options import default_epochs

        return default_epochs(rows)

    def proposed_models(self, endpoint: Endpoint, day: date) -> Sequence[str]:
        """Those that the price table knows to be tuned at the host on that day."""
        found = self.prices(endpoint).trainable(day)
        return sorted(found, key=lambda name: name != DEFAULT_MODEL)

    def choose_format(self, labels: LabelSet, options: TrainerOptions) -> Mapping[str, Any]:
        """See `options.choose_format`."""
        from .training_options import choose_format

        return choose_format(labels, options, bom=self.marks_files)

    def check(self, spec: TrainingSpec, endpoint: Endpoint) -> None:
        """Raises TrainingError or AccessError for what the service would refuse; asks nobody."""
        self._check_order(spec, endpoint)
        self.dialect.check(endpoint)

    def host(self, endpoint: Endpoint) -> str:
        """The one that is asked. Raises AccessError when the address is none."""
        return self.dialect.host(endpoint)

    def shutdown_dates(self, endpoint: Endpoint) -> Mapping[str, date]:
        """See `models.shutdown_dates`."""
        from .client import open_client
        from .model_list import SECONDS, shutdown_dates

        with open_client(endpoint, self.dialect, timeout=SECONDS) as client:
            return shutdown_dates(client)

    def train(
        self, spec: TrainingSpec, training_log: TrainingLog, endpoint: Endpoint
    ) -> FineTunedModel:
        """See `training.train`."""
        self._check_order(spec, endpoint)
        from .errors import NOT_AVAILABLE
        from .fine_tuning import train

        host, limits = self.host(endpoint), self.capabilities.limits
        with self._open(endpoint) as client:
            try:
                return train(
                    client, spec, training_log, endpoint, host=host, limits=limits, **self._settings
                )
            except ServiceRefused as refusal:
                if refusal.code != NOT_AVAILABLE:
                    raise
                ways = ways_on(load_prices(), host, today())
                raise ServiceRefused(f"{refusal} {ways}", code=refusal.code) from None

    def inference_client(
        self, header: Mapping[str, Any], labels: LabelSet, endpoint: Endpoint
    ) -> InferenceClient:
        """See `inference.OpenAIInferenceClient`."""
        from .inference import OpenAIInferenceClient

        return OpenAIInferenceClient(
            header, labels, endpoint, self.dialect, priced_as=self.priced_as
        )

    def batch_client(
        self, header: Mapping[str, Any], labels: LabelSet, endpoint: Endpoint
    ) -> BatchClient:
        """See `batches.OpenAIBatchClient`."""
        from .batch import OpenAIBatchClient

        return OpenAIBatchClient(header, labels, endpoint, self.dialect, priced_as=self.priced_as)

    def delete_remote(
        self, header: Mapping[str, Any], report: Mapping[str, Any], endpoint: Endpoint
    ) -> list[str]:
        """See `job_result.delete_remote`."""
        with self._open(endpoint) as client:
            from .job_result import delete_remote

            return delete_remote(client, self.host(endpoint), header, report)

    def _check_order(self, spec: TrainingSpec, endpoint: Endpoint) -> None:
        from .training_options import check_order

        check_taken(self, replace(spec.options, epochs=spec.epochs))
        check_order(spec, endpoint, self.name, dots=self.suffix_may_have_dots)

    def _open(self, endpoint: Endpoint) -> Any:
        from .client import open_client

        return open_client(endpoint, self.dialect, timeout=self._timeout)


def ways_on(table: PriceTable, host: str, day: date) -> str:
    """What is possible on a day, by the table, for whom a host trains nothing."""
    why = table.why_refused(host, day)
    where = ["on this machine (local)", *(f"at {h}" for h in table.trained_elsewhere(host, day))]
    return (
        f"{f'{why} ' if why else ''}On {day} a model can be trained {', '.join(where)}, or at "
        "another server that speaks OpenAI's protocol, once its address is set as the base URL."
    )
