"""A trainer in a package of its own: it always answers as the training rows did most often.

Useless, but whole: the log-probabilities are the labels' shares, and `load` checks what it reads.
"""

from __future__ import annotations

import struct

import numpy as np

from datasette_ftclassify.core.errors import ArtifactError
from datasette_ftclassify.hookspecs import hookimpl
from datasette_ftclassify.trainers.base import Capabilities, Trained


@hookimpl
def register_trainers():
    return [MajorityTrainer()]


class MajorityPredictor:
    multilabel = False
    thresholds = None

    def __init__(self, logprobs):
        self.logprobs = np.array(logprobs)
        self.n_labels = len(logprobs)

    def log_probabilities(self, texts):
        return np.tile(self.logprobs, (len(texts), 1))

    def log_probabilities_one(self, text):
        return self.logprobs

    def explain(self, text, label, top=8):
        return []


class MajorityTrainer:
    name = "majority"
    title = "Always the commonest label"
    capabilities = Capabilities(
        trains=True,
        needs_examples=True,
        scores_every_label=True,
        leaves_machine=False,
        costs_money=False,
    )

    def train(self, data, options, progress=lambda step, share: None):
        progress("counting", 0.5)
        counts = np.bincount(data.targets, minlength=len(data.labels)) + 1.0
        logprobs = np.log(counts / counts.sum()).tolist()
        parts = {"logprobs": struct.pack(f"<{len(logprobs)}d", *logprobs)}
        report = {"why": "It does not look at the text."}
        return Trained(MajorityPredictor(logprobs), {"n": len(logprobs)}, parts, report)

    def load(self, header, parts):
        n, data = header.get("n"), parts.get("logprobs", b"")
        if not isinstance(n, int) or not 0 < n < 10_000 or len(data) != 8 * n:
            raise ArtifactError("The stored shares are damaged: train the classifier again.")
        return MajorityPredictor(struct.unpack(f"<{n}d", data))
