"""From the token log-probabilities of a language model's answer to a score for every label.

A model says one answer, and beside each of its tokens the few most probable others. A label's
probability is the sum over the ways to write it, followed through its tokens, and divided by what
all labels have together; what the model would rather have said than a label is kept as `other`.
Where that takes an assumption the result says that it is not exact, and where nothing is known
there is none.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from ...core.labels import folded
from ..formats import Codec
from .positions import END, Position, read_positions, token_bytes
from .walk import Listed, Options, Path, walk

__all__ = ["LabelScores", "Position", "Split", "TokenScorer", "read_positions"]

Split = Callable[[str], Sequence[bytes] | None]
"""Cuts a text into the tokens of the model's vocabulary; None when that is not known."""

TOLERANCE = 1e-5
"""Scores count as exact when all that was assumed cannot have moved one by more than this."""

FLOOR = 1e-15
"""The least probability of a label: below the rounding of the figures that providers give."""

_FLAG_TOKENS = 2 + 4 + 8
"""The strings of one to three flags: no vocabulary of note has longer tokens of digits."""


@dataclass(frozen=True, slots=True)
class LabelScores:
    """How probable each label was.

    logprobs: natural logarithms, in the order of the label set. Of one label among all (their
              probabilities sum to 1); of several: of each label being given
    other:    the probability of an answer outside the label set, 0-1. It is not in `logprobs`
    exact:    whether they are the model's own to within TOLERANCE. A model can still go astray
              within a label of several tokens that it did not choose: nobody sees that
    """

    logprobs: tuple[float, ...]
    other: float
    exact: bool


class TokenScorer:
    """Scores the answers to prompts of one codec.

    With `split`, the vocabulary of the model, labels are told apart by whole tokens, so that codes
    up to 999 are exact. Without, a token may begin any label that begins with its characters.
    """

    def __init__(self, codec: Codec, split: Split | None = None) -> None:
        self._codec = codec
        self._count = len(codec.labels)
        self._score: Callable[[Sequence[Position]], LabelScores | None]
        if codec.labels.exclusive:
            self._options = _single_options(codec, split)
            self._score = self._single
        elif codec.answers_are_flags:
            self._score = self._flags
        else:
            self._items = [codec.answer_for([value])[1:-1] for value in codec.labels.values]
            self._whole_numbers = _are_whole(codec.codes, split)
            # Few: each holds the texts of all later labels.
            self._array_options = lru_cache(maxsize=64)(self._build_array_options)
            self._score = self._array

    def score(self, logprobs: object) -> LabelScores | None:
        """The scores of one answer, from the `logprobs` of its choice as JSON. Never raises.

        None when there are no log-probabilities, or they do not say enough: nothing in them speaks
        for any label, or an answer of several labels is not in the form that it was trained on.
        """
        positions = read_positions(logprobs)
        return None if positions is None else self._score(positions)

    def _single(self, positions: Sequence[Position]) -> LabelScores | None:
        found = walk(positions, self._options)
        probabilities = found.probabilities() if found is not None else None
        if found is None or probabilities is None:
            return None
        floored = [max(probability, FLOOR) for probability in probabilities]
        total = math.fsum(floored)
        logprobs = tuple(math.log(probability / total) for probability in floored)
        return LabelScores(logprobs, found.other, found.uncertainty <= TOLERANCE)

    def _flags(self, positions: Sequence[Position]) -> LabelScores | None:
        """Of each flag, given those in earlier tokens as they were said; within a token that holds
        several, over all the tokens listed for its place."""
        text = _text(positions)
        if text is None or self._codec.decode_answer(text) is None:
            return None
        scores = _Conditional()
        for position in positions:
            left = self._count - len(scores.logprobs)
            listed = Listed.of(position)
            if listed is None or not left:
                break
            start = left == self._count
            said = _flags_in(position.token, left, start)
            choices = [(_flags_in(t, left, start), p) for t, p in listed.tokens.items()]
            valid = math.fsum(p for flags, p in choices if flags)
            unseen = listed.share(1)
            for at in range(len(said)):
                one = math.fsum(p for flags, p in choices if flags[at : at + 1] == "1")
                zero = math.fsum(p for flags, p in choices if flags[at : at + 1] == "0")
                scores.add(one or unseen, zero or unseen)
                scores.doubt += abs(valid - one - zero)
            chosen = listed.tokens[position.token]
            # White space before the flags is neither in nor outside the set.
            scores.step(valid if said else 1.0, chosen / valid if said else chosen)
            scores.doubt += listed.missing(_FLAG_TOKENS)
        return scores.result(self._count)

    def _array(self, positions: Sequence[Position]) -> LabelScores | None:
        """Of each label, given those before it in the label set as they were said.

        Labels stand in their order, so an item also says that those skipped for it are not there:
        a label's probability is that of being the next item, among itself, all later ones and the
        end of the array.
        """
        text = _text(positions)
        labels = None if text is None else self._codec.decode_answer(text)
        if text is None or labels is None:
            return None
        if not text.startswith(self._codec.prefix + self._codec.answer_for(labels)):
            return None  # another order or spacing than it was trained on
        scores = _Conditional()
        begin, offset = self._codec.prefix + "[", 0
        for taken in [*self._codec.labels.positions(labels), None]:
            first = len(scores.logprobs)
            found = walk(_from(positions, offset), self._array_options(begin, first))
            chances = found.probabilities() if found is not None else None
            if found is None or chances is None:
                return None
            decided = self._count - first if taken is None else taken - first + 1
            later = [*accumulate(reversed(chances))][::-1][1:]
            for chance, rest in zip(chances[:decided], later, strict=False):
                scores.add(chance, rest)
            scores.step(
                found.inside * found.stay, chances[decided if taken is None else decided - 1]
            )
            scores.doubt += found.uncertainty
            if taken is not None:
                offset += len(token_bytes(begin + self._items[taken]))
                begin = ", "
        return scores.result(self._count)

    def _build_array_options(self, begin: str, first: int) -> Options:
        """What may follow an item: any later item, or, as the last outcome, the end."""
        items = self._items[first:]
        texts = [(f"{begin}{item}{end}", i) for i, item in enumerate(items) for end in ",]"]
        texts.append((f"{begin.rstrip(', ')}]", len(items)))
        encoded = ((token_bytes(text), i) for text, i in texts)
        return Options(len(items) + 1, encoded, whole_numbers=self._whole_numbers)


class _Conditional:
    """Gathers the scores of labels that are decided one after the other.

    inside: the probability that the whole answer is in the form that was asked for
    doubt:  how far a score may be from that of its label by itself. Every decision but the last
            adds the probability that it had been taken otherwise
    """

    def __init__(self) -> None:
        self.logprobs: list[float] = []
        self.inside = 1.0
        self.doubt = 0.0
        self._otherwise = 0.0

    def add(self, one: float, zero: float) -> None:
        """A label that is there with weight `one` and not there with weight `zero`."""
        total = one + zero
        self.logprobs.append(math.log(max(one / total, FLOOR)) if total > 0 else math.nan)

    def step(self, inside: float, chosen: float) -> None:
        self.inside *= min(inside, 1.0)
        self.doubt += self._otherwise
        self._otherwise = max(1.0 - chosen, 0.0)

    def result(self, count: int) -> LabelScores | None:
        """None when not all labels were decided."""
        if len(self.logprobs) != count or any(map(math.isnan, self.logprobs)):
            return None
        return LabelScores(tuple(self.logprobs), 1.0 - self.inside, self.doubt <= TOLERANCE)


def _single_options(codec: Codec, split: Split | None) -> Options:
    names = [codec.answer_for([value]) for value in codec.labels.values]
    variants = _variants(names, codec.prefix)
    ends = [] if any("\n" in name for name in names) else ["\n"]
    if codec.stop and not (ends and codec.stop.startswith("\n")):
        ends.append(codec.stop)
    texts = [(token_bytes(text) + END, i) for text, i in variants.items()]
    texts += [(token_bytes(text + end), i) for text, i in variants.items() for end in ends]
    return Options(len(names), texts, _paths(variants, ends, split))


def _variants(names: Sequence[str], prefix: str) -> dict[str, int]:
    """Every way to write each label: with a space before it or without, and in another case where
    no two labels differ by case alone."""
    exact = {prefix + name: i for i, name in enumerate(names)}
    shared = Counter(folded(name) for name in names)
    variants: dict[str, int] = {}
    for i, name in enumerate(names):
        forms = {name}
        if shared[folded(name)] == 1:
            forms |= {name.lower(), name.upper(), name[:1].upper() + name[1:], name.title()}
        variants.update((space + form, i) for form in forms for space in ("", " "))
    return variants | exact


def _paths(
    variants: Mapping[str, int], ends: Sequence[str], split: Split | None
) -> set[tuple[Path, int]]:
    """How the vocabulary cuts each text; nothing when it is not known."""
    paths: set[tuple[Path, int]] = set()
    if split is None:
        return paths
    for text, i in variants.items():
        for end in ("", *ends):
            pieces = split(text + end)
            if pieces is None:
                return set()
            paths.add(((*pieces,) if end else (*pieces, END), i))
    return paths


def _are_whole(codes: Iterable[str] | None, split: Split | None) -> bool:
    """Whether every code is one token, so that none is the beginning of another."""
    if codes is None or split is None:
        return False
    return all(len(split(code) or ()) == 1 for code in codes)


def _from(positions: Sequence[Position], offset: int) -> list[Position]:
    """The positions from a byte of the answer on. In a token that begins before it, what may
    stand there is known from the tokens that begin in the same way."""
    for i, position in enumerate(positions):
        if offset < len(position.token):
            return [_tail(position, offset), *positions[i + 1 :]] if offset else [*positions[i:]]
        offset -= len(position.token)
    return []


def _tail(position: Position, offset: int) -> Position:
    head = position.token[:offset]
    inside = {t: p for t, p in position.logprobs.items() if t.startswith(head)}
    listed = Listed.of(position)
    rest = listed.rest if listed is not None else 0.0
    total = math.log(math.fsum(map(math.exp, inside.values())) + rest) if inside else 0.0
    return Position(position.token[offset:], {t[offset:]: p - total for t, p in inside.items()})


def _flags_in(token: bytes, left: int, start: bool) -> str:
    """The flags in a token when `left` are still to come; "" when it does not fit there."""
    text = token.lstrip() if start else token
    rest = text.lstrip(b"01")
    flags = text[: len(text) - len(rest)].decode()
    ended = not rest or (len(flags) == left and not rest[:1].isdigit())
    return flags if ended and len(flags) <= left else ""


def _text(positions: Sequence[Position]) -> str | None:
    """What was said up to its end; None when that is not text."""
    try:
        return b"".join(position.token for position in positions).partition(END)[0].decode()
    except UnicodeDecodeError:
        return None
