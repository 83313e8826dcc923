"""The same solution by every route: the route is chosen by cost alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.svm import LinearSVC

from datasette_ftclassify.trainers.local import linear_svm as svm
from datasette_ftclassify.trainers.local.candidates import candidates
from datasette_ftclassify.trainers.local.linear_svm import linear_svm, seen_share, unweighted
from datasette_ftclassify.trainers.local.recipes import Base, Design, Features, gram, row_weights
from datasette_ftclassify.trainers.local.ridge import _over_features, _over_rows, ridge


def table(
    rows: int, features: int, labels: int, seed: int, shows: float = 0.6
) -> tuple[Design, np.ndarray]:
    """Sparse rows of length 1 in which a label shows; some features are in most rows."""
    chooser = np.random.default_rng(seed)
    names = np.arange(rows) % labels
    share = np.where(np.arange(features) < 5, 0.9, 0.05)
    values = chooser.random((rows, features)) * (chooser.random((rows, features)) < share)
    values[np.arange(rows), names % features] += shows
    values /= np.sqrt((values**2).sum(axis=1, keepdims=True))
    targets = np.eye(labels, dtype=np.int8)[names]
    return Design(sparse.csr_matrix(values.astype(np.float32))), targets


@given(st.integers(2, 40), st.integers(1, 60), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_inner_products_are_those_of_a_dense_product(rows: int, features: int, seed: int) -> None:
    design, _ = table(rows, features, 2, seed)
    dense = design.matrix.toarray()
    np.testing.assert_allclose(gram(design.matrix), dense @ dense.T, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solve", [_over_rows, _over_features])
@pytest.mark.parametrize(("rows", "features"), [(60, 90), (90, 60)])
def test_ridge_over_rows_and_over_features_is_that_of_scikit_learn(rows, features, solve, dtype):
    design, targets = table(rows, features, 7, 1)
    targets = targets[:, [0, 0, 1, 2, 3, 4, 5, 6]] * [1, 0, 1, 1, 1, 1, 1, 1]  # one has no row
    weight = row_weights(targets)
    found = solve(design, targets, weight, 0.5, dtype)
    peer = Ridge(alpha=0.5).fit(design.matrix.toarray(), 2.0 * targets - 1, sample_weight=weight)
    np.testing.assert_allclose(found.weights, peer.coef_.T, atol=2e-4)
    np.testing.assert_allclose(found.bias, peer.intercept_, atol=2e-4)


def test_ridge_takes_the_smaller_side(monkeypatch) -> None:
    sides = []
    monkeypatch.setattr(
        "datasette_ftclassify.trainers.local.ridge.gram",
        lambda matrix: sides.append(matrix.shape[0]) or gram(matrix),
    )
    monkeypatch.setattr("datasette_ftclassify.trainers.local.recipes.gram", lambda m: gram(m))
    for rows, features in ((90, 60), (60, 90)):
        design, targets = table(rows, features, 3, 0)
        ridge(design, targets, 1.0, 0)
    assert sides == [60], "the inner products among rows are shared, and made by the design"


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("labels", [2, 3, 8])
@pytest.mark.parametrize("solve", [linear_svm, unweighted])
def test_machines_over_rows_are_those_of_scikit_learn(labels, exclusive, solve, monkeypatch):
    monkeypatch.setattr(svm, "TERMS_PER_CUBE", 1e9)
    design, targets = table(120, 80, labels, 2)
    if not exclusive:
        targets[::5, 0] = 1
    found = solve(design, targets, 0.5, 0)
    for label in range(labels):
        balance = "balanced" if exclusive and solve is linear_svm else None
        peer = LinearSVC(C=0.5, class_weight=balance, tol=1e-8, max_iter=100_000)
        peer.fit(design.matrix, targets[:, label])
        np.testing.assert_allclose(found.weights[:, label], peer.coef_[0], atol=1e-3)
        assert found.bias[label] == pytest.approx(peer.intercept_[0], abs=1e-3)


@pytest.mark.parametrize("solve", [linear_svm, unweighted])
def test_a_machine_of_many_labels_need_not_see_every_row(solve, monkeypatch):
    """It answers nearly as one that does, and the bias is that of all rows."""
    monkeypatch.setattr(svm, "FAR", 200)
    design, targets = table(1_600, 120, 80, 3, 1.5)
    seen = []
    fitted = svm._fitted
    monkeypatch.setattr(
        svm,
        "_fitted",
        lambda rows, *a, **b: seen.append(rows.shape[0]) or fitted(rows, *a, **b),
    )
    few = solve(design, targets, 1.0, 0)
    assert len(seen) == 80
    assert np.mean(seen) < 0.3 * 1_600
    monkeypatch.setattr(svm, "WORTH", 0.0)
    whole = solve(design, targets, 1.0, 0)
    asked, wanted = table(800, 120, 80, 4, 1.5)
    right = [(m.decide(asked).argmax(axis=1) == wanted.argmax(axis=1)).mean() for m in (few, whole)]
    assert right[0] > right[1] - 0.02
    assert right[1] > 0.5
    assert few.bias.mean() == pytest.approx(whole.bias.mean(), abs=0.05)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("labels", [2, 4])
def test_machines_of_ratios_are_those_of_scikit_learn_on_weighed_features(labels, exclusive):
    design, targets = table(200, 60, labels, 1, 1.0)
    if not exclusive:
        targets = targets.copy()
        targets[::3, 0] = 1
    found = svm.nb_svm(design, targets, 0.5, 0)
    features = design.matrix.toarray()
    for label in range(labels):
        own = targets[:, label] == 1
        shares = [features[rows].sum(axis=0) + svm.RATIO_SMOOTHING for rows in (own, ~own)]
        ratio = np.log(shares[0] / shares[0].sum()) - np.log(shares[1] / shares[1].sum())
        alone = LinearSVC(C=0.5, class_weight="balanced" if exclusive else None, random_state=0)
        wanted = alone.fit(features * ratio, own).decision_function(features * ratio)
        assert np.abs(found.decide(design)[:, label] - wanted).max() < 0.02 * wanted.std()


@pytest.mark.parametrize("labels", [150, 700, 1_500, 5_000])
def test_many_labels_with_few_rows_are_compared_with_ridge_regression(labels):
    """By far the best of them there; stochastic gradients took minutes and were worse."""
    rows, cost = 8 * labels, 8 * labels * 170.0 * labels
    recipes = candidates(rows, labels, cost, exclusive=True, embedding=False)
    names = {base.solve.__name__ for recipe in recipes for base, _ in recipe.mixture}
    assert names == {"ridge", "bayes", "linear_svm"}


def test_the_rows_that_a_machine_sees_grow_slower_than_the_table():
    assert seen_share(10_000, 5) == 1.0
    assert seen_share(10_000, 77) < 0.4
    assert seen_share(120_000, 230) < 0.1
    assert seen_share(300, 77) == 1.0, "of a small table all"


def test_class_weights_are_left_out_where_they_take_rows_from_many_labels():
    """Each of 60 labels has 40 rows of 2,400."""
    design, targets = table(2_400, 120, 60, 5, 0.8)
    asked, wanted = table(2_400, 120, 60, 6, 0.8)
    right = [
        (solve(design, targets, strength, 0).decide(asked).argmax(1) == wanted.argmax(1)).mean()
        for solve, strength in ((linear_svm, 1.0), (unweighted, 0.5))
    ]
    assert right[1] > right[0] + 0.01
    cost = 10_000 * 190.0 * 227
    for labels, compared in ((227, True), (5, False)):
        recipes = candidates(10_000, labels, cost, exclusive=True, embedding=False)
        bases = {base.solve for recipe in recipes for base, _ in recipe.mixture}
        assert (unweighted in bases) == compared


def test_what_is_fitted_has_blas_on_one_thread():
    """Threads of BLAS that wait for each other took ten times the processor on a busy machine."""
    from threadpoolctl import threadpool_info, threadpool_limits

    def solve(design, targets, strength, seed):
        seen.extend(lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas")
        return ridge(design, targets, strength, seed)

    seen: list[int] = []
    design, targets = table(20, 10, 2, 0)
    with threadpool_limits(2, user_api="blas"):
        Base("ridge", solve, 1.0).fit(Features(design), targets, 0)
    assert seen
    assert set(seen) == {1}
