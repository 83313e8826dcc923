"""One text, asked of a classifier by somebody who waits: its price, its answer, and for whom."""

from __future__ import annotations

import html
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from openai_server import OpenAIServer
from remote_classifier import access_to, add_asked, asked_texts, report_table, train_at
from service_training import environment
from stored import list_jobs
from visiting import get, send, serve, submit
from visitor import Visitor

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import AccessError, JobPaused
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.core.task import define
from datasette_ftclassify.core.typed_json import as_json
from datasette_ftclassify.jobs import ask as asking
from datasette_ftclassify.jobs.agreements import agree, spent_today
from datasette_ftclassify.jobs.ask import ask_text, estimate_text, text_of
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.store.classifiers import add_classifier, find_classifier
from datasette_ftclassify.store.jobs.state import add_job
from datasette_ftclassify.store.splits import add_split
from datasette_ftclassify.trainers.access import Access, Endpoint
from datasette_ftclassify.trainers.configuration import read_access

TEXT = "report 7 on a pothole and a kerb"
SPENDERS = {"ftclassify-spend": {"id": "ann"}}
TRY = "/town/-/ftclassify/classifiers/topics/try"


@pytest.fixture
def town(tmp_path: Path, tuned: tuple, monkeypatch: pytest.MonkeyPatch) -> Path:
    server: OpenAIServer = tuned[0]
    for name, setting in environment(server).items():
        monkeypatch.setenv(name, setting)
    monkeypatch.setenv("FTCLASSIFY_USD_PER_DAY", "1")
    path = tmp_path / "town.db"
    with closing(report_table(path, 20)) as conn:
        add_asked(conn, server, train_at(server))
    server.log.clear()
    return path


@pytest.fixture
def server(tuned: tuple) -> OpenAIServer:
    return tuned[0]


def command(*words: object, code: int = 0, given: str | None = None) -> Any:
    result = CliRunner().invoke(ftclassify, [str(word) for word in words], input=given)
    assert result.exit_code == code, result.output
    return result


def spent() -> float:
    return spent_today(read_access())


# On the command line


def test_a_paid_classifier_is_asked_when_somebody_agrees(town: Path, server: OpenAIServer) -> None:
    told = command("ask", town, "topics", TEXT, code=1)
    assert re.search(r"1 request, about \d+ tokens: about \$0\.\d+, at most \$0\.\d+", told.stderr)
    assert told.stderr.splitlines()[-1] == "Error: Nothing was sent. To agree to that, add --yes."
    assert asked_texts(server) == []
    told = command("ask", town, "topics", TEXT, "--yes", "--json")
    answer = json.loads(told.stdout)
    assert answer["label"] in ("Parks", "Roads", "Water")
    assert answer["usd"] == pytest.approx(spent())
    assert answer["usd"] > 0
    assert (answer["classifier"], answer["version"]) == ("topics", 1)
    again = command("ask", town, "topics", TEXT)
    assert answer["label"] in again.stdout
    assert "costs nothing" in again.stderr
    assert asked_texts(server) == [TEXT]
    with closing(connect(town)) as conn:
        assert list_jobs(conn) == []  # but for what it cost, it leaves nothing behind
    assert TEXT.encode() not in town.read_bytes()


def test_a_text_comes_from_standard_input(town: Path, server: OpenAIServer) -> None:
    command("ask", town, "topics", "-", "--yes", given=TEXT)
    assert asked_texts(server) == [TEXT]


def test_a_limit_holds_for_one_text(town: Path, server: OpenAIServer) -> None:
    told = command("ask", town, "topics", TEXT, "--yes", "--limit-usd", "0.000001", code=1)
    assert "might exceed the limit" in told.stderr
    assert "rows" not in told.stderr.splitlines()[-1]
    assert asked_texts(server) == []
    with closing(connect(town)) as conn:
        assert list_jobs(conn) == []


def test_a_classifier_of_this_machine_costs_nothing(trained: Path) -> None:
    told = command("ask", trained, "topics", "The street lamp is broken")
    assert "score" in told.stdout
    assert told.stderr == ""
    answer = json.loads(command("ask", trained, "topics", "A lamp", "--json").stdout)
    assert answer["usd"] == 0
    assert set(answer) >= {"label", "score", "logprobs"}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["topics"], "There is no text"),
        (["topics", " "], "There is no text"),
        (["topics", "a", "--column", "message", "b"], "either a text or"),
        (["topics", "--column", "mesage", "b"], "no column mesage"),
        (["nobody", "a"], "No classifier called nobody"),
    ],
)
def test_what_cannot_be_asked_is_one_line(trained: Path, words: list[str], problem: str) -> None:
    told = command("ask", trained, *words, code=1)
    assert problem in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_columns_are_put_into_the_template(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "ads.db", must_exist=False)) as conn:
        conn.execute("create table ads (id integer primary key, company, ad, fits)")
        task = define(conn, "ads", template="Of {{ company }}: {{ ad }}", labels=["fits"],
                      kind="multiclass")  # fmt: skip
        split_id = add_split(conn, task, {"seed": 0}, [])
        classifier = add_classifier(
            conn, name="ads", trainer="openai", labels=LabelSet(("a", "b"), "multiclass"),
            task=task, split_id=split_id, seed=0, training_rows=0, header={}, parts={}, report={},
        )  # fmt: skip
    assert text_of(classifier, None, {"company": "Acme", "ad": "Anvils"}) == "Of Acme: Anvils"
    assert text_of(classifier, "as it is", {}) == "as it is"


def test_a_read_only_file_is_not_paid_for(
    town: Path, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasette_ftclassify.core.database.is_read_only", lambda conn: True)
    told = command("ask", town, "topics", TEXT, "--yes", code=1)
    assert "ask in a copy" in told.stderr
    assert asked_texts(server) == []


# The core


def test_a_service_that_is_down_is_not_waited_for_long(
    conn: sqlite3.Connection, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        asking, "RETRY_POLICY", asking.RetryPolicy(tries=2, down=2, base=0.01, cap=0.02)
    )
    topics, access = find_classifier(conn, "topics"), access_to(server)
    server.faults.add("POST /chat/completions", 500, times=5)
    with pytest.raises(JobPaused, match="does not answer"):
        ask_text(conn, topics, TEXT, access, estimate=estimate_text(topics, TEXT, access))
    server.faults.clear()
    assert list_jobs(conn) == []
    assert len(asked_texts(server)) == 2


def test_a_worker_ends_what_a_killed_process_asked(
    conn: sqlite3.Connection, server: OpenAIServer
) -> None:
    topics = find_classifier(conn, "topics")
    job = add_job(conn, "ask", {"classifier": "topics@1", "uid": topics.uid, "once": "1"})
    agree(conn, job, access_to(server))
    with pytest.raises(Exception, match="Nobody waited for the answer"):
        run_job(conn, job.id, access=access_to(server))
    assert asked_texts(server) == []


def test_a_text_may_cost_what_two_tries_do(conn: sqlite3.Connection, server: OpenAIServer) -> None:
    estimate = estimate_text(find_classifier(conn, "topics"), TEXT, access_to(server))
    assert estimate is not None
    assert estimate.usd is not None
    assert estimate.most_usd == pytest.approx(2 * estimate.usd, abs=2e-8)
    assert "tries" not in as_json(estimate)


# In the browser


async def test_to_look_never_costs_anything(town: Path, server: OpenAIServer) -> None:
    visitor = Visitor(town, usd_per_day=1, sql_usd_per_day=1)
    shown = await visitor.datasette.client.get(f"{TRY}?text={TEXT}", cookies=visitor.cookies)
    assert shown.status_code == 200
    page = html.unescape(shown.text)
    assert re.search(r"costs <strong>about \$0\.\d+, at most \$0\.\d+</strong>", page)
    assert "leaves this machine, to 127.0.0.1:" in page
    assert asked_texts(server) == []


async def test_one_text_is_asked_after_its_price_is_agreed_to(
    town: Path, server: OpenAIServer
) -> None:
    datasette = serve(town, grants=SPENDERS)
    page = f"{TRY}?text={TEXT}"
    shown = await submit(datasette, page, "ann", text=TEXT)
    assert shown.status_code == 400
    assert "send confirm_usd" in shown.text
    usd = re.search(r'name="confirm_usd" value="([^"]+)"', shown.text)
    assert usd is not None
    forms = re.findall(r'<form class="ft-form[^>]+action="([^"]+)"', shown.text)
    assert forms == ["/town/-/ftclassify/classifiers/topics~401/try"] * 2
    answered = await submit(datasette, forms[1], "ann", text=TEXT, confirm_usd=usd[1])
    assert answered.status_code == 200, answered.text
    assert 'class="ft-answer"' in answered.text
    assert "This cost $0." in answered.text
    assert asked_texts(server) == [TEXT]
    # The answer is kept, for everybody who may see the classifier.
    assert 'class="ft-answer"' in (await get(datasette, page)).text
    assert asked_texts(server) == [TEXT]


async def test_programs_ask_with_a_price_too(town: Path, server: OpenAIServer) -> None:
    datasette = serve(town, grants=SPENDERS)
    asked = await send(datasette, f"{TRY}.json", {"text": TEXT}, "ann")
    assert asked.status_code == 400
    usd = asked.json()["estimate"]["usd"]
    for wrong in (usd / 2, "nan", "inf", "much", None):
        refused = await send(datasette, f"{TRY}.json", {"text": TEXT, "confirm_usd": wrong}, "ann")
        assert refused.status_code == 400
    assert asked_texts(server) == []
    body = {"columns": {"body": TEXT}, "confirm_usd": usd}
    answer = (await send(datasette, f"{TRY}.json", body, "ann")).json()
    assert answer["ok"], answer
    assert answer["answer"]["label"] in ("Parks", "Roads", "Water")
    assert answer["usd"] == pytest.approx(spent())
    assert asked_texts(server) == [TEXT]


async def test_who_may_not_spend_has_nothing_asked(town: Path, server: OpenAIServer) -> None:
    datasette = serve(town, grants=SPENDERS)
    for who in (None, "bob"):
        shown = await get(datasette, f"{TRY}?text={TEXT}", who)
        assert "ftclassify-spend" in shown.text
        assert "confirm_usd" not in shown.text
        refused = await send(datasette, f"{TRY}.json", {"text": TEXT, "confirm_usd": 1}, who)
        assert refused.status_code == 403
    assert asked_texts(server) == []


async def test_without_a_limit_nothing_is_asked_from_a_page(
    town: Path, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FTCLASSIFY_USD_PER_DAY")
    datasette = serve(town, grants=SPENDERS)
    refused = await send(datasette, f"{TRY}.json", {"text": TEXT, "confirm_usd": 1}, "ann")
    assert refused.status_code == 400
    assert "usd_per_day" in refused.json()["error"]
    monkeypatch.setenv("FTCLASSIFY_USD_PER_DAY", "0.0000001")
    refused = await send(datasette, f"{TRY}.json", {"text": TEXT, "confirm_usd": 1}, "ann")
    assert refused.status_code == 400
    assert "might exceed the limit" in refused.json()["error"]
    assert asked_texts(server) == []


async def test_a_published_copy_pays_for_nothing(town: Path, server: OpenAIServer) -> None:
    datasette = serve(immutables=(town,), grants=SPENDERS)
    refused = await send(datasette, f"{TRY}.json", {"text": TEXT, "confirm_usd": 1}, "ann")
    assert refused.status_code == 400
    assert "cannot be changed" in refused.json()["error"]
    assert asked_texts(server) == []


# What belongs to it


async def test_a_deployment_is_named_in_the_browser(town: Path) -> None:
    with closing(connect(town)) as conn, conn:
        conn.execute("update _ftclassify_classifiers set trainer = 'azure'")
    datasette = serve(town, grants={"ftclassify-delete": {"id": "ann"}})
    page = "/town/-/ftclassify/classifiers/topics"
    assert 'name="deployment"' in (await get(datasette, page, "ann")).text
    assert 'name="deployment"' not in (await get(datasette, page, "bob")).text
    for wrong in ("", " ", "a\nb", "x" * 500):
        body = {"action": "deploy", "deployment": wrong}
        assert (await send(datasette, page, body, "ann")).status_code == 400
    refused = await send(datasette, page, {"action": "deploy", "deployment": "desk"}, "bob")
    assert refused.status_code == 403
    done = await submit(datasette, page, "ann", action="deploy", deployment="desk")
    assert done.status_code == 302
    assert ">desk</strong>" in (await get(datasette, page, "ann")).text
    with closing(connect(town)) as conn:
        assert find_classifier(conn, "topics").header["deployment"] == "desk"
        conn.execute("update _ftclassify_classifiers set trainer = 'openai'")
        conn.commit()
    refused = await send(datasette, page, {"action": "deploy", "deployment": "desk"}, "ann")
    assert "needs no deployment" in refused.json()["error"]


def test_a_checkpoint_is_no_default_before_it_is_evaluated(
    conn: sqlite3.Connection, server: OpenAIServer
) -> None:
    from datasette_ftclassify.jobs.evaluate import evaluate_classifier
    from datasette_ftclassify.jobs.remote.models import use_checkpoint

    first = find_classifier(conn, "topics")
    report = {"checkpoints": [{"step": 3, "model": first.header["model"]}]}
    with conn:
        conn.execute("update _ftclassify_classifiers set report = ?", [json.dumps(report)])
    second = use_checkpoint(conn, find_classifier(conn, "topics"), 3)
    assert second.title == "topics@2"
    assert find_classifier(conn).title == find_classifier(conn, "topics").title == "topics@1"
    assert find_classifier(conn, "topics@2").uid == second.uid
    evaluate_classifier(conn, second, access=access_to(server))
    assert find_classifier(conn).title == "topics@2"


def test_a_damaged_report_makes_no_checkpoint(conn: sqlite3.Connection) -> None:
    with conn:
        conn.execute("update _ftclassify_classifiers set report = '{'")
    with pytest.raises(Exception, match="damaged"):
        find_classifier(conn, "topics")


def test_labels_are_described_to_a_model_that_is_asked_untrained(
    town: Path, server: OpenAIServer
) -> None:
    words = ["train", town, "reports", "--text", "body", "--label", "topic", "--name", "told",
             "--trainer", "prompted", "--model", "gpt-4.1-mini", "--yes"]  # fmt: skip
    command(
        *words, "--describe", "Roads", "potholes  and kerbs", "--describe", "Noise", "loud things"
    )
    with closing(connect(town)) as conn:
        told = find_classifier(conn, "told")
    assert "Noise" in told.labels.names
    system = told.header["format"]["system"]
    code = told.labels.names.index("Roads")
    meanings = system.partition("What the labels mean:\n")[2].splitlines()
    assert sorted(meanings) == ["0 = Noise: loud things", f"{code} = Roads: potholes and kerbs"]
    sent = [r.json["messages"][0]["content"] for r in server.log if r.path == "/chat/completions"]
    assert set(sent) == {system}


async def test_labels_are_described_on_the_page(town: Path) -> None:
    grants = {"ftclassify-train": {"id": "ann"}, **SPENDERS}
    datasette = serve(town, grants=grants)
    page = "/town/-/ftclassify/train"
    shown = (await get(datasette, f"{page}.json?table=reports", "ann")).json()
    offer = next(offer for offer in shown["trainers"] if offer["name"] == "prompted")
    assert "prompted-descriptions" in {field["name"] for field in offer["settings"]}
    fields = {"table": "reports", "text": "body", "label": "topic", "trainer": "prompted",
              "model": "gpt-4.1-mini", "descriptions": {"Roads": "potholes"},
              "confirm_usd": 1}  # fmt: skip
    done = (await send(datasette, page, fields, "ann")).json()
    assert done["ok"], done
    assert done["job"]["settings"]["options"]["descriptions"] == {"Roads": "potholes"}


def test_nothing_is_reached_without_a_key(conn: sqlite3.Connection, server: OpenAIServer) -> None:
    keyless = Access({"openai": Endpoint(base_url=server.base_url)})
    with pytest.raises(AccessError, match="OPENAI_API_KEY"):
        estimate_text(find_classifier(conn, "topics"), TEXT, keyless)
