"""Numbers in few words: quartile-like figures and the bars of a histogram."""

from __future__ import annotations

from array import array
from bisect import bisect_right

from .report_data import LengthBin, Lengths

_BARS = 20
_NICE = (1, 2, 5)


def distribution(numbers: array[int]) -> Lengths | None:
    """Minimum, median, 95th percentile (nearest rank), maximum and bins; None without numbers.

    Bins are of one width, a round number, and reach a little beyond the 95th percentile; the last
    one is open, since a few very long texts would otherwise leave one bar for all the rest.
    """
    if not numbers:
        return None
    ordered = sorted(numbers)
    last = len(ordered) - 1
    p95 = ordered[min(last, int(0.95 * len(ordered)))]
    return {
        "min": ordered[0],
        "median": ordered[last // 2],
        "p95": p95,
        "max": ordered[-1],
        "bins": _bins(ordered, p95),
    }


def _bins(ordered: list[int], p95: int) -> list[LengthBin]:
    width = _nice(p95 * 1.2 / _BARS)
    edges = [width * i for i in range(_BARS)]
    edges = [edge for edge in edges if edge <= ordered[-1]] or [0]
    starts = [bisect_right(ordered, edge - 1) for edge in edges] + [len(ordered)]
    return [
        {
            "from": edge,
            "to": edges[i + 1] if i + 1 < len(edges) else None,
            "count": starts[i + 1] - starts[i],
        }
        for i, edge in enumerate(edges)
    ]


def _nice(width: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50 … that is not below `width`."""
    unit = 1
    while True:
        for factor in _NICE:
            if factor * unit >= width:
                return factor * unit
        unit *= 10
