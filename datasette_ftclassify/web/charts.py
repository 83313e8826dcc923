"""The coordinates of charts.

Charts are SVG and HTML made on the server, so that they are there without JavaScript, on a
published copy, and in a print. The drawing is in templates/ftclassify/pictures.html.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..metrics.counts import mistakes

if TYPE_CHECKING:
    from ..metrics.result import Bin

WIDTH, HEIGHT = 400.0, 230.0
"""Of every chart, in its own units; the page scales it."""

LEFT, RIGHT, TOP, BOTTOM = 52.0, 12.0, 26.0, 34.0
"""Margins for the axes' figures; above the chart stands what goes up."""

MATRIX_LABELS = 25
"""Labels of a confusion matrix that is still read at a glance; of more, the most confused ones."""


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, and what stands beside it."""

    at: float
    text: str


@dataclass(frozen=True)
class Axis:
    """A range of values along a side of a chart, from `start` to `end` in the chart's units."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[Tick, ...]

    @classmethod
    def across(cls, low: float, high: float, *, share: bool = False) -> Axis:
        return cls._with_ticks(low, high, LEFT, WIDTH - RIGHT, share, 6)

    @classmethod
    def up(cls, low: float, high: float, *, share: bool = False, whole: bool = False) -> Axis:
        """whole: of things that are counted, so that no tick stands at half a row"""
        return cls._with_ticks(low, high, HEIGHT - BOTTOM, TOP, share, 5, whole)

    @classmethod
    def _with_ticks(
        cls,
        low: float,
        high: float,
        start: float,
        end: float,
        share: bool,
        most: int,
        whole: bool = False,
    ) -> Axis:
        if not high > low:
            high = low + (abs(low) or 1.0)
        bare = cls(low, high, start, end, ())
        ticks = tuple(
            Tick(round(bare(value), 2), f"{value:.0%}" if share else figure(value))
            for value in nice_values(low, high, most)
            if not whole or value == int(value)
        )
        return cls(low, high, start, end, ticks)

    def __call__(self, value: float) -> float:
        """Where a value stands."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def nice_values(low: float, high: float, most: int) -> list[float]:
    """At most about `most` round numbers from low to high."""
    rough = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def figure(value: float) -> str:
    """A number as short as it may be said: 1,200 or 0.05."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:.4g}"


MOST_BARS = 500


@dataclass(frozen=True)
class Bar:
    """A row of a bar table. share: of the largest; rest: how many names it stands for, being the
    last of too many"""

    name: str
    count: int
    share: float | None
    rest: int = 0


def bars(counts: Mapping[str, int]) -> list[Bar]:
    """The largest first, and one for all beyond MOST_BARS."""
    items = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    largest = max(counts.values(), default=0) or 1
    rows = [Bar(name, count, count / largest) for name, count in items[:MOST_BARS]]
    others = [count for _, count in items[MOST_BARS:]]
    return [*rows, Bar("", sum(others), None, len(others))] if others else rows


@dataclass(frozen=True)
class HistogramBin:
    """How many values are from `start` on and below `end`; None: a last one, which is open."""

    start: float
    end: float | None
    count: int


@dataclass(frozen=True)
class Column:
    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Histogram:
    columns: list[Column]
    x: Axis
    y: Axis


def histogram(bins: Sequence[HistogramBin]) -> Histogram | None:
    """Of bins of one width. None when nothing was counted."""
    top = max((b.count for b in bins), default=0)
    if not top:
        return None
    low, high = _ends(bins)
    x, y = Axis.across(low, high), Axis.up(0, top, whole=True)
    width = (x.end - x.start) / len(bins)
    columns = [
        Column(
            x=round(LEFT + i * width, 2),
            y=round(y(b.count), 2),
            width=round(max(width - 1, 0.5), 2),
            height=round(y.start - y(b.count), 2),
            text=f"{span(b)}: {b.count:,}",
        )
        for i, b in enumerate(bins)
    ]
    if bins[-1].end is None and len(bins) > 1:  # what is beyond has no place of its own
        start, words = bins[-1].start, f"{figure(bins[-1].start)}+"
        kept = tuple(tick for tick in x.ticks if tick.at < x(start) - 2 * width)
        x = replace(x, ticks=(*kept, Tick(round(x(start) + width / 2, 2), words)))
    return Histogram(columns, x, y)


def _ends(bins: Sequence[HistogramBin]) -> tuple[float, float]:
    """Where bins of one width begin and end."""
    first, last = bins[0], bins[-1]
    if last.end is not None:
        return first.start, last.end
    width = (last.start - first.start) / (len(bins) - 1) if len(bins) > 1 else 1
    return first.start, last.start + width


def span(bin_: HistogramBin) -> str:
    """A bin's range in words."""
    if bin_.end is None:
        return f"{figure(bin_.start)} and more"
    return f"{figure(bin_.start)} to {figure(bin_.end)}"


@dataclass(frozen=True)
class Line:
    """Of a chart with several; `points` as SVG has them."""

    name: str
    points: str
    number: int


@dataclass(frozen=True)
class Lines:
    """bands: as polygons; marks: where on the x axis"""

    x: Axis
    y: Axis
    lines: list[Line]
    bands: list[str]
    marks: list[float]


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    marks: Sequence[float] = (),
    share: bool = False,
    bands: Mapping[str, Sequence[tuple[float, float, float]]] | None = None,
) -> Lines | None:
    """A line for each series of (x, y), and vertical marks at some x. None without two points.

    share: the values are parts of 1, and the axis goes from 0 to 1
    bands: (x, low, high) around a series, such as a 95% interval
    """
    points = [p for line in series.values() for p in line if _finite(*p)]
    if len({x for x, _ in points}) < 2:
        return None
    xs = [x for x, _ in points]
    ys = [y for _, y in points]
    x = Axis.across(min(xs), max(xs))
    y = Axis.up(0, 1, share=True) if share else Axis.up(min(0.0, *ys), max(ys))
    return Lines(
        x,
        y,
        lines=[
            Line(name, _points(line, x, y), i)
            for i, (name, line) in enumerate(series.items())
            if line
        ],
        bands=[_band(band, x, y) for band in (bands or {}).values() if band],
        marks=[round(x(mark), 2) for mark in marks if x.low <= mark <= x.high],
    )


def _finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)


def _points(line: Sequence[tuple[float, float]], x: Axis, y: Axis) -> str:
    return " ".join(f"{x(a):.2f},{y(b):.2f}" for a, b in line if _finite(a, b))


def _band(band: Sequence[tuple[float, float, float]], x: Axis, y: Axis) -> str:
    upper = [(at, high) for at, _, high in band]
    lower = [(at, low) for at, low, _ in reversed(band)]
    return _points([*upper, *lower], x, y)


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    r: float
    text: str


@dataclass(frozen=True)
class Reliability:
    """line, diagonal: points as SVG has them"""

    x: Axis
    y: Axis
    dots: list[Dot]
    diagonal: str
    line: str


def reliability(bins: Sequence[Bin]) -> Reliability | None:
    """Dots in area as the rows in them, and the diagonal on which they would be if every score
    meant what it says. None without any."""
    filled = [
        (b["confidence"], b["accuracy"], b["count"])
        for b in bins
        if b["count"] and b["confidence"] is not None and b["accuracy"] is not None
    ]
    if not filled:
        return None
    x, y = Axis.across(0, 1, share=True), Axis.up(0, 1, share=True)
    most = max(count for _, _, count in filled)
    dots = [
        Dot(
            x=round(x(said), 2),
            y=round(y(right), 2),
            r=round(2 + 8 * math.sqrt(count / most), 2),
            text=f"predicted {said:.0%}, right {right:.0%}: {count:,}",
        )
        for said, right, count in filled
    ]
    diagonal = f"{x(0):.2f},{y(0):.2f} {x(1):.2f},{y(1):.2f}"
    return Reliability(x, y, dots, diagonal, " ".join(f"{dot.x},{dot.y}" for dot in dots))


@dataclass(frozen=True)
class MatrixCell:
    """share: of the rows with that truth; abstained: of rows without an answer"""

    chosen: str
    abstained: bool
    count: int
    share: float
    right: bool


@dataclass(frozen=True)
class MatrixRow:
    truth: str
    cells: list[MatrixCell]


@dataclass(frozen=True)
class Mistake:
    """How many rows of one label were answered with another."""

    truth: str
    chosen: str
    abstained: bool
    count: int


@dataclass(frozen=True)
class Confusion:
    """The truth down and the answer across.

    left_out:  labels that are not shown
    uncounted: test rows that are in no cell, having been left out where there were too many cells
    pairs:     the most frequent confusions among all labels
    """

    columns: list[str]
    rows: list[MatrixRow]
    left_out: int
    uncounted: int
    pairs: list[Mistake]


def confusion(
    labels: Sequence[str], cells: Sequence[tuple[int, int, int]], uncounted: int = 0
) -> Confusion:
    """Of more than MATRIX_LABELS labels, only those that are confused most.

    cells: (row, column, count) of those that are no 0; the column behind the last label is of rows
           without an answer
    """
    k = len(labels)
    abstains = any(j == k for _, j, _ in cells)
    wrong = mistakes(cells)
    shown = _most_confused(k, wrong)
    columns = [*shown, *([k] if abstains else [])]
    names = [*labels, "no answer"]
    rows: dict[int, dict[int, int]] = {}
    for i, j, count in cells:
        rows.setdefault(i, {})[j] = count
    return Confusion(
        columns=[names[j] for j in columns],
        rows=[_matrix_row(names, rows.get(i, {}), i, columns) for i in shown],
        left_out=k - len(shown),
        uncounted=uncounted,
        pairs=[Mistake(names[i], names[j], j == k, count) for i, j, count in wrong[:20]],
    )


def _most_confused(k: int, wrong: Sequence[tuple[int, int, int]]) -> list[int]:
    if k <= MATRIX_LABELS:
        return list(range(k))
    chosen: dict[int, None] = {}
    for i, j, _ in wrong:
        for label in (i, j):
            if label < k and len(chosen) < MATRIX_LABELS:
                chosen[label] = None
    return sorted(chosen)


def _matrix_row(
    names: Sequence[str], counts: Mapping[int, int], truth: int, columns: Sequence[int]
) -> MatrixRow:
    total = sum(counts.values()) or 1
    cells = [
        MatrixCell(names[j], j == len(names) - 1, counts.get(j, 0), counts.get(j, 0) / total,
                   right=j == truth)
        for j in columns
    ]  # fmt: skip
    return MatrixRow(names[truth], cells)
