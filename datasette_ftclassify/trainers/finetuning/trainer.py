"""The trainer that fine-tunes a sentence encoder. Imports torch when it trains, and never to
answer."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ...core.distribution import DISTRIBUTION
from ...core.errors import TrainingError
from ...core.prediction import Predictor
from ..base import (
    Capabilities,
    Limits,
    Progress,
    Trained,
    TrainerOptions,
    TrainingSet,
    check_taken,
    no_progress,
)
from ..options import ENCODER_TO_TUNE, EPOCHS

if TYPE_CHECKING:
    from ..encoders.files import EncoderFiles

PACKAGES = (
    "torch",
    "transformers",
    "safetensors",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "tokenizers",
)
FEWEST = 40
"""Training rows: with fewer, too few are held out to say which epoch is the best."""


class EncoderTrainer:
    """Makes a classifier in the form of the local trainer's, of no words and an encoder of its own.
    It answers where the extra for encoders is, and is trained where torch is."""

    name = "encoder"
    title = "On this machine: a sentence encoder, fine-tuned (torch)"
    capabilities = Capabilities(
        trains=True,
        needs_examples=True,
        scores_every_label=True,
        leaves_machine=False,
        costs_money=False,
        slow=True,
        limits=Limits(examples=FEWEST),
    )
    options = (ENCODER_TO_TUNE, EPOCHS.within(1, 100))

    def check_options(self, options: TrainerOptions) -> None:
        """Raises TrainingError without the packages, of which it loads none, and without an encoder
        that has weights."""
        if missing := [name for name in PACKAGES if find_spec(name) is None]:
            raise TrainingError(
                f"Fine-tuning an encoder needs {missing[0]}. "
                f"Run: pip install '{DISTRIBUTION}[finetune]'"
            )
        self._files(options)

    def encoder_title(self, options: TrainerOptions) -> str:
        """See `UsesEncoder`: the one of the options, else the first known one that has weights."""
        return self._files(options).title

    def train(
        self, data: TrainingSet, options: TrainerOptions, progress: Progress = no_progress
    ) -> Trained:
        """See `training.train`. Raises TrainingError for too few rows, too."""
        check_taken(self, options)
        self.check_options(options)
        if len(data.texts) < FEWEST:
            raise TrainingError(
                f"Fine-tuning an encoder needs {FEWEST} labelled rows for training, and there are "
                f"{len(data.texts):,}. Label more, or use the trainer local."
            )
        from .training import train

        return train(data, self._files(options), options.epochs, options.seed, progress)

    def load(self, header: Mapping[str, Any], parts: Mapping[str, bytes]) -> Predictor:
        """See `serialization.from_parts`."""
        from ..local.serialization import from_parts

        return from_parts(header, parts)

    def _files(self, options: TrainerOptions) -> EncoderFiles:
        from ..encoders.allowed import allowed_encoders
        from ..encoders.files import find_encoder
        from ..encoders.known import find_named

        if options.encoder:
            return find_named(options.encoder, "weights")
        for name in allowed_encoders():
            try:
                return find_encoder(name, "weights")
            except TrainingError:
                continue
        raise TrainingError(
            "No encoder with weights is known on this machine. Name one, or set encoder for "
            "datasette-ftclassify, or FTCLASSIFY_ENCODER.",
            fields=("encoder",),
        )
