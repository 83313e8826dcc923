"""What people see who sit before the commands: progress, Ctrl-C, and what to type next."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import run
from running_jobs import wait_for
from sample_databases import value
from service_training import MODEL
from terminal import Terminal

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.cli.output import StepProgress
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.job_events import FIGURES
from datasette_ftclassify.store.jobs.leases import new_owner
from datasette_ftclassify.store.jobs.state import add_event, add_job, claim_job, end_job

TASK = ["messages", "--text", "message", "--label", "topic"]
BASE = [*TASK, "--trainer", "prompted", "--model", MODEL, "--name", "base"]
CTRL_C = "\x03"


@pytest.fixture
def asked(db: Path) -> Path:
    """With a classifier at a service, which costs money and was not evaluated."""
    run("train", db, *BASE, "--test", 0, "--yes")
    return db


def made_batches(db: Path) -> int:
    with closing(connect(db)) as conn:
        return int(str(value(conn, "select count(batch_id) from _ftclassify_batches")))


def test_batches_are_seen_working_and_outlive_ctrl_c(asked, openai_server):
    predict = ["predict", asked, "messages", "--classifier", "base", "--batch", "--yes"]
    openai_server.hold("in_progress")
    with Terminal(*predict) as terminal:
        terminal.wait_for("requests answered in batches, 0 of 557 rows")
        # Shown as soon as the requests are written down, before the service has them.
        wait_for(lambda: made_batches(asked) == 1, "a batch at the service")
        terminal.press(CTRL_C)
        assert terminal.end() == 130
    assert "1 batch goes on at the service and will be paid for" in terminal.said
    assert "Traceback" not in terminal.said
    (job,) = [j for j in _jobs(asked) if j["kind"] == "predict"]
    assert job["state"] == "paused"
    assert f"datasette ftclassify jobs cancel {asked} {job['id']}" in terminal.said
    openai_server.release()
    again = run(*predict)
    assert f"Job {job['id']} goes on, with 1 batch at the service" in again.stderr
    assert "classified 557 of 557 rows" in again.stdout
    assert openai_server.batches_created == 1


def test_ctrl_c_in_the_place_of_an_answer_sends_nothing(asked, openai_server):
    before = len(openai_server.log)
    with Terminal("predict", asked, "messages", "--classifier", "base") as terminal:
        terminal.wait_for(f"base@1 asks {MODEL} at 127.0.0.1:")
        terminal.wait_for_question("Continue?")
        terminal.press(CTRL_C)
        assert terminal.end() == 130
    assert terminal.said.rstrip().endswith("Nothing was sent.")
    assert len(openai_server.log) == before


def test_a_queued_job_is_told_with_the_command_that_runs_it(asked, openai_server):
    predict = ["predict", asked, "messages", "--classifier", "base", "--yes", "--queue"]
    told = run(*predict).stdout
    command = shlex.split(told.partition("Run it with: ")[2])
    assert command[:4] == ["datasette", "ftclassify", "work", str(asked)]
    held = run("work", asked).stderr
    assert shlex.join(command) in held
    assert "Ran 1 job." in run(*command[2:]).stdout
    assert _jobs(asked)[0]["state"] == "finished"


def test_the_next_command_leads_where_the_model_is(db, openai_server, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL")
    there = ["--base-url", openai_server.base_url]
    told = run("train", db, *BASE, "--test", 0, "--yes", *there).stderr
    command = shlex.split(told.partition("Next: ")[2])
    assert command[-2:] == there
    assert "classified 69 of 69 rows" in run(*command[2:], "--yes").stdout


def test_what_cannot_be_written_is_said_before_anything_is_asked(asked, openai_server):
    every = ("label", "score", "logprob", "logprobs", "raw", "reason")
    leave_out = [word for role in every for word in ("--column", role, "")]
    predict = ["predict", asked, "messages", "--classifier", "base", "--yes"]
    before = len(openai_server.log), len(_jobs(asked))
    assert "Every column is left out" in run(*predict, *leave_out, code=1).stderr
    assert (len(openai_server.log), len(_jobs(asked))) == before


def test_a_classifier_of_this_machine_is_not_asked_in_batches(trained):
    given = ["--classifier", "topics", "--batch"]
    told = run("predict", trained, "messages", *given, code=1).stderr
    assert told == "Error: topics@1 cannot be asked in batches (local): ask without (--batch).\n"
    told = run("predict", trained, "nosuch", *given, code=1).stderr
    assert told.startswith("Error: No table or view called nosuch")


def _jobs(db: Path) -> list[dict]:
    found: list[dict] = json.loads(run("jobs", "list", db, "--json").stdout)["jobs"]
    return found


def test_nobody_can_be_asked_about_a_deletion_without_a_terminal(trained):
    told = run("classifiers", "delete", trained, "topics", code=1).stderr
    assert told.endswith("Error: Nothing was deleted. To agree to that, add --yes.\n")
    told = run("classifiers", "delete", trained, "topics", "--yes", "--json").stdout
    assert json.loads(told)["deleted"] == ["topics@1"]


def test_every_change_of_a_classifier_is_told_as_json(trained):
    told = run("classifiers", "rename", trained, "topics", "t", "--json").stdout
    assert json.loads(told) == {"old": "topics", "name": "t"}
    assert json.loads(run("classifiers", "default", trained, "t", "--json").stdout) == {
        "default": "t"
    }


def test_a_row_of_figures_does_not_flood_who_shows_or_follows(trained, conn):
    job = claim_job(conn, add_job(conn, "train", {"trainer": "openai"}).id, new_owner())
    for step in range(40):
        add_event(conn, job, FIGURES, f"step {step}", data={"step": step, "train_loss": 0.5})
    end_job(conn, job, "failed", error="It could not.")
    shown = run("jobs", "show", trained, job.id).stdout
    assert "settings  trainer openai" in shown
    assert "… 38 more events with figures" in shown
    assert "step 20" not in shown


def test_progress_stays_on_one_line(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    progress = StepProgress()
    progress.visible = True
    progress("uploading the train examples to a.very.long.host.example:8080", 0.0)
    progress("done", 0.5)
    lines = capsys.readouterr().err.split("\r")
    assert all(len(line) < 40 for line in lines)
    assert "…" in lines[1]
    assert lines[2].strip().startswith("done  50%")


def test_colours_are_left_out_where_they_are_not_wanted(trained, monkeypatch):
    check = ["check", trained, *TASK, "--quick", "--local"]
    arguments = [str(a) for a in check]
    assert "\x1b[" in CliRunner().invoke(ftclassify, arguments, color=True).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in CliRunner().invoke(ftclassify, arguments, color=True).stdout


def test_a_name_that_is_no_text_is_one_line(trained):
    told = run("check", trained, "\udcff", *TASK[1:], code=1).stderr
    assert told.startswith("Error: '\\udcff' is not valid UTF-8")
    assert len(told.splitlines()) == 1


def test_a_service_that_does_not_answer_is_no_silence(db, openai_server):
    openai_server.stop()
    train = [*TASK, "--trainer", "openai", "--model", MODEL, "--yes"]
    with Terminal("train", db, *train) as terminal:
        terminal.wait_for("trying again: The connection to 127.0.0.1:")
        terminal.press(CTRL_C)
        assert terminal.end() == 130
    assert "Stopped following job 1." in terminal.said


def test_a_check_leads_to_the_training_of_what_was_checked(trained):
    given = ["--where", "ward is not null", "--seed", 3, "--test", 0.2]
    told = run("check", trained, *TASK, "--quick", "--local", *given).stderr
    command = shlex.split(told.partition("Next: ")[2])
    assert command[:4] == ["datasette", "ftclassify", "train", str(trained)]
    task = ["messages", "--kind", "multiclass", *TASK[1:], "--where", "ward is not null"]
    proposed = ["--merge-variants", "--markup", "html"]
    assert command[4:] == [*task, "--seed", "3", "--test", "0.2", *proposed]


def test_the_training_after_a_check_is_set_as_its_findings_advise(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "t.db")) as conn, conn:
        conn.execute("create table t (id integer primary key, text, label)")
        kinds = ("bees ", "bees", "boats", "boats", "boats")
        rows = ((f"<p>about <b>{kinds[n % 5]}</b> {n}</p>", kinds[n % 5]) for n in range(60))
        conn.executemany("insert into t (text, label) values (?, ?)", rows)
    columns = ["--text", "text", "--label", "label"]
    told = run("check", tmp_path / "t.db", "t", *columns, "--quick", "--local").stderr
    command = shlex.split(told.partition("Next: ")[2])
    assert {"--merge-variants", "--markup"} <= set(command)
    assert "count as one label" in run(*command[2:]).stdout


def test_cells_cannot_command_the_terminal(tmp_path: Path) -> None:
    labels = ["\x1b[2Jbirds", "boats\x9b2J", "bees\u202e"]
    with closing(sqlite3.connect(tmp_path / "t.db")) as conn, conn:
        conn.execute('create table "\x1b]0;x\x07" (id integer primary key, text, label)')
        texts = ((f"\x1b[8mabout \r {n}", labels[n % 3]) for n in range(60))
        conn.executemany('insert into "\x1b]0;x\x07" (text, label) values (?, ?)', texts)
    chosen = ["check", str(tmp_path / "t.db"), "\x1b]0;x\x07", "--text", "text", "--quick"]
    told = CliRunner().invoke(ftclassify, [*chosen, "--label", "label"], color=True)
    assert told.exit_code == 0, told.output
    wrong = CliRunner().invoke(ftclassify, [*chosen, "--label", "labels"], color=True)
    for output in (told.output, wrong.output):
        assert "\\x1b]0;x\\x07" in output
        assert not set(re.sub(r"\x1b\[\d+m", "", output)) & set("\x1b\x07\x9b\r\u202e")
    # One function writes what may come from a cell, and nothing else does.
    commands = Path(ftclassify.callback.__code__.co_filename).parent.glob("*.py")
    others = {p.name for p in commands if re.search(r"click\.s?echo\(", p.read_text())}
    assert others == {"output.py", "check.py"}
