"""The paid path on the command line: the estimate, the confirmation, the training, and after."""

from __future__ import annotations

import json
import re
import signal
from contextlib import closing
from pathlib import Path

import commands
import pytest
from openai_server import OpenAIServer
from programs import Program, datasette
from running_jobs import wait_for
from service_training import MODEL, environment, town

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.store.jobs.state import get_job

pytestmark = pytest.mark.usefixtures("quick")


def run(*arguments: object, code: int = 0, said: str = "") -> str:
    """What the command prints, and what it says to the person."""
    result = commands.run(*arguments, code=code)
    assert said in result.stderr
    return result.stdout if code == 0 else result.stderr


def train(db: Path, *more: object, **expected) -> str:
    task = ["messages", "--text", "message", "--label", "topic"]
    model = ["--trainer", "openai", "--model", MODEL, "--epochs", 1]
    return run("train", db, *task, *model, *more, **expected)


def local(db: Path) -> str:
    task = ["messages", "--text", "message", "--label", "topic", "--no-curve"]
    return run("train", db, *task, "--name", "here")


def test_money_is_only_spent_when_somebody_agrees(db, openai_server):
    told = train(db, code=1)
    assert "488 rows will leave this machine, to 127.0.0.1:" in told
    assert re.search(r"Together (?:at most|about \$0\.\d+, at most) \$0\.\d+\.", told)
    assert "for api.openai.com; 127.0.0.1:" in told
    # Until when another host trains, and has the model, is not OpenAI's to say.
    assert "2027-01" not in told
    assert "--trainer" not in told.split("on this machine, which is free")[1]
    assert told.splitlines()[-1] == "Error: Nothing was sent. To agree to that, add --yes."
    assert openai_server.log == []
    assert "no job yet" in run("jobs", "list", db)
    told = train(db, "--yes", "--limit-usd", "0.01", code=1)
    assert re.match(r"Error: It would cost (?:at most|about) \$0\.", told)
    assert openai_server.log == []
    local(db)
    said = train(db, "--yes", said="here@1 (local): accuracy")
    assert "Trained messages@1 on 392 rows (and validated on 48 others)." in said
    assert "On the same rows, on this machine:" in said
    assert "spent" in said
    assert openai_server.jobs_created == 1


def test_the_free_command_that_is_told_makes_the_comparison(db):
    told = train(db, code=1)
    line = next(line for line in told.splitlines() if "datasette ftclassify train" in line)
    import shlex

    words = shlex.split(line[line.index("datasette ftclassify") :])[2:]
    run(*words, "--no-curve")
    assert "messages-local@1 (local): accuracy" in train(db, code=1)


def test_the_whole_life_of_a_tuned_model(db, openai_server):
    result = json.loads(train(db, "--yes", "--json", "--suffix", "town", "--epochs", 3))
    assert result["metrics"]["accuracy"] > 0.8
    assert result["usd"] > 0
    assert ":town:" in result["report"]["service"]["model"]
    assert "stops on 2099-01-14" in run("classifiers", "list", db)
    shown = run("classifiers", "show", db, "messages")
    assert "model   ft:gpt-4.1-mini" in shown
    assert "spent   $0." in shown
    facts = json.loads(run("classifiers", "show", db, "messages", "--json"))["service"]
    assert facts["shutdown"] == "2099-01-14"
    step = facts["checkpoints"][0]["step"]
    told = run("classifiers", "checkpoint", db, "messages", step, said="evaluate")
    assert told.startswith(f"messages@2 asks {facts['checkpoints'][0]['model']}")
    assert "no checkpoint of step 1:" in run("classifiers", "checkpoint", db, "messages", 1, code=1)
    run("evaluate", db, "messages@2", "--yes")
    assert "uses the same model" in run(
        "classifiers", "delete", db, "messages@1", "--yes", "--at-service", code=1
    )
    told = run("classifiers", "delete", db, "messages", "--yes", "--at-service")
    assert "deleted model ft:" in told
    assert "deleted file file-" in told
    assert facts["model"] not in openai_server.state.models
    assert facts["checkpoints"][0]["model"] not in openai_server.state.models
    assert not openai_server.state.files
    for file in db.parent.glob("town.db*"):
        assert openai_server.api_key.encode() not in file.read_bytes()


def test_move_there_and_back(db, openai_server):
    local(db)
    assert "add --yes" in run("move", db, "here", "--trainer", "openai", "--model", MODEL, code=1)
    more = ["--model", "babbage-002", "--epochs", 2, "--yes", "--json"]
    there = json.loads(run("move", db, "here", "--trainer", "openai", *more))
    assert there["classifier"] == "here-openai"
    assert there["comparison"]["rows"] == 48
    back = run("move", db, "here-openai", "--trainer", "local", "--no-curve", "--name", "back")
    assert "On the same 48 test rows" in back
    assert "too little to tell" in back or "is better" in back
    run("predict", db, "messages", "--classifier", "here-openai", "--unlabelled", "--yes")
    told = run("move", db, "here-openai", "--trainer", "local", "--no-curve", "--on-predictions")
    assert "rows have the label that was predicted" in told


def test_a_classifier_is_trained_further(db, openai_server):
    train(db, "--yes")
    task = ["messages", "--text", "message", "--label", "topic"]
    more = ["--trainer", "openai", "--epochs", 1, "--continue-from", "messages", "--yes", "--json"]
    second = json.loads(run("train", db, *task, *more))
    assert second["version"] == 2
    told = run("train", db, *task, *more, "--model", MODEL, code=1)
    assert "either a model, or a classifier" in told


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--trainer", "local", "--epochs", 2], "epochs means nothing to the trainer local"),
        (["--trainer", "local", "--base-url", "http://localhost:1"], "--base-url"),
        (["--trainer", "openai"], "Name the model that openai is to tune (--model)"),
        (["--trainer", "openai", "--model", MODEL, "--extra", "[1]"], "JSON object"),
        (["--trainer", "openai", "--model", MODEL, "--embeddings", "x"], "embeddings"),
        (["--trainer", "openai", "--model", MODEL, "--suffix", "y" * 70], "suffix"),
        (["--trainer", "openai", "--model", MODEL, "--describe", "Noise", "loud"], "(--describe)"),
        (["--trainer", "nobody"], "no trainer called nobody"),
    ],
)
def test_what_cannot_work_is_one_line(db, openai_server, options, words):
    task = ["messages", "--text", "message", "--label", "topic", "--yes"]
    told = run("train", db, *task, *options, code=1)
    assert words in told
    assert len(told.splitlines()) == 1
    assert openai_server.log == []


def test_a_second_training_is_asked_about_as_the_first_was(db, openai_server):
    openai_server.faults.add("POST /fine_tuning/jobs", "job_fails", times=1)
    assert "Error: The training failed at 127.0.0.1:" in train(db, "--yes", code=1)
    told = train(db, code=1)
    assert "Training gpt-4.1-mini:" in told
    assert told.splitlines()[-1] == "Error: Nothing was sent. To agree to that, add --yes."
    assert openai_server.jobs_created == 1
    assert "Trained messages@1" in train(db, "--yes")
    assert openai_server.jobs_created == 2


def test_without_a_key_nothing_begins(db, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "OPENAI_API_KEY" in train(db, "--yes", code=1)
    assert "no job yet" in run("jobs", "list", db)


def test_a_queued_training_is_run_within_the_operators_limits(db, openai_server, monkeypatch):
    assert "ftclassify work" in train(db, "--yes", "--no-follow")
    run("work", db)
    assert openai_server.jobs_created == 0
    monkeypatch.setenv("FTCLASSIFY_USD_PER_JOB", "5")
    assert "Ran 1 job" in run("work", db)
    assert openai_server.jobs_created == 1


def test_ctrl_c_stops_following_and_the_same_command_goes_on(db, tmp_path):
    with OpenAIServer() as server:
        server.hold("running")
        command = [
            "ftclassify", "train", db, "messages", "--text", "message", "--label", "topic",
            "--trainer", "openai", "--model", MODEL, "--epochs", 1, "--yes",
        ]  # fmt: skip
        program = Program(datasette, *command, environ=environment(server))
        wait_for(lambda: server.jobs_created, "the training")
        with closing(connect(db)) as conn:
            wait_for(lambda: "job_id" in (get_job(conn, 1).remote or {}), "a note of it")
        program.send(signal.SIGINT)
        assert program.wait() == 130
        err = program.output
        assert "Stopped following job 1." in err
        assert "Give the same command again" in err
        with closing(connect(db)) as conn:
            assert get_job(conn, 1).state == "queued"
        (remote,) = server.jobs.values()
        assert remote.record["status"] == "running"
        server.release()
        again = Program(datasette, *command, environ=environment(server))
        assert again.wait() == 0, again.output
        assert "Job 1 was agreed to (about $0." in again.output
        assert "Trained messages@1" in again.output
        assert server.jobs_created == 1


def test_trainers_say_what_they_do():
    told = run("trainers")
    assert "prompts a model, no training" in told
    assert "prompts a model" not in told.partition("\nnames ")[2].partition("\nopenai")[0]
    assert "10 examples at least" in told
    found = {t["name"]: t for t in json.loads(run("trainers", "--json"))["trainers"]}
    assert found["openai"]["batch"] is True
    options = {option["name"]: option for option in found["azure"]["options"]}
    assert options["suffix"]["most"] == 18


def test_the_printed_command_reaches_the_service_that_was_asked(
    tmp_path, monkeypatch, vocabularies
):
    with OpenAIServer(dialect="azure", pace=0.0) as server:
        monkeypatch.setenv("AZURE_OPENAI_API_KEY", server.api_key)
        monkeypatch.delenv("AZURE_OPENAI_ENDPOINT", raising=False)
        town(tmp_path / "town.db").close()
        task = ["messages", "--text", "message", "--label", "topic", "--trainer", "azure"]
        asked = ["--model", MODEL, "--base-url", server.origin, "--epochs", 1, "--yes", "--queue"]
        told = run("train", tmp_path / "town.db", *task, *asked)
        setting, _, *command = told.split("Run it with: ")[1].split()
        name, _, address = setting.partition("=")
        assert (name, address) == ("AZURE_OPENAI_ENDPOINT", server.origin)
        monkeypatch.setenv(name, address)
        run(*command[1:])
        assert server.jobs_created == 1
