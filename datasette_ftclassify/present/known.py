"""What pages and commands say of a text that is unlike those that a classifier was trained on."""

from __future__ import annotations

from ..core.humanize import percent
from ..core.prediction import UNLIKE
from ..core.untrusted_json import JsonObject

UNMEASURED = "How familiar the text is, is not known: train a new version to see it."
"""Of a local classifier from an earlier version, or of one that had too few rows to hold out."""


def known_sentence(answer: JsonObject, *, measurable: bool) -> str | None:
    """What to say beside an answer, as ft_classify_json gives it; None of a text that is like the
    training rows, and of an error.

    measurable: classifiers of its trainer may say how much they know a text
    """
    if "error" in answer:
        return None
    known = answer.get("known")
    if known is None:
        return UNMEASURED if measurable else None
    if known >= UNLIKE:
        return None
    share = percent(known) if known else "none"
    return (
        "This text is unlike the training rows, so the answer may mean nothing: "
        f"{share} of the training rows looked less familiar."
    )
