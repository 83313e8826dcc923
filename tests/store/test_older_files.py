"""Files made by earlier versions open as they are, and go on.

Each has a table `messages`, a classifier `towns` with two versions that was called `topics` before,
predictions of its first version in columns, and a training that waits.
"""

from __future__ import annotations

import gzip
import json
from contextlib import closing
from pathlib import Path

import pytest
from folders import SUPPORT
from stored import list_jobs
from visiting import ROOT, get, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.classifiers import find_classifier, list_classifiers
from datasette_ftclassify.store.jobs.state import get_job

OLDER = sorted((SUPPORT / "older").glob("*.db.gz"))


@pytest.fixture(params=OLDER, ids=lambda path: path.name)
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "older.db"
    path.write_bytes(gzip.decompress(request.param.read_bytes()))
    return path


def test_its_classifiers_answer_as_they_did(older: Path) -> None:
    with closing(connect(older)) as conn:
        register(conn)
        wrong = conn.execute(
            "select count(*) from messages where towns_label is not"
            " ft_classify(message, 'topics@1')"
            " or abs(towns_score - ft_score(message, 'towns@1')) > 1e-6"
        )
        assert wrong.fetchone() == (0,)
        assert conn.execute("select count(towns_label) from messages").fetchone() == (74,)


def test_it_is_listed_and_told_of_as_it_stands(older: Path) -> None:
    older.chmod(0o444)
    with closing(connect(older)) as conn:
        versions = [(c.name, c.version) for c in list_classifiers(conn)]
        assert sorted(versions) == [("towns", 1), ("towns", 2)]
        states = sorted((job.kind, job.state) for job in list_jobs(conn))
        assert states == [
            ("predict", "finished"), ("train", "finished"), ("train", "finished"),
            ("train", "queued"),
        ]  # fmt: skip


async def test_its_pages_open(older: Path) -> None:
    datasette = serve(older)
    base = "/older/-/ftclassify"
    for page in ("", "/classifiers/towns", "/classifiers/topics", "/classifiers/towns~401/rows"):
        response = await get(datasette, base + page, ROOT)
        assert response.status_code == 200, page
    with closing(connect(older)) as conn:
        numbers = [job.id for job in list_jobs(conn)]
    for number in numbers:
        told = (await get(datasette, f"{base}/jobs/{number}.json", ROOT)).json()
        assert json.dumps(told)


def test_it_is_gone_on_with(older: Path) -> None:
    with closing(connect(older)) as conn:
        task = define(conn, "messages", text=["message"], labels=["topic"])
        train_classifier(conn, task)
        assert len(list_classifiers(conn)) == 3
        assert find_classifier(conn, "topics").name == "towns"
        waiting = next(job for job in list_jobs(conn) if job.state == "queued")
        assert get_job(conn, waiting.id).settings["name"] == "later"
