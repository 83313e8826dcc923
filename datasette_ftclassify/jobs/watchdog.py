"""Ends a process whose main thread is stuck in one call of a library.

A condition or a view of a file that somebody else made may never end, and SQLite cannot be
interrupted within one of its steps. The process that started it notes that in the job's record:
during such a read nobody can write to a file without a write-ahead log.
"""

from __future__ import annotations

import os
import sys
import threading
import time

STUCK_SECONDS = 1_800.0
"""For one call; those of a training on a large table take some minutes."""

STUCK_CODE = 75
"""The code that the process ends with."""


def end_when_stuck() -> None:
    """Watches the main thread from now on, in a thread of its own."""
    threading.Thread(target=_watch, args=(threading.main_thread().ident,), daemon=True).start()


def _watch(main_thread: int) -> None:
    call, place, since = None, -1, time.monotonic()
    while True:
        time.sleep(STUCK_SECONDS / 50)
        frame = sys._current_frames().get(main_thread)
        now = -1 if frame is None else frame.f_lasti
        # The frame itself is kept to compare with: the next call may get one at the same address.
        if frame is not call or now != place:
            call, place, since = frame, now, time.monotonic()
        elif time.monotonic() - since > STUCK_SECONDS:
            print(
                f"one step took longer than {STUCK_SECONDS / 60:.2g} minutes: a condition, a view "
                "or a trigger of this file may never end",
                file=sys.stderr, flush=True,
            )  # fmt: skip
            os._exit(STUCK_CODE)
