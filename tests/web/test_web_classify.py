"""The page that classifies rows: what it offers, what it refuses, and the jobs that it queues."""

from __future__ import annotations

import html
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from commands import run
from datasette.app import Datasette
from datasette.utils import tilde_encode
from openai_server import OpenAIServer
from remote_classifier import access_to, add_asked, report_table, train_at
from running_jobs import job_of, jobs_of, wait_for
from sample_databases import rows, value
from serving import serving
from stored import list_jobs
from tables import HOSTILE_NAMES
from visiting import fault_of_the_oldest
from visitor import MODERN, Visitor

from datasette_ftclassify.core.database import connect, quote
from datasette_ftclassify.core.errors import PredictError
from datasette_ftclassify.jobs.new_rows import queue_new_rows, submit_follow
from datasette_ftclassify.jobs.plan import Plan, PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows, submit_predict
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.job import Job
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.trainers.access import Access
from datasette_ftclassify.web.pages.classify import result_url

# What it offers


async def test_the_page_offers_what_fits_the_table(trained: Path):
    data = await Visitor(trained).choices()
    assert data["ok"]
    assert {c["classifier"] for c in data["classifiers"]} == {"topics", "urgent", "subjects"}
    assert data["classifier"] == "topics@1"
    assert data["rows"]["all"] == {"count": 557, "about": False}
    assert data["rows"]["unlabelled"]["count"] == 69
    assert data["columns"]["label"] == "topics_label"
    assert data["blocked"] is None
    page = await Visitor(trained).get()
    assert page.status_code == 200
    assert "topics_logprobs" in page.text
    assert "Classify" in page.text


async def test_a_table_that_no_classifier_reads(trained: Path, conn: sqlite3.Connection):
    conn.execute("create table other (x)")
    data = await Visitor(trained).choices("other")
    assert data["classifiers"] == []
    assert "Train one on this table" in (await Visitor(trained).get("other")).text


async def test_filters_of_the_table_page_are_carried_along(trained: Path):
    data = await Visitor(trained).choices(ward__exact="Abbey", id__gt="100")
    assert data["filters"] == ["id > 100", 'ward = "Abbey"']
    assert 0 < data["rows"]["filter"]["count"] < 557
    page = await Visitor(trained).get(ward__exact="Abbey", _search="x")
    assert 'name="ward__exact" value="Abbey"' in page.text
    assert "_search of the table" in page.text


async def test_another_version_can_be_chosen(trained: Path, conn: sqlite3.Connection):
    data = await Visitor(trained).choices(classifier="urgent")
    assert data["classifier"] == "urgent@1"
    assert data["columns"]["score"] == "urgent_score"


# Rows and columns


async def test_all_rows(trained: Path, conn: sqlite3.Connection):
    visitor = Visitor(trained)
    job = visitor.job(await visitor.post(classifier="topics"))
    assert job.done == 557
    assert value(conn, "select count(topics_label) from messages") == 557
    page = await visitor.datasette.client.get(
        result_url(visitor.datasette, "town", job, arrays=False)
    )
    assert page.status_code == 200
    assert "topics_label" in page.text


async def test_only_some_rows_and_columns(trained: Path, conn: sqlite3.Connection):
    visitor = Visitor(trained)
    given = {"rows": "filter", "id__lt": "11", "prefix": "ai", "roles": ["", "label", "score"]}
    job = visitor.job(await visitor.post(classifier="topics", **given))
    assert job.done == 10
    names = {name for _, name, *_ in rows(conn, "pragma table_info(messages)")}
    assert {n for n in names if n.startswith("ai")} == {"ai_label", "ai_score"}


async def test_unlabelled_rows(trained: Path, conn: sqlite3.Connection):
    visitor = Visitor(trained)
    job = visitor.job(await visitor.post(classifier="topics", rows="unlabelled"))
    assert job.done == 69


async def test_one_row(trained: Path, conn: sqlite3.Connection):
    visitor = Visitor(trained)
    page = await visitor.get(row="12")
    text = str(value(conn, "select message from messages where id = 12"))
    assert text[:20] in html.unescape(page.text)
    job = visitor.job(await visitor.post(classifier="topics", row="12", rows="row"))
    assert (job.total, job.done) == (1, 1)
    assert rows(conn, "select id from messages where topics_label is not null") == [(12,)]


@pytest.mark.parametrize("row", ["9999", "1,2", "x"])
async def test_a_row_that_is_not_there(trained: Path, row: str):
    response = await Visitor(trained).get(row=row)
    assert response.status_code == 400
    assert row in response.text


@pytest.mark.parametrize("without", ["", " without rowid"])
async def test_a_row_with_a_compound_key(trained: Path, conn: sqlite3.Connection, without: str):
    conn.execute(f"create table notes (a, b integer, message, primary key (a, b)){without}")
    with conn:
        conn.executemany(
            "insert into notes values (?, ?, 'the drain floods')", [("x,/~", 1), ("x,/~", 2)]
        )
    visitor = Visitor(trained)
    row = f"{tilde_encode('x,/~')},2"
    page = await visitor.get("notes", row=row)
    assert "the drain floods" in page.text
    fields = {"classifier": "topics", "row": row, "rows": "row"}
    job = visitor.job(await visitor.post("notes", **fields))
    assert (job.total, job.done) == (1, 1)
    assert rows(conn, "select b from notes where topics_label is not null") == [(2,)]


@fault_of_the_oldest
@pytest.mark.parametrize("name", HOSTILE_NAMES)
async def test_hostile_names(trained: Path, conn: sqlite3.Connection, name: str):
    table = f"<b>{name}" if name.strip() else name
    with conn:
        conn.execute(f"create table {quote(table)} (message, {quote(name)})")
        conn.execute(f"insert into {quote(table)} values ('the drain floods', 'a'), ('x', 'b')")
    visitor = Visitor(trained)
    where = {f"{name}__exact": "a"}
    page = await visitor.get(table, **where)
    assert page.status_code == 200, html.unescape(page.text)
    assert "<b>" + name not in page.text
    fields = {"classifier": "topics", "rows": "filter", "prefix": name, **where}
    job = visitor.job(await visitor.post(table, **fields))
    prefix = name.strip() or "topics"
    label = quote(f"{prefix}_label")
    assert job.done == 1
    assert value(conn, f"select count({label}) from {quote(table)}") == 1
    if MODERN or "]" not in name:  # Datasette 0.65 cannot show such a table at all
        page = await visitor.datasette.client.get(
            result_url(visitor.datasette, "town", job, arrays=False)
        )
        assert page.status_code == 200


async def test_hostile_cells_and_labels(trained: Path, conn: sqlite3.Connection):
    nasty = "<script>alert(1)</script>"
    with conn:
        conn.execute("update messages set message = ? where id = 1", [nasty])
        conn.execute("update _ftclassify_classifiers set name = ? where id = 1", [nasty])
    page = await Visitor(trained).get(row="1", ward__exact=nasty, prefix="'\"><i>")
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<i>" not in page.text


# What it refuses


async def test_columns_that_are_there_are_not_overwritten_unasked(
    trained: Path, conn: sqlite3.Connection
):
    conn.execute("alter table messages add column topics_label text default 'mine'")
    visitor = Visitor(trained)
    assert 'name="overwrite"' not in (await visitor.get(prefix="ai")).text
    assert 'name="overwrite"' in (await visitor.get()).text
    given = {"classifier": "topics", "min_score": "0.25", "prefix": ""}
    response = await visitor.post(**given)
    assert response.status_code == 400
    assert "already has a column topics_label" in response.text
    assert 'name="overwrite"' in response.text
    assert 'value="0.25"' in response.text
    assert not list_jobs(conn, "predict")
    job = visitor.job(await visitor.post(**given, overwrite="1"))
    assert job.state == "finished"
    assert value(conn, "select count(*) from messages where topics_label = 'mine'") == 0


async def test_a_minimum_of_known_writes_why_a_row_has_no_label(
    trained: Path, conn: sqlite3.Connection
):
    with conn:
        conn.execute("insert into messages (message) values ('frobnitz zyxqu')")
    given = {"classifier": "topics", "roles": ["label", "known"], "min_known": "0.05"}
    visitor = Visitor(trained)
    page = (await visitor.get(classifier="topics")).text
    assert re.search(r'<input[^>]+value="known"(?![^>]+checked)', page)
    assert visitor.job(await visitor.post(**given)).state == "finished"
    ((label, known, reason),) = rows(
        conn,
        "select topics_label, topics_known, topics_reason from messages order by id desc limit 1",
    )
    assert label is None
    assert known < 0.05
    assert "unlike the training rows" in reason


async def test_its_own_columns_are_written_again(trained: Path):
    visitor = Visitor(trained)
    for _ in range(2):
        assert visitor.job(await visitor.post(classifier="topics")).state == "finished"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"classifier": "nobody"}, "No classifier nobody fits"),
        ({"min_score": "2"}, "Minimum score must be a number from 0 to 1, not 2"),
        ({"min_score": "nan"}, "must be a number"),
        ({"min_known": "2"}, "Minimum of known must be a number from 0 to 1, not 2"),
        ({"wrong": "15"}, "Wrong answers must be a number above 0 and up to 0.5"),
        ({"classifier": "subjects", "min_score": "0.5"}, "several labels"),
        ({"roles": [""]}, "at least one column"),
        ({"rows": "some"}, "The rows must be one of"),
        ({"rows": "filter", "nope__exact": "1"}, "a column that messages has not"),
    ],
)
async def test_what_cannot_work_is_said_at_once(
    trained: Path, conn: sqlite3.Connection, fields: dict[str, Any], said: str
):
    for send in (Visitor(trained).post, Visitor(trained).post_json):
        response = await send(**{"classifier": "topics", **fields})
        assert response.status_code == 400
        assert said in html.unescape(response.text)
    assert not list_jobs(conn, "predict")


async def test_nothing_typed_is_lost(trained: Path):
    typed = {"prefix": "my own", "min_score": "7", "rows": "filter", "id__gt": "5"}
    response = await Visitor(trained).post(classifier="urgent", roles=["", "label"], **typed)
    assert response.status_code == 400
    page = response.text
    assert 'role="alert"' in page
    assert 'value="my own"' in page
    assert 'value="7" aria-invalid="true"' in page
    assert 'name="id__gt" value="5"' in page
    assert 'value="urgent@1" selected' in page
    assert 'name="roles" value="label" checked' in page
    assert 'name="roles" value="score" checked' not in page
    assert 'name="rows" value="filter" checked' in page


async def test_a_view_is_explained(trained: Path, conn: sqlite3.Connection):
    conn.execute("create view recent as select * from messages where id > 400")
    visitor = Visitor(trained)
    page = await visitor.get("recent")
    assert page.status_code == 200
    assert "is a view" in page.text
    assert "from &#34;recent&#34;" in page.text
    response = await visitor.post("recent", classifier="topics")
    assert response.status_code == 400
    assert not list_jobs(conn, "predict")


async def test_an_immutable_file_is_explained(trained: Path):
    visitor = Visitor(trained, immutable=True)
    page = await visitor.get()
    assert page.status_code == 200
    assert "served as immutable" in page.text
    assert "ft_classify(" in html.unescape(page.text)
    response = await visitor.post(classifier="topics")
    assert response.status_code == 400
    assert "served as immutable" in response.text


async def test_our_own_tables_are_none_to_classify(trained: Path):
    assert (await Visitor(trained).get("_ftclassify_jobs")).status_code == 404
    assert (await Visitor(trained).get("nowhere")).status_code == 404


# Who may


@pytest.mark.parametrize(
    ("actor", "granted", "writes", "sees", "starts"),
    [
        (None, (), False, 403, 403),
        ("ann", (), True, 403, 403),
        ("ann", ("predict",), True, 200, 302),
        ("ann", ("predict",), False, 200, 403 if MODERN else 302),
        ("root", (), True, 200, 302),
    ],
)
async def test_who_may(
    trained: Path, conn: sqlite3.Connection, actor: str | None, granted: tuple[str, ...],
    writes: bool, sees: int, starts: int,
):  # fmt: skip
    visitor = Visitor(trained, actor, granted=granted, writes=writes)
    assert (await visitor.get()).status_code == sees
    assert (await visitor.get(form=".json")).status_code == sees
    response = await visitor.post_json(classifier="topics")
    assert response.status_code == (200 if starts == 302 else starts)
    assert (await visitor.post(classifier="topics")).status_code == starts
    assert bool(list_jobs(conn, "predict")) == (starts == 302)


async def test_a_classifier_of_a_table_that_may_not_be_seen(
    trained: Path, conn: sqlite3.Connection
):
    conn.execute("create table other (message)")
    visitor = Visitor(trained, "ann", granted=("predict",))
    hidden = {"databases": {"town": {"tables": {"messages": {"allow": {"id": "root"}}}}}}
    if MODERN:
        visitor.datasette.config |= hidden
    else:
        visitor.datasette._metadata_local |= hidden
    assert (await visitor.choices("other"))["classifiers"] == []
    response = await visitor.post("other", classifier="topics")
    assert response.status_code == 400
    assert "No classifier topics fits" in response.text


# For programs


async def test_as_json(trained: Path, conn: sqlite3.Connection):
    visitor = Visitor(trained)
    response = await visitor.post_json(classifier="topics", rows="unlabelled", prefix="ai")
    data = response.json()
    (job,) = list_jobs(conn, "predict")
    assert data == {"ok": True, "job": job.id, "url": f"/town/-/ftclassify/jobs/{job.id}"}
    assert visitor.run(job.id).done == 69
    refused = await visitor.post_json(classifier="topics", min_score=3)
    assert refused.status_code == 400
    assert refused.json()["ok"] is False
    assert "from 0 to 1" in refused.json()["error"]


async def test_the_same_words_again_go_on_with_what_failed(trained: Path, conn: sqlite3.Connection):
    visitor = Visitor(trained)
    first = (await visitor.post_json(classifier="topics")).json()["job"]
    with conn:
        conn.execute("update _ftclassify_jobs set state = 'failed', error = 'x'")
    assert (await visitor.post_json(classifier="topics")).json()["job"] == first
    assert get_job(conn, first).state == "queued"


@pytest.mark.parametrize("settings", [{}, {"table": 3}, {"table": "messages", "columns": []}])
def test_a_result_of_whatever_a_file_holds(trained: Path, settings: dict[str, Any]):
    datasette = Datasette([str(trained)])
    with closing(connect(trained)) as conn:
        job = submit_predict(conn, find_classifier(conn, "topics"), "messages")
    job.settings = settings
    assert result_url(datasette, "town", job, arrays=False).startswith("/town")


# The least score of a label


def test_a_low_score_gets_no_label_and_stays(conn: sqlite3.Connection):
    topics = find_classifier(conn, "topics")
    result = predict_rows(conn, topics, "messages", PredictRequest(threshold=0.9))
    low = value(conn, "select count(*) from messages where topics_score < 0.9")
    assert 0 < low == result.abstained == result.to_dict()["abstained"] < 557
    query = "select count(*) from messages where (topics_label is null) = (topics_score < 0.9)"
    assert value(conn, query) == 557
    assert value(conn, "select count(topics_logprobs) from messages") == 557
    assert result.written == 557


def test_without_a_least_score_every_row_gets_a_label(conn: sqlite3.Connection):
    topics = find_classifier(conn, "topics")
    result = predict_rows(conn, topics, "messages")
    assert result.abstained is None
    assert "abstained" not in result.to_dict()
    assert "threshold" not in list_jobs(conn, "predict")[0].settings


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), "0.5"])
def test_a_least_score_that_is_none(conn: sqlite3.Connection, threshold: Any):
    topics = find_classifier(conn, "topics")
    with pytest.raises(PredictError, match="from 0 to 1"):
        predict_rows(conn, topics, "messages", PredictRequest(threshold=threshold))


def test_a_multilabel_classifier_has_thresholds_of_its_own(conn: sqlite3.Connection):
    subjects = find_classifier(conn, "subjects")
    with pytest.raises(PredictError, match="several labels"):
        predict_rows(conn, subjects, "messages", PredictRequest(threshold=0.5))


def test_min_score_on_the_command_line(trained: Path, conn: sqlite3.Connection):
    ran = run("predict", trained, "messages", "--classifier", "topics", "--min-score", "0.9")
    low = value(conn, "select count(*) from messages where topics_label is null")
    assert f"{low} rows have a score below 0.9, the minimum score, and no label." in ran.output


# What costs money


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[OpenAIServer, str]]:
    with OpenAIServer() as server:
        yield server, train_at(server)


@pytest.fixture
def paid(
    service: tuple[OpenAIServer, str], tmp_path: Path, no_certificates: None
) -> tuple[OpenAIServer, Path]:
    server, model = service
    path = tmp_path / "paid.db"
    texts = [(f"report {i % 20} on a pothole", None) for i in range(40)]
    with closing(report_table(path, 0, texts)) as conn:
        add_asked(conn, server, model)
    return server, path


def customer(server: OpenAIServer, path: Path, **given: Any) -> Visitor:
    """A visitor of a Datasette that may ask the server."""
    return Visitor(
        path, openai={"api_key": server.api_key, "base_url": server.base_url},
        **{"usd_per_job": 5, **given},
    )  # fmt: skip


async def test_the_cost_is_shown_and_agreed_to(paid: tuple[OpenAIServer, Path]):
    server, path = paid
    visitor = customer(server, path)
    fields = {"classifier": "topics", "prefix": "ai", "max_errors": "0.5", "concurrency": "4"}
    page = await visitor.post("reports", **fields)
    assert page.status_code == 200
    assert "20 requests" in page.text  # every text twice
    assert "$5.00" in page.text
    assert 'name="prefix" value="ai"' in page.text
    assert not jobs_of(path, "predict")
    back = await visitor.post("reports", **fields, action="change")
    assert 'name="prefix" maxlength="200" value="ai"' in back.text
    response = await visitor.post("reports", **fields, confirm="1", limit_usd="0.02")
    assert response.status_code == 302
    with closing(connect(path)) as conn:
        (queued,) = list_jobs(conn, "predict")
        assert queued.estimate is not None
        assert queued.estimate["limit_usd"] == 0.02
        assert queued.estimate["concurrency"] == 4
        assert queued.estimate["max_errors"] == 0.5
        job = visitor.run(queued.id, access_to(server))
        assert (job.state, job.done) == ("finished", 40)
        assert value(conn, "select count(ai_label) from reports") == 40
    again = await visitor.post("reports", classifier="topics", prefix="two")
    assert again.status_code == 302  # all answers are stored: there is nothing to agree to


async def test_programs_agree_to_the_cost_too(paid: tuple[OpenAIServer, Path]):
    server, path = paid
    visitor = customer(server, path)
    refused = await visitor.post_json("reports", classifier="topics")
    assert refused.status_code == 400
    assert "20 requests" in refused.json()["error"]
    assert "confirm" in refused.json()["error"]
    response = await visitor.post_json("reports", classifier="topics", confirm=True)
    assert response.json()["ok"]


async def test_spending_needs_a_permission_and_limits(paid: tuple[OpenAIServer, Path]):
    server, path = paid
    ann = customer(server, path, actor="ann", granted=("predict",))
    assert "costs money" in (await ann.get("reports")).text
    assert (await ann.post("reports", classifier="topics", confirm="1")).status_code == 403
    ann = customer(server, path, actor="ann", granted=("predict", "spend"))
    assert (await ann.post("reports", classifier="topics")).status_code == 200
    free = customer(server, path, usd_per_job=None)
    refused = await free.post("reports", classifier="topics", confirm="1")
    assert refused.status_code == 400
    assert "usd_per_job" in refused.text
    assert not jobs_of(path, "predict")


async def test_without_a_key_or_a_price(paid: tuple[OpenAIServer, Path], tmp_path: Path):
    server, path = paid
    endpoint = {"base_url": server.base_url}
    visitor = Visitor(path, usd_per_job=5, openai=endpoint)
    refused = await visitor.post("reports", classifier="topics")
    assert refused.status_code == 400
    assert "OPENAI_API_KEY" in refused.text
    with closing(connect(path)) as conn, conn:
        header = json.loads(str(value(conn, "select header from _ftclassify_classifiers")))
        header["model"] = "my-own-model"
        conn.execute("update _ftclassify_classifiers set header = ?", [json.dumps(header)])
    refused = await customer(server, path).post("reports", classifier="topics")
    assert refused.status_code == 400
    assert "No price known" in refused.text


async def test_a_label_for_rows_without_an_answer(paid: tuple[OpenAIServer, Path]):
    server, path = paid
    visitor = customer(server, path)
    fields = {"classifier": "topics", "on_error": "label", "default_label": "Trees"}
    refused = await visitor.post("reports", **fields)
    assert refused.status_code == 400
    assert "has no label" in html.unescape(refused.text)
    data = {"classifier": "topics", "on_error": "Roads", "confirm": True}
    number = (await visitor.post_json("reports", **data)).json()["job"]
    assert job_of(path, number).settings["on_error"] == "Roads"


def test_a_service_abstains_with_a_reason(paid: tuple[OpenAIServer, Path]):
    server, path = paid
    with closing(connect(path)) as conn:
        topics = find_classifier(conn, "topics")
        predict_rows(conn, topics, "reports", access=access_to(server))
        scores = [s for (s,) in conn.execute("select topics_score from reports")]
        middle = sorted(scores)[len(scores) // 2]
        request = PredictRequest(threshold=middle)
        result = predict_rows(conn, topics, "reports", request, access=access_to(server))
        low = sum(score < middle for score in scores)
        assert low == result.abstained
        said = rows(conn, "select distinct topics_reason from reports where topics_label is null")
        assert said == ([(f"score below {middle:g}",)] if low else [])
        assert value(conn, "select count(topics_score) from reports") == 40
        assert result.failed == 0


# New rows as they come


async def test_new_rows_are_classified_as_they_come(trained: Path, conn: sqlite3.Connection):
    visitor = Visitor(trained)
    job = visitor.job(await visitor.post(classifier="topics", follow="1"))
    assert job.done == 557
    assert (await visitor.choices())["followed_by"] == ["topics@1"]
    assert queue_new_rows(conn) == []
    for n in (1, 2):
        with conn:
            conn.execute("insert into messages (message) values ('the drain floods'), (null)")
        assert queue_new_rows(conn) == [job.id]
        assert queue_new_rows(conn) == []
        again = visitor.run(job.id)
        assert (again.done, again.skipped, again.total) == (557 + n, n, 557 + 2 * n)
    assert value(conn, "select count(topics_label) from messages") == 559
    response = await visitor.post(classifier="topics", action="stop")
    assert response.status_code == 302
    with conn:
        conn.execute("insert into messages (message) values ('the drain floods')")
    assert queue_new_rows(conn) == []
    assert (await visitor.choices())["followed_by"] == []


async def test_what_cannot_be_followed(trained: Path, conn: sqlite3.Connection):
    conn.execute("create table notes (a primary key, message) without rowid")
    visitor = Visitor(trained)
    asked = {"classifier": "topics", "follow": True}
    response = await visitor.post_json("notes", **asked)
    assert response.json()["ok"]  # which is new is known by the fingerprints
    response = await visitor.post_json(**asked, rows="unlabelled")
    assert "only if all rows" in response.json()["error"]
    assert len(list_jobs(conn, "predict")) == 1


async def test_who_may_not_write_may_not_stop_it(trained: Path):
    visitor = Visitor(trained, "ann")
    assert (await visitor.post(classifier="topics", action="stop")).status_code == 403


def follow(conn: sqlite3.Connection, table: str) -> Job:
    request = PredictRequest()
    plan = Plan.of(conn, find_classifier(conn, "topics"), table, request)
    return submit_follow(conn, plan, request)


def test_a_followed_table_that_is_gone_does_no_harm(conn: sqlite3.Connection):
    conn.execute("create table notes (message)")
    job = follow(conn, "notes")
    run_job(conn, job.id, access=Access())
    with conn:
        conn.execute("insert into notes (message) values ('x')")
    with conn:
        conn.execute("alter table notes rename to memos")
    assert queue_new_rows(conn) == []
    with conn:
        conn.execute("alter table memos rename to notes")
    assert queue_new_rows(conn) == [job.id]
    conn.execute("drop table _ftclassify_following")
    assert queue_new_rows(conn) == []


def test_a_server_looks_for_new_rows(trained: Path, conn: sqlite3.Connection):
    job = follow(conn, "messages")
    run_job(conn, job.id, access=Access())
    with conn:
        conn.execute("insert into messages (message) values ('the drain floods')")
    missing = "select count(*) from messages where topics_label is null"
    assert value(conn, missing) == 1
    with serving(trained):
        wait_for(lambda: value(conn, missing) == 0, "the label of a new row")


# Large tables


async def test_a_large_table_does_not_hold_up_the_page(
    trained: Path, conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
):
    from datasette_ftclassify.web import classify_choices

    with conn:
        conn.execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 200000)"
            " insert into messages (message) select 'x' from n"
        )
    monkeypatch.setattr(classify_choices, "COUNT_SECONDS", 0.0)
    data = await Visitor(trained).choices(id__gt="5")
    assert data["rows"]["all"] == {"count": 200557, "about": True}
    assert data["rows"]["filter"] == {"count": None, "about": True}
    assert "too many to count here" in (await Visitor(trained).get(id__gt="5")).text
