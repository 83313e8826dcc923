"""A training at the test server without a database: an order, and a training log in memory."""

from __future__ import annotations

import copy
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from killing import Killed
from openai_examples import examples
from openai_server import OpenAIServer

from datasette_ftclassify.core.errors import JobStopped
from datasette_ftclassify.core.job_events import SERVICE, EventKind
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.export import ExportFormat
from datasette_ftclassify.trainers.access import Endpoint
from datasette_ftclassify.trainers.base import TrainerOptions
from datasette_ftclassify.trainers.openai_protocol.trainer import OpenAITrainer
from datasette_ftclassify.trainers.service import FineTunedModel, TrainingSpec

LABELS = LabelSet(("Parks", "Roads", "Water"), "multiclass")
_BY_CODE = {"0": "Roads", "1": "Parks", "2": "Water"}
BOM = b"\xef\xbb\xbf"
ROWS = 12
SHORT = (0.001, 0.01)


class TrainingLog:
    """Keeps what a process would find after it was killed: what was saved, and the events.

    on_wait: called at each wait, with how many there have been
    dies_at: the call that kills, from 1
    """

    def __init__(self, tag: str | None = None) -> None:
        self.saved: dict[str, Any] = {}
        self.name = tag or uuid.uuid4().hex[:12]
        self.wish: str | None = None
        self.events: dict[str, tuple[str, dict[str, Any] | None]] = {}
        self.steps: list[tuple[str, float]] = []
        self.waits: list[float] = []
        self.calls = 0
        self.dies_at: int | None = None
        self.on_wait: Callable[[int], None] = lambda waits: None

    def _called(self) -> None:
        self.calls += 1
        if self.calls == self.dies_at:
            raise Killed

    @property
    def state(self) -> Mapping[str, Any]:
        return copy.deepcopy(self.saved)

    @property
    def tag(self) -> str:
        return self.name

    @property
    def wanted(self) -> str | None:
        return self.wish

    def save(self, **changes: Any) -> None:
        self._called()
        self.saved.update(copy.deepcopy(changes))
        self._called()

    def event(
        self,
        message: str,
        *,
        data: Mapping[str, Any] | None = None,
        key: str | None = None,
        kind: EventKind = SERVICE,
    ) -> None:
        self._called()
        self.events.setdefault(key or uuid.uuid4().hex, (message, dict(data) if data else None))

    def report_progress(self, step: str, share: float) -> None:
        self._called()
        assert 0 <= share <= 1
        self.steps.append((step, share))

    def wait(self, seconds: float) -> None:
        self._called()
        self.waits.append(seconds)
        self.on_wait(len(self.waits))
        if self.wish is None:
            time.sleep(0.002)  # the server's turn

    def check(self) -> None:
        self._called()
        if self.wish is not None:
            raise JobStopped(f"asked to {self.wish}")

    @property
    def messages(self) -> list[str]:
        return [message for message, _ in self.events.values()]

    @property
    def text(self) -> str:
        """Everything that was written into it."""
        return repr((self.saved, self.events, self.steps))


@dataclass
class Setting:
    """A training to be had from the server: what is ordered, by which trainer, and where."""

    server: OpenAIServer
    trainer: OpenAITrainer = field(default_factory=lambda: OpenAITrainer(poll=SHORT))
    model: str = "gpt-4.1-mini"
    epochs: int = 2
    rows: int = 30
    held_out: int = 12
    labels: LabelSet = LABELS
    options: TrainerOptions = field(default_factory=TrainerOptions)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(
            api_key=self.server.api_key, base_url=self.server.base_url, extra_body=self.extra_body
        )

    @property
    def order(self) -> TrainingSpec:
        options = replace(self.options, model=self.model)
        fmt = ExportFormat.from_dict(self.trainer.choose_format(self.labels, options))
        codec = fmt.bind(self.labels)

        def write(split: str, folder: Path) -> Path | None:
            self.written.append(split)
            n = self.rows if split == "train" else self.held_out
            if not n:
                return None
            lines = [codec.encode(text, (_BY_CODE[code],)) + "\n" for text, code in examples(n)]
            path = folder / f"{split}.jsonl"
            path.write_bytes((BOM if fmt.bom else b"") + "".join(lines).encode())
            return path

        return TrainingSpec(self.model, self.epochs, self.labels, codec, options, write)

    def train(self, training_log: TrainingLog) -> FineTunedModel:
        return self.trainer.train(self.order, training_log, self.endpoint)

    def created(self) -> list[dict[str, Any]]:
        """The bodies of the requests for a job."""
        return [
            r.json for r in self.server.log
            if (r.method, r.path) == ("POST", "/fine_tuning/jobs")
        ]  # fmt: skip


def is_whole(setting: Setting, tuned: FineTunedModel, training_log: TrainingLog) -> None:
    """One paid training, its model at the server, and nothing left over."""
    server = setting.server
    assert server.jobs_created == 1
    assert tuned.header["model"] in server.state.models
    purposes = sorted(file["purpose"] for file in server.state.files.values())
    sent = ["fine-tune"] * (2 if setting.held_out else 1)
    assert purposes == [*sent, "fine-tune-results"]
    assert tuned.report["curve"][-1]["step"] == setting.epochs * ROWS
    assert tuned.report["warnings"] == [f"{tuned.header['host']} says that this model stops on "
                                        "2099-01-14."]  # fmt: skip
    assert sum("Step " in message for message in training_log.messages) == len(
        tuned.report["curve"]
    )


def in_parts(server: OpenAIServer) -> Setting:
    """A file that goes in three parts or so."""
    trainer = OpenAITrainer(poll=SHORT, file_bytes=1000, part_bytes=1000)
    return Setting(server, trainer, rows=ROWS, held_out=0)
