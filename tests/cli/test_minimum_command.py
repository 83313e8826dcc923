"""`classifiers minimum`: what can be promised, and what is kept."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any

from commands import run, run_json
from sample_databases import value
from visiting import get, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.sql.functions import register


def said(path: Path, *arguments: str, code: int = 0) -> str:
    return run("classifiers", "minimum", path, *arguments, code=code).output


def data(path: Path, *arguments: str) -> dict[str, Any]:
    return run_json("classifiers", "minimum", path, *arguments)


def test_it_shows_keeps_and_gives_up_a_promise(trained: Path):
    shown = said(trained, "topics")
    assert "Every answer is given, whatever its score." in shown
    assert "20% wrong, likely" in shown
    assert "test rows:" in shown
    kept = data(trained, "topics", "--wrong-at-most", "20%")
    assert kept["minimum"]["strength"] == "likely"
    assert kept["test"]["rows"] == 48
    assert kept["minimum"] == data(trained, "topics")["minimum"]
    with closing(connect(trained)) as conn:
        register(conn)
        below = "ft_score(message, 'topics') < ?"
        sql = f"select total((ft_classify(message, 'topics') is null) <> ({below})) from messages"
        assert value(conn, f"{sql} where message <> ''", [kept["minimum"]["score"]]) == 0
    assert "at most 20% wrong (likely)" in said(trained, "topics")
    assert data(trained, "topics", "--none")["minimum"] is None
    assert data(trained, "topics")["minimum"] is None


def test_what_cannot_be_promised_ends_with_1_and_bad_usage_with_2(trained: Path):
    asked = ("--wrong-at-most", "0.1%", "--strength", "guaranteed")
    refused = said(trained, "topics", *asked, code=1)
    assert "cannot be guaranteed" in refused
    possible = re.search(r"At most (\d+%) wrong can be had", refused)
    assert possible is not None
    for bad in (
        ["--wrong-at-most", "5%", "--score", "0.5"], ["--wrong-at-most", "70%"],
        ["--none", "--score", "0.5"], ["--strength", "fixed"],
    ):  # fmt: skip
        said(trained, "topics", *bad, code=2)
    assert data(trained, "topics")["minimum"] is None
    assert data(trained, "topics", "--wrong-at-most", possible[1], "--strength", "guaranteed")


def test_the_answers_with_one_label_can_be_looked_at_alone(trained: Path):
    one = data(trained, "topics", "--label", "Street lighting")
    assert 0 < one["rows"] < data(trained, "topics")["rows"]
    assert "has no label gone" in said(trained, "topics", "--label", "gone", code=1)


def test_several_labels_get_thresholds(trained: Path):
    kept = data(trained, "subjects", "--recall", "0.7")
    assert all(0 <= least <= 1 for least in kept["minimum"]["thresholds"])
    assert kept["minimum"]["figure"] == "recall"
    assert "recall of at least 70%" in said(trained, "subjects")


def test_predict_asks_for_a_share(trained: Path):
    arguments = ["predict", trained, "messages", "--classifier", "topics", "--wrong-at-most", "10%"]
    assert 0 < run_json(*arguments, "--strength", "likely")["threshold"] < 1
    assert "not both" in run(*arguments, "--min-score", "0.5", code=1).output


async def test_the_command_and_the_page_say_the_same(trained: Path):
    said(trained, "topics", "--wrong-at-most", "20%")
    said(trained, "subjects", "--precision", "0.7")
    datasette = serve(trained)
    for name in ("topics", "subjects"):
        address = f"/town/-/ftclassify/classifiers/{name}/minimum.json"
        assert (await get(datasette, address)).json() == {"ok": True, **data(trained, name)}


def test_a_damaged_one_ends_with_1(trained: Path):
    said(trained, "topics", "--score", "0.5")
    with closing(connect(trained)) as conn, conn:
        conn.execute("update _ftclassify_minimum_scores set score = 7")
    refused = said(trained, "topics", "--json", code=1)
    assert "is damaged in this file: choose it again" in refused
