"""The page on which a minimum score is chosen, what it shows, and what obeys it afterwards."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sample_databases import value
from visiting import ROOT, get, send, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs import minimum_scores
from datasette_ftclassify.jobs.minimum_scores import promises
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.publish import publish_copy
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.minimum_scores import MinimumScore, find_minimum, set_minimum
from datasette_ftclassify.web.permissions import MINIMUM

CARD = "/town/-/ftclassify/classifiers/topics"
PAGE = f"{CARD}/minimum"


def kept(conn: sqlite3.Connection, name: str = "topics") -> MinimumScore | None:
    return find_minimum(conn, find_classifier(conn, name))


async def test_a_promise_is_chosen_shown_and_given_up(trained: Path, conn: sqlite3.Connection):
    datasette = serve(trained, grants={MINIMUM: {"id": "ann"}})
    answer = await send(datasette, PAGE, {"strength": "likely", "wrong": "20%"}, "ann")
    assert answer.status_code == 200, answer.text
    minimum = kept(conn)
    assert minimum is not None
    assert (minimum.strength, minimum.wrong, minimum.set_by) == ("likely", 0.2, "ann")
    assert answer.json()["minimum"]["score"] == minimum.score
    data = (await get(datasette, f"{PAGE}.json")).json()
    assert data["minimum"]["set_by"] == "ann"
    assert data["test"]["rows"] == 48
    (promise,) = [p for p in data["promises"] if (p["strength"], p["wrong"]) == ("likely", 0.2)]
    assert promise["score"] == minimum.score
    assert promise["test"] == data["test"]
    for page in (PAGE, CARD):
        text = (await get(datasette, page)).text
        assert f"a score of at least {minimum.score:.3g} are given" in text
        assert "On the test rows" in text
        assert "by <span" in text
        assert "Share of rows that get an answer" in text  # the picture
    assert (await send(datasette, PAGE, {"strength": "none"}, "ann")).status_code == 200
    assert kept(conn) is None


async def test_while_it_is_computed_others_write(trained: Path, monkeypatch: pytest.MonkeyPatch):
    """A promise of many rows takes seconds, and Datasette has one thread that writes."""
    datasette = serve(trained)
    loop, resolve = asyncio.get_running_loop(), minimum_scores.resolve

    def slow(*asked: Any) -> MinimumScore:
        note = datasette.get_database("town").execute_write("create table noted (id integer)")
        asyncio.run_coroutine_threadsafe(note, loop).result(30)
        return resolve(*asked)

    monkeypatch.setattr(minimum_scores, "resolve", slow)
    done = await send(datasette, PAGE, {"strength": "fixed", "score": "0.5"}, ROOT)
    assert done.status_code == 200, done.text
    assert done.json()["minimum"]["score"] == 0.5


async def test_only_who_may_chooses_and_sees_the_form(trained: Path, conn: sqlite3.Connection):
    datasette = serve(trained, grants={"ftclassify-delete": {"id": "dora"}})
    for visitor in (None, "dora"):
        refused = await send(datasette, PAGE, {"strength": "fixed", "score": "0.5"}, visitor)
        assert refused.status_code == 403
        assert MINIMUM in refused.json()["error"]
        assert "Save the minimum score" not in (await get(datasette, PAGE, visitor)).text
        assert "Save the minimum score" not in (await get(datasette, CARD, visitor)).text
    assert kept(conn) is None
    page = (await get(datasette, PAGE, ROOT)).text
    assert "Save the minimum score" in page
    assert "Macro" not in page
    frozen = serve(immutables=(trained,))
    assert "Save the minimum score" not in (await get(frozen, PAGE, ROOT)).text
    refused = await send(frozen, PAGE, {"strength": "none"}, ROOT)
    assert refused.status_code in (400, 403)


async def test_readers_of_a_copy_are_not_told_to_train_again(trained: Path, tmp_path: Path):
    """No answers of its training are in the copy, so that nothing can be promised there."""
    copy = tmp_path / "copy" / "town.db"
    copy.parent.mkdir()
    publish_copy(trained, copy)
    datasette = serve(immutables=(copy,))
    page = (await get(datasette, CARD)).text
    assert "Nothing can be promised" not in page
    assert 'id="minimum"' not in page
    with closing(connect(trained)) as conn:
        set_minimum(conn, find_classifier(conn, "topics"), MinimumScore("fixed", 0.9))
    publish_copy(trained, copy, force=True)
    page = (await get(serve(immutables=(copy,)), CARD)).text
    assert "a score of at least 0.9 are given" in page
    assert "Nothing can be promised" not in page


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"strength": "likely"}, "share of answers that may be wrong"),
        ({"strength": "likely", "wrong": "0"}, "above 0"),
        ({"strength": "likely", "wrong": "5"}, "0.05 or 5%"),
        ({"strength": "guaranteed", "wrong": "0.1%"}, "cannot be guaranteed"),
        ({"strength": "fixed"}, "Choose the minimum score"),
        ({"strength": "fixed", "score": "2"}, "from 0 to 1"),
        ({"strength": "sure", "wrong": "5%"}, "likely, guaranteed, fixed"),
        ({"strength": "likely", "figure": "recall", "least": "0.9"}, "one label"),
    ],
)
async def test_what_cannot_be_promised_is_refused_with_the_reason(
    trained: Path, conn: sqlite3.Connection, given: dict[str, str], said: str
):
    answer = await send(serve(trained), PAGE, given, ROOT)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert kept(conn) is None


async def test_the_answers_with_one_label_have_promises_of_their_own(trained: Path):
    every = (await get(serve(trained), f"{PAGE}.json")).json()
    one = (await get(serve(trained), f"{PAGE}.json?label=Street+lighting")).json()
    assert 0 < one["rows"] < every["rows"]
    assert (await get(serve(trained), f"{PAGE}.json?label=gone")).status_code == 400


async def test_several_labels_have_a_threshold_each(trained: Path, conn: sqlite3.Connection):
    page = PAGE.replace("topics", "subjects")
    asked = {"figure": "precision", "least": "0.8", "strength": "likely"}
    shown = (await get(serve(trained), f"{page}.json?figure=precision&least=0.8")).json()
    assert [t["label"] for t in shown["thresholds"]] == list(
        find_classifier(conn, "subjects").labels.names
    )
    answer = await send(serve(trained), page, asked, ROOT)
    assert answer.status_code == 200, answer.text
    minimum = kept(conn, "subjects")
    assert minimum is not None
    assert minimum.thresholds == tuple(t["threshold"] for t in shown["thresholds"])
    assert (minimum.figure, minimum.least) == ("precision", 0.8)
    text = (await get(serve(trained), page, ROOT)).text
    assert "for a precision of at least 80% (likely)" in text
    refused = await send(serve(trained), page, {"strength": "fixed", "score": "0.5"}, ROOT)
    assert "precision or a recall" in refused.json()["error"]


async def test_a_recall_gives_up_precision(trained: Path, conn: sqlite3.Connection):
    page = PAGE.replace("topics", "subjects")
    asked = f"{page}.json?figure=recall&least="
    low, high = [(await get(serve(trained), asked + share)).json() for share in ("0.5", "0.9")]
    pairs = [
        (a["threshold"], b["threshold"])
        for a, b in zip(low["thresholds"], high["thresholds"], strict=True)
        if a["threshold"] is not None and b["threshold"] is not None
    ]
    assert pairs
    assert all(b <= a for a, b in pairs)


async def test_the_try_box_says_why_there_is_no_label(trained: Path, conn: sqlite3.Connection):
    set_minimum(conn, find_classifier(conn, "topics"), MinimumScore("fixed", 0.999))
    text = (await get(serve(trained), f"{CARD}/try?text=hello")).text
    assert "0.999 is the minimum score" in text
    assert "The likeliest label is" in text


async def test_saving_the_form_as_it_is_shown_loses_nothing(
    trained: Path, conn: sqlite3.Connection
):
    """A form that does not show what is kept drops it with the next change."""
    with conn:
        conn.execute("alter table messages add column team text")
        conn.execute(
            "update messages set team = case when topic like 'Noise%' then 'people' else 'streets'"
            " end where topic is not null"
        )
    datasette = serve(trained, grants={MINIMUM: {"id": "ann"}})
    chosen = {"strength": "fixed", "score": "0.875", "groups": "column:team"}
    assert (await send(datasette, PAGE, chosen, "ann")).status_code == 200
    for page in (PAGE, CARD):
        text = (await get(datasette, page, "ann")).text
        form = text[text.index('class="ft-form ft-minimum"') :]
        assert shown(form) == {**chosen, "wrong": "5%"}, page
        assert "of the test rows without a label" in text
    await send(datasette, PAGE, {"strength": "fixed", "score": "0.5"}, "ann")
    minimum = kept(conn)
    assert minimum is not None
    assert minimum.tree is not None  # nothing was said about groups
    await send(datasette, PAGE, {"strength": "fixed", "score": "0.5", "groups": ""}, "ann")
    minimum = kept(conn)
    assert minimum is not None
    assert minimum.tree is None


async def test_the_form_of_several_labels_shows_what_is_kept(trained: Path):
    page = PAGE.replace("topics", "subjects")
    asked = {"figure": "recall", "least": "72.5%", "strength": "likely"}
    assert (await send(serve(trained), page, asked, ROOT)).status_code == 200
    text = (await get(serve(trained), page, ROOT)).text
    assert shown(text[text.index('class="ft-form ft-minimum"') :]) == asked


def shown(form: str) -> dict[str, str]:
    """What a browser would send of the form as it is."""
    form = form[: form.index("</form>")]
    found = dict(re.findall(r'<input id="[^"]*"[^>]* name="(\w+)"[^>]* value="([^"]*)"', form))
    found |= re.findall(r'type="radio" name="(\w+)" value="([^"]*)" checked', form)
    for name, options in re.findall(r'<select [^>]*name="(\w+)">(.*?)</select>', form):
        found[name] = re.findall(r'<option value="([^"]*)" selected', options)[0]
    return found


async def test_a_damaged_one_is_said_and_can_be_chosen_again(
    trained: Path, conn: sqlite3.Connection
):
    set_minimum(conn, find_classifier(conn, "topics"), MinimumScore("fixed", 0.5))
    with conn:
        conn.execute("update _ftclassify_minimum_scores set score = 7")
    for page in (CARD, PAGE):
        answer = await get(serve(trained), page, ROOT)
        assert answer.status_code == 200
        assert "is damaged in this file: choose it again" in answer.text
    answer = await send(serve(trained), PAGE, {"strength": "fixed", "score": "0.25"}, ROOT)
    assert answer.status_code == 200
    assert kept(conn) is not None


async def test_without_answers_of_the_training_only_a_fixed_score_is_left(
    trained: Path, conn: sqlite3.Connection
):
    with conn:
        conn.execute("delete from _ftclassify_evaluations where split <> 'test'")
    assert "Train it again, or choose a fixed score" in (await get(serve(trained), CARD, ROOT)).text
    refused = await send(serve(trained), PAGE, {"strength": "likely", "wrong": "5%"}, ROOT)
    assert "Train it again" in refused.json()["error"]
    answer = await send(serve(trained), PAGE, {"strength": "fixed", "score": "0.25"}, ROOT)
    assert answer.status_code == 200


async def test_names_of_people_are_escaped(trained: Path, conn: sqlite3.Connection):
    nasty = "<script>alert(1)</script>"
    minimum = MinimumScore("fixed", 0.5, set_by=nasty)
    set_minimum(conn, find_classifier(conn, "topics"), minimum)
    for page in (CARD, PAGE):
        assert nasty not in (await get(serve(trained), page)).text


# Asking for a share of wrong answers when rows are classified


def test_a_prediction_takes_a_share_in_place_of_a_score(conn: sqlite3.Connection):
    classifier = find_classifier(conn, "topics")
    found = promises(conn, classifier)
    (score,) = [
        one.promise.score
        for one in found.tested
        if (one.promise.strength, one.promise.wrong) == ("likely", 0.1)
    ]
    assert score is not None
    result = predict_rows(conn, classifier, "messages", PredictRequest(wrong=0.1))
    assert result.threshold == score
    sql = "select count(*) from messages where topics_label is null and topics_score is not null"
    assert value(conn, sql) == result.abstained


async def test_the_form_that_classifies_takes_one_as_well(trained: Path, conn: sqlite3.Connection):
    address = "/town/-/ftclassify/classify"
    text = (await get(serve(trained, writers=ROOT), f"{address}?table=messages", ROOT)).text
    assert re.search(r'name="wrong"', text)
    fields: dict[str, Any] = {"table": "messages", "classifier": "topics", "rows": "all"}
    answer = await send(serve(trained, writers=ROOT), address, {**fields, "wrong": "10%"}, ROOT)
    assert answer.status_code == 200, answer.text
    settings = value(conn, "select settings from _ftclassify_jobs order by id desc limit 1")
    assert '"wrong": 0.1' in settings
    assert '"strength": "likely"' in settings
    for given, said in (
        ({"wrong": "0.1%", "strength": "guaranteed"}, "cannot be guaranteed"),
        ({"wrong": "10%", "min_score": "0.5"}, "not both"),
        ({"wrong": "10%", "classifier": "subjects"}, "several labels"),
        ({"wrong": "ten"}, "0.05 or 5%"),
    ):
        refused = await send(serve(trained, writers=ROOT), address, {**fields, **given}, ROOT)
        assert refused.status_code == 400
        assert said in refused.json()["error"]
