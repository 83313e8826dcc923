"""Programs that are killed at any moment."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable

from openai_server import OpenAIServer
from programs import Program


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
    return {
        "OPENAI_API_KEY": server.api_key,
        "OPENAI_BASE_URL": server.base_url,
        "FTCLASSIFY_OFFLINE": "1",
    }
