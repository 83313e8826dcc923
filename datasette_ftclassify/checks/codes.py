"""What every finding is called: its code, how grave it can be, what it means, what to do about it.

A code is a promise: scripts compare it and pages link to it. Each is declared where its check is
(`registry.check`), a finding can be made with no other, and the tables of docs/checks.md are made
from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
ERROR: tuple[Severity, ...] = ("error",)
WARNING: tuple[Severity, ...] = ("warning",)
INFO: tuple[Severity, ...] = ("info",)
GRAVE: tuple[Severity, ...] = ("error", "warning")
MILD: tuple[Severity, ...] = ("warning", "info")
ANY: tuple[Severity, ...] = SEVERITIES


class Section(Enum):
    """What a check is about, in the order in which checks run and are documented."""

    AMOUNTS = "Amounts"
    CELLS = "Cells"
    LABELS = "Labels"
    COPIES = "The same text twice"
    SPLITS = "Splits"
    MODEL = "The model and its provider"
    PRIVATE = "Private data"
    DEEP = "Deep checks"


@dataclass(frozen=True)
class Code:
    """One thing that can be found.

    severities: those a finding of this code may have, gravest first
    meaning:    what was found, for any table
    advice:     what to do next; a finding may have a fuller one, with words of its table
    stops:      which jobs an error of this code stops: any, those that train, or those that train
                on examples
    hides_deep: whether a search for wrong labels and leaks would say nothing beside it
    """

    name: str
    severities: tuple[Severity, ...]
    meaning: str
    advice: str
    stops: Literal["any", "training", "examples"] = "any"
    hides_deep: bool = False


CODES: dict[str, Code] = {}
"""All codes by name, once `datasette_ftclassify.checks` is imported."""


def stopping(*jobs: Literal["any", "training", "examples"]) -> frozenset[str]:
    """Names of the codes whose errors stop such jobs."""
    return frozenset(name for name, code in CODES.items() if code.stops in jobs)
