"""The files of encoders that were fine-tuned on this machine: found by their hash, listed and
deleted for a person alone, and out of reach of other files. And what is said where the
packages for fine-tuning are not. No torch is needed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from commands import run, run_json
from sample_databases import value
from tiny_encoder import write_encoder
from visiting import get, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import TrainingError
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.publish import publish_copy
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.present.publishing import stays
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.deletion import delete_classifier
from datasette_ftclassify.trainers.access import Access
from datasette_ftclassify.trainers.base import TrainerOptions
from datasette_ftclassify.trainers.encoders import known, made_here
from datasette_ftclassify.trainers.encoders.encoder import digest_of
from datasette_ftclassify.trainers.encoders.files import find_encoder
from datasette_ftclassify.trainers.encoders.known import usual_encoder
from datasette_ftclassify.trainers.encoders.vector_store import store_path
from datasette_ftclassify.trainers.finetuning import trainer
from datasette_ftclassify.web.job_facts import curves
from datasette_ftclassify.web.train_form import Choices
from datasette_ftclassify.web.trainer_options import offers

VECTORS = {"animal": [1.0, 0.0], "cat": [1.0, 0.1], "tool": [0.0, 1.0], "saw": [0.1, 1.0]}


@pytest.fixture
def nothing_loaded() -> Iterator[None]:
    pytest.importorskip("onnxruntime")
    known._loaded.clear()
    yield
    known._loaded.clear()


@pytest.fixture
def place(tmp_path: Path, nothing_loaded: None) -> Path:
    """The folder of an encoder as a training leaves it."""
    base = write_encoder(tmp_path / "small one", {**VECTORS, "dog": [1.0, 0.2]})
    (base / "README.md").write_text("---\nlicense: mit\n---\n")
    made = write_encoder(tmp_path / "made", VECTORS)
    return made_here.add(made, digest_of(find_encoder(str(made))), find_encoder(str(base)))


@pytest.fixture
def things(tmp_path: Path, place: Path) -> Path:
    """A file with a classifier that needs it."""
    path = tmp_path / "things.db"
    with closing(connect(path, must_exist=False)) as conn:
        conn.execute("create table things (id integer primary key, body text, kind text)")
        conn.executemany("insert into things (body) values (?)", [("cat",), ("saw",)])
        conn.commit()
        options = TrainerOptions(encoder=str(place), descriptions={"animal": "", "tool": ""})
        task = define(conn, "things", text=["body"], labels=["kind"])
        train_classifier(conn, task, TrainRequest(trainer="names", options=options))
    return path


def ask(path: Path, text: str) -> object:
    known._loaded.clear()
    with closing(connect(path)) as conn:
        register(conn)
        return value(conn, "select ft_classify(?)", [text])


def test_its_hash_finds_it_also_without_the_file_of_vectors(things: Path) -> None:
    store_path().unlink()
    assert ask(things, "cat") == "animal"


def test_other_files_in_its_place_answer_nothing(things: Path, place: Path) -> None:
    model = place / "model.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    assert ask(things, "cat") is None


def test_it_is_not_the_encoder_that_is_meant_where_none_is_named(things: Path) -> None:
    assert usual_encoder() is None


@pytest.mark.parametrize("copied", ["the file", "the classifier", "not"])
def test_deleting_its_classifier_takes_it_from_no_copy(
    things: Path, place: Path, tmp_path: Path, copied: str
) -> None:
    other = tmp_path / "other.db"
    if copied == "the file":
        shutil.copy(things, other)
    else:
        connect(other, must_exist=False).close()
    if copied == "the classifier":
        run("copy", things, "things", other)
    said = run("classifiers", "delete", things, "things", "--yes").stderr
    assert "An encoder that was fine-tuned for it stays" in said
    assert ask(things, "cat") is None
    assert ask(other, "cat") == (None if copied == "not" else "animal")
    assert place.is_dir()
    assert run_json("encoders", "list")["encoders"][0]["digest"] == place.name


@pytest.mark.parametrize("said", [None, "..", "/etc", "../../things.db", ["a"], {"a": 1}, 5])
def test_what_another_file_says_of_it_deletes_nothing(
    things: Path, place: Path, tmp_path: Path, said: object
) -> None:
    stranger = Path(shutil.copy(things, tmp_path / "stranger.db"))
    with closing(connect(stranger)) as conn:
        if said is not None:  # else it names the very encoder
            header = json.dumps({"embedding": {"encoder": said}})
            conn.execute("update _ftclassify_classifiers set header = ?", [header])
            conn.commit()
        assert delete_classifier(conn, "things").titles == ("things@1",)
    assert place.is_dir()
    assert things.is_file()


def test_a_copy_to_publish_says_that_a_student_of_it_needs_no_encoder(
    things: Path, tmp_path: Path
) -> None:
    copy = publish_copy(things, tmp_path / "public.db")
    (said,) = [line for line in stays(copy) if "not the sentence encoder" in line]
    assert "A student of it" in said
    assert str(tmp_path).encode() not in (tmp_path / "public.db").read_bytes()


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_command_lists_and_removes_it(things: Path, place: Path, forgotten: bool) -> None:
    """Also where the file of vectors was deleted."""
    if forgotten:
        store_path().unlink()
    shown = run("encoders", "list").stdout
    assert place.name[:12] in shown
    assert f"fine-tuned here from small one, mit, for classifiers in {things}" in shown
    (listed,) = run_json("encoders", "list")["encoders"]
    assert (listed["name"], listed["digest"]) == (str(place), place.name)
    assert listed["bytes"] >= (place / "model.onnx").stat().st_size
    assert listed["databases"] == [str(things)]
    assert listed["made_from"] == {"name": "small one", "licence": "mit", "revision": None}
    (place / "made_from.json").unlink()  # an earlier version noted nothing
    assert "fine-tuned here, for classifiers" in run("encoders", "list").stdout
    assert run_json("encoders", "list")["encoders"][0]["made_from"] is None
    refused = run("encoders", "remove", place.name, code=1)
    assert f"here for classifiers in {things}. There and in copies" in refused.stderr
    assert place.is_dir()
    assert "fine-tuned here" in run("encoders", "remove", place.name, "--yes").stdout
    assert not place.exists()
    assert ask(things, "cat") is None


def test_the_list_knows_which_files_a_classifier_of_it_was_copied_into(
    things: Path, tmp_path: Path
) -> None:
    other = tmp_path / "ôther.db"
    connect(other, must_exist=False).close()
    run("copy", things, "things", other)
    assert run_json("encoders", "list")["encoders"][0]["databases"] == [str(things), str(other)]


def test_a_damaged_one_is_listed_and_removed(things: Path, place: Path) -> None:
    store_path().unlink()
    (place / "model.onnx").unlink()
    (place / "databases.json").write_text('[1, {"a": 2}]')
    assert place.name[:12] in run("encoders", "list").stdout
    run("encoders", "remove", place.name[:12], "--yes")
    assert not place.exists()


def test_what_trainings_left_goes_after_a_week(tmp_path: Path) -> None:
    left = made_here.trainings_folder() / "left"
    left.mkdir(parents=True)
    (left / "checkpoint.safetensors").write_bytes(b"")
    written = (left / "checkpoint.safetensors").stat().st_mtime
    made_here.sweep(written + 6 * 86_400)
    assert left.is_dir()
    made_here.sweep(written + 8 * 86_400)
    assert not left.exists()


def test_so_does_an_encoder_that_no_classifier_was_stored_with(
    things: Path, place: Path, tmp_path: Path
) -> None:
    unused = Path(shutil.copytree(place, place.with_name("0" * 64)))
    (unused / "databases.json").unlink()
    written = max(path.stat().st_mtime for path in (place, unused))
    made_here.sweep(written + 6 * 86_400)
    assert unused.is_dir()
    made_here.sweep(written + 8 * 86_400)
    assert place.is_dir()
    assert not unused.exists()


def test_what_is_missing_is_said_before_a_job_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "things.db"
    with closing(connect(path, must_exist=False)) as conn:
        conn.execute("create table things (id integer primary key, body text, kind text)")
    weights = tmp_path / "weights"
    weights.mkdir()
    for name, text in {"config.json": "{}", "model.safetensors": "", "vocab.txt": "a"}.items():
        (weights / name).write_text(text)
    command = ["train", path, "things", "--text", "body", "--label", "kind", "--trainer", "encoder"]

    def refused(*more: object) -> str:
        result = run(*command, *more, code=1)
        return result.stderr

    monkeypatch.setattr(trainer, "find_spec", lambda name: None)
    assert "pip install 'datasette-ftclassify[finetune]'" in refused("--encoder", weights)
    monkeypatch.setattr(trainer, "find_spec", lambda name: True)
    assert "No encoder with weights is known" in refused()
    assert "has no model.safetensors" in refused("--encoder", tmp_path)
    (weights / "config.json").unlink()
    assert "with a config.json" in refused("--encoder", weights)
    with closing(connect(path)) as conn:
        assert not conn.execute("select 1 from sqlite_master where name like '%jobs'").fetchall()


def test_the_setting_names_the_encoder_of_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = write_encoder(tmp_path / "without", VECTORS)
    weights = write_encoder(tmp_path / "weights", VECTORS)
    (weights / "model.safetensors").write_bytes(b"")
    (weights / "config.json").write_text("{}")
    monkeypatch.setattr(trainer, "find_spec", lambda name: True)
    monkeypatch.setenv("FTCLASSIFY_ENCODER", f"{without}, {weights}")
    trainer.EncoderTrainer().check_options(TrainerOptions())
    here = {offer["name"]: offer for offer in offers(Choices("things"), Access(), None)}
    shown = {name: here[name]["encoder"] for name in ("local", "names", "encoder")}
    assert shown == {"local": None, "names": "without", "encoder": "weights"}
    assert "sentence encoder: weights\n" in run("trainers").output
    monkeypatch.setenv("FTCLASSIFY_ENCODER", str(without))
    with pytest.raises(TrainingError, match="No encoder with weights"):
        trainer.EncoderTrainer().check_options(TrainerOptions())


@pytest.mark.parametrize(
    ("name", "of_what"), [("valid_accuracy", ""), ("valid_mean_token_accuracy", " of tokens")]
)
def test_the_accuracy_of_a_job_is_drawn_as_what_it_is(name: str, of_what: str) -> None:
    drawn = curves([{"step": 6, name: 0.5}, {"step": 12, name: 0.75}], [])
    assert drawn is not None
    assert drawn.accuracy is not None
    assert drawn.of_what == of_what


async def test_the_page_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "find_spec", lambda name: None)
    with closing(connect(tmp_path / "things.db", must_exist=False)) as conn:
        conn.execute("create table things (id integer primary key, body text, kind text)")
    datasette = serve(tmp_path / "things.db", grants={"ftclassify-train": {"id": "ann"}})
    page = "/things/-/ftclassify/train.json?table=things"
    shown = (await get(datasette, page, "ann")).json()
    offer = next(offer for offer in shown["trainers"] if offer["name"] == "encoder")
    assert "[finetune]" in offer["missing"]
    assert [setting["name"] for setting in offer["settings"]] == ["encoder-epochs"]
