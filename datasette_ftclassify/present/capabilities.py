"""What pages and commands say of what a trainer can do."""

from __future__ import annotations

from ..trainers.base import Capabilities


def capability_words(able: Capabilities) -> list[str]:
    """What is good to know before it is chosen, besides its price."""
    said = {
        "needs no labelled rows": not able.needs_examples,
        "a probability for every label": able.scores_every_label,
        "no scores": not able.scores_every_label,
        "may answer outside your labels": able.says_anything,
        "answers without a network": not able.leaves_machine,
        "cheaper answers in batches, within a day": able.batch,
        "cannot be stopped once it has begun": not able.cancels,
        "answers once you have deployed the model there": able.deploys,
    }
    return [text for text, holds in said.items() if holds]
