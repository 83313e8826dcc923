"""The memory of this process."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path


def peak() -> int:
    """Bytes of resident memory at most, since this program was started.

    getrusage(2) would tell more: its figure is kept over exec(), so that a process starts with the
    peak of the one that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
        assert line
        return int(line[1]) * 1024
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024
