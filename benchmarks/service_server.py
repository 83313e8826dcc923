"""The test server of `tests/support/openai_server` in a process of its own, for benchmarks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

TESTS = Path(__file__).resolve().parent.parent / "tests" / "support"
sys.path.insert(0, str(TESTS))


def use_vocabularies(folder: Path) -> None:
    """Lets this process and its children count tokens as the service does, without a network."""
    from openai_server.vocabulary import CACHED, unpack

    folder.mkdir()
    if all(unpack(name, folder) for name in CACHED):
        os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)


class Server:
    """Use it as a context manager.

    options: of `python -m openai_server`, such as dialect="azure"
    """

    base_url: str
    api_key: str

    def __init__(self, **options: Any) -> None:
        self.dialect = options.get("dialect", "openai")
        self._command = [sys.executable, "-m", "openai_server", "--no-log"]
        for name, value in options.items():
            self._command += [f"--{name}", str(value)]

    def __enter__(self) -> Server:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
        )  # fmt: skip
        said = self._read()
        self.base_url, self.api_key = said["base_url"], said["api_key"]
        return self

    def order(self, **order: Any) -> dict[str, int]:
        """Tells it to change (see `openai_server.__main__`); gives its counts."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._read()

    def cpu_seconds(self) -> float:
        """That the process has used so far (Linux)."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return said

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate("")
