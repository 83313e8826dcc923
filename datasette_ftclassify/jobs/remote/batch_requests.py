"""Which requests of a job go into a batch: each distinct text once, without those answered.

Requests that are under way are known by the keys of their texts, 16 bytes each, for a few batches
at a time: so a text that occurs in a million rows, or in the rows of several batches, is paid for
once.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO

from ...store.answers import find_answers, input_key
from ...trainers.service import BatchClient
from ...trainers.usage import Usage

Pages = Callable[[], Iterable[Sequence[str]]]
"""Gives the texts of all rows of the job, some at a time."""


class BatchInputs:
    """The requests of one batch, and the file in which they are sent.

    The file has no name: nothing of it is left behind by a process that dies.
    keys:  of the texts
    usage: tokens expected
    """

    def __init__(self) -> None:
        self.keys: set[bytes] = set()
        self.usage = Usage()
        self.bytes = 0
        self.file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115

    def add(self, key: bytes, line: bytes, usage: Usage) -> None:
        self.file.write(line)
        self.bytes += len(line)
        self.keys.add(key)
        self.usage += usage


class BatchBuilder:
    """Walks the rows of a job and finds the requests that were not sent yet.

    busy:     keys of requests in batches that have not ended
    left:     keys of requests that no batch will hold: refused, or too long for one
    most:     requests of one batch
    """

    def __init__(
        self, conn: sqlite3.Connection, classifier_id: int, batch_client: BatchClient, pages: Pages
    ) -> None:
        self._conn = conn
        self._classifier_id = classifier_id
        self._batcher = batch_client
        self._pages = pages
        self.busy: set[bytes] = set()
        self.left: set[bytes] = set()
        self.most = batch_client.max_requests
        self._just_ended: set[bytes] = set()

    def loads(self) -> Iterator[BatchInputs]:
        """The requests from the first row to the last, a batch at a time. The keys of a load are
        busy; `ended` frees them."""
        load: BatchInputs | None = None
        for key, text in self._unanswered():
            line = self._batcher.line(key.hex(), text)
            if len(line) > self._batcher.max_bytes:
                self.left.add(key)
                continue
            if load is not None and not self._has_room(load, line):
                yield load
                load = None
                if self._is_known(key):
                    continue  # another batch ended while this one was sent
            if load is None:
                load = BatchInputs()
            load.add(key, line, self._batcher.expected(text))
            self.busy.add(key)
        if load is not None:
            yield load

    def ended(self, keys: frozenset[bytes]) -> None:
        """Their batch is read, so the kept answers say which of them are still to be asked."""
        self.busy -= keys
        self._just_ended |= keys

    def _unanswered(self) -> Iterator[tuple[bytes, str]]:
        for texts in self._pages():
            keys = list(map(input_key, texts))
            answered = find_answers(self._conn, self._classifier_id, keys)
            self._just_ended.clear()
            for key, text in zip(keys, texts, strict=True):
                if key not in answered and not self._is_known(key):
                    yield key, text

    def _is_known(self, key: bytes) -> bool:
        return key in self.busy or key in self.left or key in self._just_ended

    def _has_room(self, load: BatchInputs, line: bytes) -> bool:
        return len(load.keys) < self.most and load.bytes + len(line) <= self._batcher.max_bytes
