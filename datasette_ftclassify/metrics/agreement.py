"""How far people agree who labelled the same rows without seeing each other's answers.

An answer is anything that equals another one or not: of several labels a row, the whole set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

Unit = Sequence[Hashable]
"""The answers that a row has; those that are missing are left out."""


def cohen_kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float | None:
    """Agreement of two people beyond what their own shares of labels give by chance, at most 1; 0:
    as by chance. None without rows, or where both gave one label to all.

    kappa = (p_o - p_e) / (1 - p_e). Source: J. Cohen, "A coefficient of agreement for nominal
    scales", Educational and Psychological Measurement 20 (1960), 37-46.
    """
    n = len(pairs)
    if not n:
        return None
    observed = sum(a == b for a, b in pairs) / n
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    expected = sum(count * second[label] for label, count in first.items()) / n**2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def krippendorff_alpha(units: Sequence[Unit]) -> float | None:
    """Agreement of any number of people, of whom some have not answered every row: at most 1; 0: as
    by chance. Rows with one answer count for nothing. None where no row has two answers, or all
    answers are the same.

    alpha = 1 - D_o / D_e for nominal data, by the coincidences of answers. Source: K. Krippendorff,
    "Computing Krippendorff's alpha-reliability" (2011), section C.
    """
    total: Counter[Hashable] = Counter()
    differing = 0.0
    for unit in units:
        m = len(unit)
        if m < 2:
            continue
        counts = Counter(unit)
        total += counts
        differing += sum(count * (m - count) for count in counts.values()) / (m - 1)
    n = sum(total.values())
    expected = sum(count * (n - count) for count in total.values())
    return None if expected == 0 else 1 - (n - 1) * differing / expected
