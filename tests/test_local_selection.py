"""Which recipe is taken, and why."""

from __future__ import annotations

import numpy as np
import pytest

from datasette_ftclassify.trainers.local.candidates import candidates
from datasette_ftclassify.trainers.local.recipes import Recipe
from datasette_ftclassify.trainers.local.selection import _choose

PLAIN = candidates(100, 2, 1e5, multilabel=False, embedding=False)
BOTH = candidates(100, 2, 1e5, multilabel=False, embedding=True)


def outcomes(*shares: float) -> np.ndarray:
    """Right and wrong answers of each recipe on 100 rows; each errs on other rows."""
    right = [np.arange(100) < round(100 * share) for share in shares]
    return np.array([np.roll(rows, 7 * i) for i, rows in enumerate(right)], dtype=float)


@pytest.mark.parametrize(
    ("shares", "chosen", "reason"),
    [
        ((1.0, 0.9, 1.0, 0.9), 0, "no other recipe was better on unseen rows (accuracy 1.000)."),
        (
            (0.9, 0.7, 0.8, 0.7),
            0,
            "the highest accuracy on unseen rows, 0.900, against 0.800 for {2}",
        ),
        ((0.8, 0.9, 0.8, 0.8), 1, "0.900, against 0.800 for {0}, the usual choice."),
        (
            (0.8, 0.81, 0.8, 0.8),
            0,
            "clearly better on unseen rows (accuracy 0.800, against 0.810 for {1})",
        ),
    ],
)
def test_another_recipe_must_be_clearly_better(shares, chosen, reason):
    found, table, why = _choose(PLAIN, outcomes(*shares), "accuracy")
    assert found == chosen
    names = [recipe.name for recipe in PLAIN]
    assert why.startswith(f"Chose {names[chosen]}: ")
    assert reason.format(*names) in why
    assert [row["score"] for row in table] == list(shares)


def test_embeddings_are_used_when_they_help_at_all():
    names = [recipe.name for recipe in BOTH]
    assert len(set(names)) == len(names) == 7
    plain, extra = [0.8] * 4, [0.81, 0.8, 0.8]
    found, _, _ = _choose(BOTH, outcomes(*plain, *extra), "accuracy")
    assert BOTH[found].embedding
    found, _, _ = _choose(BOTH, outcomes(*plain, 0.8, 0.8, 0.8), "accuracy")
    assert found == 0
    found, _, _ = _choose(BOTH, outcomes(*plain, 0.79, 0.81, 0.8), "accuracy")
    assert found == 0


def test_the_only_recipe_says_so():
    found, _, why = _choose(PLAIN[:1], outcomes(0.7), "accuracy")
    assert found == 0
    assert why.startswith(f"Chose {PLAIN[0].name}: the one recipe")


@pytest.mark.parametrize(("rows", "labels"), [(100, 77), (100, 2), (2_000, 5), (50_000, 2)])
@pytest.mark.parametrize("multilabel", [False, True])
def test_every_table_has_recipes_with_names_of_their_own(rows, labels, multilabel):
    for cost in (1e3, 2e8, 1e10):
        found = candidates(rows, labels, cost, multilabel=multilabel, embedding=True)
        assert len({recipe.name for recipe in found}) == len(found)
        assert isinstance(found[0], Recipe)
        assert not found[0].embedding
        assert found[-1].embedding
        bases = {base.name: base for recipe in found for base, _ in recipe.mixture}
        for recipe in found:
            assert all(bases[base.name] == base for base, _ in recipe.mixture)
