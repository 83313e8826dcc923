"""The local trainer as one of the trainers. Imports what it needs when that is first used."""

from __future__ import annotations

from collections.abc import Mapping

from ...core.errors import TrainingError
from ...core.prediction import Predictor
from ...core.training_report import Header
from ..base import (
    Capabilities,
    Progress,
    Trained,
    TrainerOptions,
    TrainingSet,
    check_taken,
    no_progress,
)
from ..options import EMBEDDINGS_BESIDE, ENCODER_BESIDE


class LocalTrainer:
    """Trains on this machine; nothing leaves it, nothing is paid."""

    name = "local"
    title = "On this machine: linear models over words and characters"
    capabilities = Capabilities(
        trains=True,
        needs_examples=True,
        scores_every_label=True,
        leaves_machine=False,
        costs_money=False,
    )
    options = (EMBEDDINGS_BESIDE, ENCODER_BESIDE)

    def check_options(self, options: TrainerOptions) -> None:
        """A text has one vector."""
        if options.embeddings and options.encoder:
            raise TrainingError(
                "A text gets one vector: choose static embeddings or a sentence encoder.",
                fields=("embeddings", "encoder"),
            )

    def train(
        self, data: TrainingSet, options: TrainerOptions, progress: Progress = no_progress
    ) -> Trained:
        """See `fit`."""
        check_taken(self, options)
        from .serialization import to_parts
        from .training import fit

        model, report, held_out = fit(
            data,
            seed=options.seed,
            embeddings=options.embeddings,
            encoder=options.encoder,
            progress=progress,
        )
        header, parts = to_parts(model)
        return Trained(model, header, parts, report, held_out)

    def measures_known(self, header: Header) -> bool:
        """See `trainers.base.MeasuresKnown`."""
        return header.get("known") is not None

    def load(self, header: Header, parts: Mapping[str, bytes]) -> Predictor:
        """See `serialization.from_parts`."""
        from .serialization import from_parts

        return from_parts(header, parts)
