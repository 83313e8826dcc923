"""The classifier's page, its rows, and the box to try a text."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from stored import add
from visiting import ROOT, get, send, serve, submit
from visiting import seen as seen_text

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.web import headline_figures

CARD = "/town/-/ftclassify/classifiers/topics"


@pytest.fixture
def ds(trained: Path) -> Datasette:
    return Datasette([str(trained)])


async def test_the_card_says_what_it_is_and_how_good(ds: Datasette):
    page = await ds.client.get(CARD)
    assert page.status_code == 200
    for expected in ("<dt>Accuracy</dt><dd><strong>0.", "95% interval", "always answering",
                     "Street lighting", 'role="img"', "ft_classify("):  # fmt: skip
        assert expected in page.text
    data = (await ds.client.get(f"{CARD}.json")).json()
    assert data["ok"] is True
    assert data["metrics"]["n_test"] == 48
    assert data["task"]["text"] == ["message"]


async def test_the_card_says_whether_scores_are_calibrated(trained: Path):
    ds = Datasette([str(trained)])
    said = unescape((await ds.client.get(CARD)).text)
    assert "Scores are not calibrated: that takes 500 rows, and 4" in said
    for damage in ('{"calibration": {"said": ["x"]}}', '{"calibration": {"said": 5}}'):
        with sqlite3.connect(trained) as conn:
            conn.execute("update _ftclassify_classifiers set report = ?", [damage])
        assert (await Datasette([str(trained)]).client.get(CARD)).status_code < 500


async def test_the_card_says_that_the_test_rows_are_easier(trained: Path):
    """Where cross-validation found much less than the rows held back show."""

    async def page(score: float) -> str:
        with closing(sqlite3.connect(trained)) as conn, conn:
            report = "json_set(report, '$.recipes', json(?), '$.recipe', 'only')"
            conn.execute(
                f"update _ftclassify_classifiers set report = {report}",
                [json.dumps([{"recipe": "only", "score": score}])],
            )
        return (await Datasette([str(trained)]).client.get(CARD)).text

    assert "seem easier" not in await page(0.95)
    text = await page(0.25)
    assert "The test rows seem easier than the others" in text
    assert "the accuracy was 0.250" in text


async def test_every_cell_of_the_matrix_leads_to_as_many_rows(ds: Datasette):
    page = (await ds.client.get(CARD)).text
    table = page[page.index('class="ft-confusion"') : page.index("</table>", page.index("ft-conf"))]
    cells = re.findall(r'<a href="([^"]+)"[^>]*>([\d,]+)</a>', table)
    assert len(cells) > 6
    seen = 0
    for href, count in cells:
        path, _, query = unescape(href).partition("?")
        rows = (await ds.client.get(f"{path}.json?{query}")).json()
        assert rows["total"] == int(count)
        seen += rows["total"]
    assert seen == 48


async def test_the_rows_have_their_texts_and_links_to_themselves(ds: Datasette):
    rows = (await ds.client.get(f"{CARD}/rows.json?wrong=1")).json()["rows"]
    assert rows
    for row in rows:
        assert row["truth"] != row["chosen"]
        assert row["text"]
        assert (await ds.client.get(row["url"])).status_code == 200
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores)
    assert (await ds.client.get(f"{CARD}/rows?truth=nonsense")).status_code == 400
    assert (await ds.client.get(f"{CARD}/rows?page=0")).status_code == 400


async def test_training_rows_are_listed_as_cross_validation_answered_them(ds: Datasette):
    every = (await ds.client.get(f"{CARD}/rows.json?held_out=1")).json()
    assert every["total"] > 400
    assert {row["split"] for row in every["rows"]} <= {"train", "validation"}
    page = unescape((await ds.client.get(CARD)).text)
    [link] = re.findall(r'href="([^"]+)">Training rows that it got wrong', page)
    wrong = await ds.client.get(link)
    assert "Training rows of" in wrong.text
    assert "by a model that had not seen it" in wrong.text
    path, _, query = link.partition("?")
    found = (await ds.client.get(f"{path}.json?{query}")).json()
    assert 0 < found["total"] < every["total"]
    assert all(row["truth"] != row["chosen"] and row["text"] for row in found["rows"])


async def test_rows_of_several_labels(ds: Datasette):
    card = "/town/-/ftclassify/classifiers/subjects"
    page = await ds.client.get(card)
    assert page.status_code == 200
    assert "ft-confusion" not in page.text
    labels = (await ds.client.get(f"{card}.json")).json()["metrics"]["labels"]
    for name, figures in labels.items():
        asked = (await ds.client.get(f"{card}/rows.json", params={"truth": name})).json()
        assert asked["total"] == figures["support"]
        chosen = (await ds.client.get(f"{card}/rows.json", params={"chosen": name})).json()
        assert chosen["total"] == figures["predicted"]


async def test_the_box_says_that_a_text_is_of_another_kind(ds: Datasette):
    invented = {"text": "frobnitz zyxqu"}
    data = (await ds.client.get(f"{CARD}/try.json", params=invented)).json()
    assert data["answer"]["known"] < 0.05
    page = await ds.client.get(f"{CARD}/try", params=invented)
    assert "This text is unlike the training rows" in page.text


async def test_the_box_answers_with_scores_and_words(ds: Datasette):
    answer = await ds.client.get(f"{CARD}/try.json", params={"text": "the street lamp is dark"})
    data = answer.json()
    assert data["answer"]["label"] == "Street lighting"
    assert sum(row["score"] for row in data["scores"]) == pytest.approx(1, abs=1e-3)
    assert data["scores"][0]["name"] == "Street lighting"
    assert any(word["word"] == "lamp" for word in data["answer"]["words"])
    page = await ds.client.get(f"{CARD}/try", params={"text": "<script>alert(1)</script> lamp"})
    assert "<script>alert(1)" not in page.text
    assert (await ds.client.get(f"{CARD}/try")).status_code == 200
    assert "is unlike the training rows" not in page.text
    long = await ds.client.get(f"{CARD}/try.json", params={"text": "x" * 30_000})
    assert long.status_code in (400, 414)


async def test_an_anonymous_visitor_cannot_ask_without_end():
    from datasette_ftclassify.web.pages.try_text import RateLimit

    limit = RateLimit(60)
    assert [limit.allows("a", 0.0) for _ in range(61)] == [True] * 60 + [False]
    assert limit.allows("b", 0.0)
    assert limit.allows("a", 1.1)
    assert not limit.allows("a", 1.1)


async def test_the_box_holds_back_the_anonymous_and_nobody_else(trained: Path, monkeypatch: Any):
    from datasette_ftclassify.web.pages import try_text

    monkeypatch.setattr(try_text, "_limit", try_text.RateLimit(2))
    ds = serve(trained)
    page = f"{CARD}/try?text=bins"
    assert [(await get(ds, page)).status_code for _ in range(3)] == [200, 200, 429]
    refused = await get(ds, f"{CARD}/try.json?text=bins")
    assert (refused.status_code, refused.json()["status"]) == (429, 429)
    assert "wait a minute" in refused.json()["error"]
    assert (await get(ds, page, "ann")).status_code == 200


async def test_a_published_copy_is_complete_and_read_only(trained: Path):
    ds = Datasette([], immutables=[str(trained)])
    page = await ds.client.get(CARD)
    assert page.status_code == 200
    assert "Delete" not in page.text
    assert (await ds.client.get(f"{CARD}/rows.json?wrong=1")).json()["rows"][0]["text"]
    answer = (await ds.client.get(f"{CARD}/try.json?text=bins")).json()["answer"]
    assert answer["label"] == "Bins and recycling"


def section(heading: str, text: str) -> str:
    """What stands under a heading of a page."""
    found = re.search(rf"<h2[^>]*>{heading}</h2>(.*?)</section>", text, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("typed", ["urgent", "re: <topics>@2", " "])
async def test_a_name_that_is_refused_stays_as_it_was_typed(trained: Path, typed: str):
    ds = serve(trained)
    shown = await get(ds, CARD, ROOT)
    page = await submit(ds, CARD, ROOT, action="rename", new_name=typed)
    assert page.status_code == 400
    assert 'role="alert"' in page.text
    field = re.search(r'<input id="ft-new-name"[^>]* value="([^"]*)"', page.text)
    assert field is not None
    assert unescape(field[1]) == typed
    # All else is as it was.
    before, after = (section("Evaluation", text) for text in (shown.text, page.text))
    assert before == after
    answer = await send(ds, CARD, {"action": "rename", "new_name": typed}, ROOT)
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize("how", [submit, None], ids=["form", "json"])
async def test_rename_default_and_delete(trained: Path, how: Any):
    ds = serve(trained)

    async def ask(path: str, **fields: Any) -> int:
        response = await (submit(ds, path, ROOT, **fields) if how else send(ds, path, fields, ROOT))
        return int(response.status_code)

    with closing(connect(trained)) as conn:
        task = find_classifier(conn, "topics").task
        add(conn, "topics", task=task, report={"not_used": "topics@1 stays in use."})
    assert (await get(ds, f"{CARD}.json")).json()["version"] == 1
    assert "not in use" in (await get(ds, f"{CARD}@2", ROOT)).text
    assert await ask(f"{CARD}@2", action="use") in (200, 302)
    assert (await get(ds, f"{CARD}.json")).json()["version"] == 2
    assert "Use this version" in (await get(ds, f"{CARD}@1", ROOT)).text
    assert await ask(f"{CARD}@1", action="use") in (200, 302)
    assert (await get(ds, f"{CARD}.json")).json()["version"] == 1
    listed = [
        one for one in (await get(ds, "/town/-/ftclassify.json")).json()["classifiers"]
        if one["classifier"] == "topics"
    ]  # fmt: skip
    assert [(one["version"], one["used"], one["default"]) for one in listed] == [
        (2, False, False), (1, True, True),
    ]  # fmt: skip
    page = seen_text((await get(ds, "/town/-/ftclassify")).text)
    assert "topics version 1, the default" in page
    assert "Other versions 2 " in page
    classify = seen_text((await get(ds, "/town/-/ftclassify/classify?table=messages", ROOT)).text)
    assert "topics@2: multiclass, local, not in use" in classify
    assert "Make it the default" not in (await get(ds, f"{CARD}@2", ROOT)).text
    assert await ask(CARD, action="rename", new_name="subject areas") in (200, 302)
    renamed = "/town/-/ftclassify/classifiers/subject~20areas"
    assert (await get(ds, f"{renamed}.json")).json()["aliases"] == ["topics"]
    assert "Earlier names, which still work" in (await get(ds, CARD)).text
    assert "answers kept of a service are deleted with it" in (await get(ds, CARD, ROOT)).text
    assert await ask(renamed, action="remove-alias", alias="urgent") == 400
    assert await ask(renamed, action="remove-alias", alias="topics") in (200, 302)
    assert (await get(ds, f"{renamed}.json")).json()["aliases"] == []
    assert (await get(ds, CARD)).status_code == 404
    urgent = "/town/-/ftclassify/classifiers/urgent"
    assert await ask(urgent, action="default") in (200, 302)
    assert (await get(ds, f"{urgent}.json")).json()["default"] is True
    assert await ask(urgent, action="explode") == 400
    assert await ask(urgent, action="delete") in (200, 302)
    assert (await get(ds, urgent)).status_code == 404


async def test_a_strangers_figures_do_not_take_the_page_down(trained: Path):
    with sqlite3.connect(trained) as conn:
        for damage in (
            '{"accuracy": "x", "confusion": {"labels": 3, "matrix": "no"}, "labels": [1]}',
            '{"reliability": [{"count": "many"}], "confusion": {}}', '{"labels": {"a": {}}}',
        ):  # fmt: skip
            conn.execute("update _ftclassify_evaluations set metrics = ?", [damage])
            conn.commit()
            page = await Datasette([str(trained)]).client.get(CARD)
            assert page.status_code == 200


async def test_versions_are_compared_on_the_rows_that_both_were_tested_on(trained: Path):
    with closing(connect(trained)) as conn:
        task = find_classifier(conn, "topics").task
        for name in ("topics", "again"):
            train_classifier(conn, task, TrainRequest(name=name, curve=False))
        tests = "select id from _ftclassify_evaluations where split = 'test' order by id"
        first, *_, newest, _ = [id for (id,) in conn.execute(tests)]
        right = "select row_key from _ftclassify_evaluation_rows where evaluation_id = ? and"
        right += " chosen = truth order by row_key limit 3"
        keys = [key for (key,) in conn.execute(right, [first])]
        forget = "update _ftclassify_evaluation_rows set chosen = null where evaluation_id ="
        with conn:  # two rows that the first version gets wrong, and one that the second one does
            conn.execute(f"{forget} {first} and row_key in (?, ?)", keys[:2])
            conn.execute(f"{forget} {newest} and row_key = ?", keys[2:])
        again = find_classifier(conn, "again")
        same = headline_figures.comparison(conn, again, again)
        urgent = find_classifier(conn, "urgent")
        assert headline_figures.comparison(conn, again, urgent) is None, "labels of another column"
    assert same is not None
    assert same["sentence"] == "No difference: of 48 test rows in common, the same are right"
    ds = Datasette([str(trained)])
    data = (await ds.client.get(f"{CARD}@1.json")).json()
    compared = {v["title"]: v["compared"] for v in data["versions"]}
    assert set(compared) == {"topics@1", "topics@2", "again@1"}
    assert compared["topics@1"] is None
    second = compared["topics@2"]
    assert (second["rows"], second["only_first"], second["only_second"]) == (48, 1, 2)
    assert second["p_value"] == 1.0
    assert second["sentence"].startswith(
        "No significant difference (counting copies of a text once, 2 and 1: p = 1.000): of 48 "
        "test rows in common, it alone is right on 2, this one alone on 1"
    )
    assert second["sentence"] in (await ds.client.get(f"{CARD}@1")).text


async def test_the_card_leads_to_its_predictions_and_its_answers(trained: Path):
    with closing(connect(trained)) as conn:
        predict_rows(conn, find_classifier(conn, "topics"), "messages", PredictRequest())
    ds = serve(trained)
    page = (await get(ds, CARD, ROOT)).text
    assert "<title>topics@1 in town</title>" in page
    made = page[page.index("<h2>Predictions</h2>") :]
    assert re.search(
        r'<a href="/town/-/ftclassify/jobs/\d+"[^>]*>\d+: Prediction for messages', made
    )
    rows = re.findall(r'<a href="([^"]+)" title="Rows answered with Noise">', page)
    answered = (await ds.client.get(unescape(rows[0]).replace("/rows?", "/rows.json?"))).json()
    assert answered["total"] > 0
    assert {tuple(row["chosen"]) for row in answered["rows"]} == {("Noise",)}
