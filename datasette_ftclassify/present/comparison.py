"""A comparison of classifiers in words, which the page and the command share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.humanize import bytes_text, dollars, score

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from ..metrics.comparison import Difference, Estimate, LabelChange

LABELS = 10
"""Labels of a pair that are listed: those of which most is gained or lost."""


def figure(estimate: Estimate) -> str:
    """`0.833`; `–` where it is not known."""
    return "–" if estimate.value is None else score(estimate.value)


def interval(estimate: Estimate) -> str:
    """`0.704–0.913`; empty where it is not known."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{score(estimate.low)}–{score(estimate.high)}"


def gain(estimate: Estimate) -> str:
    """`+0.083 (−0.020 to +0.190)`."""
    if estimate.value is None:
        return "–"
    ends = ""
    if estimate.low is not None and estimate.high is not None:
        ends = f" ({signed(estimate.low)} to {signed(estimate.high)})"
    return signed(estimate.value) + ends


def signed(value: float) -> str:
    shown = f"{value:+.3f}"
    return ("0.000" if float(shown) == 0 else shown).replace("-", "−")


def cost(usd_per_1000: float | None) -> str:
    """Of 1,000 answers."""
    if usd_per_1000 is None:
        return "not known"
    return dollars(usd_per_1000) if usd_per_1000 else "free"


def where(local: bool | None, until: date | None) -> str:
    """Where a classifier answers, and until when if its model is retired one day."""
    place = {True: "on this machine", False: "at a service", None: "not known"}[local]
    return place if until is None else f"{place}, until {until.isoformat()}"


def size(count: int | None) -> str:
    return "–" if count is None else bytes_text(count)


def changes(difference: Difference) -> list[LabelChange]:
    """The labels that differ, as many as are listed."""
    return [c for c in difference.labels if c.gained or c.lost][:LABELS]


def baseline(labels: Iterable[str]) -> str:
    """What the baseline always answers."""
    names = (name if len(name) <= 60 else f"{name[:60]}…" for name in labels)
    return f"Always {' + '.join(f'“{name}”' for name in names) or 'no label'}"
