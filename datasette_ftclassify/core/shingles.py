"""The shingles of texts, as hashes, of many texts at once.

They are words and pairs of neighbouring words (three and four characters in scripts without
spaces), numbers being all alike and punctuation left out.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Wide = npt.NDArray[np.uint64]
_Numbers = npt.NDArray[np.intp]

NO_SPACES = ((0x0E00, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x4DBF),
             (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))  # fmt: skip
"""Characters of scripts without spaces between words, from each first to each last one: Thai to
Burmese, Khmer, Japanese, Chinese."""
_FORWARDED = re.compile(r"(?:(?:rt @\w+:?|re:|fwd?:|aw:|wg:) )+")


def shingles(texts: list[str]) -> tuple[Wide, Wide, npt.NDArray[np.bool_]]:
    """The text that each shingle is in, its hash of 32 bits, and which texts have numbers."""
    plain = [_FORWARDED.sub("", text, count=1) if ":" in text[:40] else text for text in texts]
    lines = "\n".join(plain) + "\n"
    codes = np.frombuffer(lines.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    kinds = _kinds()[np.minimum(codes, 0x10000)]
    digit = kinds == _DIGIT
    more = np.zeros(len(codes), dtype=np.bool_)
    more[1:] = digit[1:] & digit[:-1]
    ends = np.cumsum(np.fromiter(map(len, plain), dtype=np.intp, count=len(plain)) + 1)
    numbered = np.zeros(len(texts), dtype=np.bool_)
    numbered[np.searchsorted(ends, np.flatnonzero(digit & ~more), side="right")] = True
    places = np.flatnonzero(~more)
    codes, kinds = np.where(digit, 0x30, codes)[places], kinds[places]
    in_word = (kinds == _WORD) | (kinds == _DIGIT)
    single = kinds == _SINGLE
    begins = single | in_word
    begins[1:] &= single[1:] | ~in_word[:-1]
    used = np.flatnonzero(in_word | single)
    if not len(used):
        return np.empty(0, np.uint64), np.empty(0, np.uint64), numbered
    starts = np.flatnonzero(begins[used])
    offsets = np.arange(len(used)) - np.repeat(starts, np.diff([*starts, len(used)]))
    characters = _mixed(
        codes[used].astype(np.uint64) + (offsets.astype(np.uint64) << np.uint64(32))
    )
    words = _mixed(np.add.reduceat(characters, starts))
    rows = np.searchsorted(ends, places[used[starts]], side="right")
    alone = single[used[starts]]
    if alone.any():
        second, third = _next(words, rows, 1), _next(words, rows, 2)
        words = np.where(alone, _pair(_pair(words, second), third), words)
    pairs = _pair(words, _next(words, rows, 1))
    first = np.flatnonzero(np.concatenate([[True], rows[1:] != rows[:-1]]))
    beginnings = _pair(np.full(len(first), 1, dtype=np.uint64), words[first])
    values = np.concatenate([words, pairs, beginnings]) >> np.uint64(32)
    # The largest number stands for "nothing".
    values = np.minimum(values, np.uint64(0xFFFFFFFE))
    return np.concatenate([rows, rows, rows[first]]).astype(np.uint64), values, numbered


def _next(words: Wide, rows: _Numbers, step: int) -> Wide:
    """The word so many further on in the same text, 0 behind its end."""
    following = np.zeros(len(words), dtype=np.uint64)
    if len(words) > step:
        following[:-step] = np.where(rows[step:] == rows[:-step], words[step:], np.uint64(0))
    return following


def _pair(first: Wide, second: Wide) -> Wide:
    return _mixed(first * np.uint64(3) + _mixed(second))


def _mixed(values: Wide) -> Wide:
    """Spreads numbers over 64 bits (the finaliser of MurmurHash3)."""
    values = values ^ (values >> np.uint64(33))
    values *= np.uint64(0xFF51AFD7ED558CCD)
    values ^= values >> np.uint64(33)
    values *= np.uint64(0xC4CEB9FE1A85EC53)
    values ^= values >> np.uint64(33)
    return values


_WORD, _DIGIT, _SINGLE = 1, 2, 3


@lru_cache(maxsize=1)
def _kinds() -> npt.NDArray[np.uint8]:
    """What each character is: 0 between words; the last one stands for all above 16 bits."""
    kinds = np.zeros(0x10001, dtype=np.uint8)
    for code in range(0x10000):
        category = unicodedata.category(chr(code))
        if category[0] in "LM":
            kinds[code] = _WORD
        elif category[0] == "N":
            kinds[code] = _DIGIT
    for first, last in NO_SPACES:
        part = kinds[first : last + 1]
        part[part == _WORD] = _SINGLE
    kinds[-1] = _SINGLE  # rare Chinese characters, emoji
    return kinds
