"""What pages and commands say of a text that is unlike those that a classifier was trained on."""

from __future__ import annotations

from ..core.humanize import percent
from ..core.prediction import UNLIKE


def unlike_sentence(known: float | None) -> str | None:
    """None of a text that is like them, or of which it was not measured.

    known: 0 to 1, see `core.prediction.Recognizer`
    """
    if known is None or known >= UNLIKE:
        return None
    share = percent(known) if known else "none"
    return (
        f"This text is unlike what the classifier was trained on, so its answer may mean nothing: "
        f"{share} of the training rows looked less familiar."
    )
