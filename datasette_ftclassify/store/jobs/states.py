"""The states of a job, each declared once: what it means, what may be asked for in it, what comes
next. Actions, pages, commands and docs/jobs.md follow from it."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.job_events import CANCELLED, FAILED, FINISHED, PAUSED, EventKind


@dataclass(frozen=True)
class JobState:
    """means:      for the documents
    next:       what a page says comes next, or may be done
    actions:    what may be asked of a job in it
    unfinished: whether the same words lead to this job again, rather than to a new one
    active:     whether it runs, or soon will
    event:      what is noted when a job comes into it; None: that is noted elsewhere
    stored:     whether it stands in the job's row; else it follows from that
    """

    name: str
    means: str
    next: str
    actions: tuple[str, ...]
    unfinished: bool = False
    active: bool = False
    event: EventKind | None = None
    stored: bool = True


STATES: dict[str, JobState] = {
    state.name: state
    for state in (
        JobState(
            "queued",
            "waits for somebody to run it",
            "Waits for its turn.",
            ("pause", "cancel", "run"),
            unfinished=True,
            active=True,
        ),
        JobState(
            "running",
            "a process is running it, and renews its lease every two seconds",
            "",
            ("pause", "cancel", "run"),
            unfinished=True,
            active=True,
        ),
        JobState(
            "interrupted",
            "counts as running, but its process has ended",
            "Its process has ended. It continues by itself where it stopped.",
            ("pause", "cancel", "run"),
            unfinished=True,
            active=True,
            stored=False,
        ),
        JobState(
            "paused",
            "stopped on request or for the given reason, such as a limit",
            "Resume it to continue.",
            ("resume", "cancel"),
            unfinished=True,
            event=PAUSED,
        ),
        JobState("finished", "done, with its result", "", (), event=FINISHED),
        JobState(
            "failed",
            "could not continue, for the given reason",
            "Fix the problem, then retry: it continues where it stopped.",
            ("retry", "cancel"),
            unfinished=True,
            event=FAILED,
        ),
        JobState(
            "cancelled",
            "ended by somebody; what it wrote stays",
            "What it wrote stays. Retry it to continue.",
            ("retry",),
            event=CANCELLED,
        ),
    )
}

STORED = tuple(name for name, state in STATES.items() if state.stored)
UNFINISHED = tuple(name for name in STORED if STATES[name].unfinished)
ACTIVE = tuple(name for name in STORED if STATES[name].active)
"""Of jobs that run, or soon will."""

ACTIONS = {
    action: tuple(name for name in STORED if action in STATES[name].actions)
    for action in ("pause", "resume", "retry", "cancel", "run")
}
"""What may be asked of a job, and in which states."""


def ending(state: str) -> EventKind:
    """What is noted when a job comes to that state. Raises ValueError for one to which none comes
    by ending or stopping."""
    found = STATES.get(state)
    if found is None or found.event is None:
        raise ValueError(f"A job cannot end as {state}.")
    return found.event
