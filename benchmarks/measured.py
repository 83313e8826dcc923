"""The peak of memory of a benchmark's own process, as the tests read it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from memory import peak

MB = 1024 * 1024


def peak_mb() -> float:
    """Megabytes of resident memory at most, since this program was started."""
    return peak() / MB
