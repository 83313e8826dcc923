"""One example as one line of JSON, in the two forms that fine-tuning services read.

The same code builds the training line, the prompt of every later request and the reading of the
answer: a model that gets another prompt than it was trained on answers worse, without an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, Literal, get_args

from ..core.errors import ExportError
from ..core.labels import LabelSet, LabelValue, label_name
from ..core.untrusted_json import JsonObject
from .tokenizer import Tokenizer, code_for

Form = Literal["chat", "completion"]
LabelForm = Literal["text", "code"]
MultilabelForm = Literal["array", "flags"]
Messages = list[dict[str, str]]

SEPARATOR = "\n\n###\n\n"
"""Ends every prompt in completion form, as OpenAI's guide to that form recommends."""

STOPS = ("\n", " END", "\n###", "\n<<<END>>>\n")
"""Stop sequences tried in turn until one occurs in no label."""


@dataclass(frozen=True)
class ExportFormat:
    """How examples are written. Raises ExportError when options are unknown or contradict.

    form:        chat messages, or prompt and completion
    labels:      answers are label names, or codes: the labels' numbers, one token each up to 999
    multilabel:  several labels as a JSON array, or as a digit 0 or 1 for each label of the set
    separator:   ends a prompt (completion)
    stop:        ends a completion; None: the first of STOPS that is in no label; "": nothing
    system:      the system message (chat); None: one that states the task; "": no message
    bom:         files begin with a byte order mark, as Azure wants them
    """

    form: Form = "chat"
    labels: LabelForm = "text"
    multilabel: MultilabelForm = "array"
    separator: str = SEPARATOR
    stop: str | None = None
    system: str | None = None
    bom: bool = False

    def __post_init__(self) -> None:
        for name, choices in (
            ("form", Form),
            ("labels", LabelForm),
            ("multilabel", MultilabelForm),
        ):
            if getattr(self, name) not in get_args(choices):
                raise ExportError(
                    f"The export option {name} is one of {', '.join(get_args(choices))}, "
                    f"not {getattr(self, name)}."
                )
        if self.form == "completion" and not self.separator:
            raise ExportError(
                "The separator is empty: without one the model cannot tell where a text ends."
            )
        if self.form == "completion" and self.system:
            raise ExportError("A system message exists in chat form only: leave it out.")

    def bind(self, labels: LabelSet) -> Codec:
        """Puts the format to work for a label set."""
        return Codec(self, labels)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: JsonObject) -> ExportFormat:
        """Reads `to_dict`'s form. Raises ExportError when it is not that."""
        texts = ("form", "labels", "multilabel", "separator")
        if (
            set(data) != set(cls.__dataclass_fields__)
            or not all(isinstance(data[name], str) for name in texts)
            or not all(
                data[name] is None or isinstance(data[name], str) for name in ("stop", "system")
            )
            or not isinstance(data["bom"], bool)
        ):
            raise ExportError("A stored export format is damaged.")
        return cls(**data)


class Codec:
    """An export format for one label set: examples to lines and prompts, answers back.

    system, stop: what was chosen for this label set
    Raises ExportError when the stop sequence occurs in a label.
    """

    def __init__(self, fmt: ExportFormat, labels: LabelSet) -> None:
        self.format = fmt
        self.labels = labels
        self._as_code = fmt.labels == "code"
        self.answers_are_flags = not labels.exclusive and fmt.multilabel == "flags"
        self._completion = fmt.form == "completion"
        # A word is one token with a space before it, a number is one without.
        digits = self.answers_are_flags or (self._as_code and labels.exclusive)
        self.prefix = " " if self._completion and not digits else ""
        self._names = self._answer_names()
        self._index = {name: i for i, name in enumerate(self._names)}
        self.stop = self._choose_stop() if self._completion else ""
        self.system = "" if self._completion else self._system()
        self._head, self._middle = self._frame()
        self._tail = lru_cache(maxsize=10_000)(self._build_tail)

    @property
    def resolved(self) -> ExportFormat:
        """The format with everything written out that was left to be chosen."""
        options = self.format.to_dict()
        if self._completion:
            return ExportFormat(**{**options, "stop": self.stop})
        return ExportFormat(**{**options, "system": self.system})

    @property
    def codes(self) -> dict[str, LabelValue] | None:
        """The labels by their codes; None when answers are label names."""
        return dict(zip(self._names, self.labels.values, strict=True)) if self._as_code else None

    def encode(self, text: str, values: Sequence[LabelValue]) -> str:
        """The example as one line of JSON, without the line break.

        Raises ExportError when a value is not in the label set, or a row that has one label has
        several or none.
        """
        return self._head + _quote(text + self._middle) + self._tail(tuple(values))

    def prompt_for(self, text: str) -> Messages | str:
        """What to ask a model trained on this format: chat messages, or a prompt."""
        if self._completion:
            return text + self.format.separator
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": text}]

    def answer_for(self, values: Sequence[LabelValue]) -> str:
        """The answer that stands for the labels, in the order of the label set, without the
        space before and the stop sequence after it. Raises ExportError as `encode` does."""
        chosen = sorted({self._position(value) for value in values})
        if self.answers_are_flags:
            return "".join("1" if i in chosen else "0" for i in range(len(self.labels)))
        if not self.labels.exclusive:
            items = [i if self._as_code else self._names[i] for i in chosen]
            return json.dumps(items, ensure_ascii=False)
        if len(chosen) != 1:
            raise ExportError(f"A row has {len(chosen)} labels where the task wants one.")
        return self._names[chosen[0]]

    def decode_answer(self, answer: str) -> tuple[LabelValue, ...] | None:
        """The labels that an answer names, in the order of the label set; None when it names
        something else. Space around a label and what follows the stop sequence do not count."""
        if self.stop and self.stop in answer:
            answer = answer[: answer.index(self.stop)]
        answer = answer.removeprefix(self.prefix)
        if self.answers_are_flags:
            return self._from_flags(answer.strip())
        if not self.labels.exclusive:
            return self._from_array(answer)
        index = self._index.get(answer, self._index.get(answer.strip()))
        return None if index is None else (self.labels.values[index],)

    def decode(self, line: str) -> tuple[str, tuple[LabelValue, ...]]:
        """The text and labels of a line that `encode` made. Raises ExportError for another."""
        try:
            data = json.loads(line)
            if self._completion:
                text, answer = data["prompt"], data["completion"]
            else:
                text, answer = (message["content"] for message in data["messages"][-2:])
            if not text.endswith(self._middle):
                raise ValueError("the prompt does not end in the separator")
            values = self.decode_answer(answer)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ExportError(f"A line is not an example in {self.format.form} form.") from error
        if values is None:
            raise ExportError(f"The answer {answer[:80]!r} is not in the label set.")
        return text[: len(text) - len(self._middle)], values

    def token_counter(self, tokenizer: Tokenizer) -> Callable[[str, Sequence[LabelValue]], int]:
        """A function from an example to the tokens it is billed for in training.

        Chat: 3 tokens and the role for each message and 3 for the example, as OpenAI's cookbook
        counts ("Data preparation and analysis for chat model fine-tuning").
        """
        count = tokenizer.count
        constant = 0 if self._completion else 3 + 2 * 4
        if self.system:
            constant += count(self.system) + 4

        @lru_cache(maxsize=10_000)
        def of_answer(values: tuple[LabelValue, ...]) -> int:
            return constant + count(self.prefix + self.answer_for(values) + self.stop)

        return lambda text, values: count(text + self._middle) + of_answer(tuple(values))

    def _position(self, value: LabelValue) -> int:
        index = self.labels.index(value)
        if index is None:
            raise ExportError(
                f"The label {label_name(value)} is not in the label set: the table has changed "
                "since it was read; start again."
            )
        return index

    def _answer_names(self) -> tuple[str, ...]:
        if self._as_code:
            return tuple(code_for(i) for i in range(len(self.labels)))
        return self.labels.names

    def _choose_stop(self) -> str:
        given = self.format.stop
        if given == "":
            return ""
        candidates = STOPS if given is None else (given,)
        for stop in candidates:
            if not self.labels.exclusive or all(_ends(name, stop) for name in self._names):
                return stop
        what = "Every usual stop sequence" if given is None else f"The stop sequence {given!r}"
        raise ExportError(f"{what} occurs in a label: give another, or export labels as codes.")

    def _system(self) -> str:
        if self.format.system is not None:
            return self.format.system
        return system_message(
            self.labels, codes=self._names if self._as_code else None, flags=self.answers_are_flags
        )

    def _frame(self) -> tuple[str, str]:
        """What stands before the text in a line, and what follows it within the same string."""
        if self._completion:
            return '{"prompt": ', self.format.separator
        system = f'{{"role": "system", "content": {_quote(self.system)}}}, ' if self.system else ""
        return f'{{"messages": [{system}{{"role": "user", "content": ', ""

    def _build_tail(self, values: tuple[LabelValue, ...]) -> str:
        answer = self.answer_for(values)
        if not self._completion:
            return f'}}, {{"role": "assistant", "content": {_quote(answer)}}}]}}'
        if self.stop and not _ends(answer, self.stop):
            raise ExportError(
                f"The stop sequence {self.stop!r} occurs in the answer {answer[:80]}: give another."
            )
        return f', "completion": {_quote(self.prefix + answer + self.stop)}}}'

    def _from_flags(self, answer: str) -> tuple[LabelValue, ...] | None:
        if len(answer) != len(self.labels) or set(answer) - {"0", "1"}:
            return None
        return tuple(v for v, on in zip(self.labels.values, answer, strict=True) if on == "1")

    def _from_array(self, answer: str) -> tuple[LabelValue, ...] | None:
        try:
            items = json.loads(answer)
        except (ValueError, RecursionError):
            return None
        if not isinstance(items, list) or not all(type(i) in (str, int, float) for i in items):
            return None
        chosen = {self._index.get(label_name(item)) for item in items}
        if None in chosen:
            return None
        return tuple(v for i, v in enumerate(self.labels.values) if i in chosen)


def _ends(answer: str, stop: str) -> bool:
    """Whether the first stop sequence in `answer + stop` is the one that was put there."""
    return (answer + stop).index(stop) == len(answer)


def _quote(text: str) -> str:
    """`text` as a JSON string on one line for every reader: some also break at U+2028, U+2029 and
    U+0085, which JSON allows."""
    quoted = encode_basestring(text)
    if quoted.isascii():
        return quoted
    for char, escaped in (("\u2028", "\\u2028"), ("\u2029", "\\u2029"), ("\x85", "\\u0085")):
        if char in quoted:
            quoted = quoted.replace(char, escaped)
    return quoted


MAX_LISTED = 50
"""With more labels than this, or more characters, a list costs more in every example than it
helps: the model learns the labels from the examples."""
MAX_LISTED_CHARACTERS = 2_000


def system_message(labels: LabelSet, *, codes: Sequence[str] | None, flags: bool) -> str:
    """States the task and lists the labels, with their codes where answers are codes."""
    names = [_plain(name) for name in labels.names]
    few = len(names) <= MAX_LISTED and sum(map(len, names)) <= MAX_LISTED_CHARACTERS
    sentence = f"Classify the text. Answer with {_answer(labels, codes is not None, flags)}"
    if not few:
        return f"{sentence}, and nothing else."
    if codes is not None and not flags:
        names = [f"{code} = {name}" for code, name in zip(codes, names, strict=True)]
    return "\n".join([f"{sentence}, and nothing else. The labels:", *names])


def _answer(labels: LabelSet, coded: bool, flags: bool) -> str:
    if flags:
        return (
            f"{len(labels)} digits, one for each label in order, 1 if it applies and 0 if it does "
            "not"
        )
    what = "number" if coded else "label"
    if labels.exclusive:
        return "the number of its label" if coded else "its label"
    which = f"{what}s of the labels" if coded else "labels"
    return f"a JSON array of the {which} that apply, [] if none does"


def _plain(name: str) -> str:
    """A label on one line; in quotes where its edges or characters would not show."""
    shows = name.isprintable() and name == name.strip() and name
    return name if shows else json.dumps(name)
