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
RESUMED = _event("resumed", "info", "A process goes on with it.", rows=_ROWS)
REQUESTED = _event("requested", "info", "Somebody asked to pause, resume, retry, cancel or run it.")
WAITS = _event("waits", "warning", "A worker may not run it, for the reason it names.")
NEW_ROWS = _event("new-rows", "info", "Rows came or were edited after it had finished.")
STARTED_OVER = _event("started-over", "warning", "It begins at the first row again.")
DIED = _event("died", "warning", "Its process died without saying why.")
LOST_REQUESTS = _event(
    "lost-requests", "warning", "Requests were under way when its process died; they count as paid."
)
PAUSED = _event("paused", "info", "It stopped, and can be resumed.")
CANCELLED = _event("cancelled", "info", "Somebody ended it.")
FAILED = _event("failed", "error", "It could not go on.")
FINISHED = _event("finished", "info", "It is done.")

ROWS_READ = _event("rows-read", "info", "The rows to learn from and to test with were read.")
STEP = _event("step", "info", "A training on this machine began a step.")
RECIPE = _event("recipe", "info", "Which recipe a training chose, and why.")
DOUBT = _event("doubt", "warning", "What a training says against its own rows or result.")
CHOSEN_ROWS = _event(
    "chosen-rows", "info", "Training rows that review queues chose measure and calibrate nothing."
)
CURVE = _event("learning-curve", "info", "Whether more labels would help.")
STORED = _event("stored", "info", "The classifier is in the file.")
CARRIED_OVER = _event(
    "carried-over", "info", "The minimum score of the version before goes on with this one, or not."
)

NOT_USED = _event(
    "not-used", "warning", "The version before stays in use, since the new one is not as good."
)
JUDGED_AGAIN = _event(
    "judged-again", "info", "The version before was evaluated on the same rows, to be compared."
)
NOT_JUDGED = _event("not-judged", "warning", "The version before could not be evaluated again.")

SERVICE = _event("service", "info", "What a service, or the trainer that asks it, said.", more=True)
FIGURES = _event(
    "figures",
    "info",
    "Losses and accuracies of a step of a training.",
    more=True,
    step="the step",
    total_steps="steps in all",
    train_loss="the loss on the training rows",
    valid_loss="the same on the validation rows",
)
LEFT_AT_SERVICE = _event(
    "left-at-service", "warning", "Something could not be deleted, paused or cancelled there."
)
ANOTHER_TRAINING = _event(
    "another-training", "warning", "A training that is paid for begins again."
)

BATCH_SENT = _event("batch-sent", "info", "A batch of requests is at the service.")
BATCH_ENDED = _event("batch-ended", "info", "A batch has ended, and its answers are stored.")
BATCHES_LEFT = _event(
    "batches-left", "warning", "Batches go on at the service, or their answers are not there yet."
)
LIMIT_REACHED = _event(
    "limit-reached", "warning", "A spending limit is reached; batches that were sent are awaited."
)
