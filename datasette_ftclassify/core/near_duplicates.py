"""Which texts are near copies: form letters, quoted mails, retweets, templates filled in.

A text and its near copy on both sides of a test measure memory, not skill. So splits, folds, the
learning curve, the checks and the intervals of an evaluation all ask this module, and nothing else.

Each text becomes a set of `shingles`. Of the set the smallest hashes are kept, a bottom-k sketch
(A. Broder, "On the resemblance and containment of documents", 1997). It is the whole set for texts
of up to about 30 words, so that the short ones, where one word decides, are compared exactly.
Shingles in more than a third of the texts are form or footer and say nothing about copies. Texts
that share one of their rarest or smallest hashes are compared, as sorted lists, so that the time
grows with n log n.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from .shingles import Wide, shingles
from .text import normalise, text_hash

Numbers = npt.NDArray[np.intp]
Hashes = npt.NDArray[np.uint32]
_Counts = npt.NDArray[np.int32]

RESEMBLANCE = 0.75
"""Shared shingles of all shingles of two short texts, from which on they are near copies: about one
word in ten may differ. Of banking77's 13,076 questions 4 % are then near copies of another one."""
LONG_RESEMBLANCE = 0.55
"""The same of long texts, of which nobody writes half alike by chance: of forms with many fields,
about one word in four may differ. In between it falls evenly."""
SHORT_SHINGLES, LONG_SHINGLES = 34, 80
"""Of 17 and of 40 words."""
CONTAINMENT = 0.9
"""Shared shingles of the shorter text's, from which on it is quoted in the longer one."""
LEAST_SHINGLES = 17
"""Of eight words. Shorter texts are near copies only where all words are the same."""
QUOTED_SHINGLES = 30
"""Of a text that counts as quoted: fifteen words."""
LEAST_SHARED = 8
"""Shared hashes below which a sampled share says too little."""
COMMON = 1 / 3
"""Share of the texts beyond which a shingle belongs to their form."""
MOST_CHARACTERS = 20_000
"""Of a text that are looked at."""
SIZE, SMALLER_SIZE = 64, 32
MANY = 250_000
"""Texts beyond which SMALLER_SIZE hashes are kept of each, to bound the memory."""

_CHAIN = 0.5
"""Containment of two groups' first texts below which no pair of their members unites them."""
_EMPTY = np.uint32(0xFFFFFFFF)
_BLOCK_TEXTS, _BLOCK_CHARACTERS = 2_000, 100_000
_PAIRS, _POSTED, _KEYS = 4_000, 500_000, 4
_LOW, _NO_KEY, _MOST = np.uint64(0xFFFFFFFF), np.uint64(0xFFFFFFFF << 32), 0xFFFFFF


def near_groups(texts: Sequence[str]) -> Numbers:
    """A number per text (below the number of texts), the same for equal texts and near copies."""
    first: dict[int, int] = {}
    sketches = Sketches()
    of_text = np.empty(len(texts), dtype=np.intp)
    for place, text in enumerate(texts):
        name = text_hash(text)
        if name not in first:
            first[name] = len(first)
            sketches.add(normalise(text))
        of_text[place] = first[name]
    names = np.fromiter(first, dtype=np.int64, count=len(first))
    return np.asarray(sketches.groups(names)[of_text], dtype=np.intp)


class Sketches:
    """A sketch of each of many different texts; then the groups of near copies among them.

    Holds 4 * SIZE bytes a text, 4 * SMALLER_SIZE of more than MANY, and no text, and as much
    again while groups are looked for.
    """

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._characters = 0
        self._table = _Table(SIZE)
        self._count = 0

    def add(self, normalised: str) -> None:
        """A text in its normal form, different from those before."""
        text = normalised[:MOST_CHARACTERS]
        self._waiting.append(text)
        self._characters += len(text)
        self._count += 1
        if len(self._waiting) == _BLOCK_TEXTS or self._characters >= _BLOCK_CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._table.add(self._waiting)
        self._waiting, self._characters = [], 0
        if self._count > MANY and self._table.size == SIZE:
            self._table.shrink(SMALLER_SIZE)

    def groups(self, names: npt.NDArray[np.int64]) -> Numbers:
        """For each text, in the order they came, the position of the one that stands for its
        group: of those with this number, the one with the smallest of `names`, which are different
        numbers. The same texts and names give the same groups in any order. To be called once."""
        self._flush()
        order = np.argsort(names, kind="stable")
        table, self._table = self._table, _Table(SIZE)
        found = _Comparison(table, order).groups()
        return np.asarray(order[found][np.argsort(order)], dtype=np.intp)


class _Table:
    """hashes: (texts, size), ascending, _EMPTY behind them; sizes: of the sets that they are of;
    numbered: whether a text has a number in it. The arrays are longer than `count`, by a few
    hundredths: they grow where they stand, since a copy of the whole would double the memory."""

    def __init__(self, size: int) -> None:
        self.count, self.size = 0, size
        self.hashes = np.empty((0, size), dtype=np.uint32)
        self.sizes, self.numbered = np.empty(0, dtype=np.uint32), np.empty(0, dtype=np.bool_)

    def add(self, texts: list[str]) -> None:
        rows, values, numbered = shingles(texts)
        keys = np.sort((rows << np.uint64(32)) | values)
        keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(keys) else keys
        rows = (keys >> np.uint64(32)).astype(np.intp)
        sizes = np.bincount(rows, minlength=len(texts))
        place = np.arange(len(rows)) - (np.cumsum(sizes) - sizes)[rows]
        kept = place < self.size
        start, self.count = self.count, self.count + len(texts)
        if self.count > len(self.sizes):
            room = self.count + self.count // 32
            for each in (self.hashes, self.sizes, self.numbered):
                each.resize((room, *each.shape[1:]), refcheck=False)
        self.hashes[start : self.count] = _EMPTY
        self.hashes[start + rows[kept], place[kept]] = keys[kept].astype(np.uint32)
        self.sizes[start : self.count], self.numbered[start : self.count] = sizes, numbered

    def shrink(self, size: int) -> None:
        self.size = size
        self.hashes = self.hashes[:, :size].copy()


class _Comparison:
    """All texts as their sketches, in the order they came. Texts are numbered by `rank`, their
    place in `order`, that of their names, so that what is found does not depend on it."""

    def __init__(self, table: _Table, order: Numbers) -> None:
        count = table.count
        self.order = order
        self.rank = np.empty(count, dtype=np.intp)
        self.rank[order] = np.arange(count)
        self.hashes = table.hashes[:count]
        self.sizes, self.numbered = table.sizes[:count], table.numbered[:count]
        # Up to here a sketch is the whole set.
        self.limit = np.where(self.sizes > table.size, self.hashes[:, -1], _EMPTY)
        self.parents = np.arange(count)

    def groups(self) -> Numbers:
        shared, counts = self._shared()
        common = self._common(shared, counts)
        keys = [*self._keys(shared, counts, common)]
        del shared, counts, common
        while keys:  # the rarest, then the smallest
            for pairs in self._candidates(keys.pop(0)):
                self._unite(pairs)
        return self._roots_of(np.arange(len(self.parents)))

    def _shared(self) -> tuple[Hashes, _Counts]:
        """The hashes that stand in more than one text, ascending, and in how many."""
        flat = np.sort(self.hashes, axis=None)
        flat = flat[: np.searchsorted(flat, _EMPTY)]
        same = np.zeros(len(flat) + 1, dtype=np.bool_)
        np.equal(flat[1:], flat[:-1], out=same[1:-1])
        # Of runs of equal hashes where they begin and end: most hashes stand alone.
        edges = np.flatnonzero(same[1:] != same[:-1])
        return flat[edges[::2]], (edges[1::2] - edges[::2] + 1).astype(np.int32)

    def _common(self, shared: Hashes, counts: _Counts) -> npt.NDArray[np.bool_]:
        """Which of the shared hashes are in so many of the sketches in which they could be."""
        limits = np.sort(self.limit)
        possible = len(limits) - np.searchsorted(limits, shared)
        return np.asarray((counts >= 5) & (counts > COMMON * possible), dtype=np.bool_)

    def _keys(
        self, shared: Hashes, counts: _Counts, common: npt.NDArray[np.bool_]
    ) -> tuple[Hashes, Hashes]:
        """The rarest and the smallest hashes of each text that others have too, (texts, _KEYS).
        Takes what is common out of the sketches."""
        keys = [np.full((len(self.hashes), _KEYS), _EMPTY, dtype=np.uint32) for _ in range(2)]
        positions = np.arange(self.hashes.shape[1], dtype=np.uint32)
        for start in range(0, len(self.hashes) if len(shared) else 0, _PAIRS):
            block = self.hashes[start : start + _PAIRS]
            places = np.minimum(np.searchsorted(shared, block), len(shared) - 1)
            known = shared[places] == block
            left_out = known & common[places]
            block[left_out] = _EMPTY
            known &= ~left_out
            # The frequency above the place in the sketch: of equally rare ones the smallest.
            frequency = np.where(known, np.minimum(counts[places], _MOST), _MOST).astype(np.uint32)
            rare = np.sort((frequency << np.uint32(8)) | positions, axis=1)[:, :_KEYS]
            candidates = np.where(known, block, _EMPTY)
            rare = (rare & np.uint32(0xFF)).astype(np.intp)
            keys[0][start : start + _PAIRS] = np.take_along_axis(candidates, rare, axis=1)
            candidates.sort(axis=1)
            keys[1][start : start + _PAIRS] = candidates[:, :_KEYS]
            block.sort(axis=1)
        return keys[0], keys[1]

    def _candidates(self, keys: Hashes) -> Iterator[Numbers]:
        """Pairs of ranks (pairs, 2), the lower first: of the texts with one key the neighbours in
        the order of their smallest hashes, and each with the first."""
        by_hash = self.rank[np.lexsort((self.rank, self.hashes[:, 0]))]
        place = np.empty(len(by_hash), dtype=np.uint64)
        place[by_hash] = np.arange(len(by_hash), dtype=np.uint64)
        posted = keys[self.order].astype(np.uint64)
        del keys
        posted <<= np.uint64(32)
        posted |= place[:, None]
        posted = posted[posted < _NO_KEY]
        posted.sort()
        for with_first in (False, True):
            pairs = self._paired(posted, by_hash, with_first)
            new = np.ones(len(pairs), dtype=np.bool_)
            np.not_equal(pairs[1:], pairs[:-1], out=new[1:])
            for start in range(0, len(pairs), _PAIRS):
                part = pairs[start : start + _PAIRS][new[start : start + _PAIRS]]
                yield np.stack((part >> np.uint64(32), part & _LOW), axis=1).astype(np.intp)

    def _paired(self, posted: Wide, by_hash: Numbers, with_first: bool) -> Wide:
        """Of the entries (key, place in by_hash), sorted, each with the one before of its key, or
        with the key's first: rank and higher rank as one number, ascending."""
        pairs = np.empty_like(posted)
        found = start = 0
        while start < len(posted):
            # To the end of a key: its entries are looked at together.
            last = posted[min(start + _POSTED, len(posted)) - 1] | _LOW
            part = posted[start : np.searchsorted(posted, last, side="right")]
            start += len(part)
            texts, values = by_hash[(part & _LOW).astype(np.intp)], part >> np.uint64(32)
            same = np.zeros(len(part), dtype=np.bool_)
            same[1:] = values[1:] == values[:-1]
            later = np.flatnonzero(same)
            others = later - 1
            if with_first:
                others = np.maximum.accumulate(np.where(same, 0, np.arange(len(part))))[later]
            one, other = texts[later].astype(np.uint64), texts[others].astype(np.uint64)
            found, begin = found + len(one), found
            pairs[begin:found] = (np.minimum(one, other) << np.uint64(32)) | np.maximum(one, other)
        pairs[:found].sort()
        return pairs[:found]

    def _unite(self, pairs: Numbers) -> None:
        roots = self._roots_of(pairs)
        pairs = pairs[(roots[:, 0] != roots[:, 1]) & (pairs[:, 0] != pairs[:, 1])]
        for one, other in pairs[self._are_copies(pairs)].tolist():
            first, second = sorted((self._root(one), self._root(other)))
            if first == second:
                continue
            if {first, second} != {one, other}:
                # Groups do not grow along a chain of texts of which the ends have little in common.
                shared, a, b = self._overlap(np.array([[first, second]]))
                if shared[0] < _CHAIN * min(a[0], b[0]):
                    continue
            self.parents[second] = first

    def _are_copies(self, pairs: Numbers) -> npt.NDArray[np.bool_]:
        shared, one, other = self._overlap(pairs)
        union, least = one + other - shared, np.minimum(one, other)
        rows = self.order[pairs]
        sizes = self.sizes[rows]
        fewest = sizes.min(axis=1)
        alike = np.interp(fewest, (SHORT_SHINGLES, LONG_SHINGLES), (RESEMBLANCE, LONG_RESEMBLANCE))
        enough = (shared >= LEAST_SHARED) & (fewest >= LEAST_SHINGLES)
        whole = self.limit[rows].min(axis=1) == _EMPTY
        # What is left of a short text without its common words is too little to go by.
        enough &= ~whole | (least >= LEAST_SHINGLES)
        copies = enough & (shared >= alike * union)
        quoted = enough & (shared >= CONTAINMENT * least) & (~whole | (least >= QUOTED_SHINGLES))
        same = (shared == union) & (sizes[:, 0] == sizes[:, 1]) & (shared >= 5)
        return np.asarray(copies | quoted | (same & ~self.numbered[rows].any(axis=1)))

    def _overlap(self, pairs: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Of two sketches, as far as both are whole: hashes in both, in the one, in the other."""
        rows = self.order[pairs]
        limit = self.limit[rows].min(axis=1)[:, None]
        one, other = self.hashes.take(rows[:, 0], axis=0), self.hashes.take(rows[:, 1], axis=0)
        one[one > limit] = _EMPTY
        other[other > limit] = _EMPTY
        both = np.concatenate([one, other], axis=1)
        both.sort(axis=1)
        shared = ((both[:, 1:] == both[:, :-1]) & (both[:, 1:] != _EMPTY)).sum(axis=1)
        return shared, (one != _EMPTY).sum(axis=1), (other != _EMPTY).sum(axis=1)

    def _root(self, text: int) -> int:
        while self.parents[text] != text:
            self.parents[text] = self.parents[self.parents[text]]
            text = int(self.parents[text])
        return text

    def _roots_of(self, texts: Numbers) -> Numbers:
        found = self.parents[texts]
        while not np.array_equal(above := self.parents[found], found):
            found = above
        return found
