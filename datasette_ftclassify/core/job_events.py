"""What can happen in a job: each kind of event is declared here, once.

Whoever notes one names its kind; an undeclared kind, or a figure that its kind does not declare, is
refused. The kind is stored beside the event's words. Pages, commands and docs/jobs.md read what it
means and how much it matters from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Level = Literal["info", "warning", "error"]
Figures = Mapping[str, object]
"""What comes with an event, by name, as JSON; whoever reads one looks at its type first."""


@dataclass(frozen=True)
class EventKind:
    """level:  info: as it should be; warning: it goes on, but somebody should know; error: it ended
    means:  one sentence
    fields: the figures that come with it, by name, and what each is
    more:   whether other figures may come as well, as a trainer of another package has them
    """

    name: str
    level: Level
    means: str
    fields: Mapping[str, str] = field(default_factory=dict)
    more: bool = False

    def check(self, data: Figures | None) -> None:
        """Raises ValueError for what was not declared."""
        if EVENTS.get(self.name) is not self:
            raise ValueError(f"There is no kind of event called {self.name}: declare it.")
        unknown = set() if self.more else (data or {}).keys() - self.fields.keys()
        if unknown:
            raise ValueError(f"An event of the kind {self.name} has no {sorted(unknown)[0]}.")


EVENTS: dict[str, EventKind] = {}
"""All by name, in the order of docs/jobs.md."""


def level_of(kind: str | None) -> Level:
    """Of a stored event; those of earlier versions have no kind, and others may be unknown."""
    declared = EVENTS.get(kind or "")
    return "info" if declared is None else declared.level


def _event(name: str, level: Level, means: str, *, more: bool = False, **fields: str) -> EventKind:
    kind = EventKind(name, level, means, fields, more)
    EVENTS[name] = kind
    return kind


_ROWS = "rows that were done by then"

STARTED = _event("started", "info", "A process began to work on it.", rows=_ROWS)
RESUMED = _event("resumed", "info", "A process continues it.", rows=_ROWS)
REQUESTED = _event("requested", "info", "Somebody asked to pause, resume, retry, cancel or run it.")
WAITS = _event("waits", "warning", "A worker may not run it, for the given reason.")
NEW_ROWS = _event("new-rows", "info", "Rows were added or edited after it finished.")
STARTED_OVER = _event("started-over", "warning", "It starts again at the first row.")
DIED = _event("died", "warning", "Its process died without saying why.")
LOST_REQUESTS = _event(
    "lost-requests", "warning", "Requests were under way when its process died; they count as paid."
)
PAUSED = _event("paused", "info", "It stopped, and can be resumed.")
CANCELLED = _event("cancelled", "info", "Somebody ended it.")
FAILED = _event("failed", "error", "It could not continue.")
FINISHED = _event("finished", "info", "It is done.")

ROWS_READ = _event("rows-read", "info", "The rows to learn from and to test with were read.")
STEP = _event("step", "info", "A training on this machine began a step.")
RECIPE = _event("recipe", "info", "Which recipe a training chose, and why.")
DOUBT = _event("doubt", "warning", "A reason to doubt the training's rows or result.")
CHOSEN_ROWS = _event(
    "chosen-rows",
    "info",
    "Training rows chosen by review queues were left out of figures and calibration.",
)
CURVE = _event("learning-curve", "info", "Whether more labels would help.")
STORED = _event("stored", "info", "The classifier is in the file.")
CARRIED_OVER = _event(
    "carried-over", "info", "Whether the minimum score of the previous version was carried over."
)

NOT_USED = _event(
    "not-used", "warning", "The previous version stays in use, since the new one is not as good."
)
JUDGED_AGAIN = _event(
    "judged-again", "info", "The previous version was evaluated on the same rows, to compare both."
)
NOT_JUDGED = _event("not-judged", "warning", "The previous version could not be evaluated again.")

SERVICE = _event("service", "info", "A message from a service or its trainer.", more=True)
FIGURES = _event(
    "figures",
    "info",
    "Losses and accuracies at a step of the training.",
    more=True,
    step="the step",
    total_steps="steps in all",
    train_loss="the loss on the training rows",
    valid_loss="the same on the validation rows",
)
LEFT_AT_SERVICE = _event(
    "left-at-service",
    "warning",
    "Something could not be deleted, paused or cancelled at the service.",
)
ANOTHER_TRAINING = _event("another-training", "warning", "A paid training starts again.")

BATCH_SENT = _event("batch-sent", "info", "A batch of requests is at the service.")
BATCH_ENDED = _event("batch-ended", "info", "A batch has ended, and its answers are stored.")
BATCHES_LEFT = _event(
    "batches-left",
    "warning",
    "Batches continue at the service, or their answers are not ready yet.",
)
LIMIT_REACHED = _event(
    "limit-reached",
    "warning",
    "A spending limit is reached; the job waits for batches already sent.",
)
