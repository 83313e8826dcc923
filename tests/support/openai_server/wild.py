"""What models answer that were never tuned: a guess from words that text and labels share."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

HELPLESS = "I'm sorry, I need more context to help with that."


def listed_labels(instructions: str) -> list[tuple[str, str]]:
    """(answer, name) of each label in a system message: lines below one that ends in a colon,
    plain or as `code = name`; or what follows `labels:` on its line."""
    lines = [line.strip().removeprefix("- ") for line in instructions.splitlines()]
    heads = [i for i, line in enumerate(lines) if line.endswith(":")]
    if heads:
        below = [line for line in lines[heads[-1] + 1 :] if line]
    else:
        match = re.search(r"(?:labels|categories|classes)\b[^:]*:(.+)", instructions, re.I)
        below = [part.strip(" .'\"") for part in match[1].split(",")] if match else []
    pairs = (line.partition(" = ") for line in below)
    return [(code, name or code) for code, _, name in pairs]


def guess(text: str, names: Sequence[str], sharpness: float = 1.5) -> np.ndarray:
    """Probabilities of the names, (K,), by the words that they share with the text."""
    words = _words(text)
    scores = np.array([sharpness * len(_words(name) & words) for name in names])
    odds = np.exp(scores - scores.max())
    return np.asarray(odds / odds.sum())


def _words(text: str) -> set[str]:
    # The first letters stand for the word in all its forms.
    return {word[:5] for word in re.findall(r"\w{3,}", text.casefold())}
