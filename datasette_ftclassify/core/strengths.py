"""What a minimum score can promise about the answers that it lets through."""

from __future__ import annotations

STRENGTHS = {
    "likely": "about that share of the answers is wrong, by calibrated scores with a margin",
    "guaranteed": "no more are wrong, in nine of ten trainings, if new texts are like these rows",
    "fixed": "a score of your own, which promises nothing",
}
"""What each promises, in a line."""

PROMISES = ("likely", "guaranteed")
"""Those that are asked for a share of wrong answers."""
