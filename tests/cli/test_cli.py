"""The command line, as scripts and people use it."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from commands import run, run_json
from programs import datasette, output_of
from sample_databases import FEW, town_database, value

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.export import read_back

TASK = ["--text", "message", "--label", "topic"]


@pytest.fixture
def town(tmp_path: Path) -> Path:
    path = tmp_path / "town.db"
    town_database(path, FEW).close()
    return path


def test_the_whole_path(town: Path, tmp_path: Path):
    checked = run_json("check", town, "messages", *TASK)
    assert checked["rows"]["total"] == FEW
    codes = {finding["code"] for finding in checked["findings"]}
    assert {"exact-duplicates", "conflicting-labels", "label-variants"} <= codes

    exported = run_json("export", town, "messages", *TASK, "--out", tmp_path / "out")
    assert sum(exported["rows"].values()) == checked["rows"]["usable"]
    back = list(read_back(tmp_path / "out" / "train.manifest.json"))
    assert len(back) == exported["rows"]["train"]

    trained = run_json("train", town, "messages", *TASK, "--name", "topics")
    assert (trained["classifier"], trained["version"]) == ("topics", 1)
    assert trained["report"]["learning_curve"]["summary"]

    evaluated = run_json("evaluate", town, "topics")
    assert evaluated["accuracy"] == trained["metrics"]["accuracy"]
    assert evaluated["accuracy_low"] < evaluated["accuracy"] < evaluated["accuracy_high"]
    expected = {
        "classifier", "n_test", "accuracy", "accuracy_low", "accuracy_high", "macro_f1",
        "weighted_f1", "log_loss", "ece", "majority_accuracy", "labels", "confusion",
    }  # fmt: skip
    assert expected <= set(evaluated)

    predicted = run_json("predict", town, "messages", "--classifier", "topics", "--unlabelled")
    assert predicted["predicted"] == checked["rows"]["unlabelled"]

    found = run_json("classifiers", "list", town)["classifiers"]
    assert [(c["classifier"], c["default"]) for c in found] == [("topics", True)]
    shown = run_json("classifiers", "show", town, "topics")
    assert shown["sql"] == """select ft_classify("message", 'topics') from "messages" limit 10"""


def test_for_people_it_prints_sentences(town: Path):
    assert "labelled" in run("check", town, "messages", *TASK, "--quick").stdout
    trained = run("train", town, "messages", *TASK)
    assert "accuracy" in trained.stdout
    assert "predict" in trained.stderr  # what to type next is not part of the result
    assert "Most confused" in run("evaluate", town).stdout
    assert "messages_label" in run("predict", town, "messages", "--where", "id < 5").stdout
    assert "messages@1" in run("classifiers", "list", town).stdout
    assert "ft_classify" in run("classifiers", "show", town).stdout


def test_managing_classifiers(town: Path):
    for name in ("a", "b", "b"):
        run("train", town, "messages", *TASK, "--name", name, "--no-curve")
    run("classifiers", "default", town, "b")
    assert "version 1" in run("classifiers", "use", town, "b@1").stdout
    assert run_json("classifiers", "show", town, "b")["version"] == 1
    for shown in (run("classifiers", "show", town, "b@2"), run("classifiers", "list", town)):
        assert re.findall(r"^ *(b@2)\b.*, not in use", shown.stdout, re.MULTILINE) == ["b@2"]
    assert (
        "b@1: multiclass, by the local trainer, the default"
        in run("classifiers", "show", town).stdout
    )
    assert run_json("classifiers", "use", town, "b@2")["version"] == 2
    run("classifiers", "rename", town, "b", "c")
    assert "also called b" in run("classifiers", "list", town).stdout
    assert run_json("classifiers", "show", town, "b")["aliases"] == ["b"]
    run("classifiers", "remove-alias", town, "b")
    assert "also called" not in run("classifiers", "list", town).stdout
    assert "no classifier" in run("classifiers", "remove-alias", town, "b", code=1).stderr.lower()
    found = run_json("classifiers", "list", town)["classifiers"]
    assert [(c["classifier"], c["version"], c["default"]) for c in found] == [
        ("a", 1, False), ("c", 2, True), ("c", 1, False),
    ]  # fmt: skip
    listed = run("classifiers", "list", town).stdout
    assert re.findall(r"^\* (\S+@\d)", listed, re.MULTILINE) == ["c@2"]
    assert "already" in run("classifiers", "rename", town, "a", "c", code=1).stderr
    asked = run("classifiers", "delete", town, "c", code=1).stderr  # nobody answered the question
    assert "its jobs and the answers kept of a service are deleted with it" in asked
    assert "c@1" in run("classifiers", "delete", town, "c@1", "--yes").stdout
    run("classifiers", "delete", town, "c", "--yes")
    assert [c["classifier"] for c in run_json("classifiers", "list", town)["classifiers"]] == ["a"]
    assert run_json("classifiers", "list", town)["classifiers"][0]["default"]


def test_multilabel_by_a_delimiter(town: Path):
    with closing(connect(town)) as conn, conn:
        conn.execute("alter table messages add column tags text")
        conn.execute(
            "update messages set tags = topic || case when message like '%street%'"
            " then ' + street' else '' end"
        )
    task = ("--text", "message", "--label", "tags", "--delimiter", "+")
    metrics = run_json("train", town, "messages", *task, "--no-curve")["metrics"]
    assert {"micro_f1", "macro_f1", "subset_accuracy"} <= set(metrics)
    assert "accuracy" not in metrics
    assert "street" in metrics["labels"]


def test_multilabel_by_several_columns(town: Path):
    with closing(connect(town)) as conn, conn:
        for column, word in (("road", "road"), ("night", "night")):
            conn.execute(f"alter table messages add column {column} integer")
            conn.execute(f"update messages set {column} = message like '%{word}%'")
    labels = ["--label", "road", "--label", "night"]
    trained = run_json("train", town, "messages", "--text", "message", *labels, "--no-curve")
    assert (trained["kind"], trained["labels"]) == ("multilabel", ["road", "night"])


def test_a_template_renders_several_columns(town: Path):
    template = r"Ward: {{ ward }}\nMessage: {{ message }}"
    run("train", town, "messages", "--template", template, "--label", "topic", "--no-curve")
    shown = run_json("classifiers", "show", town)
    assert shown["task"]["template"] == "Ward: {{ ward }}\nMessage: {{ message }}"
    assert shown["task"]["text"] == ["ward", "message"]
    assert run_json("predict", town, "messages")["predicted"] == FEW


def test_the_sql_that_is_shown_for_several_columns_renders_as_training_did(town: Path):
    text = ["--text", "ward", "--text", "message"]
    run("train", town, "messages", *text, "--label", "topic", "--no-curve")
    sql = run_json("classifiers", "show", town)["sql"]
    run("predict", town, "messages")
    with closing(connect(town)) as conn:
        from datasette_ftclassify.sql.functions import register

        register(conn)
        answers = [row[0] for row in conn.execute(sql)]
        written = conn.execute("select messages_label from messages limit 10").fetchall()
    assert answers == [row[0] for row in written]


def test_a_split_column_decides(town: Path):
    with closing(connect(town)) as conn, conn:
        conn.execute("alter table messages add column part text")
        conn.execute(
            "update messages set part = case id % 5 when 0 then 'test' when 1 then 'later'"
            " else 'train' end"
        )
    trained = run_json("train", town, "messages", *TASK, "--split-column", "part", "--no-curve")
    with closing(connect(town)) as conn:
        tests = "select count(*) from messages where topic is not null and part = 'test'"
        assert trained["metrics"]["n_test"] == value(conn, tests)
    assert trained["rows"]["validation"] > 0
    assert trained["left_out"]["later"] > 0


def test_a_parameter_is_a_number_where_a_text_would_choose_no_row_or_all(town: Path):
    with closing(sqlite3.connect(town)) as conn, conn:
        conn.execute("alter table messages add column code")
        conn.execute("update messages set code = cast(length(message) % 10 as text)")
        long = value(conn, "select count(*) from messages where length(message) > 60")
        fives = value(conn, "select count(*) from messages where code = '5'")

    def chosen(where: str, number: str) -> int:
        given = [*TASK, "--quick", "--local", "--where", where, "-p", "n", number]
        return run_json("check", town, "messages", *given)["rows"]["total"]

    assert chosen("length(message) > :n", "60") == long > 0
    assert chosen("length(message) <= :n", "60.0") == FEW - long
    assert chosen("code = :n", "5") == fives > 0


def test_a_seed_gives_the_same_classifier_again(town: Path):
    first = run_json("train", town, "messages", *TASK, "--seed", "7", "--no-curve")
    again = run_json("train", town, "messages", *TASK, "--seed", "7", "--no-curve")
    other = run_json("train", town, "messages", *TASK, "--seed", "8", "--no-curve")
    assert first["metrics"]["confusion"] == again["metrics"]["confusion"]
    assert first["metrics"]["log_loss"] == again["metrics"]["log_loss"]
    assert first["metrics"]["confusion"] != other["metrics"]["confusion"]


ERRORS = {
    "no such file": (["check", "nowhere.db", "messages", *TASK], "nowhere.db"),
    "no such table": (["check", "DB", "mesages", *TASK], "did you mean messages?"),
    "no such column": (
        ["train", "DB", "messages", "--text", "mesage", "--label", "topic"],
        "did you mean message?",
    ),
    "text and label alike": (
        ["train", "DB", "messages", "--text", "topic", "--label", "topic"],
        "both text and label",
    ),
    "no text": (["train", "DB", "messages", "--label", "topic"], "Choose text columns"),
    "bad condition": (["train", "DB", "messages", *TASK, "--where", "nonsense = 1"], "nonsense"),
    "no rows": (["train", "DB", "messages", *TASK, "--where", "id < 0"], "no row"),
    "one label": (["train", "DB", "messages", *TASK, "--where", "topic = 'Noise'"], "two labels"),
    "bad template": (
        ["train", "DB", "messages", "--template", "{{ message", "--label", "topic"],
        "does not parse",
    ),
    "unknown trainer": (["train", "DB", "messages", *TASK, "--trainer", "magic"], "no trainer"),
    "bad name": (["train", "DB", "messages", *TASK, "--name", "a@b"], "name"),
    "empty name": (["train", "DB", "messages", *TASK, "--name", ""], "name"),
    "no lists": (["train", "DB", "messages", *TASK, "--kind", "multilabel"], "delimiter"),
    "nothing to evaluate": (["evaluate", "DB"], "no classifier"),
    "no classifier": (["predict", "DB", "messages"], "no classifier"),
    "too large shares": (["train", "DB", "messages", *TASK, "--test", "0.9"], "0.9"),
    "all rows are free text": (
        ["train", "DB", "messages", "--text", "message", "--label", "id", "--kind", "multilabel"],
        "label",
    ),
}


@pytest.mark.parametrize("what", ERRORS)
def test_errors_are_one_line_and_exit_code_1(town: Path, what: str):
    arguments, message = ERRORS[what]
    result = run(*[town if a == "DB" else a for a in arguments], code=1)
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_bad_usage_is_exit_code_2(town: Path):
    run("check", town, "messages", code=2)
    run("check", town, "messages", *TASK, "--kind", "guess", code=2)
    run("frobnicate", code=2)


def test_a_file_that_is_no_database(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("no database at all, but long enough to be looked at by SQLite" * 20)
    assert "not a database" in run("check", path, "messages", *TASK, code=1).stderr


def test_a_locked_database_is_one_line_too(town: Path, monkeypatch):
    run("train", town, "messages", *TASK, "--no-curve")
    monkeypatch.setattr("datasette_ftclassify.core.database.BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(town)) as other:
        other.execute("begin exclusive")
        assert "locked" in run("predict", town, "messages", code=1).stderr


def test_a_table_that_is_changed_meanwhile_is_told_with_the_next_step(
    town: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(conn: sqlite3.Connection, *_: object) -> None:
        conn.execute("alter table messages rename to letters")

    run("train", town, "messages", *TASK, "--no-curve")
    monkeypatch.setattr("datasette_ftclassify.jobs.predict._note_place", rename)
    said = run("predict", town, "messages", code=1).stderr
    assert "A table was changed meanwhile: no such table: messages. Restore it" in said


@pytest.mark.parametrize(
    "command",
    ["check", "export", "train", "evaluate", "predict", "classifiers", "demo"],
)
def test_help_has_an_example(command: str):
    text = run(command, "--help").stdout
    assert text.startswith("Usage: ")
    if command not in ("classifiers", "demo"):
        assert "datasette ftclassify " + command in text


def test_it_is_a_command_of_datasette_itself(town: Path):
    said = output_of(datasette, "ftclassify", "check", town, "messages", *TASK, "--quick", "--json")
    assert json.loads(said)["rows"]["total"] == FEW


def test_a_reader_that_leaves_early_is_no_error(town: Path):
    """`… | head -1`"""
    process = subprocess.Popen(
        [sys.executable, "-m", "datasette", "ftclassify", "check", str(town), "messages", *TASK],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert "Error" not in process.stderr.read()
    process.stderr.close()
    process.wait()


def test_demo(tmp_path: Path):
    path = tmp_path / "demo.db"
    told = run("demo", path)
    assert "datasette" in told.stdout
    assert "ft_classify" in told.stdout
    assert "already exists" in run("demo", path, code=1).stderr
    again = run_json("demo", path, "--overwrite")
    assert again["answer"]["label"] == "Street lighting"
    assert again["predicted"]["predicted"] == 69
    assert again["mended"] == 3
    found = {f["code"] for f in again["findings"]}
    assert {"exact-duplicates", "conflicting-labels", "label-variants"} <= found
    assert {"likely-mislabelled", "unlabelled"} <= found
    assert len(again["metrics"]["labels"]) == 7


def test_evaluate_says_what_became_of_the_rows_held_back(town: Path):
    run("train", town, "messages", *TASK, "--no-curve")
    before = run_json("evaluate", town)
    assert (before["held_back"], before["missing"], before["unknown_labels"]) == (
        before["n_test"], 0, 0,
    )  # fmt: skip
    with closing(connect(town)) as conn, conn:
        conn.execute("update messages set topic = 'Something new' where topic = 'Noise'")
        conn.execute("delete from messages where topic = 'Parking'")
    after = run_json("evaluate", town)
    assert after["unknown_labels"] > 0
    assert after["missing"] > 0
    lost = after["missing"] + after["unknown_labels"]
    assert after["n_test"] + lost == after["held_back"] == before["n_test"]
    told = run("evaluate", town).stdout
    assert "does not know" in told
    assert "are gone" in told
    with closing(connect(town)) as conn, conn:
        conn.execute("delete from messages")
    assert "none is left" in run("evaluate", town, code=1).stderr


def test_rows_without_a_key_are_known_again_after_vacuum(town: Path):
    with closing(connect(town)) as conn:
        conn.execute("create table plain as select message, topic from messages")
        conn.commit()
    before = run_json("train", town, "plain", *TASK, "--no-curve")["metrics"]["n_test"]
    with closing(connect(town)) as conn:
        conn.execute("delete from plain where rowid in (select rowid from plain limit 5)")
        conn.commit()
        conn.execute("vacuum")
    assert run_json("evaluate", town)["n_test"] >= before - 5


def test_a_read_only_file_is_evaluated_but_not_changed(town: Path):
    run("train", town, "messages", *TASK, "--no-curve")
    stored = value_in(town, "select count(*) from _ftclassify_evaluations")
    read_only = """
import sys, sqlite3
from click.testing import CliRunner
from datasette_ftclassify.core import database
from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.store import tables
def connect(path, *, must_exist=True):
    conn = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    conn.text_factory = database.decode
    return conn
database.connect = tables.connect = connect
for command in (["evaluate", sys.argv[1]], ["classifiers", "rename", sys.argv[1], "messages", "x"]):
    result = CliRunner().invoke(ftclassify, command)
    print(result.exit_code, result.output)
"""
    told = subprocess.run(
        [sys.executable, "-c", read_only, str(town)], capture_output=True, text=True, check=True
    ).stdout
    assert "0 The file is read-only" in told
    assert "accuracy" in told
    assert "1 Error: The database file, or its folder, is read-only" in told
    assert value_in(town, "select count(*) from _ftclassify_evaluations") == stored


def value_in(path: Path, sql: str) -> object:
    with closing(connect(path)) as conn:
        return value(conn, sql)


def test_predict_without_a_name_takes_the_classifier_of_that_table(town: Path):
    with closing(connect(town)) as conn, conn:
        conn.execute("create table letters as select message, ward from messages limit 200")
    run("train", town, "messages", *TASK, "--no-curve")
    run("train", town, "letters", "--text", "message", "--label", "ward", "--no-curve")
    assert run_json("predict", town, "letters")["classifier"] == "letters"
    told = run("predict", town, "letters", "--classifier", "messages")
    assert "was trained on messages, not on letters" in told.stderr


def test_what_writing_a_row_sets_off_is_said_beforehand(trained: Path):
    with closing(sqlite3.connect(trained)) as conn, conn:
        conn.execute("alter table messages add column updated_at")
        conn.execute(
            "create trigger touch after update on messages begin"
            " update messages set updated_at = 'now' where id = new.id; end"
        )
        conn.execute("alter table messages add column ai_label")  # and the others are not there
        conn.execute("create trigger sort after update of ai_label on messages begin select 1; end")
        conn.execute("create trigger move after update of id on messages begin select 1; end")
    chosen = [trained, "messages", "--classifier", "topics", "--where", "id < 5"]
    said = run("predict", *chosen, "--columns-prefix", "ai", "--overwrite").stderr
    assert "sets off these triggers of messages, like any edit of the row: " in said
    assert "sort" in said
    assert "move" not in said


def test_next_steps_can_be_typed(town: Path):
    with closing(connect(town)) as conn, conn:
        conn.execute('create table "we\'ird [t]" as select * from messages where topic is not null')
        conn.execute("create view seen as select * from messages")
    odd = run("train", town, "we'ird [t]", *TASK, "--no-curve", "--name", "it's").stderr
    words = shlex.split(odd.partition("Next: ")[2])
    assert words[:2] == ["datasette", "ftclassify"]
    assert "--unlabelled" not in words
    run(*words[2:])
    view = run("train", town, "seen", *TASK, "--no-curve").stderr
    assert "ft_classify" in view.partition("Next: ")[2]


def test_deleting_the_default_says_who_takes_over(town: Path):
    for name in ("a", "b"):
        run("train", town, "messages", *TASK, "--name", name, "--no-curve")
    assert "b is the default now" in run("classifiers", "delete", town, "a", "--yes").stdout
    assert "no default now" in run("classifiers", "delete", town, "b", "--yes").stdout


def test_the_sql_of_a_template_is_shown_where_there_is_one(town: Path):
    template = "{{ ward }} / {{ message }}"
    run("train", town, "messages", "--template", template, "--label", "topic", "--no-curve")
    assert run_json("classifiers", "show", town)["sql"].startswith("select ft_classify(coalesce(")
    upper = "{{ message|upper }}"
    run("train", town, "messages", "--template", upper, "--label", "topic", "--no-curve")
    assert run_json("classifiers", "show", town)["sql"] is None
    assert "cannot be written in SQL" in run("classifiers", "show", town).stdout


@pytest.mark.parametrize("seed", [-1, 2**40, 10**30])
def test_a_seed_of_any_size(town: Path, seed: int):
    with closing(connect(town)) as conn, conn:
        conn.execute("delete from messages where id > 80")
    trained = run_json("train", town, "messages", *TASK, "--no-curve", "--seed", seed)
    again = run_json("train", town, "messages", *TASK, "--no-curve", "--seed", seed)
    assert again["metrics"] == {**trained["metrics"], "version": 2}


def test_a_check_reads_copies_side_by_side_and_knows_who_trains(tmp_path: Path):
    path = tmp_path / "letters.db"
    letters = ["please find enclosed the yearly dues of our member number {} for the season",
               "the noise from the works on platform {} keeps ann@example.org awake"]  # fmt: skip
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("create table t (id integer primary key, text, topic)")
        rows = [(f"word{n} about thing{n} of day{n}", "a") for n in range(30)]
        rows += [(letters[n % 2].format(n), "b") for n in range(6)]
        conn.executemany("insert into t (text, topic) values (?, ?)", rows)
    task = ["check", path, "t", "--text", "text", "--label", "topic", "--quick"]
    for words, advice in (
        ([], "Nothing leaves this machine with the local trainer"),
        (["--local"], "Nothing leaves this machine,"),
        (["--trainer", "local"], "Nothing leaves this machine,"),
        (["--trainer", "openai"], "These texts would leave this machine"),
        (["--model", "gpt-4.1-nano"], "These texts would leave this machine"),
    ):
        said = run(*task, *words).stdout
        assert advice in said
        assert said.count("leave this machine") + said.count("leaves this machine") == 1
        assert "3 rows together: 31, 33, 35\n    3 rows together: 32, 34, 36\n" in said


def test_variants_of_labels_and_vectors_on_the_command_line(tmp_path: Path):
    path = tmp_path / "labels.db"
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("create table t (id integer primary key, text, topic, vector)")
        topics = ["boats", "boats\u00a0", "Boats", "trees", "trees"]
        vectors = ["[1, 0]", "[0, 1]", "[1, 1]", "[0, 0]", "[0, 1]"]
        rows = [(f"about {topics[n % 5]} {n}", topics[n % 5], vectors[n % 5]) for n in range(60)]
        conn.executemany("insert into t (text, topic, vector) values (?, ?, ?)", rows)
    task = [path, "t", "--text", "text", "--label", "topic"]
    said = run("check", *task, "--quick", "--local").stdout
    assert "1 label is written in several ways" in said
    assert "(--merge-variants)" in said
    assert re.search(r"^  'boats\\xa0' +12  ", said, re.MULTILINE), "told from the other boats"
    assert re.search(r"rows: \d+, \d+, \d+", said)
    apart = run("train", *task, "--no-curve").stdout
    ways = "warning: 1 label written in several ways: 'Boats' / 'boats' / 'boats\\xa0'"
    assert ways in apart
    merged = run("train", *task, "--no-curve", "--merge-variants").stdout
    assert "2 labels, binary" in merged
    assert re.search(r"All variants of \S+ count as one label", merged)
    vector = [path, "t", "--text", "text", "--label", "vector"]
    refused = run("train", *vector, code=1).output
    assert "look like vectors of 0 and 1 for 2 labels" in refused
    assert "(--label-names)" in refused
    named = run_json("check", *vector, "--quick", "--local", "--label-names", "x,y")
    assert named["task"]["label_names"] == ["x", "y"]
    assert named["distributions"]["labels"]["train"].keys() == {"x", "y"}
