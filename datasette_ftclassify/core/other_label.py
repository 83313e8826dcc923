"""The part of a task that says which unlabelled rows count as a label of their own."""

from __future__ import annotations

from dataclasses import dataclass

from .untrusted_json import JsonObject


@dataclass(frozen=True)
class Other:
    """Unlabelled rows that count as one label more: what is none of the others (see `other_class`).

    where: the condition that they meet, SQL, with the task's parameters
    """

    label: str
    where: str

    @classmethod
    def from_stored(cls, data: JsonObject | None) -> Other | None:
        """From the JSON of a task; None where there is none. Raises KeyError or TypeError for
        anything else."""
        if data is None:
            return None
        label, where = data["label"], data["where"]
        if not isinstance(label, str) or not isinstance(where, str):
            raise TypeError(data)
        return cls(label, where)
