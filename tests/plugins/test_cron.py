"""Nightly retraining by datasette-cron, whose own scheduler runs the tasks."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from openai_server import OpenAIServer
from remote_classifier import add_asked, report_table
from running_jobs import PATIENCE
from stored import list_jobs

from datasette_ftclassify.core.database import connect

pytest.importorskip("datasette_cron", reason="tests/plugins/requirements-1.txt is not here")

TASK = "ftclassify-retrain town topics"
GRANTS = {"ftclassify-train": {"id": "datasette-cron"}}


async def started(path: Path, retrain: Any, permissions: Any = GRANTS) -> Datasette:
    ours = {"retrain": retrain, "permissions": permissions}
    datasette = Datasette([str(path)], config={"plugins": {"datasette-ftclassify": ours}})
    await datasette.invoke_startup()
    return datasette


async def tasks(datasette: Datasette) -> dict[str, Any]:
    return {one.name: one for one in await datasette._cron_scheduler.internal_db.get_all_tasks()}


async def run(datasette: Datasette) -> Any:
    """How datasette-cron says that the task ended, which it has run now."""
    scheduler = datasette._cron_scheduler
    before = len(await scheduler.internal_db.get_runs(TASK))
    await scheduler.trigger_task(TASK)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        runs = await scheduler.internal_db.get_runs(TASK)
        if len(runs) > before and runs[0].status != "running":
            return runs[0]
        await asyncio.sleep(0.02)
    raise AssertionError("the task has not ended")


def trainings(path: Path) -> list[Any]:
    with closing(connect(path)) as conn:
        return list_jobs(conn, "train")


def label_more(path: Path) -> None:
    with closing(connect(path)) as conn, conn:
        conn.execute("insert into messages (message, topic) values ('A lamp is out.', 'Lights')")


async def test_a_training_is_queued_where_there_are_new_labels(town: Path):
    datasette = await started(town, {"town": {"topics": "0 3 * * *"}})
    (task,) = (await tasks(datasette)).values()
    assert (task.name, task.handler) == (TASK, "ftclassify:retrain")
    assert (await run(datasette)).status == "success"
    assert trainings(town) == []  # all labels are known
    label_more(town)
    assert (await run(datasette)).status == "success"
    assert (await run(datasette)).status == "success"
    (job,) = trainings(town)  # however often it is asked for
    assert job.state == "queued"
    assert job.settings["only_if_better"] is True


async def test_nothing_is_trained_that_was_not_granted_or_costs(
    town: Path, tmp_path: Path, openai_server: OpenAIServer
):
    label_more(town)
    wanted = {"town": {"topics": "0 3 * * *"}}
    refused = await run(await started(town, wanted, {}))
    assert refused.status == "error"
    assert "it needs the permission ftclassify-train" in refused.error_message
    assert trainings(town) == []
    (tmp_path / "paid").mkdir()
    path = tmp_path / "paid" / "town.db"
    with closing(report_table(path, 30)) as conn:
        add_asked(conn, openai_server, "ft:gpt-4.1-nano:town::1")
    before = len(openai_server.log)
    paid = await run(await started(path, wanted, {**GRANTS, "ftclassify-spend": True}))
    assert paid.status == "error"
    assert trainings(path) == []
    assert len(openai_server.log) == before


async def test_the_tasks_are_those_of_the_setting(
    town: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    internal = str(tmp_path / "internal.db")

    async def names(retrain: Any) -> set[str]:
        datasette = Datasette(
            [str(town)],
            internal=internal,
            config={"plugins": {"datasette-ftclassify": {"retrain": retrain}}},
        )
        await datasette.invoke_startup()
        return set(await tasks(datasette))

    with caplog.at_level(logging.ERROR):
        assert await names({"town": {"topics": "0 3 * * *", "other": "every night"}}) == {TASK}
    assert "a schedule for other in town that cannot be read" in caplog.text
    assert await names({}) == set()
    with caplog.at_level(logging.ERROR):
        assert await names({"town": ["topics"]}) == set()
    assert "no classifiers for town" in caplog.text
