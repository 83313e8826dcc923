"""Parses a language model's answer: labels of the set, or an abstention with its reason.

A fine-tuned model nearly always answers as it was trained to. What it says otherwise is read only
as far as nobody could read it differently; everything else is an abstention with its reason, never
a guess.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal

from ..core.labels import LabelValue, joined, label_name
from .answer_wrapping import unwrapped
from .formats import Codec

How = Literal["exact", "folded", "nearest"]
Reason = Literal["outside the label set", "empty answer", "cut off", "refused", "filtered"]

CHARACTERS_PER_EDIT = 5
MAX_EDITS = 3
"""An answer may differ from a label by one edit (a character put in, left out or changed, or two
neighbours swapped) for each five characters, in each word and in the whole label, and three in all.
Words of fewer than five characters must be written rightly: `ham` is not `spam`, and `not` is not
`now`."""

LEAST_BEGUN = 4
SHARE_BEGUN = 0.6
"""An answer of at least so many letters that ends within a word is the one label that begins with
it, when it has at least this share of it: `entertain` is `entertainment`. A label of so many
letters is also meant by an answer that is one letter longer: `techn` is `tech`."""

_OPPOSED = re.compile(
    r"^(?:hyper|hypo|inter|intra|pre|pro|post|ante|anti|macro|micro|over|under)|(?:er|or|ee)$"
)
"""What makes another word of a word, and may be but one or two letters."""

_EAST_ASIAN = "\u2e80"
"""From here on scripts write whole words in one or two characters."""

_OTHER_WORD = ("less", "free", "er", "or", "ee")
"""Endings that make another word of the one before them."""

_QUOTES = "\"'`*_~“”‘’„‚«»‹› "
_PUNCTUATION = ".,;:!?…。"
_HOWS: tuple[How, ...] = ("exact", "folded", "nearest")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read.

    labels: in the order of the label set; a tuple of one, or of any length where a row may have
            several; None for an abstention
    how:    `exact` as the examples were written; `folded` but for case, white space, hyphens and
            underscores, quotes, punctuation after it and what stands around it (`Label: …`, a
            list's number, a code fence, JSON); `nearest` but for a few letters. None for an
            abstention
    reason: why it is an abstention; None when it is not
    raw:    what the model said
    """

    labels: tuple[LabelValue, ...] | None
    how: How | None
    reason: Reason | None
    raw: str


class AnswerReader:
    """Reads the answers to prompts of one codec."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        labels = codec.labels
        self._flags = codec.answers_are_flags
        names = labels.names if codec.codes is None else tuple(codec.codes)
        self._names = {name: i for i, name in enumerate(names)}
        # None stands for a fold that two labels share: an answer in that form names neither.
        self._folds: dict[str, int | None] = {}
        for i, name in enumerate(names):
            fold = fold_answer(name)
            self._folds[fold] = None if fold in self._folds else i
        self._folds.pop("", None)
        self._choices = [] if codec.codes is not None or self._flags else list(self._folds)
        self._longest = max(map(len, self._choices), default=0)

    def read(
        self, raw: str | None, *, finish_reason: str | None = None, refusal: str | None = None
    ) -> Answer:
        """Reads an answer. Never raises.

        raw:           the message's content or the completion's text, with or without the stop
                       sequence; None counts as ""
        finish_reason: as the provider gave it. After `length` an answer counts only when no
                       label goes on from there: `1` may have been on its way to `12`. So let
                       the model say one token more than its longest label has
        refusal:       the message's refusal, which providers keep apart from its content
        """
        text = raw or ""
        if refusal:
            return Answer(None, None, "refused", text or refusal)
        if finish_reason == "content_filter":
            return Answer(None, None, "filtered", text)
        stop = self._codec.stop
        body = text.partition(stop)[0] if stop else text
        cut = finish_reason == "length" and body == text
        found = self._exact(text, body, cut) or self._near(body, cut)
        if found is not None:
            return Answer(*found, None, text)
        if cut:
            return Answer(None, None, "cut off", text)
        reason: Reason = "outside the label set" if body.strip() else "empty answer"
        return Answer(None, None, reason, text)

    def _exact(self, text: str, body: str, cut: bool) -> tuple[tuple[LabelValue, ...], How] | None:
        labels = self._codec.decode_answer(text)
        if labels is None or (cut and self._goes_on(body)):
            return None
        return labels, "exact"

    def _near(self, body: str, cut: bool) -> tuple[tuple[LabelValue, ...], How] | None:
        if self._flags:
            return self._near_flags(body)
        values = self._codec.labels.values
        for text in unwrapped(body):
            if not self._codec.labels.exclusive:
                several = self._near_array(text) or self._near_list(text, cut)
                if several is not None:
                    return several
                continue
            found = self._look_up(text, cut)
            if found is not None:
                return (values[found[0]],), found[1] if text == body else max(
                    found[1], "folded", key=_HOWS.index
                )
        return None

    def _goes_on(self, body: str) -> bool:
        """Whether the answer, cut off, might have become another label."""
        if not self._codec.labels.exclusive:
            return False  # the end of an array shows, and so does the length of a string of flags
        fold = fold_answer(body)
        return any(name != fold and name.startswith(fold) for name in self._folds)

    def _look_up(self, name: str, cut: bool = False) -> tuple[int, How] | None:
        """The position of the one label that `name` can mean."""
        if cut and self._goes_on(name):
            return self._begun(fold_answer(name))
        exact = self._names.get(name, self._names.get(name.strip()))
        if exact is not None:
            return exact, "exact"
        fold = fold_answer(name)
        if fold in self._folds:
            index = self._folds[fold]
            return None if index is None else (index, "folded")
        if self._codec.codes is not None:
            return self._code_and_name(name)
        return (None if cut else self._nearest(fold)) or self._begun(fold)

    def _code_and_name(self, text: str) -> tuple[int, How] | None:
        """`3 = parks`, as the prompt lists it: the code of a label beside its own name."""
        found = _CODE_AND_NAME.fullmatch(text.strip())
        index = self._names.get(found[1]) if found else None
        if found is None or index is None:
            return None
        name = self._codec.labels.names[index]
        return (index, "folded") if fold_answer(found[2]) == fold_answer(name) else None

    def _begun(self, fold: str) -> tuple[int, How] | None:
        """The one label that an answer begins, or goes beyond by one letter."""
        if len(fold) < LEAST_BEGUN or len(fold) > self._longest + 1 or not fold[-1].isalpha():
            return None
        longer = [name for name in self._choices if name != fold and name.startswith(fold)]
        shorter = fold[:-1] if fold[:-1] in self._folds else None
        if shorter is not None:
            # Of one word of letters: `level 1b` and `class ab` are other names.
            plain = len(shorter) >= LEAST_BEGUN and fold.isalpha() and fold[-1] < _EAST_ASIAN
            return self._only(shorter) if plain and not longer and self._is_alone(fold) else None
        if len(longer) != 1:
            return None
        name = longer[0]
        rest = name[len(fold) :].split(" ")[0]
        enough = len(fold) >= SHARE_BEGUN * len(name)
        whole_word = not rest or rest in _OTHER_WORD or not rest[0].isalpha()
        if not enough or whole_word or max(name) >= _EAST_ASIAN or _numbers(name) != _numbers(fold):
            return None
        return self._only(name)

    def _is_alone(self, fold: str) -> bool:
        """Whether no more than one label is one letter away."""
        from rapidfuzz import process
        from rapidfuzz.distance import OSA

        near = process.extract(
            fold, self._choices, scorer=OSA.distance, score_cutoff=1, limit=2, processor=None
        )
        return len(near) == 1

    def _only(self, name: str) -> tuple[int, How] | None:
        index = self._folds[name]
        return None if index is None else (index, "nearest")

    def _nearest(self, fold: str) -> tuple[int, How] | None:
        """The label nearest to an answer, when it is near enough and nearer than any other, and
        every word of it is the same one; `level 2` is no slip of `level 1`."""
        if not fold or len(fold) > self._longest + MAX_EDITS:
            return None
        from rapidfuzz import process
        from rapidfuzz.distance import OSA

        best = process.extract(
            fold,
            self._choices,
            scorer=OSA.distance,
            score_cutoff=MAX_EDITS,
            limit=2,
            processor=None,
        )
        if not best or (len(best) == 2 and best[0][1] == best[1][1]):
            return None
        name, distance, _ = best[0]
        index = self._folds[name]
        if (
            index is None
            or distance > len(name) // CHARACTERS_PER_EDIT
            or not any(map(str.isalpha, name))
            or _numbers(name) != _numbers(fold)
            or not _same_words(name, fold)
        ):
            return None
        return index, "nearest"

    def _near_flags(self, body: str) -> tuple[tuple[LabelValue, ...], How] | None:
        labels = self._codec.decode_answer("".join(fold_answer(body).split()))
        return None if labels is None else (labels, "folded")

    def _near_array(self, body: str) -> tuple[tuple[LabelValue, ...], How] | None:
        items = array_items(body)
        return None if items is None else self._near_items(items)

    def _near_list(self, body: str, cut: bool) -> tuple[tuple[LabelValue, ...], How] | None:
        """Labels on lines of their own or between commas or semicolons; or a single one, which may
        have a comma in it."""
        if cut or not body.strip() or body.lstrip()[0] in "[{":
            return None
        return self._near_items([body]) or self._near_items(
            [_BULLET.sub("", item) for item in _BETWEEN.split(body.strip())]
        )

    def _near_items(self, items: list[str]) -> tuple[tuple[LabelValue, ...], How] | None:
        chosen: dict[int, int] = {}
        for item in items:
            found = self._look_up(item)
            if found is None:
                return None  # to leave out what is no label would be a guess
            chosen[found[0]] = _HOWS.index(found[1])
        worst = max([1, *chosen.values()])
        values = tuple(v for i, v in enumerate(self._codec.labels.values) if i in chosen)
        return values, _HOWS[worst]


def fold_answer(text: str) -> str:
    """What answers share that differ only by case, white space, hyphens and underscores within a
    name, composition of accents, quotes around them and punctuation after them."""
    return joined(text).rstrip(_QUOTES + _PUNCTUATION).lstrip(_QUOTES)


_CODE_AND_NAME = re.compile(r"(\d{1,4})\s*[=:.)–-]\s*(\S.*)", re.DOTALL)
_BULLET = re.compile(r"^\s*(?:[-*•]\s+(?=\D)|\d{1,4}[.)]\s+)")
_BETWEEN = re.compile(r"\s*[,;\n]\s*")

_ITEM = re.compile(
    r"""\s*("(?:[^"\\]|\\.)*"|'[^'"\\]*'|-?[0-9]{1,30}(?:\.[0-9]{1,30})?)\s*""", re.DOTALL
)


def array_items(text: str) -> list[str] | None:
    """The names in something like a JSON array; None for anything else.

    Forgives what a Python list differs in (single quotes, when no quote or backslash is within, a
    comma after the last item) and a fence or quotes around the array. It must be closed and flat.
    """
    text = text.strip().removeprefix("```json").lstrip(_QUOTES + "\r\n")
    text = text.rstrip(_QUOTES + _PUNCTUATION + "\r\n")
    if len(text) < 2 or text[0] != "[" or text[-1] != "]":
        return None
    items: list[str] = []
    at, end = 1, len(text) - 1
    while at < end and (item := _ITEM.match(text, at, end)) is not None:
        name = _item_name(item[1])
        if name is None:
            return None
        items.append(name)
        at = item.end()
        if at < end and text[at] != ",":
            return None
        at += 1
    return None if text[at:end].strip() else items


def _item_name(item: str) -> str | None:
    if item[0] == "'":
        return item[1:-1]
    try:
        return label_name(json.loads(item))
    except ValueError:
        return None


def _same_words(label: str, said: str) -> bool:
    """Whether each word said is the label's in its place, perhaps with a slip in it."""
    words, others = (_WORD.findall(text) for text in (label, said))
    if "".join(words) == "".join(others):
        return label[0] == said[0]
    return len(words) == len(others) and all(map(_is_slip, words, others))


def _is_slip(word: str, said: str) -> bool:
    """Whether a word was meant, and no other one: `atypical` is not `typical` misspelt, nor
    `employee` `employer`."""
    if word == said:
        return True
    from rapidfuzz.distance import OSA

    parts, others = _OPPOSED.findall(word), _OPPOSED.findall(said)
    return (
        word[0] == said[0]
        and max(word) < _EAST_ASIAN
        and (parts == others or not (parts and others))
        and OSA.distance(word, said) <= len(word) // CHARACTERS_PER_EDIT
    )


_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*")


def _numbers(text: str) -> list[str]:
    return _NUMBER.findall(text)
