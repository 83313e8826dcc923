"""Classifies one text at a service, while a person waits for the answer.

It is a job like any other that spends, with the same limits, the answer cache and a lease. Only the
answer and its cost are stored: the text is in no record.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import NoReturn
from uuid import uuid4

from ..core.errors import FtclassifyError, JobError, JobPaused
from ..core.rendering import renderer
from ..core.sqlite_errors import SQLITE_ERRORS
from ..store.answers import CachedAnswer, input_key
from ..store.classifiers import Classifier, has_store
from ..store.deletion import delete_job
from ..store.jobs.job import Job
from ..store.jobs.state import add_job
from ..store.schema import ensure_schema, transaction
from ..store.spending import Spent
from ..trainers.access import Access
from .agreements import agree
from .estimates import JobEstimate, agreed, check_answers, estimate_requests
from .lease import Lease, leased
from .load_classifier import load_inference_client, paid_service, prices_of
from .remote.answer_cache import find_sound
from .remote.concurrency import RetryPolicy
from .remote.predict import open_inference_loop
from .settings import AskSettings

ASK_SECONDS = 60.0
"""The longest that somebody waits for one answer."""

TRIES = 2
"""Of one text: the first that came to nothing may be billed all the same."""

RETRY_POLICY = RetryPolicy(tries=TRIES, down=TRIES, cap=5.0, ready_every=5.0, leave=5.0)


@dataclass(frozen=True)
class AskedText:
    """An answer, and what it cost now."""

    answer: CachedAnswer
    spent: Spent


def text_of(
    classifier: Classifier, text: str | None, columns: Mapping[str, str] | None = None
) -> str:
    """The text to ask about: as given, or rendered from values of its text columns.

    columns: by name; one that is left out is NULL
    Raises FtclassifyError when there is none, or a column is not among those it reads.
    """
    names = classifier.task.text
    given = dict(columns or {})
    if given and text:
        raise FtclassifyError("Give either a text or the values of its columns.")
    unknown = [name for name in given if name not in names]
    if unknown:
        raise FtclassifyError(
            f"{classifier.title} reads {', '.join(names)}, and no column {unknown[0]}."
        )
    if given:
        text = renderer(names, classifier.task.template)([given.get(name) for name in names]).text
    if text is None or not classifier.task.read(text).strip():
        raise FtclassifyError("There is no text to classify.")
    return text


def kept_answer(conn: sqlite3.Connection, classifier: Classifier, text: str) -> CachedAnswer | None:
    """What a classifier at a service has said of the text before."""
    if not has_store(conn):
        return None
    key = input_key(classifier.task.read(text))
    return find_sound(conn, classifier, [key]).get(key)


def estimate_text(classifier: Classifier, text: str, access: Access) -> JobEstimate | None:
    """What it costs to ask about a text; None where nothing is paid for.

    Raises AccessError without a key, TrainingError when the model answers no more, or its trainer
    is not here.
    """
    if paid_service(classifier) is None:
        return None
    client, prices = load_inference_client(classifier, access), prices_of(classifier, access)
    check_answers(classifier)
    return estimate_requests(client, [classifier.task.read(text)], prices, tries=TRIES)


def ask_text(
    conn: sqlite3.Connection,
    classifier: Classifier,
    text: str,
    access: Access,
    *,
    estimate: JobEstimate | None = None,
    limit_usd: float | None = None,
) -> AskedText:
    """The answer of a classifier at a service: the stored one, or a new one.

    estimate:  as somebody agreed to it
    limit_usd: what it may cost; None: what the estimate says it does at most
    Raises JobPaused when there is no answer: a limit, a refusal, a service that is down.
    """
    words = asdict(AskSettings(classifier.title, classifier.uid, uuid4().hex))
    terms = agreed(estimate, limit_usd, 0.0)
    ensure_schema(conn)
    with transaction(conn):
        job = add_job(conn, "ask", words, classifier_id=classifier.id, estimate=terms)
        agree(conn, job, access, terms["limit_usd"], terms.get("usd"))
    try:
        with leased(conn, job.id, access) as lease:
            return _ask(lease, classifier, text, access)
    except JobPaused as reason:
        # There are no rows to report, and no job to resume.
        raise JobPaused(re.split(r", [\d,]+ requests? w", str(reason))[0]) from None
    finally:
        _forget(conn, job)


def _ask(lease: Lease, classifier: Classifier, text: str, access: Access) -> AskedText:
    with open_inference_loop(lease, classifier, access, retry_policy=RETRY_POLICY) as loop:
        until = time.monotonic() + ASK_SECONDS
        (request,) = loop.requests([classifier.task.read(text)])
        while loop.unanswered or loop.has_uncommitted:
            loop.turn()
            if loop.has_uncommitted:
                loop.commit()
            if time.monotonic() > until:
                raise JobPaused("The service did not answer in time: try again later.")
        if request.answer is None or request.exhausted:
            raise JobPaused(f"The service did not answer. {(request.answer or _NONE).reason}")
        return AskedText(request.answer, loop.spent)


_NONE = CachedAnswer(None, reason="Ask again later.")


def _forget(conn: sqlite3.Connection, job: Job) -> None:
    with suppress(FtclassifyError, *SQLITE_ERRORS):  # a worker will find it, and end it
        delete_job(conn, job.id)


def end_abandoned(lease: Lease) -> NoReturn:
    """For a worker that finds the job of a killed process. Raises JobError."""
    raise JobError("Nobody waited for the answer to this text: try again.")
