"""The page that compares classifiers: what it shows, to whom, and how it is reached."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from html import unescape
from pathlib import Path

import pytest
from compared import clone, none, right
from visiting import ROOT, get, seen, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import EvaluationError
from datasette_ftclassify.jobs.compare import compare
from datasette_ftclassify.store.classifiers import find_classifier, list_classifiers
from datasette_ftclassify.store.evaluations import OUT_OF_FOLD, judged_rows

CARD = "/town/-/ftclassify/classifiers/topics"
PAGE = f"{CARD}/compare"


@pytest.fixture(scope="module")
def file(trained_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classifiers of the topics; read it, never write it."""
    path = Path(shutil.copy(trained_file, tmp_path_factory.mktemp("compared") / "town.db"))
    with closing(connect(path)) as conn:
        first = find_classifier(conn, "topics")
        clone(conn, first, "perfect", right, "openai")
        clone(conn, first, "silent", none)
    return path


async def test_what_page_json_and_core_say_is_the_same(file: Path) -> None:
    with closing(connect(file)) as conn:
        found = compare(conn, *(find_classifier(conn, n) for n in ("topics", "perfect", "silent")))
    data = (await get(serve(file), f"{PAGE}.json?with=perfect&with=silent@1")).json()
    assert data["comparison"] == found.to_dict()
    page = seen((await get(serve(file), f"{PAGE}?with=perfect&with=silent@1")).text)
    for difference in found.differences:
        assert found.sentence(difference) in page
    for each in found.compared:
        value = each.figures["macro_f1"].value
        assert f"{value:.3f}" in page
    assert "Always “" in page
    assert str(found.no_out_of_fold) in page
    assert "at a service" in page
    assert "on this machine" in page
    assert "They answer 48 test rows differently; these are the first 25" in page


@pytest.fixture
def twins(file: Path, tmp_path: Path) -> Path:
    """With `sure`, which was right about each row of the training of `topics`, too."""
    path = Path(shutil.copy(file, tmp_path / "town.db"))
    with closing(connect(path)) as conn:
        clone(conn, find_classifier(conn, "topics"), "sure", right, out_of_fold=True)
    return path


async def test_rows_of_the_training_are_compared_on_the_page_of_either(twins: Path) -> None:
    with closing(connect(twins)) as conn:
        first, second = (find_classifier(conn, name) for name in ("topics", "sure"))
        relabelled = [row.key for row in judged_rows(conn, first, OUT_OF_FOLD) if row.truth == (0,)]
        with conn:
            conn.executemany(
                "update _ftclassify_evaluation_rows set truth = '[1]', chosen = '[1]' where row_key"
                " = ? and evaluation_id = (select max(id) from _ftclassify_evaluations)",
                [(json.dumps(key),) for key in relabelled[:3]],
            )
        held = compare(conn, first, second).out_of_fold
    assert held is not None
    assert (held.relabelled, held.right[1]) == (3, 3)
    for page in (f"{PAGE}?with=sure", f"{PAGE.replace('topics', 'sure')}?with=topics"):
        shown = seen((await get(serve(twins), page)).text)
        assert "topics@1 against sure@1" not in shown
        assert shown.count("sure@1 against topics@1") == 2
        for said in (held.about, held.relabelled_said, held.sentence(held.differences[0])):
            assert str(said) in shown


async def test_without_test_rows_the_page_says_so_and_compares_the_others(twins: Path) -> None:
    with closing(connect(twins)) as conn:
        first, second = (find_classifier(conn, name) for name in ("topics", "sure"))
        with conn:
            for table in ("evaluations", "split_rows"):
                conn.execute(f"delete from _ftclassify_{table} where split = 'test'")
        found = compare(conn, first, second)
    assert found.out_of_fold is not None
    page = (await get(serve(twins), f"{PAGE}?with=sure")).text
    for said in (found.no_test_rows, found.out_of_fold.about):
        assert str(said) in seen(page)
    assert re.findall("<h2>(.*)</h2>", page) == ["Out of fold", "Compare with others"]
    data = (await get(serve(twins), f"{PAGE}.json?with=sure")).json()
    assert data["comparison"] == found.to_dict()


async def test_the_page_of_a_new_version_leads_to_its_comparison_with_the_former(
    file: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(file, tmp_path / "town.db"))
    said = "update _ftclassify_classifiers set report = json_set(report, '$.version_of', ?,"
    said += " '$.version_said', json_array('It is new.')) where name = 'silent'"
    card = CARD.replace("topics", "silent~401")
    for former, links in (("topics@1", 1), ("nobody@1", 0)):
        with closing(sqlite3.connect(path)) as conn, conn:
            conn.execute(said, [former])
        found = re.findall(r'href="([^"]+)">Compare them<', (await get(serve(path), card)).text)
        assert len(found) == links
        for address in map(unescape, found):
            data = (await get(serve(path), address.replace("?", ".json?"))).json()
            assert [one["title"] for one in data["comparison"]["classifiers"]] == [
                "topics@1", "silent@1",
            ]  # fmt: skip


async def test_the_rows_with_different_answers_lead_to_themselves(file: Path) -> None:
    page = (await get(serve(file), PAGE)).text
    rows = re.findall(r'<td><a href="([^"]+/messages/\d+)">', page)
    assert len(rows) == 25
    assert (await get(serve(file), unescape(rows[0]))).status_code == 200


async def test_the_newest_others_are_compared_where_none_is_chosen(file: Path) -> None:
    data = (await get(serve(file), f"{PAGE}.json")).json()
    titles = [each["title"] for each in data["comparison"]["classifiers"]]
    assert titles == ["topics@1", "perfect@1", "silent@1"]
    assert data["others"] == ["silent@1", "perfect@1"]
    for where in (CARD, "/town/-/ftclassify"):
        assert (
            f'href="{PAGE.replace("topics", "topics~401")}"' in (await get(serve(file), where)).text
        )
    alone = (await get(serve(file), f"{CARD.replace('topics', 'urgent')}/compare")).text
    assert "There is no other classifier of this task yet." in alone


@pytest.mark.parametrize("title", ["urgent", "nobody", "topics@1", "' or 1", "silent@9"])
async def test_what_is_no_other_of_the_task_is_refused_in_words(file: Path, title: str) -> None:
    for page in (PAGE, f"{PAGE}.json"):
        answer = await serve(file).client.get(page, params={"with": title})
        assert answer.status_code == 400
        assert "of the same task here, or you may not see it." in unescape(answer.text)


async def test_those_of_tables_that_a_visitor_may_not_see_are_not_told(
    file: Path, tmp_path: Path
) -> None:
    """The labels of one of them are keys of a table that is closed."""
    path = Path(shutil.copy(file, tmp_path / "town.db"))
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("create table wards (id integer primary key, ward text)")
        conn.execute(
            "update _ftclassify_classifiers set labels = json_set(labels, '$.lookup', 'wards',"
            " '$.names', json_extract(labels, '$.values')) where name = 'silent'"
        )
    closed = serve(path, tables={"wards": {"allow": {"id": ROOT}}})
    data = (await get(closed, f"{PAGE}.json")).json()
    assert data["others"] == ["perfect@1"]
    assert (await get(closed, f"{PAGE}?with=silent")).status_code == 400
    assert "silent" not in (await get(closed, PAGE)).text
    assert (await get(closed, f"{PAGE}.json", ROOT)).json()["others"] == ["silent@1", "perfect@1"]


async def test_a_read_only_copy_is_compared_as_well(file: Path) -> None:
    """Published, it has the stored answers and no more."""
    data = (await get(serve(immutables=(file,)), f"{PAGE}.json")).json()
    assert data["comparison"]["rows"] == 48


async def test_rows_that_were_changed_since_are_told_on_the_page(
    file: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(file, tmp_path / "town.db"))
    with closing(connect(path)) as conn:
        with conn:
            conn.execute(
                "update _ftclassify_evaluation_rows set truth = '[0]' where evaluation_id ="
                " (select max(id) from _ftclassify_evaluations)"
            )
        with pytest.raises(EvaluationError) as caught:
            compare(conn, *(c for c in list_classifiers(conn) if c.name in ("topics", "silent")))
    page = await get(serve(path), f"{PAGE}?with=silent")
    assert page.status_code == 200
    assert "other labels" in str(caught.value)
    assert "evaluate both again" in unescape(page.text)


async def test_no_condition_of_the_file_is_run_to_find_out_what_was_answered(
    file: Path, tmp_path: Path
) -> None:
    """Nor is that asked where the answers are stored."""
    path = Path(shutil.copy(file, tmp_path / "town.db"))
    with closing(sqlite3.connect(path)) as conn, conn:
        where = "id in (select id from nowhere)"
        sql = "update _ftclassify_tasks set definition = json_set(definition, '$.where', ?)"
        conn.execute(sql, [where])
    page = f"{PAGE}.json?with=perfect"
    assert (await get(serve(path), page)).json()["comparison"]["rows"] == 48
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("delete from _ftclassify_evaluation_rows")
    told = (await get(serve(path), page)).json()
    assert told["comparison"] is None
    assert "by a condition in SQL that came with the file" in told["problem"]
