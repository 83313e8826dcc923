"""Paying looks at the checks: what was found, and what leaves this machine, is said before."""

from __future__ import annotations

import html
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest
from click.testing import CliRunner
from openai_server import OpenAIServer
from remote_classifier import access_to, add_asked, report_table, reports, train_at
from service_training import MODEL, environment
from stored import list_jobs
from visiting import get, send, serve, submit
from visitor import Visitor

from datasette_ftclassify.checks import CheckReport, run_checks
from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.task import Task, define
from datasette_ftclassify.jobs import check, check_results, confirming
from datasette_ftclassify.jobs.check import rows_digest, run_check, submit_check
from datasette_ftclassify.jobs.confirming import (
    PredictConfirmation,
    Review,
    confirm_predict,
    confirm_train,
)
from datasette_ftclassify.jobs.lease import leased
from datasette_ftclassify.jobs.plan import Plan, PredictRequest
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.settings import CheckSettings, settings_of
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.trainers.access import Access
from datasette_ftclassify.trainers.base import TrainerOptions

PRIVATE = "please call Ann at ann@example.org or +44 20 7946 0018"
CHOSEN = {"table": "reports", "text": "body", "label": "topic", "kind": "multiclass"}
PAYING = {"ftclassify-train": {"id": "ann"}, "ftclassify-spend": {"id": "ann"}}
PAGE = "/town/-/ftclassify/train"


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_results, "_RECENT", check_results._Recent(16))


@pytest.fixture
def service(openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> OpenAIServer:
    for name, setting in environment(openai_server).items():
        monkeypatch.setenv(name, setting)
    monkeypatch.setenv("FTCLASSIFY_USD_PER_JOB", "5")
    return openai_server


def rows_of(labels: str) -> list[tuple[str, str]]:
    """60 rows, three of them with private data; `names` are labels of which each row has its own,
    so that the checks find an error."""
    found = [(text, label if labels == "topics" else f"{label} {i}")
             for i, (text, label) in enumerate(reports(60))]  # fmt: skip
    found[:3] = [(f"{text}, {PRIVATE}", label) for text, label in found[:3]]
    return found


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    report_table(tmp_path / "town.db", 0, rows_of("names")).close()
    return tmp_path / "town.db"


@pytest.fixture
def fair(tmp_path: Path) -> Path:
    report_table(tmp_path / "town.db", 0, rows_of("topics")).close()
    return tmp_path / "town.db"


@pytest.fixture
def conn(fair: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(fair)) as conn:
        yield conn


def task_of(conn: sqlite3.Connection) -> Task:
    return define(conn, "reports", text=["body"], labels=["topic"], kind="multiclass")


def training(trainer: str = "openai") -> TrainRequest:
    return TrainRequest(trainer=trainer, options=TrainerOptions(model=MODEL))


def review_of(
    conn: sqlite3.Connection, server: OpenAIServer, request: TrainRequest | None = None
) -> Review:
    access = Access({name: access_to(server).endpoint("openai") for name in ("openai", "prompted")})
    found = confirm_train(conn, task_of(conn), request or training(), access)
    assert found is not None
    return found.review


def predicted(
    conn: sqlite3.Connection, server: OpenAIServer, **request: Any
) -> PredictConfirmation:
    classifier = add_asked(conn, server, "ft:gpt-4.1-mini:reports")
    asked = PredictRequest(**request)
    plan = Plan.of(conn, classifier, "reports", asked)
    found = confirm_predict(conn, plan, asked, access_to(server))
    assert found is not None
    return found


def command(*words: object) -> Any:
    return CliRunner().invoke(ftclassify, [str(word) for word in words])


def train_command(path: Path, *more: str) -> Any:
    task = ["reports", "--text", "body", "--label", "topic", "--kind", "multiclass"]
    model = ["--trainer", "openai", "--model", MODEL, "--epochs", "1"]
    return command("train", path, *task, *model, *more)


def test_the_command_line_pays_for_an_error_only_when_told_to(
    faulty: Path, service: OpenAIServer
) -> None:
    told = train_command(faulty, "--yes")
    assert told.exit_code == 1
    assert "error: " in told.stderr
    assert "warning: 3 rows with an e-mail address in the text." in told.stderr
    assert "warning: 3 rows with what looks like a phone number" in told.stderr
    assert f"the text of body, with the labels of topic, goes to {host(service)}" in told.stderr
    assert "such as: report 0 on a" in told.stderr
    assert told.stderr.splitlines()[-1].startswith("Error: The checks found an error: ")
    assert "--despite-findings" in told.stderr.splitlines()[-1]
    assert service.log == []
    with closing(connect(faulty)) as conn:
        assert list_jobs(conn) == []
    queued = train_command(faulty, "--yes", "--despite-findings", "--queue")
    assert queued.exit_code == 0, queued.output
    # Who agrees to the findings has not agreed to the price.
    assert train_command(faulty, "--despite-findings").exit_code == 1


def test_private_data_is_told_of_and_is_no_error(fair: Path, service: OpenAIServer) -> None:
    told = train_command(fair, "--yes", "--queue")
    assert told.exit_code == 0, told.output
    assert "3 rows with an e-mail address in the text." in told.stderr
    assert PRIVATE not in told.stdout


async def test_programs_see_the_findings_and_agree_to_errors_by_a_field(
    faulty: Path, service: OpenAIServer
) -> None:
    datasette = serve(faulty, grants=PAYING)
    fields = {**CHOSEN, "trainer": "openai", "openai-model": MODEL}
    asked = (await send(datasette, PAGE, fields, "ann")).json()
    assert not asked["ok"]
    review, usd = asked["review"], asked["estimate"]["usd"]
    assert review["errors"] == 1
    assert {f["code"] for f in review["findings"]} >= {"email-addresses", "phone-numbers"}
    sends = review["sending"]
    assert (sends["rows"], sends["columns"], sends["labels"]) == (60, ["body"], ["topic"])
    assert sends["host"] == host(service)
    assert sends["example"].startswith("report 0 on a")
    refused = await send(datasette, PAGE, {**fields, "confirm_usd": usd}, "ann")
    assert refused.status_code == 400
    assert "despite_findings" in refused.json()["error"]
    unpriced = await send(datasette, PAGE, {**fields, "despite_findings": True}, "ann")
    assert unpriced.status_code == 400
    agreed = {**fields, "confirm_usd": usd, "despite_findings": True}
    assert (await send(datasette, PAGE, agreed, "ann")).json()["ok"]
    assert {request.path for request in service.log} <= {"/models"}  # it waits for the worker


async def test_the_page_has_a_box_of_its_own_for_errors(
    faulty: Path, service: OpenAIServer
) -> None:
    datasette = serve(faulty, grants=PAYING)
    page = f"{PAGE}?table=reports"
    fields = {**CHOSEN, "trainer": "openai", "openai-model": MODEL, "action": "train"}
    shown = await submit(datasette, page, "ann", **fields)
    assert shown.status_code == 200
    text = html.unescape(shown.text)
    assert "60 rows will leave this machine" in text
    assert "3 rows with an e-mail address in the text." in " ".join(text.split())
    assert 'name="despite_findings" value="1" required' in text
    form = text[text.index('class="ft-agree"') : text.index("<summary>Settings</summary>")]
    assert "--" not in re.sub(r"<[^>]*>", "", form)  # beside random values of the form
    refused = await submit(datasette, page, "ann", **fields, confirm_usd=5)
    assert refused.status_code == 400
    assert "tick the box" in refused.text
    agreed = await submit(datasette, page, "ann", **fields, confirm_usd=5, despite_findings=1)
    assert agreed.status_code == 302


async def test_a_prediction_shows_them_too(fair: Path, service: OpenAIServer) -> None:
    with closing(connect(fair)) as conn, conn:
        add_asked(conn, service, train_at(service))
        conn.execute("update reports set topic = topic || id")
        conn.executemany(
            "insert into reports (body, topic) values (?, null)", [("new",), (PRIVATE,)]
        )
    asked = len(service.log)
    told = command("predict", fair, "reports", "--yes")
    assert told.exit_code == 1
    assert "62 requests" in told.stderr
    assert "The rows without a label alone (--unlabelled): 2 requests, about $" in told.stderr
    assert "4 rows with an e-mail address" in told.stderr
    assert "--despite-findings" in told.stderr.splitlines()[-1]
    # Only what would be sent is looked at.
    told = command("predict", fair, "reports", "--unlabelled", "--yes")
    assert "1 row with an e-mail address" in told.stderr.lower()
    visitor = Visitor(fair, usd_per_job=5)
    fields = {"classifier": "topics", "rows": "all"}
    answer = (await visitor.post_json("reports", **fields)).json()
    assert answer["review"]["errors"] == 1
    assert answer["unlabelled"]["requests"] == 2
    assert answer["review"]["sending"]["labels"] == []
    assert (await visitor.post_json("reports", **fields, confirm=True)).status_code == 400
    page = html.unescape((await visitor.post("reports", **fields)).text)
    assert "62 texts will leave this machine" in page
    assert "Only the unlabelled rows: about $" in page
    assert 'name="despite_findings"' in page
    refused = await visitor.post("reports", **fields, confirm="1", limit_usd="1")
    assert refused.status_code == 400
    assert "tick the box" in refused.text
    assert len(service.log) == asked
    agreed = await visitor.post("reports", **fields, confirm="1", despite_findings="1")
    assert agreed.status_code == 302


EVALUATE = "/town/-/ftclassify/classifiers/topics/evaluate"


@pytest.fixture
def judged(fair: Path, service: OpenAIServer) -> Path:
    """With a classifier to evaluate; the rows that it was not tested on have lost their labels'
    order, which the checks call an error."""
    with closing(connect(fair)) as conn, conn:
        add_asked(conn, service, train_at(service))
        conn.execute("update reports set topic = topic || id where id > 10")
    service.log.clear()
    return fair


def test_an_evaluation_shows_them_on_the_command_line(judged: Path, service: OpenAIServer) -> None:
    told = command("evaluate", judged, "topics", "--yes")
    assert told.exit_code == 1
    assert "10 requests" in told.stderr
    assert f"Of each the text of body goes to {host(service)}, such as: report 0" in told.stderr
    assert "3 rows with an e-mail address in the text." in told.stderr
    assert "--despite-findings" in told.stderr.splitlines()[-1]
    assert service.log == []
    agreed = command("evaluate", judged, "topics", "--yes", "--despite-findings", "--json")
    assert json.loads(agreed.stdout)["n_test"] == 10
    # Every answer is kept now, so there is nothing to agree to.
    assert command("evaluate", judged, "topics").exit_code == 0


async def test_an_evaluation_is_started_from_its_page_and_shows_them(
    judged: Path, service: OpenAIServer
) -> None:
    datasette = serve(judged, grants=PAYING)
    assert "/evaluate" in (await get(datasette, EVALUATE.removesuffix("/evaluate"), "ann")).text
    page = " ".join(html.unescape((await get(datasette, EVALUATE, "ann")).text).split())
    assert "10 requests: about $" in page
    assert f"10 texts will leave this machine, to {host(service)}" in page
    assert "3 rows with an e-mail address in the text." in page
    assert 'name="despite_findings" value="1" required' in page
    refused = await submit(datasette, EVALUATE, "ann", confirm=1, limit_usd=1)
    assert refused.status_code == 400
    assert "tick the box" in refused.text
    asked = await send(datasette, EVALUATE, {"confirm": True}, "ann")
    assert asked.status_code == 400
    assert (asked.json()["review"]["errors"], asked.json()["estimate"]["requests"]) == (1, 10)
    assert "despite_findings" in asked.json()["error"]
    unpriced = await send(datasette, EVALUATE, {"despite_findings": True}, "ann")
    assert "Send confirm" in unpriced.json()["error"]
    assert (await get(datasette, EVALUATE, "bob")).status_code == 403
    agreed = await submit(datasette, EVALUATE, "ann", confirm=1, limit_usd=1, despite_findings=1)
    assert agreed.status_code == 302, agreed.text
    with closing(connect(judged)) as conn:
        (job,) = list_jobs(conn)
        assert (job.kind, (job.estimate or {})["limit_usd"]) == ("evaluate", 1)
    assert {request.path for request in service.log} <= {"/models"}  # it waits for the worker


async def test_findings_lead_to_their_rows_before_a_payment(
    judged: Path, service: OpenAIServer
) -> None:
    datasette = serve(judged, grants=PAYING)
    page = (await get(datasette, EVALUATE, "ann")).text
    assert rows_behind(page) == {
        "email-addresses": "id__in=[1, 2, 3]",
        "phone-numbers": "id__in=[1, 2, 3]",
    }
    chosen = {**CHOSEN, "trainer": "openai", "openai-model": MODEL}
    train = await submit(datasette, PAGE, "ann", action="train", **chosen)
    assert "Agree, and train" in train.text
    links = rows_behind(train.text)
    assert links.keys() == {"email-addresses", "phone-numbers"}
    for code in links:
        found = re.search(rf'href="([^"]+)">See[^<]*<span[^>]*> of {code}<', train.text)
        assert found is not None
        assert (await get(datasette, html.unescape(found[1]), "ann")).status_code == 200
    sent = (await send(datasette, PAGE, {"action": "train", **chosen}, "ann")).json()
    assert all(len(f["keys"]) == 3 for f in sent["review"]["findings"] if f["code"] in links)
    # So do those of a check job.
    with closing(connect(judged)) as conn:
        job = submit_check(conn, task_of(conn), training().plan, model=MODEL, leaves_machine=True)
        run_job(conn, job.id, access=Access())
    train = await submit(datasette, PAGE, "ann", action="train", **chosen)
    assert f"Checked by job {job.id}" in train.text
    assert rows_behind(train.text).keys() == links.keys()
    others = re.search(r'href="([^"]+)">[0-9]+ more warnings?<', train.text)
    assert others is not None
    checked = await get(datasette, html.unescape(others[1]), "ann")
    assert f'name="check" value="{job.id}"' in checked.text
    # Here it is clear that the texts are sent.
    assert "These texts would leave this machine" in train.text


async def test_a_check_on_the_page_is_for_the_trainer_that_is_chosen_there(
    judged: Path, service: OpenAIServer
) -> None:
    """Who trains on this machine reads nothing of a model that they might have chosen."""
    datasette = serve(judged, grants=PAYING)
    for trainer, sends in (("", False), ("local", False), ("openai", True)):
        given = {"action": "check", **CHOSEN, "trainer": trainer}
        job = (await send(datasette, PAGE, given, "ann")).json()["job"]["id"]
        with closing(connect(judged)) as conn:
            settings = settings_of(get_job(conn, job), CheckSettings)
        assert settings.leaves_machine is sends


def rows_behind(page: str) -> dict[str, str]:
    """{finding: what the address of its rows asks for}"""
    found = re.findall(
        r'href="[^"?]+\??([^"]*)">See[^<]*<span class="ft-hidden"> of ([a-z-]+)<', page
    )
    return {code: unquote_plus(html.unescape(query)) for query, code in found}


async def test_a_deployment_is_named_where_the_evaluation_starts(
    judged: Path, service: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(connect(judged)) as conn, conn:
        conn.execute("update _ftclassify_classifiers set trainer = 'azure'")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", service.api_key)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", service.base_url)
    datasette = serve(judged, grants={**PAYING, "ftclassify-delete": {"id": "ann"}})
    page = (await get(datasette, EVALUATE, "ann")).text
    assert 'name="deployment"' in page
    assert "Agree" not in page
    named = await submit(datasette, EVALUATE, "ann", deployment="desk")
    assert named.status_code == 200
    assert "10 requests: " in named.text
    assert 'name="deployment"' not in named.text
    agreed = await submit(datasette, EVALUATE, "ann", confirm=1, limit_usd=1, despite_findings=1)
    assert agreed.status_code == 302, agreed.text


async def test_what_was_typed_into_a_form_of_what_is_paid_stays_when_it_is_refused(
    judged: Path, service: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasette = serve(judged, grants={**PAYING, "ftclassify-delete": {"id": "ann"}})

    def kept(page: Any, field: str, typed: str) -> None:
        assert page.status_code == 400
        assert 'role="alert"' in page.text
        shown = re.findall(rf'<input [^>]*name="{field}"[^>]* value="([^"]*)"', page.text)
        assert [html.unescape(one) for one in shown] == [typed]

    async def refused(address: str, field: str, typed: str, **fields: object) -> None:
        kept(await submit(datasette, address, "ann", **{field: typed, **fields}), field, typed)

    agreed = {"confirm": 1, "despite_findings": 1}
    await refused(EVALUATE, "limit_usd", "-2", **agreed)
    started = await submit(datasette, EVALUATE, "ann", limit_usd=1, **agreed)
    job = started.headers["location"]
    await submit(datasette, job, "ann", action="pause")
    await refused(job, "limit_usd", "-3", action="resume")
    visitor, chosen = Visitor(judged, usd_per_job=5), {"classifier": "topics", "rows": "all"}
    kept(await visitor.post("reports", **chosen, limit_usd="-4"), "limit_usd", "-4")
    kept(await visitor.post("reports", **chosen, **agreed, limit_usd="-5"), "limit_usd", "-5")
    with closing(connect(judged)) as conn, conn:
        conn.execute("update _ftclassify_classifiers set trainer = 'azure'")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", service.api_key)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", service.base_url)
    await refused(EVALUATE, "deployment", "no\tname")
    await refused(EVALUATE.removesuffix("/evaluate"), "deployment", "no\tname", action="deploy")


async def test_a_classifier_of_this_machine_is_evaluated_from_its_page(trained: Path) -> None:
    datasette = serve(trained, grants={"ftclassify-train": {"id": "ann"}})
    page = (await get(datasette, EVALUATE, "ann")).text
    assert "It costs nothing." in page
    answer = (await send(datasette, EVALUATE, {}, "ann")).json()
    assert answer["ok"], answer
    with closing(connect(trained)) as conn:
        assert run_job(conn, answer["job"]).state == "finished"


def test_the_result_of_a_check_of_the_same_rows_is_used(
    conn: sqlite3.Connection, openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Checked just now" in review_of(conn, openai_server).checked
    job = submit_check(conn, task_of(conn), training().plan, model=MODEL, leaves_machine=True)
    with leased(conn, job.id) as lease:
        lease.result = run_check(lease)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the rows were checked again")

    with monkeypatch.context() as patched:
        patched.setattr(check_results, "run_checks", fail)
        review = review_of(conn, openai_server)
        assert f"Checked by job {job.id} (" in review.checked
        assert {f.code for f in review.findings} == {"email-addresses", "phone-numbers"}
    with conn:
        conn.execute("update reports set topic = 'Water' where id = 7")
    assert "Checked just now" in review_of(conn, openai_server).checked


def test_who_agrees_a_moment_later_does_not_wait_for_the_checks_again(
    conn: sqlite3.Connection, openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = review_of(conn, openai_server)
    monkeypatch.setattr(check_results, "run_checks", None)
    assert review_of(conn, openai_server) == first


def test_a_check_whose_rows_changed_meanwhile_is_not_used(
    conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit_check(conn, task_of(conn), training().plan, model=MODEL, leaves_machine=True)

    def changed(*given: Any, **more: Any) -> CheckReport:
        report = run_checks(*given, **more)
        conn.execute("update reports set body = body || '!' where id = 1")
        return report

    monkeypatch.setattr(check, "run_checks", changed)
    with leased(conn, job.id) as lease:
        result = run_check(lease)
    assert result["rows_digest"] is None


@pytest.mark.parametrize(
    "change",
    ["body = body || ' '", "topic = null", "id = 999", "body = cast(body as blob)", "topic = ' '"],
)
def test_every_change_of_the_rows_changes_their_digest(
    conn: sqlite3.Connection, change: str
) -> None:
    before = rows_digest(conn, task_of(conn))
    assert rows_digest(conn, task_of(conn)) == before
    conn.execute(f"update reports set {change} where id = 60")
    assert rows_digest(conn, task_of(conn)) != before


@pytest.mark.parametrize("findings", [None, {}, [1], [{"code": 1}], [{"code": "x", "count": "1"}]])
def test_a_result_that_somebody_has_damaged_is_not_used(
    conn: sqlite3.Connection, openai_server: OpenAIServer, findings: object
) -> None:
    job = submit_check(conn, task_of(conn), training().plan, model=MODEL, leaves_machine=True)
    run_job(conn, job.id, access=Access())
    with conn:
        conn.execute(
            "update _ftclassify_jobs set result = json_set(result, '$.findings', json(?))",
            [json.dumps(findings)],
        )
    assert "Checked just now" in review_of(conn, openai_server).checked


def test_what_needs_no_examples_has_no_error_for_want_of_them(
    conn: sqlite3.Connection, openai_server: OpenAIServer
) -> None:
    with conn:
        conn.execute("delete from reports where id > 8")
    assert review_of(conn, openai_server, training("prompted")).errors == ()


def test_many_texts_are_looked_through_in_part_and_it_says_so(
    conn: sqlite3.Connection, openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirming, "SCANNED", 10)
    monkeypatch.setattr(confirming, "CHECKED_ROWS", 20)
    found = predicted(conn, openai_server)
    assert "10 drawn at random of 60 texts" in found.review.checked
    assert "The labels of 60 rows were not checked" in found.review.checked
    assert found.estimate.requests == 60


def test_only_texts_without_a_kept_answer_are_sent(
    conn: sqlite3.Connection, openai_server: OpenAIServer
) -> None:
    found = predicted(conn, openai_server, where="id > 3")
    assert found.review.sending.rows == 57
    assert found.review.findings == ()
    assert found.unlabelled is None  # of other rows than were asked for


def host(server: OpenAIServer) -> str:
    return server.base_url.split("/")[2]
