"""The page that prepares a training: what it proposes, finds, shows and starts, and for whom."""

from __future__ import annotations

import html
import json
import re
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from commands import run
from openai_server import OpenAIServer
from running_jobs import job_of, jobs_of
from sample_databases import town_database
from service_training import environment
from stored import list_jobs
from tiny_encoder import write_encoder, write_static
from train_page import PAGE, PAYING, TRAIN, look, page
from visiting import get, send, serve, submit

from datasette_ftclassify.core.database import connect, relation
from datasette_ftclassify.core.task import Task
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.schema import _MIGRATIONS
from datasette_ftclassify.trainers import shutdown_dates
from datasette_ftclassify.trainers.encoders.known import encoders_here, usual_encoder
from datasette_ftclassify.web import sampling
from datasette_ftclassify.web.filters import carried
from datasette_ftclassify.web.finding_links import as_filters
from datasette_ftclassify.web.pages.check import label_filter
from datasette_ftclassify.web.train_form import Choices

CHOSEN = {"text": "message", "label": "topic"}
HOSTILE = 'te"xt [a]. <b>'
TABLE = "odd 'name' [x].\"y\" <i>"


@pytest.fixture
def town(tmp_path: Path) -> Path:
    town_database(tmp_path / "town.db").close()
    return tmp_path / "town.db"


@pytest.fixture
def keyless(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


async def post(datasette: Any, who: str | None = "ann", **body: Any) -> Any:
    return await send(datasette, PAGE, {"table": "messages", **body}, who)


def run_last(path: Path) -> int:
    """Runs the newest job as the worker would; gives its number."""
    with closing(connect(path)) as conn:
        job = list_jobs(conn)[0]
        run_job(conn, job.id)
    return job.id


async def checked(datasette: Any, path: Path, **fields: Any) -> str:
    """Where the check leads, after its job has run."""
    given = {"table": "messages", **CHOSEN, "action": "check", **fields}
    response = await submit(datasette, page(table=given["table"]), "ann", **given)
    assert response.status_code == 302, response.text
    run_last(path)
    return str(response.headers["location"]).partition("#")[0]


VECTORS = {"tree": [1.0, 0.0], "bus": [0.0, 1.0]}


@pytest.mark.parametrize(
    ("option", "label", "package", "write"),
    [
        ("encoder", "Sentence encoder", "onnxruntime", write_encoder),
        ("embeddings", "Static embedding model", "model2vec", write_static),
    ],
)
async def test_an_encoder_is_one_of_those_that_the_operator_named(
    town: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    label: str,
    package: str,
    write: Callable[[Path, Mapping[str, Sequence[float]]], Path],
):
    """And so are static vectors; nobody reads where it is: a page loads no folder that a visitor
    names."""
    pytest.importorskip(package)
    folder = write(tmp_path / "owls", VECTORS)
    datasette = serve(town, grants=TRAIN)
    form, field = page(table="messages", **CHOSEN), f"local-{option}"

    async def train(named: str, who: str = "ann", **more: str) -> Any:
        given = {"trainer": "local", field: named, "name": "topics", **more}
        return await submit(datasette, form, who, action="train", **CHOSEN, **given)

    assert field not in (await get(datasette, form, "ann")).text
    monkeypatch.setenv("FTCLASSIFY_ENCODER", f"no-such-package, {folder}")
    shown = (await get(datasette, form, "ann")).text
    (select,) = re.findall(rf'<select[^>]*name="{field}".*?</select>', shown, re.DOTALL)
    assert re.findall(r'value="([^"]*)"', select) == ["", "owls"]
    assert re.search(r"owls, [\d.]+ (bytes|kB)", select)
    for other in {"local-encoder", "local-embeddings", "encoder-encoder"} - {field}:
        assert other not in shown, "it is none, or has no weights to fine-tune"
    for typed in (str(folder), "no-such-package", "/etc"):
        refused = await train(typed, test="0.25")
        assert refused.status_code == 400
        assert f"{label} is one that this server names: owls." in refused.text
        assert 'value="0.25"' in refused.text, "nothing that was typed is lost"
    assert (await train("owls", who="bob")).status_code == 403
    assert jobs_of(town) == []
    assert (await train("owls")).status_code == 302
    job = job_of(town, run_last(town))
    assert job.state == "finished", job.error
    assert job.settings["options"][option] == "owls"
    assert [used.name for used in encoders_here()] == [str(folder)]
    told = (await get(datasette, f"/town/-/ftclassify/jobs/{job.id}", "ann")).text
    assert "owls" in told
    for text in (shown, told):
        assert str(tmp_path) not in text


async def test_static_vectors_of_the_command_line_are_offered_and_kept_by_a_new_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("model2vec")
    town = tmp_path / "town.db"
    town_database(town, 90).close()
    write_static(tmp_path / "models/owls", VECTORS)
    monkeypatch.chdir(tmp_path)
    chosen = ("--text", "message", "--label", "topic", "--name", "topics")
    run("train", town, "messages", *chosen, "--no-curve", "--embeddings", "models/owls")
    monkeypatch.chdir("/")
    assert usual_encoder() is None
    datasette = serve(town, grants=TRAIN)
    assert '"owls"' in (await get(datasette, page(**CHOSEN), "ann")).text
    again = "/town/-/ftclassify/classifiers/topics/retrain"
    shown = (await get(datasette, again, "ann")).text
    assert "owls" in shown
    assert str(tmp_path) not in shown
    assert (await submit(datasette, again, "ann")).status_code == 302
    job = job_of(town, run_last(town))
    assert job.state == "finished", job.error
    with closing(connect(town)) as conn:
        reports = [find_classifier(conn, f"topics@{n}").report for n in (1, 2)]
    assert all("on vectors" in str(report["recipes"]) for report in reports), "both tried them"


async def test_a_newcomer_sees_a_proposal_and_examples(town: Path):
    data = await look(serve(town, grants=TRAIN))
    assert data["choices"] == {"table": "messages", "text": ["message"], "label": ["topic"]}
    assert data["proposed"] == ["text", "label"]
    assert data["kind"] == "multiclass"
    assert len(data["examples"]) == 5
    assert all(e["text"] and e["labels"] and e["url"] for e in data["examples"])
    assert data["errors"] == {}


async def test_an_immutable_database_has_no_such_page(town: Path):
    datasette = serve(immutables=(town,), grants=TRAIN)
    response = await get(datasette, page(), "ann")
    assert response.status_code == 404
    assert "cannot be changed" in response.text


async def test_a_template_is_previewed_and_its_error_told_beside_it(town: Path):
    datasette = serve(town, grants=TRAIN)
    good = await look(datasette, template="In {{ ward }}: {{ message }}", label="topic", preview=1)
    assert all(e["text"].startswith("In ") for e in good["examples"])
    bad = await look(datasette, template="{{ mesage }}", label="topic", preview=1)
    assert "mesage" in bad["errors"]["template"]
    assert bad["examples"] == []
    endless = await look(datasette, template="{% for x in y %}", label="topic")
    assert "template" in endless["errors"]


async def test_what_is_wrong_is_told_beside_its_field(town: Path):
    datasette = serve(town, grants=TRAIN)
    data = await look(datasette, text="nothing", label="topic", kind="odd")
    assert set(data["errors"]) >= {"text", "kind"}
    both = await look(datasette, text="message", label="message")
    assert "both" in both["errors"]["label"]
    shares = await look(datasette, **CHOSEN, test="0.8", validation="0.8")
    assert "test" in shares["errors"]
    words = await look(datasette, **CHOSEN, seed="many")
    assert "whole number" in words["errors"]["seed"]


async def test_nothing_typed_is_lost(town: Path):
    datasette = serve(town, grants=TRAIN)
    typed = {"template": "{{ nix }}", "label": "topic", "name": "mine", "seed": "7",
             "test": "0.25", "ward__exact": "Northgate"}  # fmt: skip
    response = await submit(datasette, page(), "ann", table="messages", action="train", **typed)
    assert response.status_code == 400
    text = html.unescape(response.text)
    assert 'role="alert"' in text
    for value in ("{{ nix }}", 'value="mine"', 'value="7"', 'value="0.25"', "Northgate"):
        assert value in text
    assert jobs_of(town) == []


async def test_a_label_that_was_unticked_is_not_proposed_again(town: Path):
    datasette = serve(town, grants=TRAIN)
    ticked = re.compile(r'name="label" value="topic"[^>]* checked')
    assert ticked.search((await get(datasette, page(), "ann")).text)
    form = await submit(datasette, page(), "ann", table="messages", text="message", action="train")
    assert form.status_code == 400
    assert not ticked.search(form.text)
    assert "Choose the column that holds the labels." in form.text
    preview = await get(datasette, f"{PAGE}.json?table=messages&text=message&preview=1", "ann")
    assert preview.json()["choices"].get("label") is None


async def test_the_preview_button_keeps_choices_in_the_address_without_the_token(town: Path):
    datasette = serve(town, grants=TRAIN)
    response = await submit(
        datasette, page(), "ann", table="messages", action="preview", name="é & ü", **CHOSEN
    )
    assert response.status_code == 302
    query = parse_qs(urlsplit(response.headers["location"]).query)
    assert query == {"table": ["messages"], "text": ["message"], "label": ["topic"],
                     "name": ["é & ü"]}  # fmt: skip


async def test_filters_of_the_table_page_come_along_and_can_be_removed(town: Path):
    datasette = serve(town, grants=TRAIN)
    path = page(**CHOSEN, ward__exact="Northgate", message__contains="the")
    response = await get(datasette, path, "ann")
    text = html.unescape(response.text)
    assert 'ward = "Northgate"' in text
    found = re.findall(r'<a href="([^"]+)" aria-label="Remove', text)
    assert len(found) == 2
    assert all(("ward__exact" in u) != ("message__contains" in u) for u in found)
    sent = await submit(datasette, page(), "ann", table="messages", action="train",
                        ward__exact="Northgate", **CHOSEN)  # fmt: skip
    assert sent.status_code == 302, sent.text
    task = jobs_of(town)[0].settings["task"]
    assert list(task["params"].values()) == ["Northgate"]
    assert "Northgate" not in task["where"]


@pytest.mark.parametrize(
    "name", ["1=1) or (1__exact", "nothing__exact", "ward__sql", 'ward" or 1 --__exact']
)
async def test_filters_are_no_way_to_write_sql(town: Path, name: str):
    datasette = serve(town, grants=TRAIN)
    data = await look(datasette, **CHOSEN, **{name: "x"})
    assert "filter" in data["errors"]
    assert data["examples"] == []
    sent = await post(datasette, **CHOSEN, **{name: "x"})
    assert sent.status_code == 400


async def test_what_selects_rows_by_sql_is_left_behind_and_said(town: Path):
    datasette = serve(town, grants=TRAIN)
    response = await get(datasette, page(**CHOSEN, _where="1=0", _search="x"), "ann")
    assert "_search, _where" in response.text
    assert (await look(datasette, **CHOSEN, _where="1=0"))["examples"]


def test_filters_get_an_operator_on_the_way():
    arguments = {"topic": ["a", "b"], "ward__contains": ["x"], "_sort": ["id"], "text": ["y"],
                 "_odd__exact": ["z"]}  # fmt: skip
    assert carried(arguments) == {
        "topic__exact": ["a", "b"], "ward__contains": ["x"], "text__exact": ["y"],
        "_odd__exact": ["z"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("where", "filters"),
    [
        ('"a" is null', [("a__isnull", "1")]),
        ('"a ""b""" is null and "c" is null', [('a "b"__isnull', "1"), ("c__isnull", "1")]),
        ("\"t\" in ('it''s', 'a, b')", [("t__in", '["it\'s", "a, b"]')]),
        ('"id" in (1, -2)', [("id__in", "[1, -2]")]),
        ('"id" in (1) or "x" in (\'a\')', None),
        ('"id" in (select 1)', None),
        ("\"id\" in (X'00')", None),
        ('length("a") > 3', None),
    ],
)
def test_simple_conditions_as_filters(where: str, filters: list | None):
    assert as_filters(where) == filters


@pytest.mark.parametrize(
    ("task", "pair"),
    [
        ({"kind": "multiclass", "labels": ("topic",)}, ("topic__exact", "a")),
        ({"kind": "multilabel", "labels": ("topics",)}, ("topics__arraycontains", "a")),
        ({"kind": "multilabel", "labels": ("topics",), "delimiter": ";"}, None),
        ({"kind": "multilabel", "labels": ("a", "b")}, ("a__exact", "1")),
    ],
)
def test_the_rows_of_a_label_as_a_filter(task: dict, pair: tuple | None):
    assert label_filter(Task("t", ("body",), **task), "a") == pair


async def test_a_check_is_a_job_and_its_findings_lead_to_their_rows(town: Path, keyless: None):
    datasette = serve(town, grants=TRAIN)
    where = await checked(datasette, town)
    data = (await get(datasette, where.replace("/train?", "/train.json?"), "ann")).json()
    check = data["check"]
    assert check["state"] == "finished"
    assert check["current"]
    findings = {f["code"]: f for f in check["report"]["findings"]}
    assert {"conflicting-labels", "unlabelled", "exact-duplicates"} <= set(findings)
    for code, finding in findings.items():
        if finding["url"] is None:
            continue
        table = urlsplit(finding["url"])
        rows = (await get(datasette, f"{table.path}.json?{table.query}&_size=max", "ann")).json()
        assert rows["rows"], code
        if "rows" in finding["message"] and "label" not in finding["message"]:
            assert len(rows["rows"]) == finding["count"], code
    text = (await get(datasette, where, "ann")).text
    assert "Findings" in text
    assert "<svg" in text


async def test_changed_choices_are_said_to_be_unchecked(town: Path, keyless: None):
    datasette = serve(town, grants=TRAIN)
    where = await checked(datasette, town)
    assert "You have changed something" not in (await get(datasette, where, "ann")).text
    assert "You have changed something" in (await get(datasette, f"{where}&seed=5", "ann")).text
    number = parse_qs(urlsplit(where).query)["check"][0]
    short = await look(datasette, check=number)
    assert short["choices"]["label"] == ["topic"]
    assert short["check"]["current"]


async def test_how_far_a_check_is_takes_one_cheap_look(town: Path):
    datasette = serve(town, grants=TRAIN)
    sent = await post(datasette, action="check", **CHOSEN)
    number = sent.json()["job"]["id"]
    data = await look(datasette, check=number, progress=1)
    assert data["check"]["active"]
    assert "Checking the rows" in (await get(datasette, page(**CHOSEN, check=number), "ann")).text
    assert (await look(datasette, check="no such", progress=1))["check"] is None
    other = await look(datasette, **CHOSEN, check=999)
    assert other["check"] is None


async def test_a_check_that_a_stranger_wrote_breaks_nothing(town: Path, keyless: None):
    datasette = serve(town, grants=TRAIN)
    where = await checked(datasette, town)
    number = parse_qs(urlsplit(where).query)["check"][0]
    for damaged in (
        "[]",
        '{"findings": [{}]}',
        '{"findings": [{"where": 1, "keys": 2}], "task": 3}',
    ):
        with closing(sqlite3.connect(town)) as conn, conn:
            conn.execute("update _ftclassify_jobs set result = ?", [damaged])
        assert (await get(datasette, where, "ann")).status_code in (200, 400)
        finding = f"/town/-/ftclassify/jobs/{number}/finding/0"
        assert (await get(datasette, finding, "ann")).status_code in (400, 404)


async def test_a_strangers_condition_reads_no_other_table(town: Path, keyless: None):
    with closing(connect(town)) as conn, conn:
        conn.execute("create table secret (a, b, c)")
        conn.execute("insert into secret values ('hidden away', 1, 2)")
    datasette = serve(town, grants=TRAIN)
    where = await checked(datasette, town)
    number = parse_qs(urlsplit(where).query)["check"][0]
    finding = {"code": "x", "severity": "info", "count": 1, "message": "", "advice": "", "keys": [],
               "where": "0) union select * from secret where (1"}  # fmt: skip
    with closing(sqlite3.connect(town)) as conn, conn:
        sql = "update _ftclassify_jobs set result = json_set(result, '$.findings', json(?))"
        conn.execute(sql, [json.dumps([finding])])
    response = await get(datasette, f"/town/-/ftclassify/jobs/{number}/finding/0", "ann")
    assert response.status_code == 400
    assert "hidden away" not in response.text


async def test_rows_that_no_table_page_can_list_have_a_page(town: Path, keyless: None):
    with closing(connect(town)) as conn, conn:
        conn.execute("create table pairs (a text, b int, body text, kind text, primary key (a, b))"
                     " without rowid")  # fmt: skip
        conn.executemany(
            "insert into pairs values (?, ?, ?, ?)",
            [
                (f"k/{i}", i, f"<b>text</b> {i % 20}", "<i>x</i>" if i % 3 else "y")
                for i in range(120)
            ],
        )
    datasette = serve(town, grants=TRAIN)
    where = await checked(datasette, town, table="pairs", text="body", label="kind")
    data = (await get(datasette, where.replace("/train?", "/train.json?"), "ann")).json()
    urls = [f["url"] for f in data["check"]["report"]["findings"] if f["url"]]
    ours = [url for url in urls if "/finding/" in url]
    assert ours
    response = await get(datasette, ours[0], "ann")
    assert response.status_code == 200
    assert "<b>text" not in response.text
    assert "&lt;b&gt;text" in response.text
    row = re.search(r'<td><a href="([^"]+)"', response.text)
    assert row is not None
    assert (await get(datasette, html.unescape(row[1]), "ann")).status_code == 200
    assert (await get(datasette, ours[0], "bob")).status_code == 404
    assert (await get(datasette, ours[0].rpartition("/")[0] + "/999", "ann")).status_code == 404


@pytest.mark.parametrize(
    ("trainer", "key", "advice"),
    [("local", "", "Nothing leaves this machine, but"),
     ("local", "k", "Nothing leaves this machine, but"),
     ("openai", "k", "These texts would leave this machine")],
)  # fmt: skip
async def test_what_a_check_says_of_private_data_depends_on_the_trainer(
    town: Path, keyless: None, monkeypatch: pytest.MonkeyPatch, trainer: str, key: str, advice: str
):
    with closing(connect(town)) as conn, conn:
        conn.execute("delete from messages where id > 60")
        conn.execute("update messages set message = message || ' jo@example.org' where id < 5")
    if key:
        monkeypatch.setenv("OPENAI_API_KEY", key)
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    datasette = serve(town, grants=TRAIN)
    where = await checked(datasette, town, trainer=trainer, **{"openai-model": "gpt-4.1-mini"})
    data = (await get(datasette, where.replace("/train?", "/train.json?"), "ann")).json()
    findings = {f["code"]: f for f in data["check"]["report"]["findings"]}
    assert advice in findings["email-addresses"]["advice"]


async def test_copies_are_listed_group_by_group(town: Path, keyless: None):
    letters = [
        "please find enclosed the yearly dues of our member number {} for the season",
        "the noise from the works on platform {} keeps all our neighbours awake",
    ]
    with closing(connect(town)) as conn, conn:
        conn.execute("create table letters (id integer primary key, body text, kind text)")
        conn.executemany(
            "insert into letters (body, kind) values (?, ?)",
            [(f"word{n} about thing{n} of day{n}", "a") for n in range(40)]
            + [(letters[n % 2].format(n), "b") for n in range(8)] + [(letters[0], "b")],
        )  # fmt: skip
    datasette = serve(town, grants=TRAIN)
    where = await checked(datasette, town, table="letters", text="body", label="kind")
    data = (await get(datasette, where.replace("/train?", "/train.json?"), "ann")).json()
    (near,) = [f for f in data["check"]["report"]["findings"] if f["code"] == "near-duplicates"]
    listed = (await get(datasette, f"{near['url']}.json", "ann")).json()["rows"]
    assert [row["group"]["rows"] for row in listed] == [5] * 5 + [4] * 4
    assert len({row["cells"][0][:10] for row in listed[:5]}) == 1
    assert listed[0]["cells"][0][:10] != listed[5]["cells"][0][:10]
    shown = (await get(datasette, near["url"], "ann")).text
    assert shown.index("5 rows together") < shown.index("4 rows together")
    later = (await get(datasette, f"{near['url']}?start=7", "ann")).text
    assert "5 rows together" not in later
    assert "4 rows together" in later


async def test_hostile_names_and_cells(town: Path, keyless: None):
    text, label, table = (n.replace('"', '""') for n in (HOSTILE, "la]bel, __in", TABLE))
    with closing(connect(town)) as conn, conn:
        conn.execute(f'create table "{table}" ("{text}" text, "{label}" text, "table" text)')
        conn.executemany(
            f'insert into "{table}" values (?, ?, ?)',
            [(f"<script>alert({i})</script>{'x' * 300}", f"<b>{i % 2}", "t") for i in range(60)],
        )
    datasette = serve(town, grants=TRAIN)
    fields = {"table": TABLE, "text": HOSTILE, "label": "la]bel, __in", "table__exact": "t"}
    where = await checked(datasette, town, **fields)
    response = await get(datasette, where, "ann")
    assert response.status_code == 200
    assert "<script>alert" not in response.text
    assert "<b>0" not in response.text
    assert "60 rows" in response.text
    sent = await submit(datasette, page(table=TABLE), "ann", action="train", **fields)
    assert sent.status_code == 302, sent.text
    assert job_of(town, run_last(town)).state == "finished"


async def test_a_row_whose_key_is_a_blob_has_no_address(town: Path):
    with closing(connect(town)) as conn, conn:
        conn.execute("create table notes (id blob primary key, message, topic)")
        sql = "select cast(id as blob), message, topic from messages"
        conn.execute(f"insert into notes {sql} order by id limit 60")
    examples = (await look(serve(town, grants=TRAIN), table="notes", **CHOSEN))["examples"]
    assert [e["url"] for e in examples] == [None] * 5
    assert all(re.fullmatch(r"x'(3\d)+'", e["key"][0]) for e in examples)


async def test_a_view_can_be_trained_on(town: Path, keyless: None):
    with closing(connect(town)) as conn, conn:
        conn.execute("create view short as select message, topic from messages where id < 300")
    datasette = serve(town, grants=TRAIN)
    data = await look(datasette, table="short")
    assert data["choices"]["text"] == ["message"]
    assert data["examples"][0]["url"] is None
    where = await checked(datasette, town, table="short")
    assert (await get(datasette, where, "ann")).status_code == 200
    sent = await post(datasette, table="short", text=["message"], label=["topic"])
    assert sent.json()["job"]["kind"] == "train"


async def test_training_here_starts_at_once(town: Path):
    datasette = serve(town, grants=TRAIN)
    sent = await submit(datasette, page(), "ann", table="messages", action="train",
                        name="desk", trainer="local", **CHOSEN)  # fmt: skip
    assert sent.status_code == 302
    job = jobs_of(town)[0]
    assert sent.headers["location"] == f"/town/-/ftclassify/jobs/{job.id}"
    assert (job.kind, job.state, job.settings["name"]) == ("train", "queued", "desk")


async def test_without_a_key_a_trainer_is_shown_with_what_to_configure(town: Path, keyless: None):
    datasette = serve(town, grants=PAYING)
    data = await look(datasette)
    by_name = {t["name"]: t for t in data["trainers"]}
    assert by_name["local"]["missing"] is None
    assert "OPENAI_API_KEY" in by_name["openai"]["missing"]
    sent = await submit(datasette, page(), "ann", table="messages", action="train",
                        trainer="openai", **CHOSEN)  # fmt: skip
    assert sent.status_code == 400


@pytest.fixture
def service(
    openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, no_certificates: None
) -> OpenAIServer:
    for name, value in environment(openai_server).items():
        monkeypatch.setenv(name, value)
    for name in ("FTCLASSIFY_USD_PER_JOB", "FTCLASSIFY_USD_PER_DAY"):
        monkeypatch.delenv(name, raising=False)
    return openai_server


async def train_paid(datasette: Any, **fields: Any) -> Any:
    trainer = fields.get("trainer", "openai")
    return await post(datasette, **{**CHOSEN, "trainer": trainer, **model_of(trainer), **fields})


def model_of(trainer: str) -> dict[str, str]:
    """The setting that names it: no page knows which models a server like OpenAI's has."""
    return {} if trainer == "local" else {f"{trainer}-model": "gpt-4.1-mini"}


async def test_a_paid_training_needs_its_permission(town: Path, service: OpenAIServer):
    response = await train_paid(serve(town, grants=TRAIN), confirm_usd=100)
    assert response.status_code == 403
    assert "ftclassify-spend" in response.json()["error"]


async def test_a_paid_training_needs_a_configured_limit(town: Path, service: OpenAIServer):
    datasette = serve(town, grants=PAYING)
    response = await train_paid(datasette, confirm_usd=100)
    assert response.status_code == 400
    assert "usd_per_job" in response.json()["error"]
    assert "usd_per_job" in (await get(datasette, page(), "ann")).text


async def test_until_when_a_model_answers_is_asked_of_its_host_by_who_may_pay(
    town: Path, service: OpenAIServer
):
    datasette = serve(town, grants={**PAYING, "ftclassify-train": {"id": ["ann", "bob"]}})

    def asked() -> int:
        return sum(request.path == "/models" for request in service.log)

    async def until() -> tuple[str | None, bool]:
        found = await look(datasette, **CHOSEN, **model_of("openai"))
        offer = next(t for t in found["trainers"] if t["name"] == "openai")
        return offer["until"], offer["until_stated"]

    assert await until() == (None, False)
    await post(datasette, "bob", action="check", **CHOSEN)
    await get(datasette, page(), None)
    assert service.log == []
    service.faults.add("*", "malformed_json", times=None)
    for _ in range(2):
        await post(datasette, action="check", **CHOSEN)
    assert asked() == 1  # and not again for a while
    assert await until() == (None, False)
    shutdown_dates._known.clear()
    service.faults.clear()
    for _ in range(2):
        await post(datasette, action="check", **CHOSEN)
    assert asked() == 2
    assert await until() == ("2099-01-14", True)
    assert "2099-01-14" in (await get(datasette, page(**model_of("openai")), "ann")).text


async def test_a_price_is_agreed_to_before_anything_is_paid(
    town: Path, service: OpenAIServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FTCLASSIFY_USD_PER_JOB", "5")
    datasette = serve(town, grants=PAYING)
    asked = await train_paid(datasette)
    assert asked.status_code == 400
    estimate = asked.json()["estimate"]
    assert estimate["usd"] > 0
    assert estimate["host"] in service.base_url
    for wrong in (estimate["usd"] / 2, "nan", "inf", "much"):
        assert (await train_paid(datasette, confirm_usd=wrong)).status_code == 400
    form = await submit(datasette, page(), "ann", table="messages", action="train",
                        trainer="openai", name="kept name", **model_of("openai"),
                        **CHOSEN)  # fmt: skip
    assert form.status_code == 200
    assert "rows will leave this machine" in form.text
    assert form.text.count('value="kept name"') == 2
    assert jobs_of(town) == []
    agreed = await train_paid(datasette, confirm_usd=estimate["usd"])
    assert agreed.json()["ok"], agreed.text
    job = job_of(town, agreed.json()["job"]["id"])
    assert job.estimate is not None
    assert job.estimate["usd"] == estimate["usd"]
    assert job.settings["host"] == estimate["host"]
    assert service.api_key not in agreed.text + form.text


async def test_a_model_is_asked_untrained_from_the_page(
    town: Path, service: OpenAIServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FTCLASSIFY_USD_PER_JOB", "5")
    datasette = serve(town, grants=PAYING)
    offer = next(t for t in (await look(datasette))["trainers"] if t["name"] == "prompted")
    model = offer["settings"][0]
    assert (model["label"], model["usual"]) == ("Model to prompt", "")
    assert model["proposed"] == []
    assert "epochs" not in str(offer["settings"])
    chosen = {"trainer": "prompted", "name": "base"}
    estimate = (await train_paid(datasette, **chosen)).json()["estimate"]
    assert estimate["training_usd"] == 0 < estimate["usd"]
    agreed = await train_paid(datasette, **chosen, confirm_usd=estimate["usd"])
    job = job_of(town, run_last(town))
    assert (job.id, job.state) == (agreed.json()["job"]["id"], "finished")
    assert job.result is not None
    assert job.result["metrics"]["n_test"] == estimate["requests"]
    assert service.jobs_created == 0


async def test_a_file_of_an_earlier_version_gets_its_estimate(
    town: Path, service: OpenAIServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FTCLASSIFY_USD_PER_JOB", "5")
    with closing(connect(town)) as conn, conn:
        conn.executescript(
            "create table _sqlite_migrations (id integer primary key, migration_set text,"
            " name text, applied_at text)"
        )
        for statement in _MIGRATIONS["m001_main_job"]:
            conn.execute(statement)
        conn.execute(
            "insert into _sqlite_migrations (migration_set, name) values"
            " ('datasette-ftclassify', 'm001_main_job')"
        )
    asked = await train_paid(serve(town, grants=PAYING))
    assert asked.json()["estimate"]["usd"] > 0


async def test_settings_of_a_trainer_reach_it(
    town: Path, service: OpenAIServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FTCLASSIFY_USD_PER_JOB", "50")
    datasette = serve(town, grants=PAYING)
    said = {"openai-epochs": "2", "openai-suffix": "desk", "azure-epochs": "9", "confirm_usd": 50}
    sent = await train_paid(datasette, **said)
    options = sent.json()["job"]["settings"]["options"]
    assert (options["epochs"], options["suffix"]) == (2, "desk")
    wrong = await train_paid(datasette, epochs="many", confirm_usd=50)
    assert "whole number" in wrong.json()["error"]
    local = await train_paid(datasette, trainer="local", epochs=3)
    assert "epochs" in local.json()["error"]


async def test_no_address_is_taken_from_a_visitor(
    town: Path, service: OpenAIServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FTCLASSIFY_USD_PER_JOB", "50")
    datasette = serve(town, grants=PAYING)
    sent = await train_paid(datasette, base_url="http://evil.example/v1", host="evil.example",
                            wandb="evil", where="1=1", confirm_usd=50)  # fmt: skip
    settings = sent.json()["job"]["settings"]
    assert "evil" not in str(settings)
    assert settings["task"]["where"] is None
    assert settings["options"]["wandb"] is None


async def test_a_million_rows_open_in_a_moment(tmp_path: Path, keyless: None):
    with closing(sqlite3.connect(tmp_path / "town.db")) as conn, conn:
        conn.execute("create table big (id integer primary key, body text, kind text)")
        conn.execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000)"
            " insert into big select i, 'message number ' || i, 'kind ' || (i / 100000) from n"
        )
    datasette = serve(tmp_path / "town.db", grants=TRAIN)
    await get(datasette, page(table="big"), "ann")  # templates are compiled once
    for query in ({}, {"body__contains": "nowhere at all"}):
        times = []
        for _ in range(3):
            begun = time.process_time()
            data = await look(datasette, table="big", **query)
            times.append(time.process_time() - begun)
        assert data["choices"]["label"] == ["kind"]
        assert min(times) < 0.3, times
    assert data["errors"]["rows"]


@pytest.mark.parametrize("in_time", [True, False])
def test_the_kind_is_known_in_a_moment_also_of_a_large_sorted_table(
    monkeypatch: Any, in_time: bool
):
    if not in_time:
        monkeypatch.setattr(sampling, "_SCAN_MS", 0)
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.execute("create table t (id integer primary key, body, topic, tags, half)")
        conn.executemany(
            "insert into t (body, topic, tags, half) values (?, ?, ?, ?)",
            [("a text", f"topic {i // 1000}", '["a", "b"]', i // 2500) for i in range(5000)],
        )

        def kind(label: str, **more: Any) -> str:
            return Choices.read("t", {"text": "body", "label": label, **more}).task(conn).kind

        found, complete = sampling.label_cells(conn, relation(conn, "t"), "topic", None, {})
        assert (set(found), complete) == ({f"topic {i}" for i in range(5)}, in_time)
        assert kind("topic") == "multiclass"
        assert kind("tags") == "multilabel"
        # There may be a third label somewhere, and binary would then refuse to be trained.
        assert kind("half") == ("binary" if in_time else "multiclass")
        assert kind("half", kind="binary") == "binary"


@pytest.mark.parametrize("action", ["check", "train"])
@pytest.mark.parametrize("state", ["failed", "paused"])
async def test_the_same_again_after_it_failed_or_was_paused_goes_on(
    town: Path, keyless: None, action: str, state: str
):
    datasette = serve(town, grants=TRAIN)
    fields = {"table": "messages", "action": action, "name": "desk", "trainer": "local", **CHOSEN}
    await submit(datasette, page(), "ann", **fields)
    with closing(connect(town)) as conn, conn:
        conn.execute("update _ftclassify_jobs set state = ?, error = 'broken'", [state])
    assert (await submit(datasette, page(), "ann", **fields)).status_code == 302
    (job,) = jobs_of(town)
    assert job.state == "queued"


async def test_what_nobody_sees_in_a_cell_is_shown(town: Path, keyless: None):
    """White space that does not break, inside a label, and bytes, which are no text."""
    with closing(sqlite3.connect(town)) as conn, conn:
        row = "id = (select min(id) from messages where topic like '% %')"
        label = conn.execute(f"select replace(topic, ' ', char(160)) from messages where {row}")
        label = label.fetchone()[0]
        conn.execute(f"update messages set topic = ? where {row}", [label])
        conn.execute("alter table messages add column scan")
        conn.execute("alter table messages add column blank")
        conn.execute("update messages set scan = x'89504e47' where id % 2")
    datasette = serve(town, grants=TRAIN)
    where = await checked(datasette, town)
    text = html.unescape((await get(datasette, where, "ann")).text)
    assert f">{label!r}<" in text
    cells = re.findall(r'<td class="ft-quiet">(binary data|empty)</td>', text)
    assert cells == ["binary data", "empty"]


@pytest.mark.parametrize(
    ("code", "button", "field"),
    [("label-variants", "Count each as one label", "merged"),
     ("html-in-text", "Read HTML as its words", "markup"),
     ("label-notation", "Read several labels with / between them", "delimiter")],
)  # fmt: skip
async def test_what_a_finding_proposes_is_done_by_one_button(
    town: Path, keyless: None, code: str, button: str, field: str
):
    with closing(connect(town)) as conn, conn:
        html_text = "'<html><body><p>' || message || '</p><br></body></html>'"
        conn.execute(f"update messages set message = {html_text} where id % 3 = 0")
        conn.execute("create table pairs (id integer primary key, message, topic)")
        labels = ["ham/egg", "ham", "egg", "egg/tea", "tea"]
        rows = [(f"message {n} of many", labels[n % 5]) for n in range(60)]
        conn.executemany("insert into pairs (message, topic) values (?, ?)", rows)
    datasette = serve(town, grants=TRAIN)
    table = "pairs" if field == "delimiter" else "messages"
    where = await checked(datasette, town, table=table)
    text = html.unescape((await get(datasette, where, "ann")).text)
    pressed = re.search(rf'name="action" value="(set [^>]+)" [^>]*>{button}<', text)
    assert pressed is not None
    proposed = json.loads(pressed[1].removeprefix("set "))
    assert list(proposed) == [field]
    sent = await post(datasette, action=pressed[1], **{**CHOSEN, "table": table})
    job = sent.json()["job"]["id"]
    run_last(town)
    data = await look(datasette, check=job, table=table)
    assert data["check"]["current"]
    assert field in data["choices"]
    findings = {f["code"]: f for f in data["check"]["report"]["findings"]}
    assert code not in findings or findings[code]["severity"] == "info"
    assert button not in (await get(datasette, page(check=job, table=table), "ann")).text
    task = job_of(town, job).settings["task"]
    assert task[field] == proposed[field]
    wrong = await post(datasette, action="set nonsense", **CHOSEN)
    assert wrong.status_code == 400


async def test_vectors_ask_for_names_on_the_page(town: Path, keyless: None):
    with closing(sqlite3.connect(town)) as conn, conn:
        conn.execute("create table vectors (message, topic)")
        cells = ["[0, 1, 0]", "[1, 1, 0]", "[0, 0, 1]"]
        rows = [(f"message {n}", cells[n % 3]) for n in range(60)]
        conn.executemany("insert into vectors values (?, ?)", rows)
    datasette = serve(town, grants=TRAIN)
    unnamed = await look(datasette, **CHOSEN, table="vectors")
    assert "label names" in unnamed["errors"]["label_names"]
    refused = await post(datasette, action="train", **{**CHOSEN, "table": "vectors"})
    assert refused.status_code == 400
    assert "--" not in refused.json()["errors"][0]
    named = await look(datasette, **CHOSEN, table="vectors", label_names="a, b, c")
    assert named["errors"] == {}
    assert named["read_as"] == "multilabel, read from vectors of 0 and 1"
    assert [e["labels"] for e in named["examples"]][:2] == [["b"], ["a", "b"]]
