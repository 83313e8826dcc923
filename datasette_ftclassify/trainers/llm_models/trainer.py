"""The models that the package llm knows, as one of the trainers: those of its plugins speak
whatever protocol they do, with llm's own keys. Imports llm when that is first used."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from importlib.util import find_spec
from typing import Any

from ...core.errors import AccessError, FtclassifyError, TrainingError
from ...core.labels import LabelSet
from ...core.training_report import Header
from ..access import Endpoint
from ..base import PROMPTS, TrainerOptions
from ..openai_protocol.dialect import OPENAI
from ..openai_protocol.prompted import PromptedTrainer
from ..service import BatchClient, InferenceClient, Service, TrainingSpec
from ..stored_model import check_host, read_name

PACKAGE = "llm"
HOST = "the package llm"
"""In the place of a host: which one a model's plugin asks, only that plugin knows."""

DIALECT = replace(
    OPENAI,
    trainer="llm",
    title="The package llm: prompt one of its models, no training",
    variables={},
)


class LlmTrainer(PromptedTrainer):
    """Trains nothing: sends the prompt of `prompted` to a model by way of llm. Its answers carry no
    probabilities, so there are no scores."""

    capabilities = replace(PROMPTS, scores_every_label=False)
    reached_as = DIALECT.trainer

    def __init__(self) -> None:
        super().__init__(DIALECT)

    def proposed_models(self, endpoint: Endpoint, day: date) -> Sequence[str]:
        """None: they are as many as there are plugins, and of most nobody knows the price."""
        return []

    def priced_as(self, model: str) -> str:
        """By the model's own name, and not by an alias, which may be the name of a cheaper one."""
        try:
            model = str(find_model(model).model_id) if model else ""
        except FtclassifyError:  # said where it is asked
            pass
        return super().priced_as(model)

    def host(self, endpoint: Endpoint) -> str:
        return HOST

    def shutdown_dates(self, endpoint: Endpoint) -> Mapping[str, date]:
        return {}

    def console_url(self, host: str, what: str, name: str) -> str | None:
        return None

    def check_options(self, options: TrainerOptions) -> None:
        """Raises TrainingError for a model that llm does not know here, as well; AccessError
        without llm. Before a job is noted, and never to show a page: to find a model, llm loads all
        its plugins, and some ask a server for its models."""
        super().check_options(options)
        if options.model:
            find_model(options.model)

    def check(self, spec: TrainingSpec, endpoint: Endpoint) -> None:
        """Raises TrainingError for options that mean nothing here."""
        self._check_order(spec, endpoint)

    def inference_client(
        self, header: Header, labels: LabelSet, endpoint: Endpoint
    ) -> InferenceClient:
        """Raises ArtifactError for a damaged header, AccessError without llm, TrainingError for a
        model that it does not know here."""
        model = read_name(header, "model")
        check_host(model, read_name(header, "host"), self.name, HOST)
        from .inference import LlmInferenceClient

        return LlmInferenceClient(
            find_model(model), header, labels, priced_as=self.priced_as(model)
        )

    def batch_client(self, header: Header, labels: LabelSet, endpoint: Endpoint) -> BatchClient:
        return Service.batch_client(self, header, labels, endpoint)


def is_installed() -> bool:
    """Whether the package is here. Finds it, without loading it."""
    return find_spec(PACKAGE) is not None


def find_model(name: str) -> Any:
    """The model with that name or alias: an `llm.AsyncModel` where there is one, else an
    `llm.Model`. Raises AccessError without llm, TrainingError for a name that it does not know."""
    if not is_installed():
        raise AccessError(
            "The package llm is not installed here: pip install 'datasette-ftclassify[llm]', and "
            "the plugin of llm that has the model."
        )
    import llm

    models = {**llm.get_model_aliases(), **llm.get_async_model_aliases()}
    if name in models:
        return models[name]
    near = difflib.get_close_matches(name, models, 3)
    meant = f"did you mean {', '.join(near)}?" if near else "`llm models` lists those that it has."
    raise TrainingError(f"llm knows no model {name} here: {meant}", fields=("model",))
