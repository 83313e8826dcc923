"""A tree of labels: from names, from groups, from what is taken for what; and its answers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_ftclassify.core.label_tree import (
    GROUPED,
    LISTED,
    tree_by_confusion,
    tree_by_delimiter,
    tree_of_pairs,
)

NAMES = ("account/card/lost", "account/card/stolen", "account/login", "other")


def logs(*probabilities: float) -> list[float]:
    return [math.log(p) for p in probabilities]


def test_names_with_a_delimiter_are_a_tree():
    tree = tree_by_delimiter(NAMES, "/")
    assert tree.paths == (
        ("account", "account/card"), ("account", "account/card"), ("account",), (),
    )  # fmt: skip
    assert tree.sizes == [{"account": 3}, {"account/card": 2}]


def test_the_finest_group_that_is_sure_enough_answers():
    tree = tree_by_delimiter(NAMES, "/")
    row = logs(0.45, 0.42, 0.1, 0.03)
    assert tree.answer(row, (0.9, 0.8)).name == "account/card"
    coarse = tree.answer(row, (0.9, 0.95))
    assert (coarse.name, coarse.level) == ("account", 0)
    assert coarse.score == pytest.approx(0.97)
    assert tree.answer(row, (0.99, 0.95)) is None
    assert tree.answer(row, (None, None)) is None


def test_a_label_in_no_group_gives_none():
    assert tree_of_pairs([None, "a", "a"]).answer(logs(0.98, 0.01, 0.01), (0.5,)) is None


def test_labels_that_are_taken_for_each_other_are_one_group():
    pairs = [(0, 0, 60), (0, 1, 40), (1, 1, 70), (1, 0, 30), (2, 2, 99), (2, 0, 1), (3, 3, 100)]
    tree = tree_by_confusion(("lost", "stolen", "login", "other"), pairs)
    assert tree.paths == (("lost or stolen",), ("lost or stolen",), (), ())


@given(
    st.integers(2, 30).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.lists(st.tuples(*[st.integers(0, n - 1)] * 2, st.integers(1, 99)), max_size=60),
        )
    )
)
def test_no_group_by_confusion_has_very_many_labels(drawn):
    n, pairs = drawn
    tree = tree_by_confusion([f"l{i}" for i in range(n)], pairs)
    assert len(tree.paths) == n
    for level in tree.sizes:
        assert all(1 < size <= GROUPED for size in level.values())


@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=12), st.data())
def test_a_group_is_at_least_as_probable_as_its_likeliest_label(weights, data):
    shares = [weight / sum(weights) for weight in weights]
    groups = data.draw(
        st.lists(st.sampled_from([None, "a", "b"]), min_size=len(shares), max_size=len(shares))
    )
    tree = tree_of_pairs(groups)
    found = tree.answer(logs(*shares), (0.0,) * tree.levels)
    listed = sorted(range(len(shares)), key=lambda i: (-shares[i], i))[:LISTED]
    if found is None:
        assert all(groups[i] is None for i in listed)
    else:
        best = max(shares[i] for i in listed if groups[i] is not None)
        assert best - 1e-9 <= found.score <= 1
