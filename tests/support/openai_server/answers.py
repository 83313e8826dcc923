"""Chat completions and completions, with log-probabilities."""

from __future__ import annotations

from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
from openai.types import Completion
from openai.types.chat import ChatCompletion

from . import wild
from .errors import ApiError, bad_request
from .examples import split_messages
from .faults import ANSWERS, Fault
from .http import Request, Response
from .models import resolve
from .schemas import CHAT, COMPLETION, answer, answer_again, check_range, checked, read_json
from .settings import BaseModelInfo
from .speaking import Speaker, Spoken, Step
from .state import StoredModel, new_id, now
from .vocabulary import Vocabulary, printable, vocabulary

if TYPE_CHECKING:
    from .app import App

Frame = tuple[tuple[str, str], ...]

_UNUSED = {
    "stream": (None, False), "tools": (None,), "functions": (None,), "logit_bias": (None, {}),
    "n": (None, 1), "best_of": (None, 1), "echo": (None, False), "suffix": (None,),
    "audio": (None,), "response_format": (None, {"type": "text"}),
}  # fmt: skip

_END = {"chat": b"<|end|>", "completion": b"<|endoftext|>"}


async def chat(app: App, request: Request) -> Response:
    body = checked(CHAT, with_deployment(request), app.settings.extra_body)
    id, info, tuned = resolve(app, body["model"], "chat")
    _check_common(body)
    most = _check_chat(app, body, id, info)
    if not body["messages"]:
        raise bad_request("Invalid 'messages': empty array.", "empty_array", "messages")
    frame, text = split_messages(body["messages"])
    words = vocabulary(info.encoding)
    wants = bool(body.get("logprobs"))
    top = body.get("top_logprobs") or 0
    fault = app.faults.take(request, ANSWERS)
    spoken = await _say(app, tuned, info, frame, text, body, most, top, fault)
    finish = "content_filter" if _is(fault, "content_filter") else spoken.finish_reason
    refusal = fault.text if fault is not None and fault.kind == "refusal" else None
    shown = wants and not _is(fault, "no_logprobs") and refusal is None
    content = None if refusal is not None else spoken.text
    prompt = 3 + 4 * len(body["messages"]) + words.count(text)
    prompt += sum(words.count_again(said) for _, said in frame)
    record = {
        "id": new_id("chatcmpl"),
        "object": "chat.completion",
        "created": now(),
        "model": id,
        "service_tier": "default",
        "system_fingerprint": "fp_test",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {
                    "role": "assistant", "content": content, "refusal": refusal, "annotations": [],
                },
                "logprobs": _chat_logprobs(spoken.steps) if shown else None,
            }
        ],
        "usage": _usage(prompt, spoken.tokens, reasoned=_is(fault, "reasons")),
    }  # fmt: skip
    shape = (finish, content is None, refusal is None, spoken.steps != [] if shown else None)
    return answer_again(ChatCompletion, record, shape)


async def complete(app: App, request: Request) -> Response:
    body = checked(COMPLETION, with_deployment(request), app.settings.extra_body)
    id, info, tuned = resolve(app, body["model"], "completion")
    _check_common(body)
    check_range("logprobs", body.get("logprobs"), 0, 5)
    prompts = [body["prompt"]] if isinstance(body["prompt"], str) else body["prompt"]
    if not prompts or not all(isinstance(prompt, str) for prompt in prompts):
        raise bad_request("This server reads prompts as text, or several texts.", None, "prompt")
    most = body.get("max_tokens") or 16
    words = vocabulary(info.encoding)
    fault = app.faults.take(request, ANSWERS)
    choices = []
    usage = [0, 0]
    for index, prompt in enumerate(prompts):
        top = body.get("logprobs") or 0
        spoken = await _say(app, tuned, info, (), prompt, body, most, top, fault)
        shown = body.get("logprobs") is not None and not _is(fault, "no_logprobs")
        choices.append(
            {
                "index": index,
                "text": spoken.text,
                "finish_reason": "content_filter" if _is(fault, "content_filter")
                else spoken.finish_reason,
                "logprobs": _completion_logprobs(spoken.steps, len(prompt)) if shown else None,
            }
        )  # fmt: skip
        usage[0] += words.count(prompt)
        usage[1] += spoken.tokens
    record = {
        "id": new_id("cmpl"), "object": "text_completion", "created": now(), "model": id,
        "choices": choices, "usage": _usage(*usage),
    }  # fmt: skip
    return answer(Completion, record)


def with_deployment(request: Request) -> Any:
    body = read_json(request)
    if request.deployment is not None and isinstance(body, dict):
        return {**body, "model": request.deployment}
    return body


def _check_common(body: dict[str, Any]) -> None:
    for name, usual in _UNUSED.items():
        if body.get(name) not in usual:
            raise bad_request(f"This server does not offer '{name}'.", "unsupported_value", name)
    check_range("temperature", body.get("temperature"), 0, 2)
    check_range("top_p", body.get("top_p"), 0, 1)
    for name in ("max_tokens", "max_completion_tokens"):
        check_range(name, body.get(name), 1, 128_000)
    if isinstance(body.get("stop"), list) and len(body["stop"]) > 4:
        raise bad_request("Invalid 'stop': array too long.", "array_above_max_length", "stop")


def _check_chat(app: App, body: dict[str, Any], id: str, info: BaseModelInfo) -> int | None:
    """The most tokens that may be said."""
    check_range("top_logprobs", body.get("top_logprobs"), 0, 20)
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise bad_request(
            "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
            None,
            "top_logprobs",
        )
    if body.get("logprobs") and (not info.logprobs or id in app.settings.no_logprobs):
        raise ApiError(403, "You are not allowed to request logprobs from this model")
    both = body.get("max_tokens"), body.get("max_completion_tokens")
    if None not in both:
        raise bad_request(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "invalid_parameter_combination",
            "max_tokens",
        )
    if info.reasoning:
        _check_reasoning(body)
    return both[1] or both[0]


def _check_reasoning(body: dict[str, Any]) -> None:
    if body.get("max_tokens") is not None:
        raise bad_request(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            "unsupported_parameter",
            "max_tokens",
        )
    if body.get("temperature") not in (None, 1):
        raise bad_request(
            "Unsupported value: 'temperature' does not support this value with this model. Only "
            "the default (1) value is supported.",
            "unsupported_value",
            "temperature",
        )


def _is(fault: Fault | None, kind: str) -> bool:
    return fault is not None and fault.kind == kind


async def _say(
    app: App,
    tuned: StoredModel | None,
    info: BaseModelInfo,
    frame: Frame,
    text: str,
    body: dict[str, Any],
    most: int | None,
    top: int,
    fault: Fault | None,
) -> Spoken:
    words = vocabulary(info.encoding)
    if _is(fault, "out_of_set") and fault is not None:
        speaker = _speaker((fault.text,), words, _END[info.form])
        masses = speaker.masses(np.ones(1), 0, app.settings.other)
    elif _is(fault, "empty") or _is(fault, "content_filter") or _is(fault, "refusal"):
        return Spoken("", [], "stop", 0)
    elif _is(fault, "reasons"):  # until no tokens are left for an answer
        return Spoken("", [], "length", most or 1)
    elif tuned is None:
        speaker, masses = _untuned(frame, text, words, info.form)
    else:
        speaker, masses = await _tuned(app, tuned, info, frame, text, words)
    stop = body.get("stop") or ()
    temperature = body.get("temperature")
    return speaker.speak(
        masses,
        most=most,
        stops=[stop] if isinstance(stop, str) else stop,
        temperature=1.0 if temperature is None else temperature,
        random=None if temperature == 0 else Random(body.get("seed")),
        top=top,
    )


@lru_cache(maxsize=64)
def _speaker(answers: tuple[str, ...], words: Vocabulary, end: bytes) -> Speaker:
    return Speaker(answers, words, end)


async def _tuned(
    app: App, tuned: StoredModel, info: BaseModelInfo, frame: Frame, text: str, words: Vocabulary
) -> tuple[Speaker, np.ndarray]:
    learner = await app.learner(tuple(tuned.files), tuned.epochs)
    speaker = app.speakers.get(id(learner))
    if speaker is None:
        speaker = app.speakers[id(learner)] = Speaker(learner.answers, words, _END[info.form])
    other = app.settings.other if learner.knows_form(frame, text) else 0.35
    probabilities = learner.probabilities(frame, text, tuned.epoch)
    return speaker, speaker.masses(probabilities, app.settings.variants, other)


def _untuned(frame: Frame, text: str, words: Vocabulary, form: str) -> tuple[Speaker, np.ndarray]:
    pairs = wild.listed_labels("\n".join(content for _, content in frame))
    answers = tuple(dict.fromkeys(code for code, _ in pairs)) or (wild.HELPLESS,)
    names = dict(pairs)
    speaker = _speaker(answers, words, _END[form])
    guessed = wild.guess(text, [names.get(code, code) for code in answers])
    return speaker, speaker.masses(guessed, 0.1, 0.15)


def _chat_logprobs(steps: list[Step]) -> dict[str, Any]:
    return {
        "content": [
            {
                **_token(step.token, step.logprob),
                "top_logprobs": [_token(token, logprob) for token, logprob in step.top],
            }
            for step in steps
        ],
        "refusal": None,
    }


def _token(token: bytes, logprob: float) -> dict[str, Any]:
    text, numbers = _spelled(token)
    return {"token": text, "bytes": numbers, "logprob": max(logprob, -9999.0)}


@lru_cache(maxsize=10_000)
def _spelled(token: bytes) -> tuple[str, list[int]]:
    return printable(token), list(token)


def _completion_logprobs(steps: list[Step], offset: int) -> dict[str, Any]:
    offsets = []
    for step in steps:
        offsets.append(offset)
        offset += len(step.token.decode(errors="replace"))
    return {
        "tokens": [printable(step.token) for step in steps],
        "token_logprobs": [step.logprob for step in steps],
        "top_logprobs": [
            {printable(token): logprob for token, logprob in step.top} for step in steps
        ],
        "text_offset": offsets,
    }


def _usage(prompt: int, said: int, *, reasoned: bool = False) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": said,
        "total_tokens": prompt + said,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": said if reasoned else 0, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    }  # fmt: skip


ROUTES = {"POST /chat/completions": chat, "POST /completions": complete}
