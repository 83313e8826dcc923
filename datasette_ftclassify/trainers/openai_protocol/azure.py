"""Training at Azure OpenAI (Foundry): OpenAI's protocol with rules of its own.

A suffix is short and has no dots, files begin with a byte order mark, and a tuned model answers
only when somebody has deployed it, under the name that the deployment was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...core.errors import AccessError
from ...core.labels import LabelSet
from ..access import Endpoint
from ..base import Limits
from ..options import SUFFIX
from ..service import BatchClient, InferenceClient
from .dialect import Dialect
from .trainer import OpenAITrainer


class AzureTrainer(OpenAITrainer):
    """Fine-tunes a language model at an Azure resource, and uses its deployment."""

    name = "azure"
    title = "Azure OpenAI: a language model is tuned and deployed at your resource"
    # Azure's guide to fine-tuning: files under 512 MB, a suffix of 18 characters.
    capabilities = replace(
        OpenAITrainer.capabilities,
        deploys=True,
        limits=Limits(examples=10, file_bytes=512 * 1024**2),
    )
    options = tuple(
        o.within(most=18) if o.name == SUFFIX.name else o for o in OpenAITrainer.options
    )
    variables: Mapping[str, str] = {
        "api_key": "AZURE_OPENAI_API_KEY",
        "base_url": "AZURE_OPENAI_ENDPOINT",
        "api_version": "OPENAI_API_VERSION",
    }
    marks_files = True
    suffix_may_have_dots = False

    @property
    def dialect(self) -> Dialect:
        """As OpenAITrainer's, with Azure's addresses and deployments."""
        return replace(
            super().dialect,
            home=None,
            no_home=f"Set {self.variables['base_url']}, or base_url in the plugin's configuration, "
            "to that of the Azure resource: https://RESOURCE.openai.azure.com",
            root="/openai/v1",
            key_header="api-key",
            batch_root="",  # as Azure's guide to batches names the paths
            deployments=True,
        )

    def inference_client(
        self, header: Mapping[str, Any], labels: LabelSet, endpoint: Endpoint
    ) -> InferenceClient:
        """As OpenAITrainer's. Raises AccessError for a model without a deployment."""
        self._require_deployment(header)
        return super().inference_client(header, labels, endpoint)

    def batch_client(
        self, header: Mapping[str, Any], labels: LabelSet, endpoint: Endpoint
    ) -> BatchClient:
        """As OpenAITrainer's. Raises AccessError for a model without a deployment."""
        self._require_deployment(header)
        return super().batch_client(header, labels, endpoint)

    def _require_deployment(self, header: Mapping[str, Any]) -> None:
        if not header.get("deployment"):
            raise AccessError(
                f"The model {header.get('model')} is trained, and Azure answers only for models "
                "that are deployed. Deploy it in Azure, then evaluate the classifier with the "
                "name of the deployment."
            )
