"""A classifier before any row is labelled: labels are told apart by the vectors of their names and
of what they mean. Its answers are where labelling begins, and the first labels train a real one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...core.errors import TrainingError
from ...core.humanize import counted
from ...core.labels import LabelSet
from ...core.prediction import Predictor
from ...core.training_report import Header
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
from ..options import DESCRIPTIONS, ENCODER_OF_NAMES

if TYPE_CHECKING:
    from .features import FloatArray
    from .model import LocalModel
    from .text_vectors import TextVectors

NAME = "names"
TEMPERATURE = 0.07
"""What similarities are divided by. No row says what is right: with it the expected calibration
error was .08, .08 and .07 on three tables, for which the best were .05, .10 and .15."""
FEWEST_SIMILAR = 0.1
"""Of several labels a row: how much more than the mean text one must be like a label to have it."""


class NamesTrainer:
    """Learns nothing: see the module."""

    name = NAME
    title = "On this machine, without training: by the labels' names and meanings"
    capabilities = Capabilities(
        trains=False,
        needs_examples=False,
        scores_every_label=True,
        leaves_machine=False,
        costs_money=False,
        limits=Limits(examples=0),
    )
    options = (DESCRIPTIONS, ENCODER_OF_NAMES)

    def check_options(self, options: TrainerOptions) -> None:
        """Raises TrainingError where no encoder is named or known."""
        self._encoder_name(options)

    def encoder_title(self, options: TrainerOptions) -> str:
        """See `UsesEncoder`: the one of the options, else the usual one of this machine."""
        from ..encoders.known import find_named

        return find_named(self._encoder_name(options)).title

    def train(
        self, data: TrainingSet, options: TrainerOptions, progress: Progress = no_progress
    ) -> Trained:
        """See `TrainingSet.sample`: what the texts of the table have in common tells no label.

        Raises TrainingError for labels whose names are codes and that nobody described.
        """
        check_taken(self, options)
        from ..encoders.known import use_encoder
        from .requested_vectors import Encoding, about_encoder
        from .serialization import to_parts
        from .text_vectors import EncoderVectors

        encoder = use_encoder(self._encoder_name(options))
        vectors = EncoderVectors(encoder, encoder.files.title)
        said = texts_of_labels(data.labels, options.descriptions)
        encoding = Encoding(vectors, progress)
        rows = vectors.rows([*said, *data.sample], encoding.encoded)
        model = similarity_model(rows[: len(said)], rows[len(said) :], vectors, data.labels)
        header, parts = to_parts(model)
        described = sum(map(bool, options.descriptions.values()))
        meanings = f", {described} of them with what they mean" if described else ""
        report = {
            "untrained": True,
            "recipe": "likeness to the labels' names",
            "why": (
                f"Not trained: {counted(len(said), 'label')}{meanings}, compared with each text by "
                f"{vectors.name}. Scores are rough. Label some of its answers, then train."
            ),
            "calibration": {"said": "Scores are not calibrated: there was no row to do it by."},
            "warnings": [],
            "encoder": about_encoder(vectors),
        }
        return Trained(model, header, parts, report)

    def load(self, header: Header, parts: Mapping[str, bytes]) -> Predictor:
        """See `serialization.from_parts`."""
        from .serialization import from_parts

        return from_parts(header, parts)

    def _encoder_name(self, options: TrainerOptions) -> str:
        from ..encoders.known import usual_encoder

        name = options.encoder or usual_encoder()
        if name is None:
            raise TrainingError(
                "No sentence encoder is known on this machine. Name one, or set encoder for "
                "datasette-ftclassify, or FTCLASSIFY_ENCODER.",
                fields=("encoder",),
            )
        return name


def texts_of_labels(labels: LabelSet, descriptions: Mapping[str, str]) -> list[str]:
    """What is encoded for each label: its name in words, and what it means. Raises TrainingError
    where they are fewer than two, or one has neither."""
    from .label_names import has_word, words_of

    if len(labels) < labels.label_kind.fewest:
        raise TrainingError(
            "A classifier needs at least two labels: name them, with descriptions where the names "
            "say too little.",
            fields=("descriptions",),
        )
    known = set(labels.names)
    if other := next((name for name in descriptions if name not in known), None):
        raise TrainingError(f"There is no label {other}.", fields=("descriptions",))
    texts = []
    for name in labels.names:
        meaning = descriptions.get(name, "").strip()
        words = words_of(name)
        if not meaning and not has_word(words):
            raise TrainingError(
                f"The label {name} has a name that says nothing: describe it.",
                fields=("descriptions",),
            )
        texts.append(f"{words}: {meaning}" if meaning and has_word(words) else meaning or words)
    return texts


def similarity_model(
    named: FloatArray, sample: FloatArray, vectors: TextVectors, labels: LabelSet
) -> LocalModel:
    """A linear model whose logits are cosines with the labels' vectors, (labels, dimensions), less
    their means over the vectors of a sample of texts, (rows, dimensions)."""
    import numpy as np

    from .features import Vectorizer
    from .model import LocalModel

    weights = named.T / TEMPERATURE
    bias = -(sample.mean(axis=0) @ weights) if len(sample) else np.zeros(len(named))
    if not labels.exclusive:
        bias = bias - FEWEST_SIMILAR / TEMPERATURE
    elif len(named) == 2:
        weights, bias = weights[:, 1:] - weights[:, :1], bias[1:] - bias[:1]
    empty = Vectorizer({}, {}, np.zeros(0, dtype=np.float32))
    return LocalModel(
        empty,
        np.zeros((0, weights.shape[1]), dtype=np.float32),
        bias.astype(np.float32),
        n_labels=len(named),
        exclusive=labels.exclusive,
        embedding=vectors,
        embedding_weights=np.ascontiguousarray(weights, dtype=np.float32),
    )
