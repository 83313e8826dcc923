"""The options of a training, checked against the service's limits before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...core.errors import AccessError, TrainingError
from ...core.labels import LabelSet
from ...export import ExportFormat
from ...prompts.price_table import base_model
from ...prompts.tokenizer import Tokenizer, tokenizer_for
from ..access import Endpoint
from ..base import TrainerOptions
from ..service import TrainingSpec

LEGACY = "legacy_hyperparameters"
"""Our own switch among the extra fields: hyperparameters at the top, as servers want them that
speak an earlier form of the protocol. It is not sent."""

COMPLETION_MODELS = ("davinci-002", "babbage-002")

SEEDS = 2**31

HYPERPARAMETERS = "hyperparameters"
"""The extra field that is put beside ours, as for LoRA at some servers, never in their place."""

_EPOCHS = {"n_epochs", "epochs", "num_epochs", "num_train_epochs", "max_steps"}
_OURS = {
    "model", "training_file", "validation_file", "suffix", "seed", "metadata", "integrations",
    "method", *_EPOCHS,
}  # fmt: skip
"""Fields that nobody may set besides: epochs in them would cost more than was agreed to."""

_ASKED = {
    "model", "messages", "prompt", "input", "questions", "n", "best_of", "echo", "stop", "stream",
    "max_tokens", "max_completion_tokens",
}  # fmt: skip
"""The same of requests that ask: several answers, or longer ones, would cost more."""


def default_epochs(rows: int) -> int:
    """Times that so many examples are learnt from: 3, more for fewer than 34 rows, less for more
    than 8,333, between 1 and 25.

    The rule of OpenAI's cookbook ("Data preparation and analysis for chat model fine-tuning"):
    3 epochs, but at least 100 and at most 25,000 examples in all.
    """
    if 3 * rows < 100:
        return min(25, 100 // max(rows, 1))
    if 3 * rows > 25_000:
        return max(1, 25_000 // rows)
    return 3


def check_order(spec: TrainingSpec, endpoint: Endpoint, title: str, *, dots: bool = True) -> None:
    """Raises TrainingError, naming the option, for what the service would refuse and no declaration
    of an option says.

    dots: whether a suffix may have them
    """
    options = spec.options
    if not spec.model:
        raise TrainingError(f"Name the model that {title} is to tune.", fields=("model",))
    if not 0 <= options.seed < SEEDS:
        raise TrainingError(f"The option seed must be from 0 to {SEEDS - 1}, not {options.seed}.")
    check_suffix(options.suffix, title, dots=dots)
    if options.wandb is not None and not options.wandb.strip():
        raise TrainingError("The option wandb is empty: give a project at Weights & Biases.")
    extra_fields(options, endpoint)


def check_suffix(suffix: str | None, title: str, *, dots: bool) -> None:
    """dots: whether the suffix may have them. Raises TrainingError."""
    if suffix is None:
        return
    if not suffix or not suffix.isprintable() or any(c in suffix for c in " :/"):
        raise TrainingError(
            "The option suffix becomes part of a model's name: give letters, digits and hyphens."
        )
    if not dots and "." in suffix:
        raise TrainingError(f"The option suffix may have no dots for {title}.")


def extra_fields(
    options: TrainerOptions, endpoint: Endpoint
) -> tuple[dict[str, Any], bool, dict[str, Any]]:
    """Further fields of the request that creates a job, whether hyperparameters go at its top, and
    those that are put beside ours.

    Raises TrainingError for fields that would change what was agreed to, whoever set them.
    """
    extra = {**endpoint.extra_body, **options.extra}
    legacy = extra.pop(LEGACY, False)
    if not isinstance(legacy, bool):
        raise TrainingError(f"The extra field {LEGACY} must be true or false.")
    extra.pop(HYPERPARAMETERS, None)
    beside: dict[str, Any] = {}
    for given in (endpoint.extra_body, options.extra):
        more = given.get(HYPERPARAMETERS) or {}
        if not isinstance(more, Mapping):
            raise TrainingError(f"The extra field {HYPERPARAMETERS} must be an object.")
        beside |= more
    taken = sorted(_OURS & set(extra))
    taken += [f"{HYPERPARAMETERS}.{name}" for name in sorted(_EPOCHS & set(beside))]
    if taken:
        raise TrainingError(f"The extra field {taken[0]} is set by the training itself.")
    return extra, legacy, beside


def extra_body_of(endpoint: Endpoint) -> dict[str, Any]:
    """The operator's fields of a request that asks a model. Raises AccessError for one that would
    change what was agreed to."""
    taken = sorted(_ASKED & set(endpoint.extra_body))
    if taken:
        raise AccessError(
            f"The field {taken[0]} of extra_body in the configuration is set by each request "
            "itself: leave it out there."
        )
    ours = (LEGACY, HYPERPARAMETERS)
    return {name: value for name, value in endpoint.extra_body.items() if name not in ours}


def hyperparameters(spec: TrainingSpec) -> dict[str, Any]:
    """As the request has them; what is left out is chosen by the service."""
    given = {
        "n_epochs": spec.epochs,
        "batch_size": spec.options.batch_size,
        "learning_rate_multiplier": spec.options.learning_rate,
    }
    return {name: value for name, value in given.items() if value is not None}


def choose_format(
    labels: LabelSet, options: TrainerOptions, *, bom: bool = False
) -> Mapping[str, Any]:
    """The format of examples: what the options say, else what suits the model.

    bom: files begin with a byte order mark, whatever the options say
    """
    if options.format is not None:
        return replace(ExportFormat.from_dict(options.format), bom=bom).to_dict()
    tokenizer = tokenizer_for(options.model)
    completion = base_model(tokenizer.model) in COMPLETION_MODELS
    # Several labels stay an array: it has a token for each label that a row has, and flags one
    # for each label that there is; those are 0 and 1 in groups of three digits to a token, so a
    # single flag has no probability of its own.
    return ExportFormat(
        form="completion" if completion else "chat",
        labels="text" if _names_are_tokens(labels, tokenizer, completion) else "code",
        bom=bom,
    ).to_dict()


def _names_are_tokens(labels: LabelSet, tokenizer: Tokenizer, completion: bool) -> bool:
    """Whether names make exact scores: two at most, each one token where the answer begins. Not
    when the vocabulary is not known: codes are one token in all of them."""
    if len(labels) > 2:
        return False
    lead = " " if completion and labels.exclusive else ""
    return all(tokenizer.is_single(lead + name) for name in labels.names)
