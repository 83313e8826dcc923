"""Training files: checked line by line as the service does, and read for the learner."""

from __future__ import annotations

import codecs
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_suffix|>", "<|endofprompt|>")
FEWEST = 10


@dataclass(frozen=True)
class Example:
    """One example.

    frame:  everything around the text: roles and contents before it; empty in completion form
    text:   the last user message, or the prompt
    answer: what the model shall say
    """

    frame: tuple[tuple[str, str], ...]
    text: str
    answer: str


class InvalidFile(Exception):
    """A file that no model can be trained on, as a failed job's error tells it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def check(content: bytes, form: str, which: str, *, wants_mark: bool) -> None:
    """Raises InvalidFile, naming the line, for the first thing wrong.

    form: chat or completion; which: training or validation; wants_mark: as Azure does
    """
    if wants_mark and not content.startswith(codecs.BOM_UTF8):
        raise _invalid(which, "The file is not UTF-8 with a byte order mark (BOM)")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = content[: error.start].count(b"\n") + 1
        raise _invalid(which, f"Line {at} is not valid UTF-8") from error
    lines = text.removesuffix("\n").split("\n") if text else []
    for number, line in enumerate(lines, 1):
        problem = _problem(line, number, form)
        if problem:
            raise _invalid(which, problem)
    if which == "training" and len(lines) < FEWEST:
        raise InvalidFile(
            "invalid_n_examples",
            f"Training file has {len(lines)} example(s), but must have at least {FEWEST} examples",
        )


def _invalid(which: str, problem: str) -> InvalidFile:
    return InvalidFile(
        f"invalid_{which}_file",
        f"The job failed due to a file format error in the {which} file. "
        f"Invalid file format. {problem}.",
    )


def _problem(line: str, number: int, form: str) -> str | None:
    try:
        data = json.loads(line)
    except ValueError:
        return (
            "Expected file to have JSONL format, where every line is a valid JSON dictionary. "
            f'Line {number} is not valid JSON (HINT: line starts with: "{line[:8]}...")'
        )
    if not isinstance(data, dict):
        return (
            "Expected file to have JSONL format, where every line is a valid JSON dictionary. "
            f'Line {number} is not a dictionary (HINT: line starts with: "{line[:8]}...")'
        )
    found = _chat_problem(data) if form == "chat" else _completion_problem(data)
    return f"Line {number}: {found}" if found else _special(line, number)


def _special(line: str, number: int) -> str | None:
    for token in SPECIAL:
        if token in line:
            return f"Example {number} message contains an invalid token: {token}"
    return None


def _chat_problem(data: dict[str, Any]) -> str | None:
    messages = data.get("messages")
    if "messages" not in data:
        other = " (it has the prompt-completion format)" if "prompt" in data else ""
        return f'missing required key "messages"{other}'
    if not isinstance(messages, list) or not messages:
        return 'key "messages" is not a list with messages'
    unknown = set(data) - {"messages", "tools", "parallel_tool_calls", "functions"}
    if unknown:
        return f"unexpected key {sorted(unknown)[0]!r}"
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            return f"a message has no known role: {json.dumps(message)[:40]}"
        if not isinstance(message.get("content"), str):
            return f"a message of the {message['role']} has no content"
        if set(message) - {"role", "content", "weight", "name"}:
            return "a message has an unexpected key"
    if messages[-1]["role"] != "assistant":
        return "last message must be from the assistant"
    return None


def _completion_problem(data: dict[str, Any]) -> str | None:
    for key in ("prompt", "completion"):
        if not isinstance(data.get(key), str):
            return f"Expected file to have keys prompt/completion. Missing `{key}` key"
    return None


def read(content: bytes) -> list[Example]:
    """The examples of a file that was checked."""
    lines = content.decode("utf-8-sig").removesuffix("\n").split("\n")
    return [_read_line(json.loads(line)) for line in lines]


def _read_line(data: dict[str, Any]) -> Example:
    if "messages" not in data:
        return Example((), data["prompt"], data["completion"])
    *before, answer = data["messages"]
    frame, text = split_messages(before)
    return Example(frame, text, answer["content"])


def split_messages(messages: Sequence[dict[str, Any]]) -> tuple[tuple[tuple[str, str], ...], str]:
    """The frame and the text of a conversation that awaits its answer."""
    pairs = [(m["role"], content_text(m.get("content"))) for m in messages]
    if not pairs or pairs[-1][0] != "user":
        return tuple(pairs), ""
    return tuple(pairs[:-1]), pairs[-1][1]


def content_text(content: Any) -> str:
    """The text of a message's content, which may come in parts."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""
