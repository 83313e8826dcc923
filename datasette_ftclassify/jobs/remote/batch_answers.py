"""The results of a batch, from the files of the service into the answer cache.

They are stored some at a time, with their cost. When a file is read again, after a process died
while reading it, only the answers that are not stored yet count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from functools import partial

from ...core.job_events import BATCH_ENDED
from ...store.answers import find_answers, keep_answers
from ...store.batches import change_batch
from ...store.schema import transaction
from ...store.spending import Spent, add_spending
from ...trainers.service import BatchState, InferenceResponse
from ...trainers.service_errors import RowRejected, ServiceRefused
from ...trainers.usage import Usage
from .answer_cache import kept_from
from .batch_requests import BatchBuilder
from .batch_state import BatchTracker, SentBatch

KEPT_AT_ONCE = 500
"""Answers in one transaction."""


class BatchAnswers:
    """Reads the results of ended batches.

    cost:     USD for tokens; None: not known
    progress: called with the number of answers stored and of requests sent
    """

    def __init__(
        self,
        tracker: BatchTracker,
        classifier_id: int,
        gatherer: BatchBuilder,
        cost: Callable[[Usage], float | None],
        progress: Callable[[int, int], None],
    ) -> None:
        self._tracker = tracker
        self._classifier_id = classifier_id
        self._gatherer = gatherer
        self._cost = cost
        self._progress = progress

    def read(self, sent: SentBatch, state: BatchState) -> int:
        """Stores the answers and closes the batch; gives how many requests are still unanswered and
        worth sending again.

        Raises ServiceRefused when the service answered one so that any other would fail, too.
        """
        tracker = self._tracker
        tracker.note(sent, state="ended", detail=state.detail)
        refusals: list[ServiceRefused] = []
        for file_id in state.results:
            tracker.patiently(partial(self._read_file, sent, file_id, refusals))
        tracker.note_event(
            BATCH_ENDED,
            f"batch {sent.batch.batch_id} ended: {sent.batch.done:,} of {sent.batch.requests:,} "
            "requests answered",
            key=f"ended {sent.batch.batch_id}",
        )
        for file_id in state.results:
            tracker.delete(file_id)
        tracker.close(sent, state.detail, is_read=True)
        self._gatherer.ended(sent.keys)
        if refusals and not tracker.is_ending:
            raise refusals[0]
        return max(sent.batch.requests - sent.batch.done - sent.refused, 0)

    def _read_file(self, sent: SentBatch, file_id: str, refusals: list[ServiceRefused]) -> None:
        responses: dict[bytes, InferenceResponse] = {}
        for name, outcome in self._tracker.batch_client.read(file_id):
            key = _key(name)
            if key is None:
                continue
            if isinstance(outcome, InferenceResponse):
                responses[key] = outcome
            elif isinstance(outcome, RowRejected) and key not in self._gatherer.left:
                self._gatherer.left.add(key)
                sent.refused += 1
            elif isinstance(outcome, ServiceRefused):
                refusals.append(outcome)
            if len(responses) == KEPT_AT_ONCE:
                self._keep(sent, responses)
                responses = {}
                self._tracker.check()
        self._keep(sent, responses)

    def _keep(self, sent: SentBatch, responses: dict[bytes, InferenceResponse]) -> None:
        conn, tracker = self._tracker.conn, self._tracker
        with transaction(conn):
            known = find_answers(conn, self._classifier_id, responses)
            new = {key: response for key, response in responses.items() if key not in known}
            keep_answers(conn, self._classifier_id, {k: kept_from(r) for k, r in new.items()})
            usage = sum((response.usage for response in new.values()), Usage())
            if new:
                usd = None if usage == Usage() else self._cost(usage)
                spent = Spent(0.0, len(new), *astuple(usage))
                add_spending(conn, tracker.job.id, tracker.holds.settle(sent.batch.tag, spent, usd))
            sent.batch = change_batch(conn, sent.batch, done=sent.batch.done + len(new))
            tracker.kept += len(new)
            tracker.save()
        self._progress(tracker.kept, tracker.asked)


def _key(name: str) -> bytes | None:
    """The key of an answer; None when it is no response to a request of ours."""
    try:
        key = bytes.fromhex(name)
    except ValueError:
        return None
    return key if len(key) == 16 else None
