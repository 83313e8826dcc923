"""The default system message: what a chat model is told to do before each text."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..core.labels import LabelSet

MAX_LISTED = 50
"""With more labels than this, or more characters, a list costs more in every example than it
helps: the model learns the labels from the examples."""
MAX_LISTED_CHARACTERS = 2_000


def system_message(labels: LabelSet, *, codes: Sequence[str] | None, flags: bool) -> str:
    """States the task and lists the labels, with their codes where answers are codes."""
    names = [_plain(name) for name in labels.names]
    few = len(names) <= MAX_LISTED and sum(map(len, names)) <= MAX_LISTED_CHARACTERS
    sentence = f"Classify the text. Answer with {_answer(labels, codes is not None, flags)}"
    if not few:
        return f"{sentence}, and nothing else."
    if codes is not None and not flags:
        names = [f"{code} = {name}" for code, name in zip(codes, names, strict=True)]
    return "\n".join([f"{sentence}, and nothing else. The labels:", *names])


def _answer(labels: LabelSet, coded: bool, flags: bool) -> str:
    if flags:
        return (
            f"{len(labels)} digits, one for each label in order, 1 if it applies and 0 if it does "
            "not"
        )
    what = "number" if coded else "label"
    if labels.exclusive:
        return "the number of its label" if coded else "its label"
    which = f"{what}s of the labels" if coded else "labels"
    return f"a JSON array of the {which} that apply, [] if none does"


def _plain(name: str) -> str:
    """A label on one line; in quotes where its edges or characters would not show."""
    shows = name.isprintable() and name == name.strip() and name
    return name if shows else json.dumps(name)
