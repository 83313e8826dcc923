"""What a trainer is, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..core.errors import TrainingError
from ..core.labels import LabelSet
from ..core.prediction import Predictor
from ..core.training_report import Header
from ..core.untrusted_json import JsonObject
from .options import Option, without_folders
from .options import TrainerOptions as TrainerOptions

if TYPE_CHECKING:
    import numpy as np

Progress = Callable[[str, float], None]
"""Called with what is being done and how far along it is, 0-1."""


def no_progress(step: str, share: float) -> None:
    """For callers that show no progress."""


def within(report_progress: Progress, low: float, high: float) -> Progress:
    """For a part of the work: its shares from 0 to 1 are those of the whole from low to high."""
    return lambda step, share: report_progress(step, low + share * (high - low))


@dataclass(frozen=True)
class Taught:
    """Texts without a label, with what another classifier, the teacher, answers for them.

    chances: float (m, K), the probability of each label, 0 to 1, in the order of the label set
    teacher: its title
    """

    texts: Sequence[str]
    chances: np.ndarray
    teacher: str


@dataclass(frozen=True)
class TrainingSet:
    """Rendered examples: texts, their labels' positions, and the labels.

    targets: as `LabelKind.as_array` has them: int (n,) where labels exclude each other, else
             0 or 1 (n, K)
    sample:  texts of the source, labelled or not, where the trainer needs no examples
    chosen:  bool (n,), rows that have a label because a review queue chose them for what a model
             said of them: they teach, and nothing is calibrated or measured with them; None: none
    taught:  learnt from beside the examples, where cross-validation finds that it helps
    validation: bool (n,), rows of the validation split, which a trainer holds out that validates by
             one split; None: it is not known. Others learn from them, too
    noted:   called with what each epoch came to, when it has ended, by a trainer that has epochs;
             one that goes on after it was killed calls it with those before, too
    """

    texts: Sequence[str]
    targets: np.ndarray
    labels: LabelSet
    sample: Sequence[str] = ()
    chosen: np.ndarray | None = None
    taught: Taught | None = None
    validation: np.ndarray | None = None
    noted: Callable[[dict[str, float]], None] = lambda point: None


@dataclass(frozen=True)
class HeldOut:
    """Answers for m rows of a training set by models that had not seen them, as cross-validation
    makes them. Nothing that was fitted on a row's own answer (a calibration, thresholds) is in it;
    only the choice of the model was made on these rows.

    rows:     int (m,), their positions in the training set, ascending, each once
    logprobs: float (m, K), natural logarithms of each label's probability
    chosen:   bool (m, K), the labels that are given, of which a row may have several; None: the
              most probable one
    groups:   int (m,), the same for rows whose texts are equal or near copies
    learnt:   bool (m,), whether the row's labels were in what its model was trained on: otherwise
              it could not be right
    """

    rows: np.ndarray
    logprobs: np.ndarray
    chosen: np.ndarray | None
    groups: np.ndarray
    learnt: np.ndarray


@dataclass(frozen=True)
class Trained:
    """The outcome of a training in this process: a predictor, its storable form, a report for
    people, and what cross-validation answered, where there was one.

    trainer: whose classifier it is, where that is another's than the one that was asked
    stored:  called once the classifier is in a database
    """

    predictor: Predictor
    header: Header
    parts: Mapping[str, bytes]
    report: JsonObject
    held_out: HeldOut | None = None
    trainer: str | None = None
    stored: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Limits:
    """What a trainer takes; None: no limit, or not known.

    examples:   the fewest training rows
    file_bytes: of one training file
    """

    examples: int = 2
    file_bytes: int | None = None


@dataclass(frozen=True)
class Capabilities:
    """What a trainer can do, and what it takes. Commands and pages follow this, not names.

    trains:             makes a model of its own from examples; False: prompts a ready one
    needs_examples:     cannot work without labelled rows
    scores_every_label: its answers carry a probability for each label
    leaves_machine:     texts are sent somewhere else
    costs_money:        training or answering is paid for
    says_anything:      answers are text, and may lie outside the label set
    batch:              takes many requests at once, for less money and within a day
    cancels:            a training can be ended while it runs
    deploys:            a trained model answers once somebody has deployed it, under a name that is
                        then given
    learns_here:        the service says something of the texts, without their labels, and what is
                        trained is trained in this process, see `EmbeddingsTrainer`
    slow:           a training in this process takes minutes for a thousand rows
    """

    trains: bool
    needs_examples: bool
    scores_every_label: bool
    leaves_machine: bool
    costs_money: bool
    says_anything: bool = False
    batch: bool = False
    cancels: bool = True
    deploys: bool = False
    learns_here: bool = False
    slow: bool = False
    limits: Limits = Limits()


PROMPTS = Capabilities(
    trains=False,
    needs_examples=False,
    scores_every_label=True,
    leaves_machine=True,
    costs_money=True,
    says_anything=True,
    limits=Limits(examples=0),
)
"""Of a service that prompts a ready model."""


class Trainer(Protocol):
    """What every trainer says of itself. It is besides either a `Learner` (in this
    process) or a `Service` (somewhere else, see `service`).

    name:  short, lower case, unique; stored with every classifier it makes
    title: for people, one line
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...


@runtime_checkable
class Learner(Trainer, Protocol):
    """A trainer that works in this process: from a training set to a predictor, and from a stored
    one back."""

    def train(
        self, data: TrainingSet, options: TrainerOptions, progress: Progress = no_progress
    ) -> Trained:
        """Raises TrainingError when the data do not suffice."""

    def load(self, header: Header, parts: Mapping[str, bytes]) -> Predictor:
        """From what `Trained` held, after a way through a file that anyone may have written.

        Raises ArtifactError when it is damaged.
        """


@runtime_checkable
class MeasuresKnown(Protocol):
    """What a learner may be besides: one whose predictors tell texts of other kinds (see
    `core.prediction.Recognizer`)."""

    def measures_known(self, header: Header) -> bool:
        """Whether the classifier with this header does; it may have been trained before that."""


@runtime_checkable
class TakesOptions(Protocol):
    """What a trainer may be besides: one that lists the options that it takes, in the order of a
    page. One that is not takes no options but the seed."""

    @property
    def options(self) -> Sequence[Option]: ...


@runtime_checkable
class UsesEncoder(Protocol):
    """What a trainer may be besides: one that needs a sentence encoder of this machine."""

    def encoder_title(self, options: TrainerOptions) -> str:
        """The one that would be used, without its folder. Raises TrainingError for none."""


@runtime_checkable
class ChecksOptions(Protocol):
    """What a trainer may be besides: one that looks at the options together before a job is
    noted."""

    def check_options(self, options: TrainerOptions) -> None:
        """Raises TrainingError for options that do not go together."""


def options_of(trainer: Trainer) -> dict[str, Option]:
    """The options that a trainer takes, by name."""
    options = trainer.options if isinstance(trainer, TakesOptions) else ()
    return {option.name: option for option in options}


def check_taken(trainer: Trainer, options: TrainerOptions) -> None:
    """Raises TrainingError for an option that the trainer does not take, or takes otherwise."""
    taken = options_of(trainer)
    for name, value in options.said():
        if name not in taken:
            raise TrainingError(
                f"The option {name} means nothing to the trainer {trainer.name}: leave it out.",
                fields=(name,),
            )
        taken[name].check(value, trainer.name)


def check_from_file(trainer: Trainer, options: TrainerOptions) -> None:
    """For options of a training that came with a database file. Raises TrainingError for what a
    page would not take: a model in a folder that nobody here named, or what a service is told
    beside the rows."""
    from .encoders.known import named_here

    taken = options_of(trainer)
    for name, value in options.said():
        option = taken.get(name)  # check_taken refuses the others
        if option is None or (why := option.why_not_from_others(value)) is None:
            continue
        said = str(value)
        if option.offered is not None:
            if named_here(said):
                continue
            said = without_folders(said)
        raise TrainingError(
            "Nobody on this machine has agreed to this training, which came with the file and has "
            f"as {option.label}: {said[:100]}. {why} To use that, train again on the command line, "
            "and name it there.",
            fields=(name,),
        )


def usual_encoder_of(trainer: Trainer) -> str | None:
    """The encoder that a trainer uses where none is named; None: it uses none, or knows none."""
    if not isinstance(trainer, UsesEncoder):
        return None
    try:
        return trainer.encoder_title(TrainerOptions())
    except TrainingError:
        return None


def check_options(trainer: Trainer, options: TrainerOptions) -> None:
    """Before anything is noted or sent. Raises TrainingError."""
    check_taken(trainer, options)
    if isinstance(trainer, ChecksOptions):
        trainer.check_options(options)
