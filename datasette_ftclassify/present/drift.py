"""What pages and commands say of rows that came after a training."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.humanize import counted, rows_text, score
from ..jobs.drift import Drift
from ..metrics.drift import DriftTest

_SAID = {
    "score": ("The scores", "are lower", "are not clearly lower"),
    "known": ("The texts", "are less like the training rows", "are as much like the training rows"),
    "answers": ("The labels", "are answered in other shares", "are answered about as often"),
}


def drift_summary(found: Drift) -> str:
    """What was found, in a sentence."""
    if found.problem is not None:
        return found.problem
    if not found.changed:
        return (
            f"No change was found: {counted(found.new, 'new text is', 'new texts are')} answered "
            f"about as the {rows_text(found.test)} of the test were."
        )
    return (
        f"The new rows are not like those of the test ({counted(found.new, 'new text')}, "
        f"{rows_text(found.test)} of the test): look at the examples, and label some of the new "
        "rows to train a new version."
    )


def drift_sentences(found: Drift) -> Iterator[str]:
    """What each test says."""
    for test in found.tests:
        what, changed, same = _SAID[test.what]
        yield f"{what} {changed if test.changed else same} ({_figures(test)})."


def drift_read(found: Drift) -> str:
    """Which rows were looked at."""
    rows = rows_text(found.read) if found.all_read else f"the newest {rows_text(found.read)}"
    return (
        f"Read {rows} of the table. Rows of the training and the test, and copies of them, are "
        "left out; near copies count once."
    )


def _figures(test: DriftTest) -> str:
    p = "p below 0.001" if test.p_value < 0.001 else f"p = {test.p_value:.3f}"
    if test.before is None or test.now is None:
        return p
    return f"median {score(test.now)}, on the test rows {score(test.before)}; {p}"
