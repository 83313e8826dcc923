"""A stored classifier comes back the same, and a stranger's file does no harm."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_sets import fit

from datasette_ftclassify.core.errors import ArtifactError
from datasette_ftclassify.trainers.local.model import LocalModel
from datasette_ftclassify.trainers.local.serialization import from_parts, to_parts

SPAM = [f"win cash prize {n} now, claim your free ringtone" for n in range(12)]
HAM = [f"see you at {n} for lunch, mum says hello" for n in range(12)]
WORK = [f"the meeting about budget {n} moved to monday" for n in range(12)]
TEXTS = SPAM + HAM + WORK
NAMES = np.repeat([0, 1, 2], 12)


@pytest.fixture(scope="module")
def model() -> LocalModel:
    return fit(TEXTS, NAMES, 3, exclusive=True)[0]


@pytest.fixture(scope="module")
def stored(model):
    header, parts = to_parts(model)
    return json.loads(json.dumps(header)), parts


def test_a_stored_classifier_answers_as_before(model, stored):
    loaded = from_parts(*stored)
    asked = [*TEXTS, "", "\x00", "🎉 وداعا", "free lunch meeting"]
    np.testing.assert_array_equal(loaded.log_probabilities(asked), model.log_probabilities(asked))
    assert to_parts(loaded)[1] == stored[1]


def test_two_labels_and_several_labels_a_row_come_back_too():
    binary, _ = fit(SPAM + HAM, NAMES[:24], 2, exclusive=True)
    several, _ = fit(TEXTS, np.eye(3, dtype=int)[NAMES], 3, exclusive=False)
    for model in (binary, several):
        header, parts = to_parts(model)
        loaded = from_parts(json.loads(json.dumps(header)), parts)
        np.testing.assert_array_equal(
            loaded.log_probabilities(TEXTS), model.log_probabilities(TEXTS)
        )
    np.testing.assert_array_equal(loaded.thresholds, several.thresholds)
    assert to_parts(binary)[0]["columns"] == 1


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("labels", [2, 3])
def test_a_calibration_of_each_label_comes_back(several, labels):
    texts, names = (TEXTS, NAMES) if labels == 3 else (SPAM + HAM, NAMES[:24])
    targets = np.eye(labels, dtype=int)[names] if several else names
    model, _ = fit(texts, targets, labels, exclusive=not several)
    before = model.log_probabilities(texts)
    model.beta = np.array([[0.9, 0.4, 0.3], [1.2, 1.0, -0.1], [1.0, 0.0, 0.5]])[:labels]
    header, parts = to_parts(model)
    loaded = from_parts(json.loads(json.dumps(header)), parts)
    answers = model.log_probabilities(texts)
    np.testing.assert_array_equal(loaded.log_probabilities(texts), answers)
    assert np.abs(answers - before).max() > 0.05


def test_another_process_gives_the_same_bits_with_other_threads(model, stored, tmp_path):
    (tmp_path / "model.json").write_text(json.dumps(stored[0]))
    for name, blob in stored[1].items():
        (tmp_path / name).write_bytes(blob)
    script = (
        "import json, pathlib, sys\n"
        "from datasette_ftclassify.trainers.local.serialization import from_parts\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "header = json.loads((folder / 'model.json').read_text())\n"
        "parts = {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix != '.json'}\n"
        "model = from_parts(header, parts)\n"
        "print(model.log_probabilities_one('free lunch ' * 400).tobytes().hex())\n"
        "assert not {'sklearn', 'scipy', 'pickle5'} & set(sys.modules)\n"
    )
    here = model.log_probabilities_one("free lunch " * 400).tobytes().hex()
    for threads in ("1", "4"):
        answer = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
            env={"OMP_NUM_THREADS": threads, "PYTHONPATH": ":".join(sys.path)},
        )
        assert answer.stdout.strip() == here, answer.stderr


def changed(stored, header=None, parts=None):
    return {**stored[0], **(header or {})}, {**stored[1], **(parts or {})}


@pytest.mark.parametrize(
    "header",
    [
        {"format": 3},
        {"format": None},
        {"multilabel": 1},
        {"n_labels": 0},
        {"n_labels": -3},
        {"n_labels": 10**12},
        {"n_labels": True},
        {"n_labels": "3"},
        {"sizes": None},
        {"sizes": {}},
        {"n_words": 10**15},
        {"n_words": 5_000_001},
        {"n_words": 1.0},
        {"n_chars": -1},
        {"n_chars": 4_999_999, "n_labels": 9_999, "columns": 9_999},
        {"columns": 2},
        {"columns": 1},
        {"columns": 10**9},
        {"temperature": float("nan")},
        {"temperature": 0},
        {"temperature": -1.0},
        {"temperature": "1"},
        {"temperature": True},
        {"temperature": None},
        {"thresholds": [0.5, 0.5, 0.5]},
        {"multilabel": True, "thresholds": [0.5, 0.5]},
        {"multilabel": True, "thresholds": [0.5, 0.5, 1.5]},
        {"multilabel": True, "thresholds": [0.5, 0.5, float("nan")]},
        {"multilabel": True, "thresholds": [0.5, 0.5, None]},
        {"multilabel": True, "thresholds": "0.5"},
        {"beta": {}},
        {"beta": [[1, 1, 0]]},
        {"beta": [[1, 1, 0], [1, 1, 0], [1, 1]]},
        {"beta": [[1, 1, 0], [1, 1, 0], [1, -1, 0]]},
        {"beta": [[1, 1, 0], [1, 1, 0], [1, 1, float("nan")]]},
        {"beta": [[1, 1, 0], [1, 1, 0], [1, 1, 1e300]]},
        {"beta": [[1, 1, 0], [1, 1, 0], [1, 1, True]]},
        {"embedding": True},
        {"embedding": {}},
        {"embedding": {"n_tokens": 10**10, "dimensions": 10**6, "unknown": None}},
        {"embedding": {"n_tokens": 2, "dimensions": 2, "unknown": 5}},
        {"embedding": {"n_tokens": 2, "dimensions": 2, "unknown": None}},
    ],
)
def test_a_header_that_does_not_fit_is_refused(stored, header):
    with pytest.raises(ArtifactError) as caught:
        from_parts(*changed(stored, header))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["words", "chars", "idf", "weights", "bias"])
def test_a_part_that_is_missing_cut_or_a_pickle_is_refused(stored, name):
    header, parts = stored
    without = {key: blob for key, blob in parts.items() if key != name}
    with pytest.raises(ArtifactError, match=name):
        from_parts(header, without)
    for blob in (parts[name][:-1], parts[name] + b"\n\n\n\n", b"", pickle.dumps(print), "text"):
        with pytest.raises(ArtifactError, match=name):
            from_parts(*changed(stored, parts={name: blob}))
        sizes = {**header["sizes"], name: len(blob)}
        if name not in ("words", "chars") or len(blob) != len(parts[name]) - 1:
            with pytest.raises(ArtifactError, match=name):
                from_parts(*changed(stored, {"sizes": sizes}, {name: blob}))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize(("name", "dtype"), [("weights", "<f2"), ("bias", "<f4"), ("idf", "<f4")])
def test_numbers_that_are_not_finite_are_refused(stored, name, dtype, value):
    array = np.frombuffer(stored[1][name], dtype=dtype).copy()
    with np.errstate(over="ignore"):  # 3e38 is infinite in half precision
        array[-1] = value
    with pytest.raises(ArtifactError, match=name):
        from_parts(*changed(stored, parts={name: array.tobytes()}))


def test_an_idf_that_is_not_positive_is_refused(stored):
    array = np.frombuffer(stored[1]["idf"], dtype="<f4").copy()
    array[0] = 0
    with pytest.raises(ArtifactError, match="idf"):
        from_parts(*changed(stored, parts={"idf": array.tobytes()}))


def test_a_vocabulary_with_a_term_twice_or_not_utf8_is_refused(stored):
    lines = stored[1]["words"].split(b"\n")
    twice = b"\n".join([lines[1], *lines[1:]])
    sizes = {"sizes": {**stored[0]["sizes"], "words": len(twice)}}
    with pytest.raises(ArtifactError, match="twice"):
        from_parts(*changed(stored, sizes, {"words": twice}))
    broken = b"\xff" + stored[1]["words"][1:]
    with pytest.raises(ArtifactError, match="UTF-8"):
        from_parts(*changed(stored, parts={"words": broken}))


@pytest.mark.parametrize("header", [None, [], "x", 3])
def test_something_that_is_no_header_is_refused(stored, header):
    with pytest.raises(ArtifactError):
        from_parts(header, stored[1])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=300)
@given(data=st.data())
def test_no_change_to_the_stored_form_raises_anything_else(stored, data):
    header, parts = dict(stored[0]), dict(stored[1])
    if data.draw(st.booleans()):
        header[data.draw(st.sampled_from(sorted(header)))] = data.draw(json_values)
    else:
        name = data.draw(st.sampled_from(sorted(parts)))
        at = data.draw(st.integers(0, len(parts[name]) - 1))
        byte = bytes([data.draw(st.integers(0, 255))])
        parts[name] = parts[name][:at] + byte + parts[name][at + 1 :]
    try:
        loaded = from_parts(header, parts)
    except ArtifactError:
        return
    answer = loaded.log_probabilities_one("free lunch meeting")
    assert not np.isnan(answer).any()
