"""A prediction through batches, in this process or in one that kills itself on the way.

    python tests/support/batch_predictions.py DB MOMENT…

runs the prediction in DB once for each moment, each in a child that dies there by kill -9, and at
last to its end. A moment is `before create`, `after upload`, `read 3` (in the third line).
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from datasette_ftclassify.core.database import connect, stored_key
from datasette_ftclassify.jobs.estimates import pricing
from datasette_ftclassify.jobs.lease import leased
from datasette_ftclassify.jobs.plan import Plan, PredictRequest
from datasette_ftclassify.jobs.predict import submit_predict
from datasette_ftclassify.jobs.remote.batch_state import Pace
from datasette_ftclassify.jobs.remote.batches import fill_by_batches
from datasette_ftclassify.jobs.remote.budget import Reservations
from datasette_ftclassify.jobs.settings import PredictSettings, settings_of
from datasette_ftclassify.prompts.prices import load_prices
from datasette_ftclassify.prompts.tokenizer import tokenizer_for
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.job import Job
from datasette_ftclassify.trainers.access import Access
from datasette_ftclassify.trainers.configuration import read_access
from datasette_ftclassify.trainers.openai_protocol.batch import OpenAIBatchClient

QUICK = Pace(first=0.01, longest=0.05, give_up_after=5.0, cancelling=10.0)


def fill(
    conn: sqlite3.Connection,
    access: Access,
    *,
    max_requests: int = 20,
    max_bytes: int = 1_000_000,
    pace: Pace = QUICK,
    limit: Callable[[float], None] = lambda usd: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    moment: str | None = None,
) -> None:
    """Asks about the table `reports`. Afterwards the job is finished, and writes no columns."""
    classifier = find_classifier(conn, "topics")
    job = submit_predict(conn, classifier, "reports", PredictRequest(batch=True))
    batch_client = Mortal(
        classifier.header, classifier.labels, access.endpoint("openai"),
        max_requests=max_requests, max_bytes=max_bytes, moment=moment,
    )  # fmt: skip
    with closing(batch_client), leased(conn, job.id) as lease:
        plan = Plan(conn, classifier, settings_of(lease.job, PredictSettings))
        plan.begin(conn, lease.job)

        def pages() -> Iterator[list[str]]:
            after = None
            while batch := plan.rows.after(conn, after, 10):
                after = stored_key(batch[-1][0])
                yield [text for _, text in batch if text is not None]

        fill_by_batches(
            lease, classifier, batch_client, pages, holds=Watched(conn, lease.job, access, limit),
            progress=progress, pace=pace, cost=pricing(batch_client, load_prices(), batch=True),
        )  # fmt: skip


class Watched(Reservations):
    """Tells `limit` first what a batch may cost."""

    def __init__(self, conn: Any, job: Job, access: Access, limit: Callable[[float], None]) -> None:
        super().__init__(conn, job, access)
        self._limit = limit

    def hold(self, name: str, usd: float | None, requests: int, digest: str = "") -> None:
        self._limit(usd or 0.0)
        super().hold(name, usd, requests, digest)


class Mortal(OpenAIBatchClient):
    """Kills its process at a moment."""

    def __init__(self, *args: Any, moment: str | None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._when, _, self._where = (moment or "").partition(" ")

    def upload(self, *args: Any) -> str:
        return self._mortally("upload", lambda: super(Mortal, self).upload(*args))

    def create(self, *args: Any) -> str:
        return self._mortally("create", lambda: super(Mortal, self).create(*args))

    def state(self, *args: Any) -> Any:
        return self._mortally("state", lambda: super(Mortal, self).state(*args))

    def delete(self, *args: Any) -> None:
        return self._mortally("delete", lambda: super(Mortal, self).delete(*args))

    def read(self, file_id: str) -> Any:
        for number, item in enumerate(super().read(file_id), 1):
            yield item
            if self._when == "read" and number == int(self._where):
                _die()

    def _mortally(self, name: str, act: Callable[[], Any]) -> Any:
        if (self._when, self._where) == ("before", name):
            _die()
        done = act()
        if (self._when, self._where) == ("after", name):
            _die()
        return done


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(path: str, moments: list[str]) -> None:
    # What the children would load, each by itself.
    import sqlite_utils  # noqa: F401

    tokenizer_for("gpt-4.1-mini").count("road")
    for moment in [*moments, None]:
        pid = os.fork()
        if pid == 0:
            with closing(connect(path)) as conn:
                fill(conn, read_access(), moment=moment)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
