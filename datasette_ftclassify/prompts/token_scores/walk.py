"""Along the tokens of one answer: how probable each of several texts was in its place.

Only the answer's own path is known token by token. Beside it, at each place, stand the tokens that
might have been said, and which of the texts begin with one tells what it would have become.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .positions import END, Position

Path = tuple[bytes, ...]
Outcomes = frozenset[int]


class Options:
    """The texts that an answer may be, each standing for one of `count` outcomes.

    texts: with what ends them (END, a stop sequence, a comma), so that none begins another's
    paths: the same texts as the model's vocabulary cuts them. Where they are known, a token that
           is on no path leads to none of the texts: `1` is not the beginning of `12`, which is a
           token of its own. Empty: not known, and any token that begins a text may lead there
    whole_numbers: no token ends within a number
    """

    def __init__(
        self,
        count: int,
        texts: Iterable[tuple[bytes, int]],
        paths: Iterable[tuple[Path, int]] = (),
        *,
        whole_numbers: bool = False,
    ) -> None:
        self.all: Outcomes = frozenset(range(count))
        self._texts = sorted(texts)
        self._paths = sorted(paths)
        self._whole_numbers = whole_numbers
        # Answers of one classifier begin alike, time and again.
        self.on_path = lru_cache(maxsize=2_000)(self._on_path)
        self.next_tokens = lru_cache(maxsize=2_000)(self._next_tokens)
        self.after = lru_cache(maxsize=2_000)(self._after)

    def _on_path(self, path: Path) -> Outcomes:
        """The outcomes that the model spells with tokens beginning with `path`."""
        return frozenset(outcome for _, outcome in self._spellings(path))

    def is_path(self, path: Path) -> bool:
        """Whether any outcome is spelt with tokens beginning with `path`."""
        return next(self._spellings(path), None) is not None

    def _next_tokens(self, path: Path) -> frozenset[bytes]:
        """What may follow `path` in the model's own spelling."""
        return frozenset(
            token for spelling, _ in self._spellings(path) for token in spelling[len(path) :][:1]
        )

    def _spellings(self, path: Path) -> Iterator[tuple[Path, int]]:
        for i in range(bisect_left(self._paths, (path, -1)), len(self._paths)):
            if self._paths[i][0][: len(path)] != path:
                return
            yield self._paths[i]

    def _after(self, text: bytes) -> Outcomes:
        """The outcomes with a text that begins with `text`, or that `text` begins with."""
        return frozenset(self._beginning(text)) or self._begun(text)

    def is_over(self, text: bytes) -> bool:
        """Whether `text` has come to the end of one of the texts."""
        return bool(self._begun(text))

    def _beginning(self, text: bytes) -> Iterator[int]:
        number = self._whole_numbers and text[-1:].isdigit()
        for i in range(bisect_left(self._texts, (text, -1)), len(self._texts)):
            option, outcome = self._texts[i]
            if not option.startswith(text):
                return
            if not (number and option[len(text) : len(text) + 1].isdigit()):
                yield outcome

    def _begun(self, text: bytes) -> Outcomes:
        at = bisect_right(self._texts, (text, len(self.all))) - 1
        if at < 0 or not text.startswith(self._texts[at][0]):
            return frozenset()
        return frozenset((self._texts[at][1],))


@dataclass(frozen=True, slots=True)
class Listed:
    """The probabilities known of one place.

    tokens:   of the tokens listed, and of the one said. When that was not among them it has half of
              the rest, and not more than the least listed
    rest:     of all other tokens together
    smallest: of the least listed; no other token has more
    """

    tokens: dict[bytes, float]
    rest: float
    smallest: float

    @classmethod
    def of(cls, position: Position) -> Listed | None:
        """None when nothing is known of the place."""
        tokens = {token: math.exp(value) for token, value in position.logprobs.items()}
        if not tokens:
            return None
        rest = max(0.0, 1.0 - math.fsum(tokens.values()))
        smallest = min(tokens.values())
        if position.token in tokens:
            return cls(tokens, rest, smallest)
        assumed = max(min(smallest, rest / 2), sys.float_info.min)
        return cls({**tokens, position.token: assumed}, max(rest - assumed, 0.0), smallest)

    def missing(self, tokens: float) -> float:
        """The most that so many tokens, none of them listed, can have together."""
        return min(self.rest, tokens * self.smallest) if self.rest else 0.0

    def share(self, outcomes: int) -> float:
        """What each of the outcomes that no listed token leads to is given of the rest: an equal
        part, as is everything else together, and no more than the least token listed."""
        return min(self.smallest, self.rest / (outcomes + 1))


@dataclass
class Findings:
    """What the way along an answer showed.

    masses:  the probability that went to each outcome
    outside: that went to none of them
    shared:  of tokens that may lead to every outcome, and so favour none
    doubt:   the most that the masses can be wrong by, for all that was not seen
    stay:    how often an answer that has chosen its outcome goes on as that
    """

    masses: list[float]
    outside: float = 0.0
    shared: float = 0.0
    doubt: float = 0.0
    stay: float = 1.0

    @property
    def inside(self) -> float:
        return math.fsum(self.masses) + self.shared

    @property
    def other(self) -> float:
        """The probability of an answer that is none of the texts, 0-1."""
        return min(max(self.outside + self.inside * (1.0 - self.stay), 0.0), 1.0)

    @property
    def uncertainty(self) -> float:
        """How far the probabilities within the set may be wrong, 0 and up."""
        return self.doubt / self.inside if self.inside > 0 else math.inf

    def probabilities(self) -> list[float] | None:
        """Of each outcome, given that it is one of them; None when nothing spoke for any."""
        total = math.fsum(self.masses)
        if total > 0:
            return [mass / total for mass in self.masses]
        return [1.0 / len(self.masses)] * len(self.masses) if self.shared > 0 else None

    def give(self, mass: float, to: Outcomes, every: Outcomes) -> None:
        """Adds the mass of one token, in equal parts where it may lead to several outcomes."""
        if not to:
            self.outside += mass
        elif to == every and len(to) > 1:
            self.shared += mass
            self.doubt += mass
        else:
            for outcome in to:
                self.masses[outcome] += mass / len(to)
            self.doubt += mass if len(to) > 1 else 0.0


def walk(positions: Sequence[Position], options: Options) -> Findings | None:
    """Follows an answer. None when a place on the way has no log-probabilities.

    As long as several outcomes are open, the probability of each listed token goes where it leads
    (`Findings.give`), and outcomes that no listed token leads to get `Listed.share`. Once one is
    left it is chosen. What follows tells only how often such an answer goes astray, and is taken to
    be the same for the outcomes that were not chosen, whose further tokens nobody saw.
    """
    return _Walk(positions, options).follow()


class _Walk:
    def __init__(self, positions: Sequence[Position], options: Options) -> None:
        self.options = options
        self.positions = positions
        self.found = Findings([0.0] * len(options.all))
        self.path: Path = ()
        self.text = b""
        self.reach = 1.0
        self.open = options.all
        self.decided = False
        self.spelt = self._is_spelt()

    def follow(self) -> Findings | None:
        for position in self.positions:
            listed = Listed.of(position)
            if listed is None:
                return None
            said = self._leads_to(position.token, said=True) & self.open
            if self.decided:
                self.found.stay *= self._kept(listed)
            else:
                self._divide(listed, position.token, said)
            if not self._go_on(position.token, listed.tokens[position.token], said):
                return self.found
        self._end()
        return self.found

    def _go_on(self, token: bytes, probability: float, said: Outcomes) -> bool:
        """Takes a step; False when there is no further one to take."""
        self.reach *= probability
        self.path, self.text, self.open = (*self.path, token), self.text + token, said
        if not self.decided and len(said) <= 1:
            self.decided = True
            self.found.give(self.reach, said, self.options.all)
        return bool(said) and not self.options.is_over(self.text)

    def _divide(self, listed: Listed, said: bytes, to_said: Outcomes) -> None:
        covered = set(to_said)
        for token, probability in listed.tokens.items():
            if token != said:
                to = self._leads_to(token, said=False) & self.open
                self.found.give(self.reach * probability, to, self.options.all)
                covered |= to
                if not to and self.options.after(self.text + token) & self.open:
                    # Another spelling of a text, or the beginning of another word.
                    self.found.doubt += self.reach * probability
        missing = self.open - covered
        share = listed.share(len(missing))
        for outcome in missing:
            self.found.masses[outcome] += self.reach * share
        self.found.outside += self.reach * (listed.rest - share * len(missing))
        unlisted = math.inf
        if self.options.is_path(self.path):
            unlisted = len(self.options.next_tokens(self.path) - set(listed.tokens))
        self.found.doubt += self.reach * listed.missing(unlisted)

    def _kept(self, listed: Listed) -> float:
        """The probability of going on as the outcome that is chosen, in whatever spelling."""
        kept = (
            p for t, p in listed.tokens.items() if self.options.after(self.text + t) & self.open
        )
        return min(math.fsum(kept), 1.0)

    def _end(self) -> None:
        """The answer is over, though not by a token that says so: what is complete is meant."""
        if not self.decided:
            complete = self.options.after(self.text + END) & self.open
            self.found.give(self.reach, complete or self.open, self.options.all)
            self.found.doubt += self.reach if len(complete) == 1 else 0.0

    def _leads_to(self, token: bytes, *, said: bool) -> Outcomes:
        if self.spelt if said else self.options.is_path(self.path):
            return self.options.on_path((*self.path, token))
        return self.options.after(self.text + token)

    def _is_spelt(self) -> bool:
        """Whether the answer is cut as the vocabulary would: `12` may also be said as `1`, `2`."""
        path: Path = ()
        for position in self.positions:
            path = (*path, position.token)
            if not self.options.is_path(path):
                return self.options.is_over(b"".join(path[:-1]))
        return bool(path)
