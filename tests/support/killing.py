"""Programs that are killed at any moment, and what must hold of a paid prediction then.

FTCLASSIFY_KILLS says how often the tests kill a job.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import service_training
from openai_server import OpenAIServer
from paid_rows import check_books, check_rows, make_watched, predict_key
from programs import Program
from service_workflow import access_to


class Killed(BaseException):
    """What a process that dies in this moment would not live to see: nothing catches it."""


def die_at(words: str) -> Callable[[str, float], None]:
    """A progress that kills when a step with the words is told."""

    def hear(step: str, share: float) -> None:
        if words in step:
            raise Killed

    return hear


IN_FLIGHT = 8
MOST_BETWEEN = 80
"""Requests from a start, or from a kill, to the next kill."""
LATENCY = 0.02
"""Seconds in which a service answers, so that questions are under way at a kill."""
CHAT = "POST /chat/completions"


def number_of_kills(default: int) -> int:
    return int(os.environ.get("FTCLASSIFY_KILLS", default))


def rows_for(kills: int) -> int:
    """So many that the work is not done before the last kill."""
    return 600 + kills * MOST_BETWEEN


def paid_rows(server: OpenAIServer, path: Path, kills: int) -> Path:
    """A trained classifier, and rows that SQLite watches, enough for so many kills."""
    make_watched(path, access_to(server.base_url), rows_for(kills))
    server.log.clear()
    return path


class Moments:
    """Random moments to kill at: now and then while the process starts, mostly a little after the
    service has been asked for something more, wherever the work then is.

    sent:      how many requests have arrived there
    questions: the most to wait for
    """

    def __init__(self, sent: Callable[[], int], seed: int, questions: int) -> None:
        self._sent = sent
        self._chance = random.Random(seed)
        self._questions = questions

    def wait(self, has_ended: Callable[[], bool]) -> None:
        if self._chance.random() < 0.15:
            threading.Event().wait(self._chance.uniform(0, 0.3))
            return
        wanted = self._sent() + self._chance.randint(1, self._questions)
        while self._sent() < wanted and not has_ended():
            threading.Event().wait(0.001)
        threading.Event().wait(self._chance.uniform(0, 0.03))


def killed_often(
    start: Callable[[], Program],
    kills: int,
    moments: Moments,
    killed: Callable[[], object] = lambda: None,
) -> int:
    """Starts the program, kills it at random moments, and lets it end at last. How many kills hit.

    killed: called after each
    """
    hits = 0
    while True:
        program = start()
        if hits < kills:
            moments.wait(program.has_ended)
            program.send(signal.SIGKILL)
        code = program.wait()
        if code == 0:
            return hits
        assert code == -9, program.output
        hits += 1
        killed()


def environment(server: OpenAIServer) -> dict[str, str]:
    return {**service_training.environment(server), "FTCLASSIFY_OFFLINE": "1"}


def times_asked(server: OpenAIServer) -> Counter[bytes]:
    """How often each question arrived."""
    return Counter(r.body for r in server.log if r.path == "/chat/completions")


def repeats(asked: Counter[Any]) -> int:
    """Questions that came again."""
    return asked.total() - len(asked)


def check_paid_rows(path: Path, kills: int, hits: int, sent: int, asked: Counter[Any]) -> None:
    """Every row is written once, and every question that was sent again is booked as such.

    kills: planned
    hits:  of them, those that met a process
    sent:  requests that have arrived at the service
    asked: how often each question did
    """
    rows = rows_for(kills)
    check_rows(path, rows)
    books = check_books(sent, predict_key(path))
    print(
        f"{hits} kills, {repeats(asked)} of {rows} questions asked again, {books.repeats} booked "
        f"as such, {sent} requests, {books.requests} booked"
    )
    assert len(asked) == rows
    assert repeats(asked) <= books.repeats <= hits * IN_FLIGHT
    assert hits >= min(kills, 4)
