"""Asking a model as its provider made it: as a tuned one is asked, at another price."""

from __future__ import annotations

from ...prices import untuned_name
from .asking import OpenAIAsker
from .batches import OpenAIBatcher


class UntunedAsker(OpenAIAsker):
    """See `OpenAIAsker`."""

    @property
    def model(self) -> str:
        return untuned_name(super().model)


class UntunedBatcher(OpenAIBatcher):
    """See `OpenAIBatcher`."""

    @property
    def model(self) -> str:
        return untuned_name(super().model)
