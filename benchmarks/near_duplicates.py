"""Seconds and peak memory of the search for near copies, against a bare loop and another MinHash.

Run it as `python benchmarks/near_duplicates.py [ROWS...]` (10,000, 100,000 and 1,000,000). Every
figure is measured in a process of its own. The texts have some 200 characters; a fifth of them are
form letters in four copies each, with another name and date. `bare` does nothing but normalise and
hash each text, as finding equal texts takes; `splitter` divides the rows as a training does, near
copies included; `datasketch` is MinHash with 64 permutations and LSH over the same pairs of words,
where that package is installed (only for this).
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise

import temporary_ledger  # noqa: F401
from measured import peak_mb

SIZES = (10_000, 100_000, 1_000_000)
NAMES = ("Anna", "Bo", "Cem", "Dana", "Eli", "Fay", "Gus", "Hana", "Ivo", "Jo", "Kim", "Lev")


def texts(count: int) -> Iterator[str]:
    rng = random.Random(0)
    words = [
        "".join(rng.choices("abcdefghijklmnoprstuvw", k=rng.randint(2, 9))) for _ in range(20_000)
    ]
    weights, total = [], 0.0
    for rank in range(len(words)):
        total += 1 / (rank + 10)
        weights.append(total)
    letter, left = "", 0
    for number in range(count):
        if left == 0:
            letter = " ".join(rng.choices(words, cum_weights=weights, k=31))
            left = 4 if number % 20 == 0 else 1
        left -= 1
        yield f"Dear {rng.choice(NAMES)}, {letter}. {rng.randint(1, 28)}.{rng.randint(1, 12)}.2026"


def bare(count: int) -> str:
    from datasette_ftclassify.core.text import text_hash

    return f"{len({text_hash(text) for text in texts(count)}):,} texts"


def making(count: int) -> str:
    return f"{sum(map(len, texts(count))) / count:.0f} characters each"


def splitter(count: int) -> str:
    from datasette_ftclassify.core.examples import Record
    from datasette_ftclassify.core.label_cells import Labels
    from datasette_ftclassify.core.rendering import Rendered
    from datasette_ftclassify.core.splits import SplitPlan, Splitter

    found = Splitter(SplitPlan())
    for number, text in enumerate(texts(count)):
        found.add(Record((number,), Rendered(text), Labels(("ab"[number % 2],)), None))
    groups = list(found.groups())
    return f"{len(groups):,} groups, {sum(g.texts > 1 for g in groups):,} of near copies"


def datasketch(count: int) -> str:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=0.75, num_perm=64)
    copies = 0
    for number, text in enumerate(texts(count)):
        words = text.lower().split()
        signature = MinHash(num_perm=64)
        signature.update_batch(
            [
                *(w.encode() for w in words),
                *(f"{a} {b}".encode() for a, b in pairwise(words)),
            ]
        )
        copies += bool(index.query(signature))
        index.insert(number, signature)
    return f"{copies:,} texts like an earlier one"


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        began = time.perf_counter()
        said = globals()[sys.argv[2]](int(sys.argv[3]))
        peak = peak_mb()
        seconds = f"{time.perf_counter() - began:.1f} s, {time.process_time():.1f} s of processor"
        print(f"{seconds}, {peak:,.0f} MB peak, {said}")
        return
    for count in map(int, sys.argv[1:] or SIZES):
        for way in ("making", "bare", "splitter", "datasketch"):
            if way == "datasketch" and count > 100_000:
                continue  # about an hour, and gigabytes
            done = subprocess.run(
                [sys.executable, __file__, "--one", way, str(count)], capture_output=True, text=True
            )
            print(
                f"{count:>9,} {way:10} {(done.stdout or done.stderr.splitlines()[-1]).strip()}",
                flush=True,
            )


if __name__ == "__main__":
    main()
