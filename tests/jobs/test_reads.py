"""How often a table is read, and a request resolved against it: a large table takes seconds each
time, and somebody waits at a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from openai_server import OpenAIServer
from remote_classifier import add_asked, report_table, train_at
from service_training import MODEL, environment, quick_to_ask
from statements import statements_about
from visiting import send, serve

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs import check_results, confirming
from datasette_ftclassify.jobs.plan import Plan
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.trainers.configuration import read_access

PAYING = {f"ftclassify-{name}": {"id": "ann"} for name in ("train", "predict", "spend")}
TRAIN = {
    "text": "body", "label": "topic", "kind": "multiclass", "trainer": "openai", "model": MODEL,
    "epochs": "1", "name": "paid",
}  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_results, "_RECENT", check_results._Recent(16))


@pytest.fixture
def path(tmp_path: Path, openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of 60 rows, and a classifier at the server."""
    for name, setting in environment(openai_server).items():
        monkeypatch.setenv(name, setting)
    monkeypatch.setenv("FTCLASSIFY_USD_PER_JOB", "5")
    with closing(report_table(tmp_path / "town.db", 60)) as conn:
        add_asked(conn, openai_server, train_at(openai_server))
    return tmp_path / "town.db"


def command(*words: object) -> None:
    ended = CliRunner().invoke(ftclassify, [str(word) for word in words])
    assert ended.exit_code == 0, ended.output


async def post(path: Path, page: str, **fields: Any) -> dict[str, Any]:
    datasette = serve(path, grants=PAYING, writers="ann")
    given = {"table": "reports", **fields}
    answer: dict[str, Any] = (
        await send(datasette, f"/town/-/ftclassify/{page}", given, "ann")
    ).json()
    return answer


def run(path: Path, number: int) -> None:
    with closing(connect(path)) as conn, quick_to_ask():
        assert run_job(conn, number, access=read_access()).state == "finished"


@contextmanager
def counted_plans(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Plan]]:
    made: list[Plan] = []
    begin: Callable[..., None] = Plan.__init__

    def init(plan: Plan, *given: Any, **more: Any) -> None:
        made.append(plan)
        begin(plan, *given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Plan, "__init__", init)
        yield made


def test_a_paid_training_reads_its_table_once_to_be_agreed_to_and_once_to_be_sent(
    path: Path,
) -> None:
    words = [path, "reports", "--text", "body", "--label", "topic", "--kind", "multiclass"]
    words += ["--trainer", "openai", "--model", MODEL, "--epochs", "1", "--name", "paid", "--yes"]
    with statements_about("reports") as found:
        command("train", *words, "--queue")
    # Once for the price and what leaves; again for the checks, unless they know these rows.
    assert len(found.reads("body")) == 2, found
    with statements_about("reports") as found:
        run(path, 1)
    # Rows may have changed since, so they are read as they are sent; then the test rows are asked.
    assert len(found.reads("body")) == 2, found


async def test_the_page_reads_the_table_once_when_a_price_is_shown_and_once_when_it_is_agreed_to(
    path: Path,
) -> None:
    assert (await post(path, "train", **TRAIN))["status"] == 400  # which the checks have seen
    for agreed in ({}, {"confirm_usd": "1"}):
        with statements_about("reports") as found:
            answer = await post(path, "train", **TRAIN, **agreed)
        assert len(found.reads("body")) == 1, found
    assert answer["job"]["state"] == "queued"


async def test_a_prediction_is_planned_once_where_it_is_asked_for_and_once_by_its_job(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"classifier": "topics", "row": "3"}
    with counted_plans(monkeypatch) as plans:
        assert (await post(path, "classify", **asked))["status"] == 400
        assert len(plans) == 1
        job = (await post(path, "classify", **asked, confirm="1"))["job"]
        assert len(plans) == 2
        run(path, job)
        assert len(plans) == 3
    with counted_plans(monkeypatch) as plans:
        command("predict", path, "reports", "--where", "id = 4", "--overwrite", "--yes")
        assert len(plans) == 2


def test_a_large_table_is_not_read_to_say_that_its_labels_were_not_checked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirming, "CHECKED_ROWS", 20)
    with statements_about("reports") as found:
        command("predict", path, "reports", "--where", "id = 3", "--yes", "--queue")
    assert [sql for sql in found.reads("body") if "id = 3" not in sql] == []
