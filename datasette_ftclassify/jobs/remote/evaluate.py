"""The answers of a classifier at a service for labelled texts."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.errors import EvaluationError, JobPaused
from ...core.labels import LabelSet
from ...store.answers import CachedAnswer, input_key
from ...store.classifiers import Classifier
from ...store.spending import Spent
from ...trainers.access import Access
from ..lease import Lease
from .answer_cache import find_sound
from .network import InferenceRequest
from .predict import open_inference_loop


@dataclass(frozen=True)
class Asked:
    """Answers in the order of the texts, and what they cost."""

    answers: list[CachedAnswer]
    spent: Spent


def ask_texts(lease: Lease, classifier: Classifier, texts: Sequence[str], access: Access) -> Asked:
    """The answers to all texts, within the lease and the budget of a job.

    Raises JobPaused also when a text got no answer because the service failed: an evaluation must
    not count that as a mistake of the model. A retry sends requests for these alone.
    """
    with open_inference_loop(lease, classifier, access) as loop:
        requests = loop.requests(texts)
        while loop.unanswered:
            loop.turn()
            if loop.has_uncommitted:
                loop.commit()
        require_answers(requests)
        answers = [request.answer for request in requests if request.answer is not None]
        return Asked(answers, loop.spent)


def kept_answers(
    conn: sqlite3.Connection, classifier: Classifier, texts: Sequence[str]
) -> list[CachedAnswer]:
    """Those of a file that cannot be written, in which nobody is asked.

    Raises EvaluationError when some are missing.
    """
    keys = [input_key(text) for text in texts]
    found = find_sound(conn, classifier, keys)
    answers = [found[key] for key in keys if key in found]
    if len(answers) < len(keys):
        raise EvaluationError(
            f"{classifier.title} answers at a service, and {len(keys) - len(answers):,} answers "
            "could not be kept in this file, which is read-only: evaluate it in a copy."
        )
    return answers


def require_answers(requests: Sequence[InferenceRequest]) -> None:
    """Raises JobPaused where some were given up because the service failed."""
    failed = [q for q in requests if q.exhausted]
    if failed and failed[0].answer is not None:
        raise JobPaused(
            f"{len(failed):,} of {len(requests):,} texts have no answer yet: "
            f"{failed[0].answer.reason} Resume the job to ask about them again."
        )


def as_arrays(answers: Sequence[CachedAnswer], labels: LabelSet) -> tuple[np.ndarray, np.ndarray]:
    """(chosen, logprobs) as `evaluation.evaluate` wants them: -1 for abstentions, and NaN where
    there are no scores."""
    logprobs = np.full((len(answers), len(labels)), np.nan)
    for row, answer in enumerate(answers):
        if answer.logprobs is not None:
            logprobs[row] = answer.logprobs
    said = [None if a.labels is None else labels.positions(a.labels) for a in answers]
    return labels.label_kind.as_array(said, len(labels)), logprobs


def reasons(answers: Sequence[CachedAnswer]) -> dict[str, int]:
    """Why answers are abstentions, commonest first."""
    counts = Counter(answer.reason or "no answer" for answer in answers if answer.labels is None)
    return dict(counts.most_common(20))
