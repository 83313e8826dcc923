"""Who answers the parts: processes on this machine, or the workers of Dask or Spark.

An engine answers a part as often as it takes: a worker that dies loses the part that it was at, and
nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, Protocol

from ...core.errors import PredictError
from .part import Part, PartCounts, answer_line

ATTEMPTS = 4
"""How often a part is tried whose worker dies."""

Batch = Callable[[int], None]
"""Called with rows that are answered."""


class Engine(Protocol):
    """slots: how many parts are answered at once"""

    slots: int

    def answer(self, part: Part, batch: Batch) -> PartCounts:
        """As `answer_line`. Called from several threads."""

    def stop(self) -> None:
        """Ends what is under way: `answer` gives anything, or raises."""

    def close(self) -> None:
        """Call when nobody is in `answer` any more."""


class Processes:
    """Of this machine. Each thread that asks has one, and starts another when it has died."""

    def __init__(self, workers: int, address: str | None = None) -> None:
        if address is not None:
            raise PredictError("An address is that of a cluster: choose its engine.")
        self.slots = workers
        self._own = threading.local()
        self._all: list[subprocess.Popen[str]] = []
        self._lock = threading.Lock()
        self._closed = False

    def answer(self, part: Part, batch: Batch) -> PartCounts:
        for _ in range(ATTEMPTS):
            process = self._process()
            found = self._answer(process, part, batch)
            if found is not None:
                return found
            if self._closed:
                break
        return PartCounts(
            error=f"The process that classified {part.source} died {ATTEMPTS} times (exit code "
            f"{process.returncode}): is there memory for so many workers?"
        )

    @staticmethod
    def _answer(
        process: subprocess.Popen[str], part: Part, batch: Batch
    ) -> PartCounts | None:  # fmt: skip
        """None: it has died."""
        assert process.stdin is not None
        assert process.stdout is not None
        begun = 0
        try:
            process.stdin.write(part.to_line() + "\n")
            process.stdin.flush()
        except OSError:
            pass  # nothing will come
        for line in process.stdout:
            said = json.loads(line)
            if "batch" not in said:
                return PartCounts(**said)
            begun += said["batch"]
            batch(said["batch"])
        batch(-begun)  # they will be answered again
        process.wait()
        return None

    def _process(self) -> subprocess.Popen[str]:
        process: subprocess.Popen[str] | None = getattr(self._own, "process", None)
        if process is None or process.poll() is not None:
            with self._lock:
                if self._closed:
                    raise PredictError("Stopped.")
                process = subprocess.Popen(
                    [sys.executable, "-m", "datasette_ftclassify.jobs.files.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    encoding="utf-8",
                    start_new_session=True,  # Ctrl-C is for this process, which ends them
                )
                self._all.append(process)
            self._own.process = process
        return process

    def stop(self) -> None:
        with self._lock:
            self._closed = True
        for process in self._all:
            process.kill()
            process.wait()

    def close(self) -> None:
        for process in self._all:
            for pipe in (process.stdout, process.stdin):
                if pipe is not None:
                    with suppress(OSError):  # what it was to read is gone with it
                        pipe.close()


class Dask:
    """A cluster of Dask. address: of its scheduler; None: workers on this machine"""

    def __init__(self, workers: int, address: str | None = None) -> None:
        with _of_extra("dask"):
            distributed: Any = import_module("distributed")
        self._cluster = None
        if address is None:
            self._cluster = distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=None
            )
        self._client = distributed.Client(self._cluster or address)
        self.slots = max(sum(self._client.nthreads().values()), 1)

    def answer(self, part: Part, batch: Batch) -> PartCounts:
        future = self._client.submit(answer_line, part.to_line(), pure=False)
        found: PartCounts = future.result()
        return found

    def stop(self) -> None:
        self._client.close()

    def close(self) -> None:
        if self._cluster is not None:
            self._cluster.close()


class Spark:
    """A cluster of Spark. address: of its master; None: what Spark is configured for, else workers
    on this machine"""

    def __init__(self, workers: int, address: str | None = None) -> None:
        with _of_extra("spark"):
            pyspark: Any = import_module("pyspark")
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        conf = pyspark.SparkConf().setAppName("datasette-ftclassify")
        for shown in ("spark.ui.enabled", "spark.ui.showConsoleProgress"):
            conf.setIfMissing(shown, "false")
        if address is not None or not conf.contains("spark.master"):
            conf.setMaster(address or f"local[{workers},{ATTEMPTS}]")
        self._context = pyspark.SparkContext.getOrCreate(conf)
        self._context.setLogLevel("ERROR")
        self.slots = max(self._context.defaultParallelism, 1)

    def answer(self, part: Part, batch: Batch) -> PartCounts:
        lines = self._context.parallelize([part.to_line()], 1)
        found: PartCounts = lines.map(answer_line).collect()[0]
        return found

    def stop(self) -> None:
        self._context.cancelAllJobs()

    def close(self) -> None:
        self._context.stop()


@contextmanager
def _of_extra(name: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise PredictError(
            f"{name.capitalize()} is not installed: pip install 'datasette-ftclassify[{name}]'.",
            fields=("engine",),
        ) from error


def start_engine(name: str, workers: int, address: str | None = None) -> Engine:
    """One of ENGINES, which its caller closes. address: of a cluster; None: on this machine

    Raises PredictError where it does not start.
    """
    try:
        return ENGINES[name](workers, address)
    except PredictError:
        raise
    except Exception as error:  # of Dask, Spark or Java
        raise PredictError(f"The engine {name} did not start: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


ENGINES: dict[str, Callable[[int, str | None], Engine]] = {
    "processes": Processes, "dask": Dask, "spark": Spark,
}  # fmt: skip


def answer_parts(
    parts: tuple[Part, ...], engine: Engine, rows: Callable[[int], None]
) -> PartCounts:  # fmt: skip
    """Answers all, and stops the engine. rows: called with the rows that are answered so far

    Raises PredictError for the first part that cannot be; those that are under way are left.
    """
    counts = PartCounts()
    seen = [0]
    lock = threading.Lock()

    def answered(more: int) -> None:
        with lock:
            seen[0] += more

    def answer(part: Part) -> PartCounts:
        told = [0]

        def batch(more: int) -> None:
            told[0] += more
            answered(more)

        found = engine.answer(part, batch)
        answered(found.rows - told[0])  # of engines that tell no batches
        return found

    waiting = list(reversed(parts))
    with ThreadPoolExecutor(max_workers=engine.slots) as threads:
        busy: set[Future[PartCounts]] = set()
        try:
            while waiting or busy:
                while waiting and len(busy) < engine.slots:
                    busy.add(threads.submit(answer, waiting.pop()))
                done, busy = wait(busy, timeout=0.2, return_when=FIRST_COMPLETED)
                rows(seen[0])
                for future in done:
                    counts += _counts(future)
        finally:
            engine.stop()  # so that no thread waits any longer
    return counts


def _counts(future: Future[PartCounts]) -> PartCounts:
    try:
        found = future.result()
    except PredictError:
        raise
    except Exception as error:  # of Dask or Spark: a worker died too often, or the cluster is gone
        raise PredictError(f"The engine gave up: {_first_line(error)}") from error
    if found.error is not None:
        raise PredictError(found.error)
    return found
