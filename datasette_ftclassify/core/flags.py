"""What a cell says that is yes or no."""

from __future__ import annotations

import re

_ON = (
    "1", "true", "t", "yes", "y", "on", "x", "+", "\u2713", "\u2714", "\u2611", "\u2705",
    "ja", "j", "wahr", "oui", "vrai", "si", "s\u00ed", "verdadero", "s\u00ec", "vero", "sim",
    "verdadeiro", "waar", "\u0434\u0430", "\u0438\u0441\u0442\u0438\u043d\u0430", "\u662f",
    "\u306f\u3044",
)  # fmt: skip
_OFF = (
    "0", "false", "f", "no", "n", "off", "-", "\u2013", "\u2014", "\u2717", "\u2718", "\u274c",
    "\u2610", "\u2b1c", "nein", "falsch", "nee", "non", "faux", "falso", "n\u00e3o", "nao",
    "onwaar", "\u043d\u0435\u0442", "\u043b\u043e\u0436\u044c", "\u5426", "\u3044\u3044\u3048",
)  # fmt: skip
_FLAGS = dict.fromkeys(_ON, True) | dict.fromkeys(_OFF, False)
_NUMBER = re.compile(r"(?:\+?1|[+-]?0)(?:[.,]0*)?(?:e[+-]?0+)?")


def flag(text: str) -> bool | None:
    """Whether a text without white space around it says yes: 1 and 0 as any program writes them,
    and the words and signs of forms and sheets in several languages. None for other texts, and for
    signs that say yes in one sheet and no in another, such as an empty circle."""
    if text in _FLAGS:  # nearly every cell
        return _FLAGS[text]
    word = text.lower().replace("\ufe0f", "")
    if _NUMBER.fullmatch(word):
        return "1" in word.split("e")[0]
    return _FLAGS.get(word)
