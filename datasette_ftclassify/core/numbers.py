"""The numbers that people may type: each range is declared once, and the command line, forms and
the JSON API read them alike, with the same words for what they refuse."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .humanize import shortened


@dataclass(frozen=True)
class Range:
    """Numbers from `least` to `most`, or above `above`; None: no bound.

    example: that helps where people have to guess a form
    percent: `5%` is read as 0.05
    """

    least: float | None = None
    most: float | None = None
    above: float | None = None
    whole: bool = False
    example: str = ""
    percent: bool = False

    @property
    def said(self) -> str:
        """Such as `a number from 0 to 1`."""
        said = "a whole number" if self.whole else "a number"
        if self.above is not None:
            said += f" above {self.above:g}"
            said += "" if self.most is None else f" and up to {self.most:g}"
        elif self.least is not None and self.most is not None:
            said += f" from {self.least:g} to {self.most:g}"
        elif self.least is not None:
            said += f" of at least {self.least:g}"
        return said + (f", such as {self.example}" if self.example else "")

    def __contains__(self, number: float) -> bool:
        return math.isfinite(number) and not (
            (self.least is not None and number < self.least)
            or (self.most is not None and number > self.most)
            or (self.above is not None and number <= self.above)
        )

    def read(self, text: str) -> float | int | None:
        """The number that was typed; None for a text that is none of the range."""
        try:
            number = int(text) if self.whole else self._float(text)
            return number if number in self else None
        except (ValueError, OverflowError):  # the latter for whole numbers of hundreds of digits
            return None

    def _float(self, text: str) -> float:
        if self.percent and text.strip().endswith("%"):
            return float(text.strip()[:-1]) / 100
        return float(text)

    def refusal(self, name: str, text: str) -> str:
        """What is said about a text that is none of the range."""
        return f"{name} must be {self.said}, not {shortened(text, 40)}."


SHARE = Range(0, 1)
NUMBER, WHOLE = Range(), Range(whole=True)
LIMIT_USD = Range(above=0, example="5 or 0.50")
WRONG_SHARE = Range(above=0, most=0.5, example="0.05 or 5%", percent=True)
"""Of answers: more wrong ones are not worth a promise."""
LABEL_SHARE = Range(above=0, most=0.999, example="0.8 or 80%", percent=True)
"""A precision or recall that is asked for."""
AGREED_USD = Range(0)
