"""What somebody new to it is told before and after: of columns that look like mistakes, triggers,
labels that were not tested, rows that were trained on."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from html import unescape
from pathlib import Path
from typing import Any

import folders
import pytest
from commands import run
from lookup_tables import desk
from stored import list_jobs
from visiting import ROOT, get, seen, send, serve, submit

from datasette_ftclassify.checks import run_checks
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import Implausible
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.plausible import check_plausible
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.deletion import delete_classifier, delete_job
from datasette_ftclassify.store.jobs.state import add_job
from datasette_ftclassify.web.charts import HistogramBin, histogram
from datasette_ftclassify.web.evaluation_pictures import _label_rows

CARD = "/town/-/ftclassify/classifiers/topics"


def test_numbers_that_are_no_key_are_a_text_like_any_other(conn: sqlite3.Connection) -> None:
    with conn:
        conn.execute("create table goods (id integer primary key, code integer, label text)")
        goods = [(1_000 + 7_000 * (i % 2) + i, "ab"[i % 2]) for i in range(100)]
        conn.executemany("insert into goods (code, label) values (?, ?)", goods)
    check_plausible(conn, define(conn, "goods", text=["code"], labels=["label"]))
    with pytest.raises(Implausible, match="column id"):
        check_plausible(conn, define(conn, "goods", text=["id"], labels=["label"]))


def test_the_number_of_a_deleted_job_is_not_given_again(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "a.db", must_exist=False)) as conn:
        first = add_job(conn, "check", {"n": 1}).id
        delete_job(conn, first)
        second = add_job(conn, "check", {"n": 2}).id
        assert second > first
        conn.execute("delete from _ftclassify_jobs")  # by somebody else's hand
        conn.commit()
        assert add_job(conn, "check", {"n": 3}).id > second


def test_the_jobs_of_a_deleted_classifier_keep_their_numbers(conn: sqlite3.Connection) -> None:
    predict_rows(conn, find_classifier(conn, "topics"), "messages", PredictRequest(where="id < 5"))
    last = max(job.id for job in list_jobs(conn))
    delete_classifier(conn, "topics")
    assert add_job(conn, "check", {}).id > last


@pytest.mark.parametrize("noted", ["x", "", "-5", "9" * 40])
def test_a_number_of_jobs_that_a_stranger_noted_leaves_a_next_one(
    conn: sqlite3.Connection, noted: str
) -> None:
    conn.execute("replace into _ftclassify_settings values ('jobs:highest', ?)", [noted])
    conn.commit()
    first = add_job(conn, "check", {"n": 1}).id
    assert 0 < first < add_job(conn, "check", {"n": 2}).id < 2**53 + 3


LOOKS_LIKE_A_MISTAKE = {
    "the key as the label": ("message", "id", "The label column id has 557 different values"),
    "a number as the label": ("message", "n", "The label column n has 557 different values"),
    "the key as the text": ("id", "topic", "The text column id has nothing but numbers"),
}


@pytest.mark.parametrize(
    ("text", "label", "words"), LOOKS_LIKE_A_MISTAKE.values(), ids=LOOKS_LIKE_A_MISTAKE
)
async def test_a_training_on_what_looks_like_a_key_asks_first(
    trained: Path, conn: sqlite3.Connection, text: str, label: str, words: str
) -> None:
    conn.execute("alter table messages add column n real")
    conn.execute("update messages set n = id / 7.0")
    conn.commit()
    ds, page = serve(trained), "/town/-/ftclassify/train"
    fields = {"table": "messages", "text": text, "label": label, "action": "train"}
    before = len(list_jobs(conn))
    form = f"{page}?table=messages"
    refused = await submit(ds, form, ROOT, **fields)
    assert refused.status_code == 400
    assert words in seen(refused.text)
    assert 'name="despite_findings"' in refused.text
    assert "--" not in seen(refused.text)
    told = run("train", trained, "messages", "--text", text, "--label", label, code=1).output
    assert words in told
    assert "--despite-findings" in told
    assert len(list_jobs(conn)) == before
    asked = (await send(ds, page, fields, ROOT)).json()
    assert "despite_findings" in asked["fields"]
    await submit(ds, form, ROOT, **fields, despite_findings="1")
    assert len(list_jobs(conn)) == before + 1


async def test_labels_that_are_keys_have_their_names_in_the_preview(tmp_path: Path) -> None:
    desk(tmp_path / "desk.db").close()
    page = "/desk/-/ftclassify/train.json?table=mails&text=message&label=topic&preview=1"
    told = (await get(serve(tmp_path / "desk.db"), page, ROOT)).json()
    assert {label for e in told["examples"] for label in e["labels"]} <= {"parcel", "bill", "login"}


def test_the_check_finds_keys_that_have_no_name() -> None:
    with closing(desk(":memory:")) as conn:
        task = define(conn, "mails", text=["message"], labels=["topic"])
        assert (
            run_checks(conn, task, leaves_machine=False, deep=False).finding("unnamed-keys") is None
        )
        conn.execute("delete from topics where id = 2")
        (rows,) = conn.execute("select count(*) from mails where topic = 2").fetchone()
        found = run_checks(conn, task, leaves_machine=False, deep=False).finding("unnamed-keys")
        assert found is not None
        assert found.count == rows
        assert "no name for: 2" in found.message
        assert found.where is not None
        (selected,) = conn.execute(f"select count(*) from mails where {found.where}").fetchone()
        assert selected == rows


async def test_the_classify_page_names_the_triggers_that_will_fire(
    trained: Path, conn: sqlite3.Connection
) -> None:
    page = "/town/-/ftclassify/classify?table=messages"
    assert "sets off" not in (await get(serve(trained), page, ROOT)).text
    conn.executescript(
        "create table log (id integer);"
        "create trigger noted after update on messages begin insert into log values (new.id); end;"
        "create trigger born after insert on messages begin insert into log values (new.id); end;"
    )
    told = seen((await get(serve(trained), page, ROOT)).text)
    assert "sets off this trigger of messages, like any edit of the row: noted." in told


def test_labels_without_test_rows_come_last() -> None:
    labels = {
        "never": {"f1": 0.0, "support": 0, "precision": 0.0, "recall": 0.0},
        "good": {"f1": 0.9, "support": 9, "precision": 0.9, "recall": 0.9},
        "weak": {"f1": 0.2, "support": 5, "precision": 0.2, "recall": 0.2},
    }
    assert [row["name"] for row in _label_rows({"labels": labels})] == ["weak", "good", "never"]


async def test_a_label_without_test_rows_is_said_to_have_none(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "town.db", must_exist=False)) as conn:
        conn.execute("create table m (id integer primary key, t text, l text, part text)")
        for n in range(60):
            label = ("apple", "brick", "cloud")[n % 3]
            part = "test" if n % 5 == 0 and label != "cloud" else "train"
            conn.execute("insert into m values (?, ?, ?, ?)", [n, f"{label} {n} x", label, part])
        conn.commit()
        task = define(conn, "m", text=["t"], labels=["l"], split_column="part")
        train_classifier(conn, task, TrainRequest(name="topics", curve=False))
    told = seen((await get(serve(tmp_path / "town.db"), CARD, ROOT)).text)
    assert "cloud no test rows" in told


async def test_what_each_row_was_to_the_training_is_shown(
    trained: Path, conn: sqlite3.Connection
) -> None:
    rows = (await get(serve(trained), f"{CARD}/rows.json", ROOT)).json()["rows"]
    assert {row["split"] for row in rows} == {"test"}
    assert "They were held back" in (await get(serve(trained), f"{CARD}/rows", ROOT)).text
    conn.execute("insert into messages (message) values ('a new lamp is broken')")
    conn.commit()
    predict_rows(conn, find_classifier(conn, "topics"), "messages")
    job = max(job.id for job in list_jobs(conn))
    page = (await get(serve(trained), f"/town/-/ftclassify/jobs/{job}", ROOT)).text
    said = re.search(
        r"(\d+) were used in training, (\d+) were held back .* (\d+) are new", seen(page)
    )
    assert said is not None
    trained_on, held, new = map(int, said.groups())
    assert trained_on == find_classifier(conn, "topics").training_rows
    assert (held, trained_on + held + new) == (48, 558)
    link = re.search(r'href="([^"]+)">Which rows these are', page)
    assert link is not None
    listed = (await get(serve(trained), unescape(link[1]), ROOT, follow_redirects=True)).text
    assert "topics_label" in listed
    assert ">train<" in listed


def test_the_recipe_of_the_docs_says_what_each_row_was(
    trained: Path, conn: sqlite3.Connection
) -> None:
    from datasette_ftclassify.sql.functions import register

    register(conn)
    docs = (folders.ROOT / "docs" / "sql.md").read_text()
    (recipe,) = [s for s in re.findall(r"```sql\n(.*?)```", docs, re.S) if "split_rows" in s]
    found = conn.execute(recipe).fetchall()
    assert {row[-1] for row in found} == {"test", "validation", None}


async def test_a_training_says_which_texts_are_no_plain_ones(tmp_path: Path) -> None:
    path = tmp_path / "town.db"
    with closing(connect(path, must_exist=False)) as conn:
        conn.execute("create table m (id integer primary key, t, l text)")
        for n in range(60):
            label = ("apple", "brick", "cloud")[n % 3]
            text: Any = f"{label} {n} words"
            if n < 6:
                text = f"<html><body><p>{text}</p><p>more</p></body></html>"
            conn.execute("insert into m values (?, ?, ?)", [n, text, label])
        conn.execute("update m set t = cast(x'6170706c6520e9' as text) where id = 57")
        conn.commit()
    told = run("train", path, "m", "--text", "t", "--label", "l", "--name", "topics").output
    for shown in (told, seen((await get(serve(path), CARD, ROOT)).text)):
        assert "6 texts are in HTML, whose tags were read as words" in shown
        assert "1 text is not valid UTF-8" in shown


async def test_a_markup_that_is_none_is_said_beside_its_field(trained: Path) -> None:
    page = "/town/-/ftclassify/train.json?table=messages&text=message&label=topic&markup=bbcode"
    errors = (await get(serve(trained), page, ROOT)).json()["errors"]
    assert errors == {"markup": "The markup must be one of none, html, not bbcode."}


def test_the_share_of_a_training_that_is_done_never_becomes_less(conn: sqlite3.Connection) -> None:
    shares: list[float] = []
    task = define(conn, "messages", text=["message"], labels=["topic"], where="id < 150")
    train_classifier(
        conn, task, TrainRequest(name="few"), progress=lambda step, share: shares.append(share)
    )
    assert len(shares) > 5
    assert shares == sorted(shares)
    assert shares[-1] < 1


def test_what_is_beyond_a_histogram_is_marked_as_more() -> None:
    bins = [HistogramBin(i * 100, (i + 1) * 100, 5) for i in range(20)]
    drawn = histogram([*bins, HistogramBin(2_000, None, 9)])
    assert drawn is not None
    assert drawn.x.ticks[-1].text == "2,000+"
    assert [tick.text for tick in drawn.x.ticks[:-1]] == ["0", "500", "1,000", "1,500"]
    closed = histogram(bins)
    assert closed is not None
    assert closed.x.ticks[-1].text == "2,000"
