"""The result of a check is read from a file that an older version or a stranger has written."""

from __future__ import annotations

import copy
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from remote_classifier import report_table
from visiting import get, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import ArtifactError
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.check import submit_check
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.stored_check import read_check
from datasette_ftclassify.store.jobs.job import Job
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.trainers.access import Access
from datasette_ftclassify.web.train_form import Choices
from datasette_ftclassify.web.trainer_options import offers

GRANTS = {"ftclassify-train": {"id": "ann"}}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with labels that only look different, and a check of it."""
    path = tmp_path_factory.mktemp("checked") / "town.db"
    with closing(report_table(path, 40)) as conn:
        with conn:
            conn.execute("update reports set topic = upper(topic) where id < 6")
        task = define(conn, "reports", text=["body"], labels=["topic"], kind="multiclass")
        run_job(conn, submit_check(conn, task, SplitPlan()).id, access=Access())
    return path


@pytest.fixture(scope="module")
def job(checked: Path) -> Iterator[Job]:
    with closing(connect(checked)) as conn:
        yield get_job(conn, 1)


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of every value in JSON, itself included, but for the details, which are free."""
    yield path
    inside = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if path and isinstance(data, list)
        else ()
    )
    for name, value in inside:
        if name != "details":
            yield from places(value, (*path, name))


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The JSON with another value there; without what is there, where the value is `places`."""
    data = copy.deepcopy(data)
    inner = data
    for name in path[:-1]:
        inner = inner[name]
    if value is places:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return data


OTHERS = st.sampled_from(
    [places, None, True, -1, 2**62, 0.5, "", "x", [], [[]], [None], {}, {"x": 1}]
)


@given(st.data(), OTHERS)
def test_whatever_it_holds_it_is_read_or_refused_and_can_be_shown(
    job: Job, data: st.DataObject, other: Any
) -> None:
    result = job.result or {}
    path = data.draw(st.sampled_from([path for path in places(result) if path]))
    changed_job = replace(job, result=changed(result, path, other))
    try:
        check = read_check(changed_job)
    except ArtifactError:
        return
    assert offers(Choices("reports"), Access(), check)
    assert [finding.number for finding in check.findings] == [*range(len(check.findings))]


def test_it_is_read_as_it_was_written(job: Job) -> None:
    result = job.result or {}
    check = read_check(job)
    assert json.loads(json.dumps([check.rows, check.splits, check.distributions])) == [
        result["rows"], result["splits"], result["distributions"],
    ]  # fmt: skip
    assert [f.code for f in check.findings] == [f["code"] for f in result["findings"]]
    proposals = [f.proposal for f in check.findings if f.code == "label-variants"]
    assert [len((proposal or {})["merged"]) for proposal in proposals] == [3]


def put(path: Path, result: Any) -> None:
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("update _ftclassify_jobs set result = ?", [json.dumps(result)])


async def test_labels_are_merged_by_a_check_of_the_first_version(
    checked: Path, job: Job, tmp_path: Path
) -> None:
    """Which stored the labels beside the finding, and not what a button sets."""
    result = copy.deepcopy(job.result or {})
    for finding in result["findings"]:
        if finding["code"] == "label-variants":
            finding["details"] = {"merge": finding["details"]["set"]["merged"]}
    path = tmp_path / "town.db"
    path.write_bytes(checked.read_bytes())
    put(path, result)
    page = await get(
        serve(path, grants=GRANTS), "/town/-/ftclassify/train?table=reports&check=1", "ann"
    )
    assert "Count each as one label" in page.text


async def test_a_page_of_a_damaged_check_says_so(checked: Path, job: Job, tmp_path: Path) -> None:
    path = tmp_path / "town.db"
    path.write_bytes(checked.read_bytes())
    put(path, changed(job.result, ("splits", "rows"), {}))
    datasette = serve(path, grants=GRANTS)
    page = await get(datasette, "/town/-/ftclassify/train?table=reports&check=1", "ann")
    assert page.status_code == 200
    assert "Findings" not in page.text
    finding = await get(datasette, "/town/-/ftclassify/jobs/1/finding/0", "ann")
    assert "check the rows again" in finding.text
