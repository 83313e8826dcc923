"""Which recipe is taken, and why."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from datasette_ftclassify.trainers.base import no_progress
from datasette_ftclassify.trainers.local.candidates import candidates, left_out
from datasette_ftclassify.trainers.local.expected_time import ExpectedTime
from datasette_ftclassify.trainers.local.group_folds import splits
from datasette_ftclassify.trainers.local.linear_svm import linear_svm
from datasette_ftclassify.trainers.local.recipes import Recipe, bayes
from datasette_ftclassify.trainers.local.selection import _choose, compare
from datasette_ftclassify.trainers.local.thresholds import across_halves, best_threshold, f1_scores
from datasette_ftclassify.trainers.local.training_data import Data

PLAIN = candidates(100, 2, 1e5, exclusive=True, embedding=False)
BOTH = candidates(100, 2, 1e5, exclusive=True, embedding=True)
WORDS = ["red", "blue", "green", "grey", "black", "white", "pink", "brown", "gold", "silver"]


def outcomes(*shares: float) -> np.ndarray:
    """Right and wrong answers of each recipe on 100 rows; each errs on other rows."""
    right = [np.arange(100) < round(100 * share) for share in shares]
    return np.array([np.roll(rows, 7 * i) for i, rows in enumerate(right)], dtype=float)


@pytest.mark.parametrize(
    ("shares", "chosen", "reason"),
    [
        (
            (1.0, 0.9, 1.0, 0.9),
            0,
            "no other recipe was better in cross-validation (accuracy 1.000).",
        ),
        (
            (0.9, 0.7, 0.8, 0.7),
            0,
            "the highest accuracy in cross-validation, 0.900, against 0.800 for {2}",
        ),
        ((0.8, 0.9, 0.8, 0.8), 1, "0.900, against 0.800 for {0}, the usual choice."),
        (
            (0.8, 0.81, 0.8, 0.8),
            0,
            "clearly better in cross-validation (accuracy 0.800, against 0.810 for {1})",
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


def test_the_best_of_many_must_lead_by_more_than_the_best_of_few():
    """Of twelve equal recipes one leads by a standard error and a half, by chance alone."""
    usual = np.arange(100) < 80
    other = usual.copy()
    other[[80, 81, 82, 83, 84, 85, 0, 1]] ^= True  # a lead of .04, 1.4 standard errors
    many = candidates(1_000, 5, 1e6, exclusive=True, embedding=False)
    assert len(many) == 12
    for recipes, chosen in ((PLAIN, 1), (many, 0)):
        rows = np.array([usual, other, *[usual] * (len(recipes) - 2)], dtype=float)
        assert _choose(recipes, rows, "accuracy")[0] == chosen


def test_recipes_with_embeddings_do_not_raise_the_bar_for_those_without():
    """What is chosen among the words' recipes is the same whether vectors are compared or not."""
    usual = np.arange(100) < 80
    other = usual.copy()
    other[[80, 81, 82, 83, 84, 85, 0, 1]] ^= True  # a lead of .04, 1.4 standard errors
    worse = np.arange(100) < 70
    plain = [usual, other, usual, usual]
    assert _choose(PLAIN, np.array(plain, dtype=float), "accuracy")[0] == 1
    rows = np.array([*plain, *[worse] * (len(BOTH) - len(plain))], dtype=float)
    assert _choose(BOTH, rows, "accuracy")[0] == 1


def test_embeddings_are_used_when_they_help_at_all():
    names = [recipe.name for recipe in BOTH]
    assert len(set(names)) == len(names) == 8
    plain, extra = [0.8] * 4, [0.81, 0.8, 0.8, 0.8]
    found, _, _ = _choose(BOTH, outcomes(*plain, *extra), "accuracy")
    assert BOTH[found].embedding
    found, _, _ = _choose(BOTH, outcomes(*plain, *[0.8] * 4), "accuracy")
    assert BOTH[found].embedding, "a tie is no reason to drop what was asked for"
    found, _, _ = _choose(BOTH, outcomes(*plain, 0.79, 0.81, 0.8, 0.8), "accuracy")
    assert found == 0


def test_one_row_a_label_tells_nothing_against_the_embeddings():
    found, _, why = _choose(BOTH, outcomes(*[0.0] * 8), "accuracy")
    assert found == 4
    assert "the embeddings that were asked for, since no held-out row could tell" in why
    found, _, why = _choose(PLAIN, outcomes(*[0.0] * 4), "accuracy")
    assert found == 0
    assert "the usual choice, since no held-out row could tell" in why


@pytest.mark.parametrize("cost", [1e3, 2e8, 1e10])
@pytest.mark.parametrize(("rows", "labels"), [(6_000, 5), (12_000, 1_500), (120_000, 230)])
def test_naive_bayes_and_a_mixture_with_it_are_compared_at_every_size(rows, labels, cost):
    """They cost next to nothing, and are the best on some tables."""
    recipes = candidates(rows, labels, cost, exclusive=True, embedding=False)
    parts = [{base.solve for base, _ in recipe.mixture} for recipe in recipes]
    assert {bayes} in parts
    assert any(bayes in solvers and len(solvers) == 2 for solvers in parts)


def test_a_row_whose_label_its_training_part_lacks_says_nothing_of_probabilities():
    texts = [f"{WORDS[row % 2]} {row}" for row in range(41)]
    targets = np.eye(3, dtype=np.int8)[[*(row % 2 for row in range(40)), 2]]
    data = Data.read(texts, targets)
    recipe = candidates(41, 3, data.cost, exclusive=True, embedding=False)[0]
    trial = compare(data, (recipe,), 0, ExpectedTime(no_progress))
    assert trial.usable[:40].all()
    assert not trial.usable[40]


@pytest.mark.parametrize("exclusive", [True, False])
def test_vectors_are_learnt_from_beside_the_words_and_never_in_one_model(exclusive):
    """Hundreds of dense features in one model with the words hide what single words say."""
    found = candidates(400, 4, 1e6, exclusive=exclusive, embedding=True)
    plain = [base for each in found if not each.embedding for base, _ in each.mixture]
    blended = [each for each in found if each.embedding and each.mixture[:-1] == found[0].mixture]
    assert blended
    for recipe in found:
        assert all(base in plain for base, _ in recipe.mixture if not base.vectors)


@pytest.mark.parametrize("names", [False, True])
def test_what_a_fold_holds_out_teaches_it_neither_terms_nor_their_weights(names):
    """Out-of-fold scores are those of a model that has never read the row."""
    chooser = np.random.default_rng(5)
    texts = [f"{' '.join(chooser.choice(WORDS, 4))} only{row}" for row in range(80)]
    targets = np.eye(2, dtype=np.int8)[np.arange(80) % 2]
    data = Data.read(texts, targets, names=["red", "blue"])
    recipes = candidates(80, 2, data.cost, exclusive=True, embedding=False, names=True)
    base = next(base for each in recipes for base, _ in each.mixture if base.names == names)
    recipe = Recipe(base.name, ((base, share := 1.0),))
    trial = compare(data, (recipe,), 0, ExpectedTime(no_progress))
    for training, unseen in splits(targets, data.groups, 0, data.cost)[0]:
        learnt, wanted = data.learnt(training, names)
        assert len(learnt) == len(training) + (2 if names else 0)
        weighting = data.weighting(learnt)
        model = base.fit(data.features(weighting, learnt), wanted, 0)
        scores = base.decide(model, data.features(weighting, unseen))
        centred = scores - scores.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(
            trial.logits[unseen], share * centred / trial.scales[base.name], rtol=1e-4, atol=1e-5
        )


def test_thresholds_are_measured_on_rows_that_they_were_not_chosen_on():
    """Scores of pure chance: chosen and measured on the same rows, thresholds look skilful."""
    chooser = np.random.default_rng(0)
    scores = chooser.random((200, 30)).astype(np.float32)
    targets = (chooser.random((200, 30)) < 0.03).astype(np.int8)

    def best(half):
        return np.array(
            [best_threshold(scores[half, k], targets[half, k], clip=False)[0] for k in range(30)]
        )

    cheating = f1_scores(scores >= best(np.arange(200)), targets)
    honest = f1_scores(across_halves(scores, targets, best, np.arange(200)), targets)
    assert honest[1] < cheating[1] / 1.5
    assert f1_scores(scores >= 0, targets)[1] * 1.6 > honest[1], "no better than giving every label"


def test_the_only_recipe_says_so():
    found, _, why = _choose(PLAIN[:1], outcomes(0.7), "accuracy")
    assert found == 0
    assert why.startswith(f"Chose {PLAIN[0].name}: the one recipe")


@pytest.mark.parametrize(("rows", "labels"), [(100, 77), (100, 2), (2_000, 5), (50_000, 2)])
@pytest.mark.parametrize("multilabel", [False, True])
def test_every_table_has_recipes_with_names_of_their_own(rows, labels, multilabel):
    for cost in (1e3, 2e8, 1e10):
        found = candidates(rows, labels, cost, exclusive=not multilabel, embedding=True)
        assert len({recipe.name for recipe in found}) == len(found)
        assert isinstance(found[0], Recipe)
        assert not found[0].embedding
        assert found[-1].embedding
        bases = {base.name: base for recipe in found for base, _ in recipe.mixture}
        for recipe in found:
            assert all(bases[base.name] == base for base, _ in recipe.mixture)


@pytest.mark.parametrize(
    ("rows", "labels", "cost", "missing"),
    [
        (100, 5, 1e5, ""),
        (2_000, 5, 1e7, ""),
        (12_000, 1_500, 3e9, "other strengths of the support vector machine and NB-SVM"),
        (1_000, 77, 1e7, "NB-SVM"),
        (
            10_000,
            77,
            2e8,
            "ridge regression, other strengths of the support vector machine and NB-SVM",
        ),
        (3_000_000, 9, 6e9, "ridge regression, support vector machines and NB-SVM"),
    ],
)
def test_what_a_large_table_leaves_out_is_said(rows, labels, cost, missing):
    recipes = candidates(rows, labels, cost, exclusive=True, embedding=False)
    said = left_out(rows, recipes)
    assert said == (f"Not compared, since the table is large: {missing}." if missing else "")


@pytest.mark.parametrize("large", [0, 400])
def test_machines_of_all_labels_in_one_call_are_those_of_one_label_each(large):
    """Where a label has half of the rows, too: the rest of the others must weigh no less."""
    chooser = np.random.default_rng(1)
    labels = np.concatenate([np.arange(400) % 20, np.zeros(large, dtype=int)])
    texts = [f"{' '.join(chooser.choice(WORDS, 4))} kind{label % 7}" for label in labels]
    targets = np.eye(20, dtype=np.int8)[labels]
    data = Data.read(texts, targets)
    rows = np.arange(len(texts))
    design = data.features(data.weighting(rows), rows).words
    found = linear_svm(design, targets, 0.5, 0).decide(design)
    for label in range(20):
        alone = LinearSVC(C=0.5, class_weight="balanced", random_state=0)
        wanted = alone.fit(design.matrix, targets[:, label]).decision_function(design.matrix)
        assert np.abs(found[:, label] - wanted).max() < 0.1 * wanted.std()
