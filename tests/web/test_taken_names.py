"""The earlier name of a classifier, by which queries go on asking it, is not taken over by who may
do nothing with it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from datasette.app import Datasette
from stored import add
from visiting import ROOT, send, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.task import define
from datasette_ftclassify.store.classifiers import find_classifier, rename_classifier

OURS = "/town/-/ftclassify"


@pytest.fixture
def town(tmp_path: Path) -> Path:
    """The classifier `letters`, once `topics`, of a table that is closed to tom, and `own`."""
    path = tmp_path / "town.db"
    with closing(connect(path, must_exist=False)) as conn:
        for table in ("closed", "open"):
            with conn:
                conn.execute(f"create table {table} (id integer primary key, text, label)")
                rows = [("a ship sails", "port"), ("a tree grows", "garden")] * 30
                conn.executemany(f"insert into {table} (text, label) values (?, ?)", rows)
        for table, name in (("closed", "topics"), ("open", "own")):
            add(conn, name, task=define(conn, table, text=["text"], labels=["label"]))
        rename_classifier(conn, "topics", "letters")
    return path


def served(town: Path) -> Datasette:
    grants = {f"ftclassify-{what}": {"id": ["tom", ROOT]} for what in ("train", "delete")}
    return serve(town, tables={"closed": {"allow": {"id": ROOT}}}, grants=grants)


@pytest.mark.parametrize("name", ["topics", "letters"])
async def test_neither_by_a_training_nor_by_another_name(town: Path, name: str) -> None:
    train = {"table": "open", "text": "text", "label": "label", "name": name}
    datasette = served(town)
    for page, body in (
        ("train", train),
        ("classifiers/own", {"action": "rename", "new_name": name}),
    ):
        refused = await send(datasette, f"{OURS}/{page}.json", body, "tom")
        assert refused.status_code == 403, (page, refused.text)
        assert "choose another" in refused.json()["error"]
    with closing(connect(town)) as conn:
        assert find_classifier(conn, "topics").task.source == "closed"


async def test_nor_by_an_old_job_that_wanted_it_when_it_was_free(town: Path) -> None:
    body = {"table": "open", "text": "text", "label": "label", "name": "free"}
    datasette = served(town)
    begun = await send(datasette, f"{OURS}/train.json?table=open", body, "tom")
    job = f"{OURS}/jobs/{begun.json()['job']['id']}.json"
    assert (await send(datasette, job, {"action": "cancel"}, "tom")).status_code == 200
    with closing(connect(town)) as conn:
        add(conn, "free", task=define(conn, "closed", text=["text"], labels=["label"]))
    assert (await send(datasette, job, {"action": "retry"}, "tom")).status_code == 403
    assert (await send(datasette, job, {"action": "retry"}, ROOT)).status_code == 200


async def test_who_may_do_so_may_take_it(town: Path) -> None:
    body = {"action": "rename", "new_name": "topics"}
    done = await send(served(town), f"{OURS}/classifiers/own.json", body, ROOT)
    assert done.status_code == 200
    with closing(connect(town)) as conn:
        assert find_classifier(conn, "topics").task.source == "open"
