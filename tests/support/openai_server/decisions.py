"""Closed questions about a text, answered with probabilities and without training."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from openai.types import Decision

from . import wild
from .errors import bad_request
from .faults import ANSWERS, Fault
from .http import Request, Response
from .learner import Learner
from .models import resolve
from .schemas import DECISION, answer, checked, read_json
from .vocabulary import vocabulary

if TYPE_CHECKING:
    from .app import App

MOST_QUESTIONS = 400
MOST_CHOICES = 255


async def create(app: App, request: Request) -> Response:
    body = checked(DECISION, read_json(request), app.settings.extra_body)
    id, info, _ = resolve(app, body["model"], "decision")
    questions = body["questions"]
    if not 1 <= len(questions) <= MOST_QUESTIONS:
        raise bad_request(
            f"Invalid 'questions': expected 1 to {MOST_QUESTIONS} questions, but got "
            f"{len(questions)} instead.",
            "invalid_value",
            "questions",
        )
    text = _input_text(body["input"])
    fault = app.faults.take(request, ANSWERS)
    answers = [_answer(app, text, question, fault) for question in questions]
    words = vocabulary(info.encoding)
    spent = words.count(text) + sum(words.count(json.dumps(question)) for question in questions)
    record = {
        "answers": answers,
        "model": id,
        "usage": {
            "input_tokens": spent,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": len(questions),
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": spent + len(questions),
        },
    }
    return answer(Decision, record)


def _input_text(given: Any) -> str:
    if isinstance(given, str):
        return given
    return "\n".join(_parts_text(item.get("content")) for item in given)


def _parts_text(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(p.get("text") or json.dumps(p.get("data", "")) for p in content)
    return content or ""


def _answer(app: App, text: str, question: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
    if fault is not None and fault.kind in ("refusal", "content_filter"):
        return {"type": "refusal", "name": question.get("name")}
    return _ANSWERS[question["type"]](app, text, question)


def _choice(app: App, text: str, question: dict[str, Any]) -> dict[str, Any]:
    choices = question["choices"]
    values = [choice["value"] for choice in choices]
    if not 2 <= len(values) <= MOST_CHOICES:
        raise bad_request(
            f"A choice has 2 to {MOST_CHOICES} choices, not {len(values)}.", None, "questions"
        )
    if len({(type(value), value) for value in values}) < len(values):
        raise bad_request("Each choice must be unique.", None, "questions")
    names = [f"{choice['value']} {choice.get('description', '')}" for choice in choices]
    probabilities = _known(app, text, values)
    if probabilities is None:
        probabilities = wild.guess(text, names)
    best = int(probabilities.argmax())
    return {
        "type": "choice",
        "name": question.get("name"),
        "choice": values[best],
        "confidence": float(probabilities[best]),
        "probabilities": [
            {"value": value, "probability": float(p)}
            for value, p in zip(values, probabilities, strict=True)
        ],
    }


def _known(app: App, text: str, values: list[Any]) -> np.ndarray | None:
    """What `server.teach` taught about these choices."""
    for learner in app.taught:
        if set(values) <= set(learner.answers):
            return _of_answers(learner, text, values)
    return None


def _of_answers(learner: Learner, text: str, values: list[Any]) -> np.ndarray:
    all_answers = learner.probabilities((), text)
    some = all_answers[[learner.answers.index(value) for value in values]]
    return np.asarray(some / some.sum())


def _predicate(app: App, text: str, question: dict[str, Any]) -> dict[str, Any]:
    statement = _parts_text(question["instructions"])
    probability = _taught_predicate(app, text, statement)
    if probability is None:
        probability = float(wild.guess(text, [statement, ""], sharpness=1.0)[0]) * 2 - 1
    return {
        "type": "predicate", "name": question.get("name"), "probability": max(probability, 0.02),
    }  # fmt: skip


def _taught_predicate(app: App, text: str, statement: str) -> float | None:
    for learner in app.taught:
        named = [a for a in learner.answers if a.casefold() in statement.casefold()]
        if named:
            longest = learner.answers.index(max(named, key=len))
            return float(learner.probabilities((), text)[longest])
    return None


def _score(app: App, text: str, question: dict[str, Any]) -> dict[str, Any]:
    levels = question["levels"]
    names = [f"{level['label']} {level.get('description', '')}" for level in levels]
    probabilities = wild.guess(text, names)
    return {
        "type": "score",
        "name": question.get("name"),
        "score": float(probabilities @ np.arange(len(levels))),
        "confidence": float(probabilities.max()),
        "probabilities": [
            {"label": level["label"], "value": i, "probability": float(p)}
            for i, (level, p) in enumerate(zip(levels, probabilities, strict=True))
        ],
    }


_ANSWERS = {"choice": _choice, "predicate": _predicate, "score": _score}

ROUTES = {"POST /decisions": create}
