"""Agreement of people, against published figures, scikit-learn, and the definition by pairs."""

from __future__ import annotations

import warnings
from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from datasette_ftclassify.metrics.agreement import cohen_kappa, krippendorff_alpha

ANSWERS = st.sampled_from("abc")


def test_cohens_own_example() -> None:
    """Cohen (1960), table 1: 200 people of three diagnoses; kappa = .492."""
    counts = {
        "aa": 88,
        "ab": 14,
        "ac": 18,
        "ba": 10,
        "bb": 40,
        "bc": 10,
        "ca": 2,
        "cb": 6,
        "cc": 12,
    }
    pairs = [tuple(pair) for pair, n in counts.items() for _ in range(n)]
    assert cohen_kappa(pairs) == pytest.approx(0.492, abs=5e-4)


def test_krippendorffs_own_example_with_missing_answers() -> None:
    """Krippendorff (2011), section C: four observers, twelve units; alpha = .743."""
    rows = ["123321412...", "123322412 5 . 3", ".33323422 5 1 .", "123324412 5 1 ."]
    units = list(zip(*(row.replace(" ", "") for row in rows), strict=True))
    assert len(units) == 12
    given_ = [[answer for answer in unit if answer != "."] for unit in units]
    assert krippendorff_alpha(given_) == pytest.approx(0.743, abs=5e-4)


@given(st.lists(st.tuples(ANSWERS, ANSWERS), max_size=30))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    found = cohen_kappa(pairs)
    if len({label for pair in pairs for label in pair}) < 2:
        assert found is None
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = cohen_kappa_score(*zip(*pairs, strict=True))
    assert found == pytest.approx(expected)


@given(st.lists(st.lists(ANSWERS, max_size=4), max_size=15))
def test_alpha_is_one_minus_the_disagreement_of_pairs(units: list[list[str]]) -> None:
    """Of pairs within rows, each row weighing as many answers as it has, against that of all pairs
    of answers."""
    several = [unit for unit in units if len(unit) > 1]
    every = [answer for unit in several for answer in unit]
    apart = [a != b for a, b in combinations(every, 2)]
    found = krippendorff_alpha(units)
    if not any(apart):
        assert found is None
        return
    within = 0.0
    for unit in several:
        pairs = list(permutations(unit, 2))
        within += len(unit) * sum(a != b for a, b in pairs) / len(pairs)
    observed, expected = within / len(every), sum(apart) / len(apart)
    assert found == pytest.approx(1 - observed / expected)
