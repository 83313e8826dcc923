"""The page that makes a class for what is none of the labels."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path

import pytest
from running_jobs import jobs_of
from sample_databases import rows
from sports import INSERT, football, sports
from stored import list_jobs
from visiting import ROOT, get, seen, send, serve, submit

from datasette_ftclassify.core import time_limit
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.settings import TrainSettings, settings_of
from datasette_ftclassify.trainers.local.trainer import LocalTrainer

FOOTBALL = 40


@pytest.fixture
def path(sports_db: Path) -> Path:
    """Two sports with labels; hockey, baseball and football without."""
    with closing(connect(sports_db)) as conn, conn:
        more = sports(60, seed=8)[0] + football(FOOTBALL)
        conn.executemany(INSERT, [(text, None) for text in more])
    return sports_db


def page(path: Path) -> str:
    return f"/{path.stem}/-/ftclassify/classifiers/sports/other"


async def test_unlike_rows_are_marked_judged_and_become_a_class(path: Path):
    datasette = serve(path)
    shown = await get(datasette, page(path), ROOT)
    found = (await get(datasette, f"{page(path)}.json", ROOT)).json()
    assert len(found["rows"]) >= 30
    assert shown.text.count('name="keys"') == len(found["rows"])
    assert " checked>" not in shown.text  # hockey that is unlike must not slip in
    assert {row["answer"] for row in found["rows"]} <= {"hockey", "baseball"}
    keys = [json.dumps(row["key"]) for row in found["rows"] if "offside" in row["text"]]
    marked = {"keys": keys[:30], "label": "football"}
    preview = await submit(datasette, page(path), ROOT, action="preview", **marked)
    said = seen(preview.text)
    assert preview.status_code == 200
    assert "Train a new version with football" in said
    assert "30 rows" in said
    assert "without the class" in said
    assert "10 of 70 other rows without a label" in said  # the football that was not marked
    examples = preview.text[preview.text.index("Also given to</h3>") :]
    assert examples.count(f'<a href="/{path.stem}/texts/') >= 10
    assert [job.id for job in jobs_of(path, "train")] == [1]  # nothing is trained yet
    form = preview.text[preview.text.index("ft-agree") : preview.text.index("Cancel")]
    assert preview.text.count(" checked>") == 30
    assert form.count('type="hidden" name="keys"') == 30
    assert (await submit(datasette, page(path), ROOT, action="train", **marked)).status_code == 302
    with closing(connect(path)) as conn:
        before = rows(conn, "select sport from texts order by id")
        job = list_jobs(conn, "train")[0]
        task = settings_of(job, TrainSettings).task
        assert rows(conn, "select sport from texts order by id") == before
    assert task.other is not None
    assert task.other.label == "football"
    assert task.other.where.count(", ") == 29
    assert f"({json.loads(keys[0])[0]}, " in task.other.where


async def test_loading_the_classifier_counts_for_no_limit_of_the_rows(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    limits: list[float] = []
    load = LocalTrainer.load

    def noted(*arguments):
        (ends,) = time_limit._ends.values()
        limits.append(ends[-1] - time.monotonic())
        return load(*arguments)

    monkeypatch.setattr(LocalTrainer, "load", noted)
    assert (await get(serve(path), page(path), ROOT)).status_code == 200
    (left,) = limits  # it is loaded once
    assert left > 2


async def test_rows_by_a_column_are_the_same_for_a_program(path: Path):
    datasette = serve(path)
    asked = {"action": "preview", "column": "text", "how": "contains", "value": "OFFside"}
    found = (await send(datasette, page(path), asked, ROOT)).json()["preview"]
    assert (found["label"], found["rows"]) == ("other", FOOTBALL)
    assert found["caught"] > 0.9 * FOOTBALL
    trained = (await send(datasette, page(path), {**asked, "action": "train"}, ROOT)).json()
    assert trained["job"]["kind"] == "train"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"action": "preview"}, "Mark the rows"),
        ({"action": "preview", "keys": ["x"]}, "key of a row"),
        ({"action": "preview", "keys": ["[null]"]}, "JSON array of texts and numbers"),
        ({"action": "preview", "keys": ["[301]"]}, "10 are needed"),
        ({"action": "preview", "column": "nope", "value": "a", "how": "is"}, "no column nope"),
        ({"action": "preview", "column": "text", "value": "", "how": "is"}, "Say what the column"),
        ({"action": "burn", "keys": ["[301]"]}, "preview, train"),
        ({"action": "train", "keys": ["[301]"], "label": "hockey"}, "has a label hockey already"),
    ],
)
async def test_what_makes_no_class_is_said_on_the_page(path: Path, given: dict, said: str):
    refused = await send(serve(path), page(path), given, ROOT)
    assert refused.status_code == 400
    assert said in refused.json()["error"]


async def test_a_refusal_keeps_what_was_marked(path: Path):
    datasette = serve(path)
    refused = await submit(
        datasette, page(path), ROOT, action="preview", keys=["[361]"], label="hockey"
    )
    assert refused.status_code == 400
    assert "has a label hockey already" in seen(refused.text)
    assert refused.text.count(" checked>") <= 1
    assert 'value="hockey"' in refused.text


async def test_a_classifier_that_cannot_have_one_says_so(trained: Path):
    datasette, cards = serve(trained), "/town/-/ftclassify/classifiers"
    answer = await get(datasette, f"{cards}/subjects/other", ROOT)
    assert answer.status_code == 400
    assert "may have several labels" in seen(answer.text)
    assert 'name="keys"' not in answer.text
    assert '/other">' not in (await get(datasette, f"{cards}/subjects", ROOT)).text
    assert '/other">' in (await get(datasette, f"{cards}/topics", ROOT)).text
