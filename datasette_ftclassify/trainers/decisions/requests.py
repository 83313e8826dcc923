"""What is asked about a text: one choice among the labels, or for each label whether it applies.

The limits are those of OpenAI's API reference (create a decision, 2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...core.database import did_you_mean
from ...core.errors import TrainingError
from ...core.labels import LabelSet
from ..openai_protocol.dialect import OPENAI

NAME = "decisions"
DEFAULT_MODEL = "gpt-6-luna"
"""The one model that the API has had (2026-11)."""
PRICED_AS = "{}-decisions"
"""The model's name in price tables: decisions cost something else than its chat does."""
DIALECT = replace(OPENAI, trainer=NAME)

MOST_CHOICES = 255
"""Choices of one question; the fewest are two."""
MOST_QUESTIONS = 400
"""Questions of one request."""


def build_questions(labels: LabelSet, descriptions: Mapping[str, str]) -> list[dict[str, Any]]:
    """The `questions` of a request. Answers come in their order.

    Where labels exclude each other, one `choice` whose values are their names, in the label set's
    order; else a `predicate` for each label, in that order.
    """
    if not labels.exclusive:
        return [_predicate(name, descriptions.get(name)) for name in labels.names]
    choices = [_choice(name, descriptions.get(name)) for name in labels.names]
    instructions = "Which of these labels fits the text best?"
    return [{"type": "choice", "instructions": instructions, "choices": choices}]


def _choice(name: str, description: str | None) -> dict[str, str]:
    return {"value": name, "description": description} if description else {"value": name}


def _predicate(name: str, description: str | None) -> dict[str, str]:
    meaning = f" It means: {description}" if description else ""
    return {"type": "predicate", "instructions": f'The label "{name}" fits the text.{meaning}'}


def check_fits(labels: LabelSet, descriptions: Mapping[str, str]) -> None:
    """Raises TrainingError when the labels make no request, or a description is of none."""
    count = len(labels)
    others = (
        "Merge labels that are rare or alike, leave some out with a condition, or use a trainer "
        "that learns them: local, or openai."
    )
    if not labels.exclusive and count > MOST_QUESTIONS:
        raise TrainingError(
            f"There are {count:,} labels, and a request takes {MOST_QUESTIONS} questions, one for "
            f"each label. {others}"
        )
    if labels.exclusive and count > MOST_CHOICES:
        raise TrainingError(
            f"There are {count:,} labels, and a question takes {MOST_CHOICES} choices. {others}"
        )
    if count < labels.label_kind.fewest:
        raise TrainingError(
            f"There is one label, {labels.names[0]}, and nothing to choose from. Label rows with a "
            "second one, or describe it."
        )
    for name in descriptions:
        if name not in labels.names:
            raise TrainingError(
                f"There is a description of {name}, which is not a label"
                f"{did_you_mean(name, labels.names)}"
            )
