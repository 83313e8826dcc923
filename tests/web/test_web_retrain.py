"""The pages that train a new version of a classifier, or a student: what the first says of the rows
before, however many there are."""

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
from datasette_ftclassify.web.pages import retrain

PAGE = "/town/-/ftclassify/classifiers/topics/retrain"
ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n)"


@pytest.fixture
def path(trained_file: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(trained_file, tmp_path / "town.db"))


async def test_what_has_changed_is_counted(path: Path) -> None:
    with closing(connect(path)) as conn, conn:
        conn.execute("insert into messages (message, topic) values ('a new bench', 'parks')")
        conn.execute("insert into messages (message, topic) values ('a new otter', 'otters')")
    page = await get(serve(path), PAGE, ROOT)
    assert "2 rows have a label that was not there then" in seen(page.text)
    assert "otters" in seen(page.text)


async def test_a_large_table_is_trained_again_without_counting_it_first(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrain, "_MOST_ROWS", 10)
    datasette = serve(path)
    page = await get(datasette, PAGE, ROOT)
    assert "are not counted here, since the table is large" in seen(page.text)
    assert ">Train a new version<" in page.text
    said = json.loads((await get(datasette, f"{PAGE}.json", ROOT)).text)
    assert said["changes"] is None
    assert said["corrections"] == 0


async def test_a_table_that_never_ends_holds_the_page_up_no_longer_than_a_query(path: Path) -> None:
    with closing(connect(path)) as conn, conn:
        conn.execute("alter table messages rename to kept")
        conn.execute(f"create view messages as {ENDLESS} select kept.* from kept, n where i < 0")
    datasette = serve(path, sql_time_limit_ms=1_000)
    page = await get(datasette, PAGE, ROOT)
    assert page.status_code == 200
    assert "are not counted here" in seen(page.text)


async def test_rows_that_cannot_be_read_are_an_error_to_programs_too(path: Path) -> None:
    with closing(connect(path)) as conn, conn:
        conn.execute("alter table messages rename column message to body")
    refused = await get(serve(path), f"{PAGE}.json", ROOT)
    assert refused.status_code == refused.json()["status"] == 400
    assert refused.json()["ok"] is False


STUDENT = "/town/-/ftclassify/classifiers/topics/student"


async def test_a_student_is_queued_with_its_teacher(path: Path) -> None:
    datasette = serve(path)
    page = await get(datasette, STUDENT, ROOT)
    assert "Train a student of topics@1" in seen(page.text)
    assert "Nothing leaves this machine or costs money" in seen(page.text)
    said = json.loads((await get(datasette, f"{STUDENT}.json", ROOT)).text)
    assert said["name"] == "topics-student"
    done = await submit(datasette, STUDENT, ROOT, name="small")
    assert done.status_code == 302
    with closing(connect(path)) as conn:
        job = list_jobs(conn, "train")[0]
        request = settings_of(job, TrainSettings).request
        teacher = find_classifier(conn, "topics")
    assert (request.name, request.trainer) == ("small", "local")
    assert request.teacher == request.like == teacher.uid


async def test_a_name_that_cannot_be_is_refused_on_the_page(path: Path) -> None:
    refused = await submit(serve(path), STUDENT, ROOT, name="a@b")
    assert refused.status_code == 400
    assert 'role="alert"' in refused.text
