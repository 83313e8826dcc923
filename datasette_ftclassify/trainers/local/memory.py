"""How much memory a training takes, and how much there is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import TrainingError
from ...core.humanize import rows_text
from .features import MAX_CHARACTERS
from .large_tables import values_each
from .training_data import most_features

MOST_KEPT = 30_000_000
"""Stored values of a table whose counts are kept in memory; larger ones are read block by block,
see `large_tables`."""
VALUE_BYTES = 48
"""A stored value at the peak: in the counts and in the features of a fold (8 each), and as support
vector machines have it (12, and 16 once more)."""
ALWAYS_BYTES = 150_000_000  # the libraries
BLOCKS_BYTES = 650_000_000  # of a large table: a block's counts, its vocabulary, the sample
ROW_BYTES = 60  # beside its text, and a byte a label
WEIGHT_BYTES = 16  # of a feature and label, while it is fitted
WORTH_SAYING = 400_000_000
_PER_CHARACTER = 4  # stored values at most: pieces of four sizes begin at each, and few words

_GROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryPlan:
    """large: whether the table is read block by block, and since when; each: stored values of a
    row, about; needed: bytes at the peak, about; said: why it is large, empty if it is not"""

    large: bool
    each: float
    needed: int
    said: str = ""

    @property
    def step(self) -> str:
        """What the first step of a training is called."""
        much = self.needed >= WORTH_SAYING
        return f"reading, up to {gigabytes(self.needed)} of memory" if much else "reading"


def plan_memory(texts: Sequence[str], n_labels: int, free: int | None = None) -> MemoryPlan:
    """How the rows are learnt from within the memory that there is. free: bytes; None: as the
    system says

    Raises TrainingError where not even reading block by block fits.
    """
    characters = sum(min(len(text), MAX_CHARACTERS) for text in texts)
    few = characters * _PER_CHARACTER <= MOST_KEPT // 10
    each = characters * _PER_CHARACTER / len(texts) if few else values_each(texts)
    values = each * len(texts)
    free = free_bytes() if free is None else free
    own = len(texts) * (ROW_BYTES + n_labels) + ALWAYS_BYTES
    # A row brings no more features than it has values.
    weights = WEIGHT_BYTES * n_labels * min(most_features(n_labels), round(values))
    kept, read = (own + round(size) for size in (VALUE_BYTES * values + weights, BLOCKS_BYTES))
    read += weights
    if values <= MOST_KEPT and (few or free is None or kept <= free):
        return MemoryPlan(False, each, kept)
    rows = rows_text(len(texts))
    if free is not None and read > free:
        raise TrainingError(
            f"A training on {rows} needs about {gigabytes(min(kept, read))} of memory, and "
            f"{gigabytes(free)} are free on this machine. Train on fewer rows, or where more "
            "memory is free."
        )
    if values > MOST_KEPT:
        why = f"the table is large ({rows})"
    else:
        why = f"only {gigabytes(free or 0)} of memory were free for {rows}"
    return MemoryPlan(True, each, read, why)


def gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def free_bytes() -> int | None:
    """Memory that this process can still have: of the machine, and of its control group; None
    where the system does not say."""
    known = [size for size in (_of_machine(), _of_group(_GROUP)) if size is not None]
    return min(known, default=None)


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(free.split()[1]) * 1024
    except (OSError, StopIteration, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _of_group(folder: Path) -> int | None:
    """Of a control group (version 2), which can have back what it holds of files not in use."""
    try:
        most, used = (int((folder / f"memory.{name}").read_text()) for name in ("max", "current"))
        lines = (folder / "memory.stat").read_text().splitlines()
        idle = next(
            (line for line in lines if line.startswith("inactive_file ")), "inactive_file 0"
        )
        return max(0, most - used + int(idle.split()[1]))
    except (OSError, ValueError, IndexError):  # there is none, or most is "max"
        return None
