"""The part of a task that says which unlabelled rows count as a label of their own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Other:
    """Unlabelled rows that count as one label more: what is none of the others (see `other_class`).

    where: the condition that they meet, SQL, with the task's parameters
    """

    label: str
    where: str
