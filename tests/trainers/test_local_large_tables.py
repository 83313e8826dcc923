"""Tables whose counts are more than what is kept in memory."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from training_sets import training_set

from datasette_ftclassify.core.errors import TrainingError
from datasette_ftclassify.trainers.local import large_tables, memory
from datasette_ftclassify.trainers.local.large_tables import read_large
from datasette_ftclassify.trainers.local.memory import free_bytes, plan_memory
from datasette_ftclassify.trainers.local.recipes import bayes
from datasette_ftclassify.trainers.local.training import fit
from datasette_ftclassify.trainers.local.training_data import Data, as_indicators

WORDS = ["alpha beta gamma", "delta epsilon zeta", "eta theta iota"]


def table(rows: int, labels: int = 3) -> tuple[list[str], np.ndarray]:
    """Sorted by label, as tables often are."""
    chooser = np.random.default_rng(0)
    names = np.sort(np.arange(rows) % labels)
    texts = [
        " ".join(
            [*(f"w{n}" for n in chooser.integers(0, 400, 4)), chooser.choice(WORDS[k].split())]
        )
        for k in names
    ]
    return texts, names


@pytest.fixture
def small_limits(monkeypatch):
    """Limits that a table of a thousand rows is beyond."""
    monkeypatch.setattr(memory, "MOST_KEPT", 10_000)
    monkeypatch.setattr(large_tables, "BLOCK_VALUES", 20_000)
    monkeypatch.setattr(large_tables, "SAMPLE_VALUES", 20_000)
    monkeypatch.setattr(large_tables, "FEWEST_SAMPLED", 100)


def test_a_large_table_is_learnt_from_block_by_block(small_limits):
    texts, names = table(1_500)
    steps = []
    model, report, held_out = fit(
        training_set(texts, names, 3), progress=lambda step, share: steps.append(share)
    )
    assert (model.log_probabilities(texts[::7]).argmax(axis=1) == names[::7]).mean() > 0.97
    assert "sample of" in report["why"]
    assert "trained on all" in report["why"]
    assert report["n_rows"] == 1_500
    # What was held out are rows of the table, not of the sample.
    assert held_out.rows.max() > 1_000
    assert (held_out.logprobs.argmax(axis=1) == names[held_out.rows]).mean() > 0.9
    assert steps == sorted(steps)
    again = fit(training_set(texts, names, 3))[0]
    np.testing.assert_array_equal(again.weights, model.weights)


def test_several_labels_a_row_and_vectors_that_were_asked_for(small_limits):
    texts, names = table(900)
    targets = np.eye(3, dtype=int)[names]
    targets[::2, 0] = 1
    model, report, _ = fit(
        training_set(texts, targets, 3, exclusive=False),
        embeddings="a model that is not looked for",
    )
    assert report["embeddings"] is None
    assert any("embeddings are not used" in warning for warning in report["warnings"])
    assert np.exp(model.log_probabilities([WORDS[1]]))[0, 1] > 0.5


def test_blocks_have_the_features_that_the_whole_table_has(small_limits):
    texts, names = table(600)
    targets = as_indicators(names, len(texts), 3, True)
    data = Data.read(texts, targets)
    expected = Data(
        data.terms, targets, data.groups, large_tables.MIN_ROWS_OF_LARGE, None, None
    ).whole(False)
    found = read_large(texts, targets, each=60, seed=0)
    assert len(found.features.words.blocks) > 1
    assert set(found.words) == set(expected.words)
    assert set(found.chars) == set(expected.chars)
    columns = [expected.words.index(term) for term in found.words]
    columns += [len(expected.words) + expected.chars.index(term) for term in found.chars]
    whole = expected.features.words.matrix.toarray()
    for rows, part in found.features.words.parts():
        np.testing.assert_allclose(part.toarray(), whole[rows][:, columns], atol=1e-6)
    by_blocks = bayes(found.features.words, targets, 0.03, 0).weights
    np.testing.assert_allclose(
        by_blocks, bayes(expected.features.words, targets, 0.03, 0).weights[columns], atol=1e-5
    )


def test_rare_terms_are_dropped_while_frequent_ones_are_counted_exactly(monkeypatch):
    monkeypatch.setattr(large_tables, "MOST_TERMS", 100)
    found = large_tables._Frequencies()
    for block in range(20):
        rare = [f"{block} {n}" for n in range(60)]
        found.add(["often", *rare], np.array([7, *[1] * 60], dtype=np.int32))
    assert found.of["often"] == 140
    assert len(found.of) <= 100


def test_what_a_training_needs_is_told_and_refused_where_it_is_not_there():
    texts = [" ".join(f"word{number}" for number in range(70))] * 40_000
    plain = plan_memory(texts, 5, free=8_000_000_000)
    assert not plain.large
    assert plain.step == f"reading, up to {plain.needed / 1e9:.1f} GB of memory"
    assert plan_memory(texts[:900], 5).step == "reading"
    little = plan_memory(texts, 5, free=plain.needed - 1)
    assert little.large
    assert "of memory were free" in little.said
    with pytest.raises(
        TrainingError, match=r"needs about 0\.\d GB of memory, and 0\.1 GB are free"
    ):
        plan_memory(texts, 5, free=100_000_000)
    # A small table is trained however little is said to be free.
    assert not plan_memory(texts[:500], 5, free=0).large


def test_what_is_free_is_that_of_the_control_group_where_that_is_less(tmp_path, monkeypatch):
    everything = free_bytes()
    assert everything is None or everything > 0
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("2500000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 400000\n")
    assert free_bytes() == 900_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes() != 900_000


PEAKS = """
import random
from datasette_ftclassify.trainers.local import large_tables, memory, sgd
from training_sets import fit
from memory import peak
import numpy as np

memory.MOST_KEPT, large_tables.SAMPLE_VALUES, large_tables.BLOCK_VALUES = 100_000, 60_000, 60_000
large_tables.FEWEST_SAMPLED = 100
sgd.PASSES = (1, 1)
chooser = random.Random(0)
words = ["".join(chooser.choices("abcdefgh", k=5)) for _ in range(60)]
for rows in (800, 3_200):
    texts = [" ".join(chooser.choices(words, k=40)) for _ in range(rows)]
    fit(texts, np.arange(rows) % 3, 3, exclusive=True)
    print(peak())
"""


def test_memory_hardly_grows_with_the_rows():
    """Counts alone would take 2,800 bytes a row, a fit on all of them four times as many."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PEAKS]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    few, many = map(int, done.stdout.split())
    assert many - few < 2_400 * 4_000  # a text of 240 characters, its row, and chance
