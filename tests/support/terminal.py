"""A command at a terminal, where Ctrl-C is a key and progress is shown."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from pathlib import Path

from folders import ROOT

_PATIENCE = 60.0


class Terminal:
    """Use it as a context manager.

    said: all that was shown so far
    """

    def __init__(self, *arguments: object, columns: int = 200) -> None:
        self.said = ""
        script = "from datasette_ftclassify.cli import ftclassify; ftclassify()"
        words = [sys.executable, "-c", script, *map(str, arguments)]
        self._pid, self._fd = pty.fork()
        if not self._pid:
            os.environ.update(COLUMNS=str(columns), PYTHONPATH=str(ROOT))
            os.execv(sys.executable, words)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)

    def wait_for(self, words: str) -> None:
        """Reads on until the words are shown."""
        while words not in self.said:
            assert self._read(), self.said

    def press(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def wait_for_question(self, words: str) -> None:
        """Until the words are shown and the command waits for an answer: a Ctrl-C that comes in
        between is seen only with the next key."""
        self.wait_for(words)
        asleep = 0
        while asleep < 5:
            asleep = asleep + 1 if self._sleeps() else 0
            time.sleep(0.02)

    def _sleeps(self) -> bool:
        state = Path(f"/proc/{self._pid}/stat")
        return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "S"

    def end(self) -> int:
        """The exit code, once the command has ended."""
        while self._read():
            pass
        _, status = os.waitpid(self._pid, 0)
        return os.waitstatus_to_exitcode(status)

    def _read(self) -> bool:
        until = time.monotonic() + _PATIENCE
        while not select.select([self._fd], [], [], 1.0)[0]:
            assert time.monotonic() < until, f"waited in vain: {self.said}"
        try:
            news = os.read(self._fd, 65536)
        except OSError:  # as Linux says that the other end is closed
            return False
        self.said += news.decode("utf-8", "replace")
        return bool(news)
