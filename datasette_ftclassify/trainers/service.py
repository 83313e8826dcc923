"""The interface of a trainer whose models are at a service, reached over a network.

A training there outlives this process, so every request that must not be sent twice is written into
the training log before it is sent. A request is answered by an `InferenceResponse`, or fails in one
of three ways that its caller treats differently.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from ..core.errors import TrainingError
from ..core.job_events import SERVICE, EventKind, Figures
from ..core.labels import LabelSet
from ..core.training_report import Header, TrainingReport
from ..core.untrusted_json import JsonObject
from ..export import Codec, ExportFormat
from ..prompts.answer_parser import Answer
from ..prompts.price_table import PriceTable
from ..prompts.prices import load_prices
from ..prompts.token_scores import LabelScores
from .access import Endpoint
from .base import Trainer, TrainerOptions
from .options import MODEL, Option
from .service_errors import ServiceProblem
from .usage import Usage


@dataclass(frozen=True, slots=True)
class InferenceResponse:
    """A model's response to the request about one text.

    scores: of every label; None when the service gave none, or they do not say enough
    hold:   seconds for which the service wants no further request (its rate-limit headers)
    """

    answer: Answer
    scores: LabelScores | None
    usage: Usage
    hold: float | None = None


class InferenceClient(Protocol):
    """Sends texts to the model of one stored classifier. For one event loop.

    model: the name by which prices are looked up
    """

    @property
    def model(self) -> str: ...

    async def ask(self, text: str) -> InferenceResponse:
        """One request at most, without retries: it is counted as one, and may cost what `expected`
        said. Raises RowRejected, TryAgain (and AskAgain) or ServiceRefused."""

    def expected(self, text: str) -> Usage:
        """The tokens that a request about the text takes, at most, if it is sent next."""

    async def close(self) -> None: ...


@runtime_checkable
class OfUnknownModel(Protocol):
    """A client whose model may have a name that no price table knows, such as that of a deployment.
    What a database file says about the model behind it is not trusted.

    unknown_as: the host and the name; None: the name itself is enough
    """

    unknown_as: tuple[str, str] | None

    def stands_for(self, base: str) -> None:
        """Sets the model that the name stands for, so that `model` has a price."""


@dataclass(frozen=True)
class BatchState:
    """A batch at the service.

    status:  `running`, `ended` (some or all requests are answered: done, expired or cancelled) or
             `failed` (none is); `detail` says more in the service's words, `code` is its own
    results: the files in which answers and errors are found
    """

    status: str
    done: int
    total: int
    results: tuple[str, ...] = ()
    detail: str | None = None
    code: str | None = None


class BatchClient(Protocol):
    """Sends many requests in one file. Every method is one request or a few, without retries of
    what must not be done twice, and raises TryAgain or ServiceRefused.

    max_requests, max_bytes: of one batch
    """

    max_requests: int
    max_bytes: int

    @property
    def model(self) -> str:
        """As in `InferenceClient`."""

    def expected(self, text: str) -> Usage:
        """As in `InferenceClient`."""

    def line(self, key: str, text: str) -> bytes:
        """A request as a line of the file, line break included; its response has the `key`."""

    def upload(self, file: IO[bytes], name: str) -> str:
        """Sends the file from its beginning; gives the service's id of it."""

    def find_file(self, name: str) -> str | None:
        """The id of an uploaded file, if there is one."""

    def find(self, tag: str, file_id: str) -> str | None:
        """The id of the batch made with the tag or from the file, if there is one that was not
        refused."""

    def create(self, file_id: str, tag: str) -> str:
        """Starts a batch; gives its id."""

    def state(self, batch_id: str) -> BatchState: ...

    def cancel(self, batch_id: str) -> None: ...

    def read(self, file_id: str) -> Iterator[tuple[str, InferenceResponse | ServiceProblem]]:
        """Iterates over (key, response or problem) of a result file; empty when the file is
        gone."""

    def delete(self, file_id: str) -> None: ...

    def close(self) -> None: ...


class TrainingLog(Protocol):
    """The saved state of a training at a service, which outlives this process.

    state:  as last saved; JSON
    tag:    names this training and no other, also to the service
    wanted: `pause` or `cancel` when that was requested
    """

    @property
    def state(self) -> JsonObject: ...

    @property
    def tag(self) -> str: ...

    @property
    def wanted(self) -> str | None: ...

    def save(self, **changes: Any) -> None:
        """Commits the changes. Raises JobError when another process has taken the training over."""

    def event(
        self,
        message: str,
        *,
        data: Figures | None = None,
        key: str | None = None,
        kind: EventKind = SERVICE,
    ) -> None:
        """Notes what happened; a second event with the same key is not noted again.

        data: figures, such as {"step": 10, "train_loss": 0.3}
        """

    def report_progress(self, step: str, share: float) -> None:
        """Shows what is being done and how far along it is, 0-1."""

    def wait(self, seconds: float) -> None:
        """Waits so long, or until a pause or cancellation is requested."""

    def check(self) -> None:
        """Raises JobStopped when a pause or cancellation is requested, JobError when another
        process has taken the training over."""


@dataclass(frozen=True)
class TrainingSpec:
    """The settings of a training at a service.

    model:   to fine-tune (or to prompt, where nothing is trained)
    epochs:  times that every example is learnt from
    write:   writes the examples of a split (`train`, `validation`) as JSON lines into a folder;
             gives the file, None for a split without rows. Call it only when it is needed
    """

    model: str
    epochs: int
    labels: LabelSet
    codec: Codec
    options: TrainerOptions
    write: Callable[[str, Path], Path | None]


@dataclass(frozen=True)
class FineTunedModel:
    """The outcome of a training at a service.

    header:         JSON, what inference needs: the model, the format of prompts, and the host that
                    has the model. The host is compared with the one that the operator set, so that
                    no other is asked; where a key is sent is never read from a file
    report:         JSON, for people: checkpoints, curves, the service's ids, dates
    trained_tokens: what the service says it billed; None: it did not
    """

    header: Header
    report: JsonObject
    trained_tokens: int | None = None


@runtime_checkable
class Service(Trainer, Protocol):
    """A trainer that is reached over a network. Derive from this class: it has defaults for what
    most services have in common, and what is added later comes with one, too.

    default_model: the one to fine-tune, or to prompt, when none is named; None: one must be named
    options:       those that it takes, in the order in which a page has them; the model
    reached_as:    the name under which the operator configures how it is reached, unless it has an
                   entry of its own; its own name
    variables:     the environment variable of each field of its `Endpoint` that is read from there;
                   without one for `api_key` it needs no key. Its name with _API_KEY and _BASE_URL
    """

    @property
    def default_model(self) -> str | None:
        return None

    @property
    def reached_as(self) -> str:
        return self.name

    @property
    def options(self) -> Sequence[Option]:
        return (MODEL,)

    @property
    def variables(self) -> Mapping[str, str]:
        stem = re.sub(r"\W", "_", self.name).upper()
        return {"api_key": f"{stem}_API_KEY", "base_url": f"{stem}_BASE_URL"}

    def proposed_models(self, endpoint: Endpoint, day: date) -> Sequence[str]:
        """Models to propose to a person on a day, the usual one first: those that are known to be
        at the host and open; the default one, if there is any. Raises PriceError, AccessError."""
        model = self.default_model
        return [model] if model and self.why_closed(model, endpoint, day) is None else []

    def why_closed(self, model: str | None, endpoint: Endpoint, day: date) -> str | None:
        """Why a model can no longer be trained, or asked where nothing is trained, in a sentence;
        None while it can, as far as the price table knows. Without a model: why none can.
        Raises PriceError, AccessError."""
        table, trains = self.prices(endpoint), self.capabilities.trains
        if model is None:
            return table.training_over(day) if trains else None
        return table.why_closed(model if trains else self.priced_as(model), day, trains=trains)

    def prices(self, endpoint: Endpoint) -> PriceTable:
        """What its models cost, by the names that `priced_as` and `InferenceClient.model` give;
        the usual table, which the operator may have replaced. Raises PriceError, AccessError."""
        return load_prices().at(self.host(endpoint))

    def priced_as(self, model: str) -> str:
        """The name by which price tables know what it costs to ask a model, untrained."""
        return model

    def host(self, endpoint: Endpoint) -> str:
        """The host that requests go to, for people, and for the rule that they go to no other.
        Raises AccessError when the address is none."""
        return urlsplit(endpoint.base_url or "").netloc.lower() or self.title

    def console_url(self, host: str, what: str, name: str) -> str | None:
        """The page of the service on which people see a `job`, `file` or `batch` by its id, when it
        is at that host; None: there is none, or none that is known."""
        return None

    def shutdown_dates(self, endpoint: Endpoint) -> Mapping[str, date]:
        """The days from which its models answer no more, as the host says when it is asked, within
        a few seconds; none, unless it says such a thing. Raises ServiceProblem, AccessError."""
        return {}

    @abstractmethod
    def check(self, spec: TrainingSpec, endpoint: Endpoint) -> None:
        """Raises TrainingError or AccessError for what the service would refuse, without any
        request."""

    def epochs_for(self, rows: int) -> int:
        """The default number of epochs for so many training examples."""
        return 1

    def choose_format(self, labels: LabelSet, options: TrainerOptions) -> JsonObject:
        """The `ExportFormat.to_dict()` of a training: what the options say, else what suits the
        model; the usual one."""
        return dict(options.format or ExportFormat().to_dict())

    @abstractmethod
    def train(
        self, spec: TrainingSpec, training_log: TrainingLog, endpoint: Endpoint
    ) -> FineTunedModel:
        """Goes on from what the training log says, to the end.

        Raises TrainingError or ServiceProblem in the service's words with what to do, JobStopped
        when a pause or cancellation was requested (and has been passed on to the service).
        """

    @abstractmethod
    def inference_client(
        self, header: Header, labels: LabelSet, endpoint: Endpoint
    ) -> InferenceClient:
        """Raises ArtifactError for a damaged header, AccessError without a key."""

    def batch_client(self, header: Header, labels: LabelSet, endpoint: Endpoint) -> BatchClient:
        """As `inference_client`; where `capabilities.batch` says so."""
        raise TrainingError(f"The trainer {self.name} takes no batches: predict without one.")

    def delete_remote(
        self, header: Header, report: TrainingReport, endpoint: Endpoint
    ) -> list[str]:
        """Deletes the model and its files at the service; gives what was deleted, for people:
        nothing, where the model is the provider's own and the service keeps no file."""
        return []
