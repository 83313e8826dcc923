"""From a distribution over whole answers to tokens with log-probabilities.

The answers form a prefix tree of tokens. At each step a token is as probable as all answers
through it together, which is what a language model that believes in those answers would say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np

from .vocabulary import Vocabulary

END = -1
JUNK = ("The", "I", "Unknown", "None of these", "Answer", "#", "n/a")
"""What a model says that says no label."""


@dataclass(frozen=True)
class Step:
    """One position: the token, its log-probability, and the likeliest ones, best first."""

    token: bytes
    logprob: float
    top: list[tuple[bytes, float]]


@dataclass(frozen=True)
class Spoken:
    """text: without the stop sequence; steps: those that the text came from"""

    text: str
    steps: list[Step]
    finish_reason: str
    tokens: int


@dataclass(frozen=True)
class _Node:
    """A place in the prefix tree.

    rows:   of the texts that go through it
    branch: of each of these, the index of its next token
    tokens: how they are spelled; the texts that end here have the end's spelling
    after:  the places to which tokens lead, as far as anyone went there
    """

    rows: np.ndarray
    branch: np.ndarray
    tokens: list[bytes]
    depth: int
    after: dict[int, _Node] = field(default_factory=dict)


class Speaker:
    """Says one of a set of texts, token by token."""

    def __init__(self, answers: Sequence[str], vocabulary: Vocabulary, end: bytes) -> None:
        """end: how the token that ends an answer is spelled"""
        self._vocabulary = vocabulary
        self._end = end
        texts = list(answers)
        self._parents: list[tuple[int, float]] = []  # of each variant: its answer, its share
        for i, answer in enumerate(answers):
            for variant in _variants(answer):
                if variant not in texts:
                    texts.append(variant)
                    self._parents.append((i, 1.0))
        self._n = len(answers)
        self._junk = [text for text in JUNK if text not in texts]
        texts += self._junk
        ids = [vocabulary.encode(text) for text in texts]
        self._table = np.full((len(ids), max(map(len, ids)) + 1), END, dtype=np.int64)
        for row, tokens in zip(self._table, ids, strict=True):
            row[: len(tokens)] = tokens
        self._variant_of = np.array([i for i, _ in self._parents], dtype=int)
        counts = np.bincount(self._variant_of, minlength=self._n)
        self._spoken_otherwise = (counts > 0).astype(float)
        self._share = 1 / np.maximum(counts, 1)[self._variant_of]
        self._start = self._node(np.arange(len(ids)), 0)

    def masses(self, probabilities: np.ndarray, variants: float, other: float) -> np.ndarray:
        """Spreads (K,) over the answers, their other spellings and texts that are no answer."""
        known = len(self._table) - len(self._junk)
        masses = np.empty(len(self._table))
        masses[: self._n] = probabilities * (1 - variants * self._spoken_otherwise)
        masses[self._n : known] = probabilities[self._variant_of] * (variants * self._share)
        masses[:known] *= 1 - other
        masses[known:] = other / max(len(self._junk), 1)
        masses += 1e-12
        return masses

    def speak(
        self,
        masses: np.ndarray,
        *,
        most: int | None,
        stops: Sequence[str] = (),
        temperature: float = 1.0,
        random: Random | None = None,
        top: int = 0,
    ) -> Spoken:
        """Says something, at most `most` tokens long. Log-probabilities are those before the
        temperature is applied, as in the API."""
        choose = _chooser(temperature, random)
        node = self._start
        said = b""
        steps: list[Step] = []
        while most is None or len(steps) < most:
            weights = np.bincount(node.branch, masses[node.rows])
            logs = np.log(weights / weights.sum())
            pick = choose(weights)
            if node.tokens[pick] == self._end:
                return Spoken(said.decode(errors="replace"), steps, "stop", len(steps))
            best = np.argsort(-weights, kind="stable")[:top].tolist()
            values = logs.tolist()
            spelled = [(node.tokens[i], values[i]) for i in best]
            steps.append(Step(node.tokens[pick], values[pick], spelled))
            said += steps[-1].token
            node = self._after(node, pick)
            cut = _cut(said.decode(errors="replace"), stops)
            if cut is not None:
                return Spoken(cut, _within(steps, len(cut.encode())), "stop", len(steps))
        return Spoken(said.decode(errors="replace"), steps, "length", len(steps))

    def _after(self, node: _Node, pick: int) -> _Node:
        if pick not in node.after:
            node.after[pick] = self._node(node.rows[node.branch == pick], node.depth + 1)
        return node.after[pick]

    def _node(self, rows: np.ndarray, depth: int) -> _Node:
        ids, branch = np.unique(self._table[rows, depth], return_inverse=True)
        return _Node(rows, branch, [self._spell(id) for id in ids], depth)

    def _spell(self, id: int) -> bytes:
        return self._end if id == END else self._vocabulary.token(int(id))


def _variants(answer: str) -> list[str]:
    spaced = answer[1:] if answer.startswith(" ") else " " + answer
    cased = answer.swapcase() if answer[:1].islower() else answer.lower()
    return [text for text in (spaced, cased) if text and text != answer]


def _chooser(temperature: float, random: Random | None) -> Callable[[np.ndarray], int]:
    if temperature < 1e-3:
        return lambda weights: int(weights.argmax())
    random = random or Random()

    def sample(weights: np.ndarray) -> int:
        tempered = (weights / weights.max()) ** (1 / temperature)
        return random.choices(range(len(weights)), tempered.tolist())[0]

    return sample


def _cut(said: str, stops: Sequence[str]) -> str | None:
    ends = [said.index(stop) for stop in stops if stop and stop in said]
    return said[: min(ends)] if ends else None


def _within(steps: list[Step], length: int) -> list[Step]:
    kept, used = [], 0
    for step in steps:
        if used >= length:
            break
        kept.append(step)
        used += len(step.token)
    return kept
