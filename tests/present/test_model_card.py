"""A model card is one thing with three faces, and names in it are words, whatever they hold."""

from __future__ import annotations

import html
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import run, run_json
from datasette.app import Datasette
from hypothesis import example, given
from hypothesis import strategies as st
from sample_databases import value
from stored import add
from visiting import ROOT, get, seen, serve, submit

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.jobs.publish import publish_copy
from datasette_ftclassify.present.card_markdown import card_markdown, escaped
from datasette_ftclassify.present.model_card import model_card
from datasette_ftclassify.store.card_notes import CardNotes, card_notes, keep_notes
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.deletion import delete_classifier
from datasette_ftclassify.store.minimum_scores import MinimumScore, set_minimum
from datasette_ftclassify.store.published import holds_more

CARD = "/town/-/ftclassify/classifiers/topics/card"
NOTES = CardNotes("Sort <b>messages</b>.\n\nNothing else.", "# Not for emergencies | ever")
ORIGIN = {"source": "The town", "source_url": "https://town.example", "license": "CC BY 4.0"}


@pytest.fixture
def town(trained: Path) -> Path:
    with closing(connect(trained)) as conn:
        keep_notes(conn, find_classifier(conn, "topics"), NOTES)
    return trained


def card_of(path: Path, *given: object) -> Any:
    """What the command says of `topics` as JSON."""
    return json.loads(run("classifiers", "card", path, "topics", "--format", "json", *given).stdout)


async def test_page_markdown_json_and_command_show_one_card(town: Path, tmp_path: Path):
    datasette = serve(town)
    page = await get(datasette, CARD)
    data = (await get(datasette, f"{CARD}.json")).json()
    markdown = await get(datasette, f"{CARD}?format=md")
    assert page.status_code == 200
    assert markdown.headers["content-type"].startswith("text/markdown")
    assert data.pop("ok")
    assert data.pop("classifier") == "topics"
    assert card_of(town) == data
    assert run("classifiers", "card", town, "topics").stdout == markdown.text
    for shown in (
        data["sha256"], data["software"]["sqlite"], data["figures"][0]["text"],
        data["weakest"][0]["name"], data["split"], str(data["rows"]["train"]),
    ):  # fmt: skip
        assert shown in seen(page.text), shown
        assert escaped(shown, 1_000) in markdown.text, shown
    assert data["notes"] == {"intended_use": NOTES.intended_use, "limits": NOTES.limits}
    assert "<b>messages</b>" not in page.text
    assert html.escape("<b>messages</b>") in page.text
    assert sum(label["training_rows"] for label in data["labels"]) == 440


def test_its_metadata_are_yaml_that_says_what_the_json_says(town: Path):
    with closing(connect(town)) as conn:
        card = model_card(conn, find_classifier(conn, "topics"), ORIGIN)
    head = re.fullmatch(r"---\n(.*?)\n---\n.*", card_markdown(card), re.S)
    assert head
    told = yaml.safe_load(head[1])
    assert told == card.to_dict()["huggingface"]
    assert told["pipeline_tag"] == "text-classification"
    result = told["model-index"][0]["results"][0]
    assert {"type": "accuracy", "name": "Accuracy"}.items() <= result["metrics"][0].items()
    assert told["license_name"] == "data: CC BY 4.0"


async def test_source_and_licence_are_those_of_the_metadata(town: Path, tmp_path: Path):
    file = tmp_path / "metadata.json"
    about = {"license": "of all", "databases": {"town": {"source": "of the database",
             "tables": {"messages": {"license": "of the table"}}}}}  # fmt: skip
    file.write_text(json.dumps(about))
    datasette = Datasette([str(town)], metadata=about)
    right = {"source": "of the database", "license": "of the table"}
    assert (await get(datasette, f"{CARD}.json")).json()["origin"] == right
    assert card_of(town, "--metadata", file)["origin"] == right


NASTY = ("| a | b |", "<script>alert(1)</script>", "[x](javascript:alert(1))", "# head", "- item",
         "1. item", "a\nb\r\n\u2028c", "`code`", "**bold** _it_ ~~no~~", "![i](https://x)", "\\|",
         "---", "=", "$x$", "&amp;", "https://x.example", "{{ x }}", "\x00\x1b[31m",
         "+ item")  # fmt: skip


@given(st.one_of(st.sampled_from(NASTY), st.text(max_size=40)))
@example("|")
@example("1)")
def test_any_text_is_one_line_of_words(text: str):
    line = escaped(text)
    assert line.isprintable()
    bare = re.sub(r"\\(.)", "x", line)
    assert not re.search(r"[|`*_<>\[\]#!~$&\\{}]|://", bare), line
    assert not re.match(r"[-+=]|\d+[.)](\s|$)", bare), line
    # Nothing is lost but what cannot be seen.
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    assert re.sub(r"\\(.)", r"\1", line) == words


def test_labels_that_look_like_markdown_keep_their_cell(tmp_path: Path):
    with closing(connect(tmp_path / "a.db", must_exist=False)) as conn:
        labels = LabelSet.of(sorted(NASTY), "multiclass")
        report = {"label_counts": list(range(len(NASTY)))}
        classifier = add(conn, labels=labels, report=report)
        card = model_card(conn, classifier)
    table = [line for line in card_markdown(card).splitlines() if line.startswith("| ")][1:]
    assert len(table) == len(labels)
    for line in table:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3, line
    assert card.problem == "Not evaluated."


@pytest.mark.parametrize(
    "stored", ["no JSON", "[]", '{"intended_use": 3}', b"\xff", '"x"' * 100_000, '{"limits": null}']
)
def test_a_note_that_somebody_damaged_is_no_note(town: Path, stored: object):
    with closing(connect(town)) as conn:
        with conn:
            conn.execute(
                "update _ftclassify_settings set value = ? where key like 'card:%'", [stored]
            )
        assert card_notes(conn, find_classifier(conn, "topics")) == CardNotes()


@pytest.mark.parametrize("report", [{"label_counts": "x"}, {"rows": 3}, {"software": [1]},
                                    {"usd": "12"}, {"label_counts": [1.5, {}, None]}])  # fmt: skip
def test_a_report_that_somebody_damaged_has_no_card(town: Path, report: dict[str, Any]):
    with closing(connect(town)) as conn, conn:
        conn.execute("update _ftclassify_classifiers set report = ?", [json.dumps(report)])
    told = run("classifiers", "card", town, "topics", code=1)
    assert "The report is damaged" in told.stderr
    assert len(told.stderr.splitlines()) == 1


async def test_the_author_is_asked_when_it_is_published(town: Path, tmp_path: Path):
    missing = run("publish-copy", town, tmp_path / "a.db", "--classifier", "urgent")
    assert "urgent@1: its model card has no intended use" in missing.stderr
    page = "/town/-/ftclassify/classifiers/urgent/publish"
    sent = await submit(serve(town), page, ROOT, intended_use="Find what burns.", limits="")
    assert sent.status_code == 302
    told = run_json("classifiers", "describe", town, "urgent", "--limits", "No fires.")
    assert told == {"classifier": "urgent@1", "intended_use": "Find what burns.",
                    "limits": "No fires."}  # fmt: skip
    done = run("publish-copy", town, tmp_path / "b.db", "--classifier", "urgent")
    assert "no intended use" not in done.stderr
    refused = run("classifiers", "describe", town, "urgent", "--limits", "x" * 5_001, code=1)
    assert "at most 5,000" in refused.stderr


def test_what_was_said_goes_along_and_ends_with_the_classifier(town: Path, tmp_path: Path):
    copy = publish_copy(town, tmp_path / "town-public.db", classifiers=["topics"])
    assert copy.undescribed == ()
    with closing(connect(copy.path)) as conn:
        published = find_classifier(conn, "topics")
        assert card_notes(conn, published) == NOTES
        card = model_card(conn, published)
    with closing(connect(town)) as conn:
        original = find_classifier(conn, "topics")
        assert model_card(conn, original).sha256 == card.sha256
        delete_classifier(conn, "topics")
        assert value(conn, "select count(*) from _ftclassify_settings where key like 'card:%'") == 0


def test_a_copy_that_readers_get_can_be_downloaded_with_all_that_it_has(town: Path, tmp_path: Path):
    """Each table of ours that has rows in a copy is declared as one that goes along."""
    with closing(connect(town)) as conn:
        set_minimum(conn, find_classifier(conn, "topics"), MinimumScore("fixed", 0.5))
    copy = publish_copy(town, tmp_path / "out.db")
    assert copy.ours["minimum_scores"] == (1, 1)
    with closing(sqlite3.connect(copy.path)) as conn:
        assert not holds_more(conn)
