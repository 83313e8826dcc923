"""Options and commands within a text."""

from __future__ import annotations

import re

OPTION = re.compile(r"(?<![\w\-<{])--[a-z][a-z-]*")
COMMAND = re.compile(
    r"\bftclassify (train|check|predict|evaluate|export|ask|move|work|jobs|classifiers|demo)\b"
)
OURS = re.compile(r"--(ft-|(low|high|share):)|var\(--[a-z-]+\)")
"""Names of custom properties of CSS."""


def words_of_the_terminal(text: str) -> list[str]:
    text = OURS.sub("", text)
    return OPTION.findall(text) + [found[0] for found in COMMAND.finditer(text)]
