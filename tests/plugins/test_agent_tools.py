"""The tools of datasette-agent, called as it calls them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from openai_server import OpenAIServer
from remote_classifier import add_asked, report_table
from running_jobs import PATIENCE
from stored import list_jobs
from visiting import ROOT, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.store.classifiers import list_classifiers
from datasette_ftclassify.web import lifespan

pytest.importorskip("datasette_agent", reason="tests/plugins/requirements-1.txt is not here")

from datasette_agent.questions import QuestionPending
from datasette_agent.schema import ensure_tables
from datasette_agent.tools import execute_agent_tool, get_agent_tools

from datasette_ftclassify.web.plugins import agent_tools

ACTOR = {"id": ROOT}


async def call(datasette: Datasette, tool: str, actor: Any = ACTOR, /, **given: Any) -> Any:
    """What the agent's model reads after it has called the tool."""
    agent = {name: given.pop(name) for name in list(given) if name in AGENT}
    every = {one.name: one for one in await get_agent_tools(datasette)}
    said = await execute_agent_tool(
        every[f"ftclassify_{tool}"], datasette, actor, arguments={"database": "town", **given},
        **{"conversation_id": "c", "supports_questions": False, **agent},
    )  # fmt: skip
    return json.loads(said)


AGENT = ("supports_questions", "ask_user_callback")


@pytest.fixture
async def datasette(town: Path) -> AsyncIterator[Datasette]:
    datasette = serve(town, writers=ROOT)
    await datasette.invoke_startup()
    await ensure_tables(datasette.get_internal_database())
    yield datasette
    await lifespan._stop(datasette)


@pytest.fixture
def jobs(town: Path) -> Callable[[], list[Any]]:
    def every() -> list[Any]:
        with closing(connect(town)) as conn:
            return list_jobs(conn)

    return every


async def test_texts_are_classified(datasette: Datasette):
    found = await call(datasette, "list")
    (only,) = found["classifiers"]
    assert (only["classifier"], only["source"]) == ("topics", "messages")
    said = await call(datasette, "classify", classifier="topics", texts=["The lamp is broken.", ""])
    answer, none = said["answers"]
    assert answer["label"] in only["labels"]
    assert 0 < answer["score"] <= 1
    assert none == {"error": "The text is empty."}
    many = await call(datasette, "classify", classifier="topics", texts=["x"] * 21)
    assert "ft_classify() in SQL" in many["error"]


async def test_a_tool_knows_no_more_than_its_user(town: Path, jobs: Callable[[], list[Any]]):
    closed = serve(town, tables={"messages": {"allow": {"id": "ann"}}})
    await closed.invoke_startup()
    assert (await call(closed, "list", None))["classifiers"] == []
    for tool, given in (
        ("classify", {"classifier": "topics", "texts": ["lamp"]}),
        ("compare", {"classifier": "topics"}),
        ("check", {"table": "messages"}),
        ("train", {"table": "messages"}),
    ):
        said = await call(closed, tool, {"id": "bob"}, **given, ask_user_callback=lambda q: True)
        assert not said["ok"], tool
        assert "may not see it" in said["error"], tool
    said = await call(closed, "train", {"id": "ann"}, table="messages",
                      ask_user_callback=lambda question: True)  # fmt: skip
    assert "it needs the permission ftclassify-train" in said["error"]
    said = await call(closed, "check", {"id": "ann"}, table="messages", database="other")
    assert "not found" in said["error"]
    assert jobs() == []


async def test_a_table_is_checked_and_a_classifier_trained_and_compared(
    datasette: Datasette, town: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(agent_tools, "WAIT_SECONDS", PATIENCE)  # no test is about time
    lifespan._start(datasette)  # the worker, as in a server
    checked = await call(datasette, "check", table="messages", label=["topic"], text=["message"])
    assert checked["ok"], checked
    assert checked["findings"], checked
    assert all(one["advice"] and one["message"] for one in checked["findings"])
    questions: list[dict[str, Any]] = []

    def agree(question: dict[str, Any]) -> bool:
        questions.append(question)
        return True

    made = await call(datasette, "train", table="messages", text=["message"], label=["topic"],
                      name="second", ask_user_callback=agree)  # fmt: skip
    assert made["classifier"] == "second@1", made
    (question,) = questions
    assert "on this machine, without cost" in question["html"]
    with closing(connect(town)) as conn:
        assert {one.title for one in list_classifiers(conn)} == {"topics@1", "second@1"}
    compared = await call(datasette, "compare", classifier="second", others=["topics"])
    if compared["ok"]:
        assert {one["title"] for one in compared["classifiers"]} >= {"second@1", "topics@1"}
    else:  # their test rows may have nothing in common
        assert compared["error"]


async def test_nothing_is_trained_before_the_user_agrees(
    datasette: Datasette, jobs: Callable[[], list[Any]]
):
    given: dict[str, Any] = {"table": "messages", "text": ["message"], "label": ["topic"]}
    alone = await call(datasette, "train", **given)
    assert "nobody can be asked here" in alone["error"]
    declined = await call(datasette, "train", **given, ask_user_callback=lambda question: False)
    assert declined["error"] == "The user does not want this training."
    with pytest.raises(QuestionPending, match="Train a classifier on the table messages"):
        await call(datasette, "train", **given, supports_questions=True)
    assert jobs() == []
    internal = datasette.get_internal_database()
    await internal.execute_write("update agent_questions set status='answered', answer_json='true'")
    begun = await call(datasette, "train", **given, supports_questions=True)
    assert "This server runs no jobs" in begun["said"]
    (job,) = jobs()
    assert (job.kind, job.settings["trainer"], job.state) == ("train", "local", "queued")


async def test_what_is_shown_to_agree_to_is_text(tmp_path: Path):
    path = tmp_path / "town.db"
    with closing(connect(path, must_exist=False)) as conn:
        conn.execute('create table "<b>rows" (message, topic)')
    datasette = serve(path)
    await datasette.invoke_startup()
    questions: list[dict[str, Any]] = []
    await call(datasette, "train", table="<b>rows", text=["message"], label=["topic"],
               ask_user_callback=lambda question: questions.append(question))  # fmt: skip
    assert [q for q in questions if "<b>" in q["html"]] == []


async def test_no_tool_spends(tmp_path: Path, openai_server: OpenAIServer):
    path = tmp_path / "town.db"
    with closing(report_table(path, 30)) as conn:
        add_asked(conn, openai_server, "ft:gpt-4.1-nano:town::1")
    before = len(openai_server.log)
    datasette = serve(path)
    await datasette.invoke_startup()
    said = await call(datasette, "classify", classifier="topics", texts=["a lamp"])
    assert "answers" in said
    assert "error" in said["answers"][0]
    assert len(openai_server.log) == before
