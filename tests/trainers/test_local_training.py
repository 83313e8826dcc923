"""Training a local classifier, from a handful of rows to many labels."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from training_sets import fit

from datasette_ftclassify.core.errors import TrainingError
from datasette_ftclassify.trainers.local.candidates import candidates
from datasette_ftclassify.trainers.local.linear_svm import linear_svm, nb_svm, unweighted
from datasette_ftclassify.trainers.local.recipes import Design, bayes
from datasette_ftclassify.trainers.local.ridge import ridge
from datasette_ftclassify.trainers.local.serialization import from_parts, to_parts
from datasette_ftclassify.trainers.local.sgd import logistic

TOPICS = [
    "card arrived delivery post waiting envelope",
    "exchange rate currency euro dollar convert",
    "password login forgot account locked reset",
    "refund purchase shop returned money back",
]
FILLER = "please can you tell me what to do about the my is a it was with for today"


def table(rows: int, labels: int = 4, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Sentences of filler with two or three words that are typical of their label."""
    chooser = np.random.default_rng(seed)
    names = np.arange(rows) % labels
    texts = []
    for name in names:
        words = [*chooser.choice(FILLER.split(), 5), *chooser.choice(TOPICS[name].split(), 2)]
        texts.append(" ".join(chooser.permutation(words)))
    return texts, names


@pytest.fixture(scope="module")
def trained():
    texts, names = table(160)
    return fit(texts, names, 4, exclusive=True, seed=1)


def test_topics_without_an_error_are_told_without_boasting():
    """Five topics of 48 rows that share no word: every unseen row is told right."""
    chooser = np.random.default_rng(0)
    words = np.array([[f"{c}{v}{c}{d}o" for v in "aeiou" for d in "lnr"] for c in "bdgkp"])
    names = np.arange(240) % 5
    texts = [" ".join(chooser.choice(words[name], 4)) for name in names]
    model, report = fit(texts, names, 5, exclusive=True)
    assert report["recipes"][0]["score"] == 1.0
    known = model.log_probabilities(texts)
    assert (known.argmax(axis=1) == names).all()
    assert known.min() > -20
    assert np.exp(known.max(axis=1)).mean() > 0.98
    unknown = np.exp(model.log_probabilities(["zzz qqq", "", "的"]))
    assert unknown.max() < 0.35  # the share of each label is 0.2


def test_a_classifier_learns_and_says_how(trained):
    model, report = trained
    texts, names = table(80, seed=9)
    answers = model.log_probabilities(texts)
    assert answers.shape == (80, 4)
    assert (answers.argmax(axis=1) == names).mean() > 0.9
    np.testing.assert_allclose(np.exp(answers).sum(axis=1), 1)
    json.dumps(report)
    assert report["recipe"] in [row["recipe"] for row in report["recipes"]]
    assert report["why"].startswith(f"Chose {report['recipe']}: ")
    assert report["why"].endswith(".")
    assert report["metric"] == "accuracy"
    assert report["calibration"]["applied"]
    assert report["calibration"]["ece_after"] < report["calibration"]["ece_before"]
    assert report["calibration"]["temperature"] == model.temperature
    assert report["n_features"] == len(model.weights)
    assert report["seconds"] >= 0
    assert report["warnings"] == []


def test_one_row_is_answered_as_in_a_batch(trained):
    model, _ = trained
    asked = [*table(5)[0], "", "\x00 \x00", "🎉", "שלום עולם", "x" * 30_000]
    batch = model.log_probabilities(asked)
    for row, text in enumerate(asked):
        np.testing.assert_allclose(model.log_probabilities_one(text), batch[row], atol=1e-6)
    assert np.isfinite(batch).all()


def test_the_same_rows_and_seed_give_the_same_classifier(trained):
    texts, names = table(160)
    again, _ = fit(texts, names, 4, exclusive=True, seed=1)
    assert to_parts(again) == to_parts(trained[0])


def test_two_labels_need_one_column(trained):
    texts, names = table(60, labels=2)
    model, _ = fit(texts, names, 2, exclusive=True)
    assert model.weights.shape[1] == 1
    answers = model.log_probabilities(texts)
    assert (answers.argmax(axis=1) == names).mean() > 0.95
    np.testing.assert_allclose(np.exp(answers).sum(axis=1), 1)


def test_one_or_two_rows_of_a_label_are_enough():
    texts = [f"{topic} {word}" for topic in TOPICS for word in ("one", "two")][:7]
    model, report = fit(texts, np.array([0, 0, 1, 1, 2, 2, 3]), 4, exclusive=True)
    assert (model.log_probabilities(texts).argmax(axis=1) == [0, 0, 1, 1, 2, 2, 3]).all()
    assert not report["calibration"]["applied"]
    assert "not calibrated" in report["calibration"]["said"]
    assert any("fewer than five" in warning for warning in report["warnings"])


def test_two_rows_of_two_labels_are_enough():
    model, _ = fit(["good", "bad"], np.array([0, 1]), 2, exclusive=True)
    assert model.log_probabilities_one("bad").argmax() == 1


def test_a_label_without_rows_is_hardly_given_and_warned_of():
    texts, names = table(80)
    model, report = fit(texts, names, 6, exclusive=True)
    assert set(model.log_probabilities(texts).argmax(axis=1)) <= {0, 1, 2, 3}
    assert any("no example" in warning for warning in report["warnings"])


@pytest.mark.parametrize("rare", [10, 40])
def test_a_report_says_that_rows_of_rare_labels_weigh_more(rare):
    texts, names = table(160)
    kept = np.flatnonzero((names > 0) | (np.cumsum(names == 0) <= rare))
    why = fit([texts[row] for row in kept], names[kept], 4, exclusive=True)[1]["why"]
    weighed = "Labels have 10 to 40 rows: those of rare labels weigh more"
    assert (weighed in why) == (rare == 10)


def test_texts_without_any_word_still_make_a_classifier():
    model, report = fit(["", " ", "", ""], np.array([0, 1, 0, 1]), 2, exclusive=True)
    np.testing.assert_allclose(np.exp(model.log_probabilities_one("anything")).sum(), 1)
    assert "4 texts are empty." in report["warnings"]


def test_long_texts_are_warned_of():
    long = "word " * 5_000
    _, report = fit([long + "a", "short b"] * 3, np.array([0, 1] * 3), 2, exclusive=True)
    assert "3 texts are longer than 20,000 characters; the rest is not used." in report["warnings"]


def test_one_of_something_is_warned_of_in_the_singular():
    texts = ["word " * 5_000, "", *(f"short {letter * 2}" for letter in "abcdef")]
    _, report = fit(texts, np.array([0] * 7 + [1]), 3, exclusive=True)
    assert report["warnings"] == [
        "1 of 3 labels has no example and will hardly be given.",
        "1 of 3 labels has fewer than five examples.",
        "1 text is longer than 20,000 characters; the rest is not used.",
        "1 text is empty.",
    ]


def test_strange_text_can_be_learnt():
    texts = ["\x00nul\x00", "🎉🎉 party", "مرحبا بالعالم", "bad \ud800 surrogate"] * 4
    names = np.arange(16) % 4
    model, _ = fit(texts, names, 4, exclusive=True)
    assert (model.log_probabilities(texts).argmax(axis=1) == names).all()
    loaded = from_parts(*to_parts(model))
    np.testing.assert_array_equal(loaded.log_probabilities(texts), model.log_probabilities(texts))


@pytest.mark.parametrize(
    ("texts", "targets", "n_labels", "multilabel", "message"),
    [
        (["a", "b"], [0, 0], 2, False, "same label"),
        (["a", "b"], [0], 2, False, "1 rows"),
        (["a"], [0], 1, False, "at least two"),
        (["a", "b"], [0, 2], 2, False, "0 to 1"),
        (["a", "b"], [-1, 1], 2, False, "0 to 1"),
        (["a", "b"], [[0, 1], [1, 0]], 2, False, "0 to 1"),
        (["a", "b"], [[0, 2], [1, 0]], 2, True, "0 or 1"),
        (["a", "b"], [0, 1], 2, True, "0 or 1"),
        (["a", "b"], [[0, 0], [0, 0]], 2, True, "No row has a label"),
    ],
)
def test_targets_that_do_not_fit_are_refused(texts, targets, n_labels, multilabel, message):
    with pytest.raises(TrainingError, match=message):
        fit(texts, np.array(targets), n_labels, exclusive=not multilabel)


def test_progress_runs_from_nothing_to_all():
    seen: list[tuple[str, float]] = []
    texts, names = table(40)
    fit(texts, names, 4, exclusive=True, progress=lambda stage, part: seen.append((stage, part)))
    parts = [part for _, part in seen]
    assert parts == sorted(parts)
    assert (parts[0], parts[-1]) == (0.0, 1.0)
    assert len({stage for stage, _ in seen}) >= 3


def several(rows: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    chooser = np.random.default_rng(seed)
    targets = (chooser.random((rows, 4)) < (0.5, 0.3, 0.3, 0.15)).astype(int)
    texts = []
    for row in targets:
        words = list(chooser.choice(FILLER.split(), 4))
        for label in np.flatnonzero(row):
            words += list(chooser.choice(TOPICS[label].split(), 2))
        texts.append(" ".join(chooser.permutation(words)))
    return texts, targets


def test_a_row_may_have_several_labels_or_none():
    texts, targets = several(200)
    model, report = fit(texts, targets, 4, exclusive=False)
    asked, wanted = several(100, seed=5)
    answers = model.log_probabilities(asked)
    given = np.exp(answers) >= model.thresholds
    assert (given == wanted).mean() > 0.85
    assert model.thresholds.shape == (4,)
    assert ((model.thresholds > 0) & (model.thresholds < 1)).all()
    json.dumps(report)
    assert report["calibration"]["micro_f1"] > 0.8


def test_the_probabilities_of_several_labels_are_calibrated():
    texts, targets = several(400)
    model, _ = fit(texts, targets, 4, exclusive=False)
    asked, wanted = several(400, seed=5)
    mean = np.exp(model.log_probabilities(asked)).mean(axis=0)
    np.testing.assert_allclose(mean, wanted.mean(axis=0), atol=0.08)


def test_labels_that_all_or_no_rows_have_are_kept_apart_from_the_rest():
    texts, targets = several(60)
    targets[:, 2], targets[:, 3] = 1, 0
    model, _ = fit(texts, targets, 4, exclusive=False)
    mean = np.exp(model.log_probabilities(texts)).mean(axis=0)
    assert mean[2] > 0.9
    assert mean[3] < 0.1


@pytest.mark.parametrize("solve", [ridge, bayes, linear_svm, nb_svm, logistic])
def test_every_algorithm_tells_the_topics_apart(solve):
    from scipy import sparse

    targets = np.eye(3, dtype=np.int8)[np.arange(90) % 3]
    noise = np.random.default_rng(0).random((90, 3))
    design = Design(sparse.csr_matrix((targets * 2 + noise).astype(np.float32)))
    model = solve(design, targets, 1.0, 0)
    assert (model.decide(design).argmax(axis=1) == targets.argmax(axis=1)).all()


def test_large_tables_get_an_algorithm_that_takes_minutes():
    recipes = candidates(120_000, 230, 6e9, exclusive=True, embedding=False)
    dear = {base.solve for recipe in recipes for base, _ in recipe.mixture} - {bayes}
    assert dear == {linear_svm, unweighted}, "each label sees a tenth of the rows"
    recipes = candidates(2_000_000, 9, 6e9, exclusive=True, embedding=False)
    dear = {base.solve for recipe in recipes for base, _ in recipe.mixture} - {bayes}
    assert dear == {logistic}, "all labels at once"
    (recipe,) = candidates(120_000, 230, 1e10, exclusive=False, embedding=False)
    assert recipe.mixture[0][0].solve is logistic


def test_a_table_too_large_for_folds_is_trained_with_one_held_out_part(monkeypatch):
    from datasette_ftclassify.trainers.local import candidates as module
    from datasette_ftclassify.trainers.local import group_folds

    monkeypatch.setattr(module, "SLOW", 10)
    monkeypatch.setattr(group_folds, "ONE_PART", 10)
    texts, names = table(400)
    model, report = fit(texts, names, 4, exclusive=True)
    assert "logistic regression" in [row["recipe"] for row in report["recipes"]]
    assert report["calibration"]["rows"] == 40
    asked, wanted = table(80, seed=9)
    assert (model.log_probabilities(asked).argmax(axis=1) == wanted).mean() > 0.9


def test_importing_the_package_and_predicting_need_no_scikit_learn():
    script = (
        "import sys\n"
        "import datasette_ftclassify.trainers.local.model\n"
        "print(sorted({'sklearn', 'scipy', 'model2vec', 'tokenizers'} & set(sys.modules)))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
