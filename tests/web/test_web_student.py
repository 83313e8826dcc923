"""The page that trains a student of a classifier."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from stored import list_jobs
from visiting import ROOT, get, seen, serve, submit

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.settings import TrainSettings, settings_of
from datasette_ftclassify.store.classifiers import find_classifier

PAGE = "/town/-/ftclassify/classifiers/topics/student"


@pytest.fixture
def path(trained_file: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(trained_file, tmp_path / "town.db"))


async def test_a_student_is_queued_with_its_teacher(path: Path) -> None:
    datasette = serve(path)
    page = await get(datasette, PAGE, ROOT)
    assert "Train a student of topics@1" in seen(page.text)
    assert "nothing is paid" in seen(page.text)
    said = json.loads((await get(datasette, f"{PAGE}.json", ROOT)).text)
    assert said["name"] == "topics-student"
    done = await submit(datasette, PAGE, ROOT, name="small")
    assert done.status_code == 302
    with closing(connect(path)) as conn:
        job = list_jobs(conn, "train")[0]
        request = settings_of(job, TrainSettings).request
        teacher = find_classifier(conn, "topics")
    assert (request.name, request.trainer) == ("small", "local")
    assert request.teacher == request.like == teacher.uid


async def test_a_name_that_cannot_be_is_refused_on_the_page(path: Path) -> None:
    refused = await submit(serve(path), PAGE, ROOT, name="a@b")
    assert refused.status_code == 400
    assert 'role="alert"' in refused.text
