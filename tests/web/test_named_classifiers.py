"""Pages say which classifiers their SQL asks in vain."""

from __future__ import annotations

import re
from contextlib import closing
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from datasette.app import Datasette
from visiting import is_065

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.store.classifiers import rename_classifier
from datasette_ftclassify.web.named_classifiers import named_classifiers

EMPTY = "What this page asks of it is empty (NULL)."


def said(page: Any) -> list[str]:
    """What the page's script is told to say."""
    assert page.status_code == 200
    script = re.search(r'src="([^"]*strip\.js[^"]*)"', page.text)
    return parse_qs(urlsplit(unescape(script[1])).query).get("say", []) if script else []


@pytest.fixture
async def town(trained: Path) -> Datasette:
    with closing(connect(trained)) as conn, conn:
        conn.execute("create view good as select id, ft_classify(message, 'topics') from messages")
        conn.execute(
            "create view typing as select id, ft_classify(message, 'topisc') from messages"
        )
        conn.execute('create view "of views" as select * from typing union select * from good')
    queries = {"canned": {"sql": "select ft_score('a', :which) as score, 'it''s (' as x"}}
    config = {"databases": {"town": {"queries": queries}}}
    return Datasette([str(trained)], **{"metadata" if is_065() else "config": config})


@pytest.mark.parametrize("view", ["typing", "of views"])
async def test_a_view_with_a_name_that_nobody_has_says_so(town: Datasette, view: str):
    page = await town.client.get(town.urls.table("town", view))
    mean = "This database has no classifier called topisc: did you mean topics?"
    assert said(page) == [f"{mean} {EMPTY}"]
    assert "ftclassify.css" in page.text


async def test_a_query_with_such_a_name_says_so(town: Datasette):
    sql = "select ft_classify(message, 'a') as a, ft_score(message, 'topics@7') from messages"
    page = await town.client.get(town.urls.database("town"), params={"sql": sql},
                                 follow_redirects=True)  # fmt: skip
    names = ("a.", "topics@7: did you mean topics?")
    assert said(page) == [f"This database has no classifier called {n} {EMPTY}" for n in names]


async def test_no_name_is_proposed_that_the_visitor_may_not_know_of(trained: Path):
    with closing(connect(trained)) as conn, conn:
        conn.execute("create table open (a)")
        conn.execute("create view typing as select a, ft_classify(a, 'topisc') from open")
    tables = {"messages": {"allow": {"id": "root"}}}
    config = {"databases": {"town": {"tables": tables}}}
    town = Datasette([str(trained)], **{"metadata" if is_065() else "config": config})
    page = await town.client.get(town.urls.table("town", "typing"))
    assert said(page) == [f"This database has no classifier called topisc. {EMPTY}"]


async def test_a_canned_query_says_it_of_its_parameter(town: Datasette):
    wrong = await town.client.get("/town/canned?which=them")
    assert said(wrong) == [f"This database has no classifier called them. {EMPTY}"]
    assert said(await town.client.get("/town/canned?which=urgent")) == []


async def test_nothing_is_said_where_all_answer(town: Datasette, trained: Path):
    with closing(connect(trained)) as conn:
        rename_classifier(conn, "topics", "themes")
    for page in ("/town/good", "/town/messages", "/town", "/town?sql=select+1"):
        assert said(await town.client.get(page, follow_redirects=True)) == []


async def test_a_damaged_classifier_is_named_with_what_is_wrong(town: Datasette, trained: Path):
    with closing(connect(trained)) as conn, conn:
        conn.execute("update _ftclassify_classifiers set header = '{}' where name = 'topics'")
    (sentence,) = said(await town.client.get("/town/good"))
    assert sentence.endswith(EMPTY)
    assert "no classifier called" not in sentence


async def test_a_database_without_any_says_so(tmp_path: Path):
    path = tmp_path / "bare.db"
    with closing(connect(path, must_exist=False)) as conn, conn:
        conn.execute("create view v as select ft_classify('a')")
    page = await Datasette([str(path)]).client.get("/bare/v")
    assert said(page) == [
        f"This database has no classifier that answers where none is named. {EMPTY}"
    ]


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("select ft_classify(a), FT_SCORE ( a , 'x' )", [None, "x"]),
        ("select ft_classify(a || f(b, 'no'), 'it''s')", ["it's"]),
        ("select ft_classify(ft_labels(a, 'in'), 'out')", ["in", "out"]),
        ("select \"ft_score\"(a,'x'), [ft_score](b,'y'), `ft_labels`(c, 'z')", ["x", "y", "z"]),
        ("select 'ft_classify(a, ''no'')', \"ft_score(a, 'no')\" -- ft_classify(a, 'no')", []),
        ("select /* ft_classify(a, 'no') */ ft_tokens(a, 'gpt'), ft_classify(a, b)", []),
        ("select ft_score(a, :known), ft_score(a, @known), ft_score(a, :other)", ["k", "k"]),
        ("select ft_classify(a, 'x' || 'y'), ft_classify(a, lower('x'))", []),
        ("select ft_classify(a, 'x'", []),
        (")))) ft_classify(((a), (b))", []),
    ],
)  # fmt: skip
def test_names_are_found_in_sql_as_sqlite_reads_it(sql: str, named: list[str | None]):
    assert list(named_classifiers(sql, {"known": "k"})) == named
