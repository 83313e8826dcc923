"""A classifier that travels answers the same, and what others put into its folder is data."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import run, run_json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_databases import rows, town_database
from stored import add

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import FtclassifyError
from datasette_ftclassify.export.numpy_scorer import Model
from datasette_ftclassify.jobs.load_classifier import load_answerer
from datasette_ftclassify.jobs.model_files import load_model, store_model
from datasette_ftclassify.store.card_notes import CardNotes, card_notes, keep_notes
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.minimum_scores import MinimumScore, find_minimum, set_minimum
from datasette_ftclassify.store.summaries import summarise

NAMES = ("topics", "urgent", "subjects")


@pytest.fixture(scope="module")
def folders(trained_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of each kind of classifier."""
    made = tmp_path_factory.mktemp("models")
    for name in NAMES:
        run("export-model", trained_file, name, made / name)
    return made


def probabilities(path: Path, name: str, texts: list[str]) -> Any:
    with closing(connect(path)) as conn:
        classifier = find_classifier(conn, name)
        read = [classifier.task.read(text) for text in texts]
        return load_answerer(conn, classifier).predictor.log_probabilities(read)


@pytest.mark.parametrize(
    ("name", "count"), [("topics", 10_000), ("urgent", 500), ("subjects", 500)]
)
def test_the_scorer_says_the_same_of_ten_thousand_texts(
    folders: Path, trained_file: Path, name: str, count: int
):
    with closing(connect(trained_file)) as conn:
        found = [text for (text,) in rows(conn, "select message from messages")]
    texts = [f"{a[: i % 90]} {found[i % len(found)]}" for i, a in enumerate(found * 20)][:count]
    ours = np.exp(probabilities(trained_file, name, texts))
    theirs = np.exp(Model(folders / name).log_probabilities(texts))
    assert len(texts) == count
    assert float(np.abs(ours - theirs).max()) < 1e-6


@given(st.lists(st.text(max_size=60), min_size=1, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_the_scorer_reads_any_text_the_same(folders: Path, trained_file: Path, texts: list[str]):
    texts = [*texts, "ﬁ e\u0301\u200b\0 नमस्ते " + "a\u0301" * 40 + "\ud800", "\u0301" * 1_500, ""]
    ours = np.exp(probabilities(trained_file, "topics", texts))
    theirs = np.exp(Model(folders / "topics").log_probabilities(texts))
    assert float(np.abs(ours - theirs).max()) < 1e-6


def test_the_scorer_needs_numpy_alone(folders: Path, trained_file: Path, tmp_path: Path):
    """In a virtual environment that has nothing else, outside of this folder."""
    place = tmp_path / "alone"
    venv.create(place, with_pip=False)
    packages = next(place.glob("lib/python*/site-packages"))
    for part in Path(np.__file__).parents[1].glob("numpy*"):
        os.symlink(part, packages / part.name)
    text = "The drain on Mill Lane is blocked and the road floods"
    answer = subprocess.run(
        [place / "bin" / "python", "-I", folders / "topics" / "classify.py", text],
        capture_output=True, text=True, check=True, cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
    )  # fmt: skip
    said = json.loads(answer.stdout)
    assert said["label"] == "Water and drains"
    best = float(np.exp(probabilities(trained_file, "topics", [text])).max())
    assert abs(said["score"] - best) < 1e-6


def test_the_scorer_on_the_command_line(folders: Path, tmp_path: Path):
    folder = Path(shutil.copytree(folders / "topics", tmp_path / "tôpics & co"))

    def classify(*texts: str, given: bytes = b"", code: int = 0) -> tuple[list[str], str]:
        command = [sys.executable, str(folder / "classify.py"), *texts]
        done = subprocess.run(command, input=given, capture_output=True)
        assert done.returncode == code, done.stderr
        return done.stdout.decode().splitlines(), done.stderr.decode()

    lines, _ = classify(given="the lamp flickers\r\n\nZürich".encode() + b" \xff\n")
    assert len(lines) == 3
    assert lines[1] == "null"
    assert lines[0] == classify("the lamp flickers")[0][0]
    assert "texts.txt" in "".join(classify("--help")[0])
    (folder / "words.bin").write_bytes((folder / "words.bin").read_bytes()[:-9])
    assert classify("a", code=1) == (
        [], "Error: words.bin was changed or is not whole: export the model again.\n",
    )  # fmt: skip


def test_what_is_imported_answers_the_same_with_figures_and_card(
    folders: Path, trained: Path, tmp_path: Path
):
    with closing(connect(trained)) as conn:
        classifier = find_classifier(conn, "topics")
        keep_notes(conn, classifier, CardNotes("for all"))
        set_minimum(conn, classifier, MinimumScore("fixed", 0.9, set_by="ann"))
    said = {"databases": {trained.stem: {"source": "The *town* hall", "license": "CC0"}}}
    (tmp_path / "metadata.json").write_text(json.dumps(said))
    given = ("--metadata", tmp_path / "metadata.json")
    run("export-model", trained, "topics", tmp_path / "model", *given)
    readme = (tmp_path / "model" / "README.md").read_text()
    assert "- Source: The \\*town\\* hall\n- Licence: CC0\n" in readme
    assert "ann" not in (tmp_path / "model" / "model.json").read_text().split('"set_by"')[1][:9]
    other = tmp_path / "other.db"
    town_database(other).close()
    assert run_json("import-model", other, tmp_path / "model") == {"classifier": "topics@1"}
    assert run_json("import-model", other, tmp_path / "model", "--name", "b")["classifier"] == "b@1"
    assert run_json("copy", trained, "topics", other)["classifier"] == "topics@2"
    texts = ["the lamp flickers", "noise at night"]
    right = probabilities(trained, "topics", texts)
    with closing(connect(other)) as conn, closing(connect(trained)) as old:
        figures = summarise(old, find_classifier(old, "topics")).metrics
        for name in ("topics@1", "topics@2", "b"):
            assert (probabilities(other, name, texts) == right).all()
            there = find_classifier(conn, name)
            assert card_notes(conn, there) == CardNotes("for all")
            minimum = find_minimum(conn, there)
            assert minimum is not None
            assert (minimum.score, minimum.set_by) == (0.9, None)
            found = summarise(conn, there).metrics
            assert found is not None
            assert figures is not None
            assert found["accuracy"] == figures["accuracy"]
    answers = Model(tmp_path / "model").answers(["zzz", " \u200b"])
    assert answers[0] is not None
    assert answers[0]["label"] is None  # below the minimum score
    assert answers[1] is None  # no text, as ft_classify_json has it


def test_a_model_at_a_service_is_copied_and_not_exported(tmp_path: Path):
    for name in ("a.db", "b.db"):
        with closing(connect(tmp_path / name, must_exist=False)) as conn, conn:
            conn.execute("create table t (text, label)")
    with closing(connect(tmp_path / "a.db")) as conn:
        header = {"model": "ft:gpt-4.1-mini:a::b", "host": "models.example"}
        add(conn, "paid", trainer="openai", header=header, parts={})
    done = run("export-model", tmp_path / "a.db", "paid", tmp_path / "out", code=1)
    assert "at a service" in done.stderr
    assert not (tmp_path / "out").exists()
    assert run_json("copy", tmp_path / "a.db", "paid", tmp_path / "b.db")["classifier"] == "paid@1"


@pytest.mark.parametrize("other", ["town.db", "sub/../town.db", "soft.db", "hard.db"])
def test_a_copy_into_its_own_database_needs_another_name(trained: Path, other: str):
    (trained.parent / "sub").mkdir()
    (trained.parent / "soft.db").symlink_to(trained)
    (trained.parent / "hard.db").hardlink_to(trained)
    same = trained.parent / other
    for name in ([], ["--name", "topics"]):
        done = run("copy", trained, "topics", same, *name, code=1)
        assert "is the database that topics@1 is in: name the copy with --name" in done.stderr
    assert run_json("copy", trained, "topics", same, "--name", "b")["classifier"] == "b@1"
    with closing(connect(trained)) as conn:
        assert find_classifier(conn, "topics").version == 1


def test_no_folder_with_files_is_written_into(folders: Path, trained_file: Path, tmp_path: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    done = run("export-model", trained_file, "topics", tmp_path / "full", code=1)
    assert "not an empty folder" in done.stderr
    (tmp_path / "full" / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "full" / "empty")
    (tmp_path / "to be made").symlink_to(tmp_path / "new")
    for name in ("link", "to be made"):
        run("export-model", trained_file, "topics", tmp_path / name)
        assert (tmp_path / name / "model.json").is_file()
    if Path("/proc/self").exists():  # a folder that refuses even root
        done = run("export-model", trained_file, "topics", "/proc/a", code=1)
        assert done.stderr.startswith("Error: Nothing can be written into the folder /proc: ")
    assert not [*tmp_path.rglob(".export*")]


def test_an_empty_name_is_none(folders: Path, trained: Path):
    done = run("import-model", trained, folders / "topics", "--name", " ", code=1)
    assert "1 to 100 printable characters" in done.stderr


def changed(folder: Path, **changes: Any) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _huge(folder: Path) -> None:
    parts = json.loads((folder / "model.json").read_text())["parts"]
    changed(folder, parts=parts | {"weights": parts["weights"] | {"bytes": 10**12}})


def _link(folder: Path) -> None:
    (folder / "idf.bin").unlink()
    (folder / "idf.bin").symlink_to("/dev/zero")


def _outside(folder: Path) -> None:
    parts = json.loads((folder / "model.json").read_text())["parts"]
    changed(folder, parts=parts | {"../../etc/passwd": parts["idf"]})


def _cut(folder: Path) -> None:
    data = (folder / "weights.bin").read_bytes()
    (folder / "weights.bin").write_bytes(data[: len(data) // 2])


def _turned(folder: Path) -> None:
    data = bytearray((folder / "weights.bin").read_bytes())
    data[10] ^= 1
    (folder / "weights.bin").write_bytes(data)


TAMPERED = {
    "an array that is cut": _cut,
    "an array that was changed": _turned,
    "a size without end": _huge,
    "a link to a device": _link,
    "a name that leads out": _outside,
    "a missing array": lambda folder: (folder / "words.bin").unlink(),
    "no JSON": lambda folder: (folder / "model.json").write_bytes(b"\x80\x04pickle"),
    "JSON without end": lambda folder: (folder / "model.json").write_text("[" * 10_000_000),
    "another format": lambda folder: changed(folder, format=99),
    "labels that do not fit": lambda folder: changed(
        folder, labels={"values": ["a"], "kind": "multiclass"}
    ),
    "a task that is none": lambda folder: changed(folder, task={"source": 3}),
    "a header that is none": lambda folder: changed(folder, header=[1]),
    "a trainer at a service": lambda folder: changed(folder, trainer="openai"),
    "an unknown trainer": lambda folder: changed(folder, trainer="os.system"),
    "figures that are none": lambda folder: changed(folder, metrics={"accuracy": "high"}),
    "notes that are none": lambda folder: changed(folder, notes={"intended_use": 3}),
    "a name that is none": lambda folder: changed(folder, name="a@b\n"),
    "a minimum score that is none": lambda folder: changed(
        folder, minimum_score={"strength": "fixed", "score": 7}
    ),
    "a minimum score of other labels": lambda folder: changed(
        folder, minimum_score={"strength": "fixed", "thresholds": [0.5]}
    ),
    "a seed that is none": lambda folder: changed(folder, seed=1e400),
    "a report that is none": lambda folder: changed(folder, report={"recipe": [1]}),
}


SCORER_REFUSES = (
    "an array that is cut", "an array that was changed", "a link to a device", "a missing array",
    "no JSON", "JSON without end", "another format", "labels that do not fit",
    "a header that is none",
)  # fmt: skip
"""The rest it does not read."""


@pytest.mark.parametrize("what", TAMPERED)
def test_a_folder_that_somebody_tampered_with_is_one_clear_error(
    folders: Path, tmp_path: Path, what: str
):
    folder = tmp_path / "topics"
    folder.mkdir()
    for file in (folders / "topics").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    TAMPERED[what](folder)
    if what in SCORER_REFUSES:
        with pytest.raises((ValueError, OSError)):
            Model(folder).answers(["the lamp flickers"])
    other = tmp_path / "other.db"
    with closing(connect(other, must_exist=False)) as conn, conn:
        conn.execute("create table t (a)")
    done = run("import-model", other, folder, code=1)
    assert done.stderr.count("\n") == 1, done.stderr
    assert len(done.stderr) < 400
    with closing(connect(other)) as conn:
        if rows(conn, "select 1 from sqlite_master where name = '_ftclassify_classifiers'"):
            assert rows(conn, "select * from _ftclassify_classifiers") == []
    with pytest.raises(FtclassifyError), closing(connect(other)) as conn:
        store_model(conn, load_model(folder)[0])
