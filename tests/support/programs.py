"""Command lines in processes of their own, without paying for the imports each time.

Python's fork server imports everything once and forks a process for each program. It has no
threads, so that a fork of it is a whole one; signals do to a program what they do to any other.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from pkgutil import walk_packages

from running_jobs import PATIENCE

import datasette_ftclassify as ours

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([
    "pytest", "datasette.cli", "sqlite_utils.cli", "openai", "tiktoken", "sklearn.linear_model",
    "sklearn.svm", "sklearn.feature_extraction.text", "uvicorn.protocols.http.auto",
    *(module.name for module in walk_packages(ours.__path__, f"{ours.__name__}.")),
])  # fmt: skip


def datasette(*arguments: str) -> None:
    """As `python -m datasette …`."""
    import compiled_templates  # noqa: F401
    from datasette.cli import cli

    cli(list(arguments), prog_name="datasette")


def sqlite_utils(*arguments: str) -> None:
    from sqlite_utils.cli import cli

    cli(list(arguments), prog_name="sqlite-utils")


def python(script: str, *arguments: str) -> None:
    """As `python SCRIPT …`."""
    import runpy

    sys.path.insert(0, os.environ.get("PYTHONPATH", ""))
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


class Program:
    """One that runs.

    main:    what is called there with the arguments as texts; its module is imported there
    environ: added to the environment of this process; None: taken out of it
    folder:  where it works
    apart:   whether its errors are kept apart from its output
    """

    def __init__(
        self,
        main: Callable[..., object],
        *arguments: object,
        environ: Mapping[str, str | None] | None = None,
        folder: Path | None = None,
        apart: bool = False,
    ) -> None:
        kept = Path(tempfile.mkdtemp(prefix="ftclassify-program-"))
        weakref.finalize(self, shutil.rmtree, kept, ignore_errors=True)
        self._out = kept / "out"
        self._err = kept / "err" if apart else self._out
        changed = {**os.environ, **(environ or {})}
        its = {name: value for name, value in changed.items() if value is not None}
        self._process = _CONTEXT.Process(
            target=_run,
            args=(main, [*map(str, arguments)], its, folder or Path.cwd(), self._out, self._err),
            daemon=True,
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def output(self) -> str:
        """What it has said so far."""
        return self._read(self._out)

    @property
    def errors(self) -> str:
        return self._read(self._err)

    @staticmethod
    def _read(path: Path) -> str:
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def has_ended(self) -> bool:
        return self._process.exitcode is not None

    def send(self, how: signal.Signals) -> None:
        """Nothing happens to one that has ended."""
        if not self.has_ended():
            os.kill(self.pid, how)

    def wait(self, seconds: float = PATIENCE) -> int:
        """The exit code; below 0: the signal that ended it. TimeoutError: it is killed now, since
        it took longer."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(f"not done after {seconds:.0f} seconds: {self.output}")
        return self._process.exitcode


def _run(
    main: Callable[..., object], arguments: list[str], environ: dict[str, str], folder: Path,
    out: Path, err: Path,
) -> None:  # fmt: skip
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for path, number in ((out, 1), (err, 2)):
        file = os.open(path, flags)
        os.dup2(file, number)
        os.close(file)
    sys.argv = [main.__name__, *arguments]
    try:
        main(*arguments)
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out


def output_of(main: Callable[..., object], *arguments: object, **environ: str) -> str:
    """The standard output of a program that ends without an error."""
    program = Program(main, *arguments, environ=environ, apart=True)
    assert program.wait() == 0, program.errors
    return program.output
