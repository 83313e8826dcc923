"""What may be said to a trainer: each option is declared once, here, or by the one trainer whose
own it is.

The command line, pages, the JSON API, stored jobs and docs/trainers.md read the declarations; a
trainer lists those that it takes (`base.TakesOptions`). No value is kept for an option that was not
said: what happens then is the trainer's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..core.errors import TrainingError
from ..core.humanize import bytes_text
from ..core.numbers import Range

if TYPE_CHECKING:
    from .encoders.files import Form

Kind = Literal["whole", "number", "text", "lines", "choice", "meanings", "object"]
"""Of values: int, float, str on one line, str on several, one of `choices`, {label: meaning}, a
JSON object."""


@dataclass(frozen=True)
class Option:
    """One option.

    name:    in Python, JSON, stored jobs, and as `TRAINER-name` on a page; no option of two
             trainers that mean different things by it
    label:   on a page
    help:    one sentence
    empty:   what happens when nothing is said
    choices: (value, in words)
    least, most: of a number; of a text the most characters
    above:   a number is larger than it
    flag:    on the command line, without its two hyphens; the name
    metavar: there, what stands for the value
    on_page: whether a page and the JSON API take it: not a folder of the server, or an address
    offered: (name, in words) of what people of this machine have named before: a page and the JSON
             API take these names alone, and nothing where there are none; None: what was typed
    part:    the field of `ExportFormat` that it is
    """

    name: str
    label: str
    kind: Kind = "text"
    help: str = ""
    empty: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None
    flag: str | None = None
    metavar: str | None = None
    on_page: bool = True
    offered: Callable[[], Mapping[str, str]] | None = None
    part: str | None = None

    def within(self, least: float | None = None, most: float | None = None) -> Option:
        """The same with a trainer's own bounds."""
        return replace(self, least=least, most=most)

    @property
    def command_line(self) -> str:
        return f"--{self.flag or self.name.replace('_', '-')}"

    @property
    def bounds(self) -> str:
        """Such as `from 1 to 50`, `above 0`, `of at most 64 characters`; empty: there are none."""
        if self.kind in ("text", "lines"):
            return "" if self.most is None else f"of at most {self.most:,} characters"
        if self.above is not None:
            return f"above {self.above:g}"
        if self.least is not None and self.most is not None:
            return f"from {self.least:,} to {self.most:,}"
        return "" if self.least is None else f"of at least {self.least:,}"

    def why_not_from_others(self, value: object) -> str | None:
        """A sentence why nobody but the people of this machine may say that; None: others may."""
        if self.offered is not None and value not in (offered := self.offered()):
            return f"{self.label} is one that this server names: {', '.join(offered) or 'none'}."
        return None if self.on_page else f"{self.label} is chosen on the command line alone."

    def check(self, value: object, trainer: str) -> None:
        """Raises TrainingError for a value that is not of its kind and within its bounds."""
        if self._is_valid(value):
            return
        what = {
            "whole": "a whole number", "number": "a number", "text": "a text", "lines": "a text",
            "choice": f"one of {', '.join(value for value, _ in self.choices)}",
            "meanings": "an object of texts", "object": "an object",
        }[self.kind]  # fmt: skip
        why = f"must be {' '.join([what, self.bounds]).strip()} for {trainer}, not {value}"
        if isinstance(value, str) and self.most is not None:
            why = f"has {len(value):,} characters, and {trainer} takes {self.most:,} at most"
        raise TrainingError(f"The option {self.name} {why}.", fields=(self.name,))

    def _is_valid(self, value: object) -> bool:
        within = Range(self.least, self.most, self.above)
        if self.kind == "meanings":
            return isinstance(value, Mapping) and all(isinstance(v, str) for v in value.values())
        if self.kind == "object":
            return isinstance(value, Mapping)
        if self.kind == "choice":
            return value in [choice for choice, _ in self.choices]
        if self.kind in ("text", "lines"):
            return isinstance(value, str) and len(value) in within
        types = (int,) if self.kind == "whole" else (int, float)
        return isinstance(value, types) and not isinstance(value, bool) and value in within


def _offered(form: Form) -> Mapping[str, str]:
    from .encoders.known import offered_encoders

    found = offered_encoders(form).items()
    return {title: f"{title}, {bytes_text(files.size)}" for title, files in found}


MODEL = Option(
    "model", "Model", help="The service's model: to fine-tune, to prompt, or for vectors."
)
MODEL_TO_TUNE = replace(MODEL, label="Model to fine-tune", help="")
MODEL_TO_ASK = replace(MODEL, label="Model to prompt", help="")
EMBEDDING_MODEL = replace(MODEL, label="Embedding model", help="")
DIMENSIONS = Option(
    "dimensions",
    "Dimensions",
    "whole",
    "Length of the vectors, for models that can shorten them.",
    empty="as many as the model has",
    least=1,
    most=4_096,
)
EMBEDDINGS = Option(
    "embeddings",
    "Static embedding model",
    help="Folder or hub name of a static embedding model (model2vec), to try beside TF-IDF.",
    metavar="MODEL",
    offered=partial(_offered, "static"),
)
EMBEDDINGS_BESIDE = replace(
    EMBEDDINGS,
    help="Helps most with few rows; the vectors are stored with the classifier.",
    empty="none",
)
ENCODER = Option(
    "encoder",
    "Sentence encoder",
    help="Folder or installed package of a sentence encoder: ONNX, or weights to fine-tune.",
    metavar="MODEL",
    offered=partial(_offered, "onnx"),
)
ENCODER_BESIDE = replace(
    ENCODER,
    help="Helps more than static vectors, is slower, and is also needed to answer.",
    empty="none",
)
ENCODER_TO_TUNE = replace(
    ENCODER,
    help="",
    empty="the first in the setting encoder that has weights",
    offered=partial(_offered, "weights"),
)
ENCODER_OF_NAMES = replace(ENCODER, help="", empty="the one that was used last on this machine")
EPOCHS = Option(
    "epochs",
    "Epochs",
    "whole",
    "Passes over the training examples.",
    empty="chosen by the number of rows",
    least=1,
)
BATCH_SIZE = Option(
    "batch_size", "Batch size", "whole", "Examples per step.", "the service chooses", least=1
)
LEARNING_RATE = Option(
    "learning_rate",
    "Learning-rate multiplier",
    "number",
    "1 is the service's own learning rate.",
    "the service chooses",
    above=0,
)
SUFFIX = Option("suffix", "Suffix of the model's name", help="Part of the fine-tuned model's name.")
WANDB = Option(
    "wandb",
    "Project at Weights & Biases",
    help="Report to a project at Weights & Biases.",
    metavar="PROJECT",
    on_page=False,
)
FORM = Option(
    "form",
    "Format of the examples",
    "choice",
    empty="what suits the model",
    choices=(("chat", "chat"), ("completion", "completion")),
    part="form",
)
LABELS_AS = Option(
    "labels_as",
    "Labels as",
    "choice",
    "Answers are labels, or numbers that are one token each.",
    empty="what suits them",
    choices=(("text", "text"), ("code", "codes: numbers of one token each")),
    part="labels",
)
MULTILABEL_AS = Option(
    "multilabel_as",
    "Several labels as",
    "choice",
    "Several labels as a JSON array, or as 0s and 1s in a fixed order.",
    empty="array",
    choices=(("array", "array"), ("flags", "flags: a 0 or 1 for each label")),
    part="multilabel",
)
SYSTEM = Option(
    "system", "System message", "lines", empty="one that lists the labels", part="system"
)
DESCRIPTIONS = Option(
    "descriptions",
    "What the labels mean",
    "meanings",
    "A label, and what it means (or nothing), for a model that is not trained.",
    flag="describe",
)
EXTRA = Option(
    "extra",
    "Further fields",
    "object",
    "Further fields of the request that creates the training.",
    on_page=False,
)
FORMAT = (FORM, LABELS_AS, MULTILABEL_AS, SYSTEM)


_FIRST = (
    "seed", "embeddings", "model", "epochs", "batch_size", "learning_rate", "suffix", "wandb",
    "format", "descriptions", "extra",
)  # fmt: skip
"""What every job stores: never add to it."""


def _declared(*options: Option, default: Any = None) -> Any:
    """A field that holds the value of one option, or the parts that several are."""
    more = {"default": default} if default is None else {"default_factory": default}
    return field(metadata={"options": options}, **more)


@dataclass(frozen=True)
class TrainerOptions:
    """What was said to a trainer; None, or empty: nothing. It ignores nothing silently:
    `base.check_options` raises TrainingError for an option that is none of its own.

    seed:   of everything random
    format: `ExportFormat.to_dict()` of prompts and answers, or some of its fields
    own:    of options that only this trainer has, by name
    """

    seed: int = 0
    embeddings: str | None = _declared(EMBEDDINGS)
    encoder: str | None = _declared(ENCODER)
    model: str | None = _declared(MODEL)
    dimensions: int | None = _declared(DIMENSIONS)
    epochs: int | None = _declared(EPOCHS)
    batch_size: int | None = _declared(BATCH_SIZE)
    learning_rate: float | None = _declared(LEARNING_RATE)
    suffix: str | None = _declared(SUFFIX)
    wandb: str | None = _declared(WANDB)
    format: Mapping[str, Any] | None = _declared(*FORMAT)
    descriptions: Mapping[str, str] = _declared(DESCRIPTIONS, default=dict)
    extra: Mapping[str, Any] = _declared(EXTRA, default=dict)
    own: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, Any], seed: int = 0) -> TrainerOptions:
        """From what was said, by the options' names."""
        said = {name: value for name, value in values.items() if value not in (None, {})}
        taken: dict[str, Any] = {o.name: said.pop(o.name) for o in _PLAIN if o.name in said}
        parts = {str(o.part): said.pop(o.name) for o in FORMAT if o.name in said}
        return cls(seed, format=parts or None, own=said, **taken)

    def said(self) -> Iterator[tuple[str, Any]]:
        """(name of the option, value) of all that was said."""
        parts = self.format or {}
        values = [(option.name, getattr(self, option.name)) for option in _PLAIN]
        values += [(option.name, parts.get(option.part or "")) for option in FORMAT]
        values += self.own.items()
        return ((name, value) for name, value in values if value not in (None, {}))

    def to_dict(self) -> dict[str, Any]:
        """As a job stores them. By these words an unfinished job of an earlier version is known to
        be the same, and is not paid for again: so what that did not know is there only if it was
        said."""
        said = asdict(self).items()
        return {n: value for n, value in said if n in _FIRST or value not in (None, {})}


DECLARED: tuple[Option, ...] = tuple(
    option for f in fields(TrainerOptions) for option in f.metadata.get("options", ())
)
"""The options that may be several trainers', in order."""

_PLAIN = [option for option in DECLARED if option.part is None]


def without_folders(name: str) -> str:
    """The name of an encoder, or of vectors, for others than the people of this machine."""
    return "+".join(Path(part).name for part in name.split("+"))


def stored_at(option: Option) -> str:
    """Where the settings of a job have its value: keys, with dots between them."""
    if option.part is not None:
        return f"options.format.{option.part}"
    return f"options.{option.name}" if option in _PLAIN else f"options.own.{option.name}"
