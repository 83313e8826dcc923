"""The parts of a tokenizer's JSON, each checked before anything is made of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any

from ...core.errors import ArtifactError
from ...core.untrusted_json import JsonObject
from . import normalizers
from .normalizers import WHITESPACE, EachCharacter, NormalForms, Step
from .subwords import Subwords, Unigram, WordLevel, WordPiece

MAX_VOCABULARY = 600_000
MAX_BYTES = 24_000_000
"""Of the JSON. The largest vocabulary that model2vec's models have, half a million, takes 12 MB."""
MAX_ITEMS = 2_200_000
"""See `bounds.read_json`; three for each entry of the largest unigram vocabulary."""
MAX_TOKEN = 200
"""Characters of a token in a vocabulary of words or word pieces."""
MAX_UNIGRAM = 32
"""The same of a unigram vocabulary: each length is tried at each place in a text; 16 is usual."""
MAX_WORD = 1_000
"""Characters of a word that word pieces are looked for in; 100 is usual."""
MAX_ADDED = 1_000
"""Tokens that are looked for in the text as they are, such as [PAD]."""
MAX_ADDED_LENGTH = 64
MAX_LISTED = 50
"""Steps in a file; model2vec has one for each of 32 punctuation marks, which are one of ours."""
MAX_STEPS = 8
"""Steps that are done. Each can make a text a little longer."""
MAX_NUMBER = 10_000_000
_UNKNOWN_COST = 10.0
"""What an unknown character costs more than the rarest token, as SentencePiece has it."""

Cut = Callable[[str], Iterator[tuple[str, int]]]
"""From a text to its words, and where each begins."""

_FORMS: tuple[normalizers.NormalForm, ...] = ("NFC", "NFD", "NFKC", "NFKD")
SPACE_MARK = "▁"
_find_words = re.compile(f"[^{WHITESPACE}]+").finditer
_find_marked = re.compile("▁[^▁]*|[^▁]+").finditer


def read_steps(data: Any) -> list[Step]:
    """Of the normalizer. Raises ArtifactError."""
    found: list[Step] = []
    isolated: dict[str, str] = {}
    for step in _flat(data, "normalizer", "normalizers"):
        replaced = _replaced(step)
        if replaced is not None and replaced[0] not in isolated:
            isolated.update([replaced])
            continue
        if isolated:
            found.append(_replace_each(isolated))
            isolated = {}
        if replaced is not None:
            isolated.update([replaced])
        else:
            found.append(_step(step))
    if isolated:
        found.append(_replace_each(isolated))
    if len(found) > MAX_STEPS:
        raise ArtifactError(f"its normalizer has more than {MAX_STEPS} steps.")
    return found


def _flat(data: Any, name: str, inner: str) -> list[JsonObject]:
    """The steps of a sequence, and of sequences in it."""
    if data is None:
        return []
    left: list[JsonObject] = [_object(data, name)]
    found: list[JsonObject] = []
    while left:
        step = left.pop(0)
        if step.get("type") == "Sequence":
            left = [_object(item, name) for item in _list(step.get(inner), name)] + left
        else:
            found.append(step)
        if len(left) + len(found) > MAX_LISTED:
            raise ArtifactError(f"its {name} has more than {MAX_LISTED} steps.")
    return found


def _step(step: JsonObject) -> Step:
    kind = step.get("type")
    if kind == "BertNormalizer":
        lower = _flag(step, "lowercase")
        accents = step.get("strip_accents")
        return normalizers.bert(
            clean=_flag(step, "clean_text"),
            chinese=_flag(step, "handle_chinese_chars"),
            strip_accents=lower if accents is None else _flag(step, "strip_accents"),
            lowercase=lower,
        )
    if kind in _FORMS:
        return NormalForms(kind)
    if kind == "Lowercase":
        return normalizers.lowercase()
    if kind == "StripAccents":
        return normalizers.strip_accents()
    if kind == "Strip":
        return normalizers.Strip(_flag(step, "strip_left"), _flag(step, "strip_right"))
    if _is_one_space(step):
        return normalizers.OneSpace()
    raise _unsupported("normalizer", kind)


def _replaced(step: JsonObject) -> tuple[str, str] | None:
    """A punctuation mark of ASCII with spaces around it, and the mark; None for another step."""
    pattern = step.get("pattern")
    if step.get("type") != "Replace" or not isinstance(pattern, Mapping):
        return None
    mark, content = pattern.get("String"), step.get("content")
    if mark not in tuple(normalizers.ASCII_PUNCTUATION):
        return None
    return (mark, content) if content in (f" {mark} ", f" {mark}", f"{mark} ") else None


def _replace_each(isolated: Mapping[str, str]) -> Step:
    table = dict(isolated)
    return EachCharacter(lambda character: table.get(character, character))


def _is_one_space(step: JsonObject) -> bool:
    """Whether it is the one replacement by which model2vec makes one space of several."""
    return (step.get("type"), step.get("pattern"), step.get("content")) == (
        "Replace", {"Regex": r"\s+"}, " ",
    )  # fmt: skip


def read_cut(data: Any) -> tuple[list[Step], Cut]:
    """Of the pre-tokenizer: what it changes, and how it cuts. Raises ArtifactError."""
    flat = _flat(data, "pre_tokenizer", "pretokenizers")
    if not flat:
        return [], _whole
    if len(flat) > 1:
        raise _unsupported("pre_tokenizer", "Sequence of several")
    kind = flat[0].get("type")
    if kind == "BertPreTokenizer":
        return [normalizers.isolate_punctuation()], _words
    if kind == "WhitespaceSplit":
        return [], _words
    if kind == "Whitespace":
        return [], _words_and_symbols
    if kind == "Metaspace":
        return _metaspace(flat[0])
    raise _unsupported("pre_tokenizer", kind)


def _metaspace(step: JsonObject) -> tuple[list[Step], Cut]:
    scheme = step.get("prepend_scheme", "always")
    if step.get("replacement") != SPACE_MARK or scheme not in ("always", "never"):
        raise _unsupported("pre_tokenizer", "Metaspace of another kind")
    split = step.get("split", True)
    if not isinstance(split, bool):
        raise ArtifactError("split is not true or false.")
    return [
        normalizers.MarkSpaces(SPACE_MARK, prepend=scheme == "always")
    ], _marked if split else _whole


def _whole(text: str) -> Iterator[tuple[str, int]]:
    if text:
        yield text, 0


def _words(text: str) -> Iterator[tuple[str, int]]:
    return ((match[0], match.start()) for match in _find_words(text))


def _marked(text: str) -> Iterator[tuple[str, int]]:
    return ((match[0], match.start()) for match in _find_marked(text))


def _words_and_symbols(text: str) -> Iterator[tuple[str, int]]:
    at = 0
    for kind, characters in groupby(text, normalizers.kind_of):
        run = "".join(characters)
        if kind is not None:
            yield run, at
        at += len(run)


def read_model(data: Any) -> Subwords:
    """Raises ArtifactError."""
    model = _object(data, "model")
    kind = model.get("type")
    if kind == "Unigram":
        return _unigram(model)
    if kind not in ("WordPiece", "WordLevel"):
        raise _unsupported("model", kind)
    vocabulary = _vocabulary(model.get("vocab"))
    unknown = vocabulary.get(_text(model, "unk_token", MAX_TOKEN))
    if kind == "WordLevel":
        return WordLevel(vocabulary, unknown)
    longest = model.get("max_input_chars_per_word")
    if type(longest) is not int or not 1 <= longest <= MAX_WORD:
        raise ArtifactError(f"max_input_chars_per_word is not a whole number from 1 to {MAX_WORD}.")
    prefix = _text(model, "continuing_subword_prefix", 10)
    return WordPiece(vocabulary, unknown, prefix, longest, max(map(len, vocabulary)))


def _vocabulary(data: Any) -> dict[str, int]:
    vocabulary = _object(data, "vocabulary")
    if not 1 <= len(vocabulary) <= MAX_VOCABULARY:
        raise ArtifactError(f"its vocabulary does not have 1 to {MAX_VOCABULARY:,} tokens.")
    if max(map(len, vocabulary)) > MAX_TOKEN:
        raise ArtifactError(f"a token has more than {MAX_TOKEN} characters.")
    for number in vocabulary.values():
        _number(number)
    return vocabulary


def _unigram(model: JsonObject) -> Unigram:
    items = _list(model.get("vocab"), "vocabulary")
    if not 1 <= len(items) <= MAX_VOCABULARY:
        raise ArtifactError(f"its vocabulary does not have 1 to {MAX_VOCABULARY:,} tokens.")
    if model.get("byte_fallback"):
        raise _unsupported("model", "Unigram with byte_fallback")
    vocabulary: dict[str, tuple[int, float]] = {}
    for number, item in enumerate(items):
        token, score = item if isinstance(item, list) and len(item) == 2 else (None, None)
        if not isinstance(token, str) or not isinstance(score, (int, float)):
            raise ArtifactError("an entry of its vocabulary is not a token and a score.")
        if len(token) > MAX_UNIGRAM:
            raise ArtifactError(f"a token has more than {MAX_UNIGRAM} characters.")
        if not abs(score) <= MAX_NUMBER:
            raise ArtifactError("a score of its vocabulary is too large.")
        vocabulary[token] = (number, float(score))
    unknown = None if model.get("unk_id") is None else _number(model["unk_id"])
    floor = min(score for _, score in vocabulary.values()) - _UNKNOWN_COST
    return Unigram(vocabulary, unknown, floor, max(map(len, vocabulary)))


def read_added(data: Any) -> tuple[dict[str, int], dict[str, int]]:
    """Tokens to find in the text as it is, and in the normalised one. Raises ArtifactError."""
    items = _list(data or [], "added_tokens")
    if len(items) > MAX_ADDED:
        raise ArtifactError(f"it has more than {MAX_ADDED:,} added tokens.")
    raw: dict[str, int] = {}
    normalised: dict[str, int] = {}
    for item in items:
        token = _object(item, "added token")
        number = _number(token.get("id"))
        if any(_flag(token, flag) for flag in ("single_word", "lstrip", "rstrip")):
            raise _unsupported("added token", "single_word, lstrip or rstrip")
        found = normalised if _flag(token, "normalized") else raw
        found[_text(token, "content", MAX_ADDED_LENGTH)] = number
    return raw, normalised


def _object(data: Any, name: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ArtifactError(f"its {name} is no JSON object.")
    return data


def _list(data: Any, name: str) -> list[Any]:
    if not isinstance(data, list):
        raise ArtifactError(f"its {name} is no JSON array.")
    return data


def _flag(data: JsonObject, name: str) -> bool:
    value = data.get(name)
    if not isinstance(value, bool):
        raise ArtifactError(f"{name} is not true or false.")
    return value


def _text(data: JsonObject, name: str, most: int) -> str:
    value = data.get(name)
    if not isinstance(value, str) or len(value) > most:
        raise ArtifactError(f"{name} is not a text of at most {most} characters.")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_NUMBER:
        raise ArtifactError("the number of a token is not a whole number from 0 on.")
    return value


def _unsupported(part: str, kind: object) -> ArtifactError:
    return ArtifactError(
        f"its {part} is of the kind {str(kind)[:40]!r}, which is not supported: train with vectors "
        "that have WordPiece tokens, such as minishlab/potion-base-8M."
    )
