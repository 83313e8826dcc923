"""Training at OpenAI, and at servers that speak its protocol, as one of the trainers.

The SDK takes a while to load, so it is imported when a method first needs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from ...core.errors import AccessError
from ...core.labels import LabelSet
from ...core.service_model import ServiceModel
from ...core.training_report import Header, TrainingReport
from ...prompts.price_table import PriceTable, today
from ...prompts.prices import load_prices
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
from .dialect import OPENAI, Dialect


class OpenAITrainer(Service):
    """Fine-tunes a language model at OpenAI or a compatible server, and uses it there.

    dialect:  the server's own ways
    settings: of `training.train`: poll, file_bytes, part_bytes
    timeout:  seconds for a request
    """

    name: str = OPENAI.trainer
    title: str = OPENAI.title

    def __init__(
        self, dialect: Dialect = OPENAI, *, timeout: float = 60.0, **settings: Any
    ) -> None:
        self.dialect = dialect
        self.name, self.title = dialect.trainer, dialect.title
        self._timeout = timeout
        self._settings = settings

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            trains=True,
            needs_examples=True,
            scores_every_label=True,
            leaves_machine=True,
            costs_money=True,
            says_anything=True,
            batch=self.dialect.batch_root is not None,
            cancels=True,
            deploys=self.dialect.deployments,
            limits=Limits(examples=10, file_bytes=self.dialect.file_bytes),
        )

    @property
    def options(self) -> Sequence[known.Option]:
        return (
            known.MODEL_TO_TUNE,
            known.EPOCHS.within(1, 50),
            known.BATCH_SIZE.within(1, 256),
            known.LEARNING_RATE,
            known.SUFFIX.within(most=self.dialect.suffix),
            known.WANDB,
            *known.FORMAT,
            known.EXTRA,
        )

    @property
    def variables(self) -> Mapping[str, str]:
        return self.dialect.variables

    def epochs_for(self, rows: int) -> int:
        """See `training_options.default_epochs`."""
        from .training_options import default_epochs

        return default_epochs(rows)

    def proposed_models(self, endpoint: Endpoint, day: date) -> Sequence[str]:
        """Those that the price table knows to be tuned at the host on that day."""
        found = self.prices(endpoint).trainable(day)
        return sorted(found, key=lambda name: name != DEFAULT_MODEL)

    def choose_format(self, labels: LabelSet, options: TrainerOptions) -> Mapping[str, Any]:
        """See `training_options.choose_format`."""
        from .training_options import choose_format

        return choose_format(labels, options, bom=self.dialect.marks_files)

    def check(self, spec: TrainingSpec, endpoint: Endpoint) -> None:
        """Raises TrainingError or AccessError for what the service would refuse; asks nobody."""
        self._check_order(spec, endpoint)
        self.dialect.check(endpoint)

    def host(self, endpoint: Endpoint) -> str:
        """The one that is asked. Raises AccessError when the address is none."""
        return self.dialect.host(endpoint)

    def shutdown_dates(self, endpoint: Endpoint) -> Mapping[str, date]:
        """See `model_list.shutdown_dates`."""
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
        endpoint = self.dialect.extended(endpoint)
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
        self, header: Header, labels: LabelSet, endpoint: Endpoint
    ) -> InferenceClient:
        """See `inference.OpenAIInferenceClient`. Raises AccessError for a model that is to be
        deployed first."""
        from .inference import OpenAIInferenceClient

        self._require_deployment(header)
        at = self.dialect.extended(endpoint)
        return OpenAIInferenceClient(header, labels, at, self.dialect, priced_as=self.priced_as)

    def batch_client(self, header: Header, labels: LabelSet, endpoint: Endpoint) -> BatchClient:
        """See `batch.OpenAIBatchClient`. Raises AccessError as `inference_client` does."""
        if not self.capabilities.batch:
            return super().batch_client(header, labels, endpoint)
        from .batch import OpenAIBatchClient

        self._require_deployment(header)
        at = self.dialect.extended(endpoint)
        return OpenAIBatchClient(header, labels, at, self.dialect, priced_as=self.priced_as)

    def delete_remote(
        self, header: Header, report: TrainingReport, endpoint: Endpoint
    ) -> list[str]:
        """See `job_result.delete_remote`."""
        with self._open(endpoint) as client:
            from .job_result import delete_remote

            return delete_remote(client, self.host(endpoint), header, report)

    def console_url(self, host: str, what: str, name: str) -> str | None:
        return self.dialect.console_url(host, what, name)

    def _require_deployment(self, header: Header) -> None:
        asked = ServiceModel.read(header)
        if self.dialect.deployments and not asked.deployment:
            provider = self.dialect.provider
            raise AccessError(
                f"The model {asked.model} is trained, and {provider} answers only for "
                f"models that are deployed. Deploy it in {provider}, then evaluate the classifier "
                "with the name of the deployment."
            )

    def _check_order(self, spec: TrainingSpec, endpoint: Endpoint) -> None:
        from .training_options import check_order

        check_taken(self, replace(spec.options, epochs=spec.epochs))
        check_order(spec, self.dialect.extended(endpoint), self.name, dots=self.dialect.suffix_dots)

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
