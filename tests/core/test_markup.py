"""Mails and pages in HTML: their words are learnt and asked, on every path, when a task says so."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from datasette.cli import cli
from hypothesis import given
from hypothesis import strategies as st

from datasette_ftclassify.checks import run_checks
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import TaskError
from datasette_ftclassify.core.markup import MAX_MARKUP, is_html, words_of_html
from datasette_ftclassify.core.task import Task, define
from datasette_ftclassify.core.text import TEXT_FORM, reading_of
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.classifiers import find_classifier

STYLE = "p.MsoNormal{mso-style-unhide:no;font-family:Calibri} "
TOPICS = {
    "invoice": ["Please pay the enclosed bill", "Your invoice is overdue", "Amount due: see bill"],
    "repair": ["The heating is broken", "Water drips from the tap", "The lift is broken again"],
}


def mail(words: str, styles: int = 500) -> str:
    return (
        f"<!DOCTYPE html><html><head><style>{STYLE * styles}</style></head>"
        f"<body><!-- {words[::-1]} --><p class=x>{words} &amp; regards</p></body></html>"
    )


def mails(path: Path, each: int = 10) -> sqlite3.Connection:
    conn = connect(path, must_exist=False)
    register(conn)
    conn.execute("create table mails (id integer primary key, body text, topic text)")
    conn.executemany(
        "insert into mails (body, topic) values (?, ?)",
        [
            (mail(f"{text} {i}") if (i + n) % 2 else f"{text} {i} < {i + 1}", topic)
            for i in range(each)
            for topic, texts in TOPICS.items()
            for n, text in enumerate(texts)
        ],
    )
    conn.commit()
    return conn


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<p>a<br>b</p><p>c</p>", "a\nb\nc"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<div>Gr&uuml;&szlig;e &amp; mehr &#8364; &lt;b&gt;</div>", "Grüße & mehr € <b>"),
        ("<style>p{color:red}</style><p>x</p><script>if(a<b){'<p>'}</script>", "x"),
        ("<p>a <b>b</b>c <!-- no --><![if !mso]>d<![endif]></p>", "a bc d"),
        ("<title>Subject</title><body>Text", "Subject\nText"),
        ("<p>From <ann@example.org>: hi</p>", "From <ann@example.org>: hi"),
        ('<p>see <img src="x.png" alt="a cat"></p>', "see a cat"),
        ("<p>one\ntwo \t three</p>", "one two three"),
        ('<meta charset="windows-1252"><p>Ä €</p>', "Ä €"),
        ("<p>a\0b \ud800", "ab ?"),
        ("<div>" * 5_000 + "deep", None),
        ("a < b and c > d", "a < b and c > d"),
        ("if <x> then &amp; stays", "if <x> then &amp; stays"),
        ("if x<b and b>c, or a <i and so on>", "if x<b and b>c, or a <i and so on>"),
        (
            "SELECT a FROM t WHERE a <b AND c=1 OR d> 2",
            "SELECT a FROM t WHERE a <b AND c=1 OR d> 2",
        ),
        ("<br clear=all>a<p\nclass=x>b", "a\nb"),
        ('<?xml version="1.0"?><note><to>Bo</to><say>hi</say></note>', "Bo\nhi"),
        ("<p>a</p><x><![CDATA[<b>b</b> & c]]></x>", "a\nb & c"),
        ("<!-- a comment alone -->", "<!-- a comment alone -->"),
        ("<br>", ""),
        ("<style>" + STYLE * 10, ""),
    ],
)
def test_the_words_of_html(html: str, words: str | None) -> None:
    got = words_of_html(html)
    assert words is None or got == words


@pytest.mark.parametrize(
    "piece",
    [
        "<", "<a ", "<div>", "<b><p>", "<!--", "<table>", "<table><tr><td>", "&amp", "<script>",
        "<a><b></a>", "<p><svg>", "<select><option>", "<div><font>", "<![CDATA[", "</p>", "<p x=1 ",
    ],
)  # fmt: skip
def test_html_that_is_made_to_take_long_does_not(piece: str) -> None:
    text = "<p>" + piece * (2 * MAX_MARKUP // len(piece))
    start = time.process_time()
    words_of_html(text)
    assert time.process_time() - start < 3


@given(
    st.lists(st.sampled_from(["<p>", "</div>", "<", "&", "&#0;", "a", "é", "\0", ">", "'", "<a"]))
)
def test_any_text_is_read_and_twice_the_same(pieces: list[str]) -> None:
    read = reading_of(TEXT_FORM, "html")
    text = "".join(pieces)
    assert read(text) == read(text)
    read(text).encode()


def test_html_mails_are_classified_by_their_words_on_every_path(tmp_path: Path) -> None:
    with closing(mails(tmp_path / "a.db")) as conn:
        task = define(conn, "mails", text=["body"], labels=["topic"], markup="html")
        done = train_classifier(conn, task, TrainRequest(name="c"))
        predict_rows(conn, done.classifier, "mails")
        same, right = conn.execute(
            "select min(c_label is ft_classify(body) and abs(c_score - ft_score(body)) < 1e-9),"
            " avg(c_label = topic) from mails"
        ).fetchone()
        assert (same, right) == (1, 1.0)
        long = mail("The lift is broken again", styles=10_000)
        nothing = "<html><body><img src=x></body></html>"
        asked = conn.execute(
            "select ft_classify(?1), ft_classify(?2), ft_classify_json(?2), ft_explain(?1),"
            " ft_classify_many(json_array(?1, ?2))",
            [mail("The lift is broken again"), nothing],
        ).fetchone()
        assert asked[:2] == ("repair", None)
        assert "empty" in json.loads(asked[2])["error"]
        assert "broken" in {w["word"] for w in json.loads(asked[3])["words"]}
        assert "mso" not in asked[3]
        assert json.loads(asked[4]) == ["repair", None]
        # Behind more markup than is read there is nothing, here as there.
        conn.execute("update mails set body = ? where id = 1", [long])
        conn.execute("update mails set body = ? where id = 2", [nothing])
        conn.commit()
        predict_rows(conn, find_classifier(conn, "c"), "mails")
        assert conn.execute(
            "select c_label is ft_classify(body) and c_label is null from mails where id < 3"
        ).fetchall() == [(1,), (1,)]


def test_the_check_finds_html_until_it_is_chosen(tmp_path: Path) -> None:
    with closing(mails(tmp_path / "a.db")) as conn:
        for markup in (None, "html"):
            task = define(conn, "mails", text=["body"], labels=["topic"], markup=markup)
            report = run_checks(conn, task, leaves_machine=False, deep=False)
            finding = report.finding("html-in-text")
            if markup:
                assert finding is None
                assert report.finding("long-texts-cut") is None
                continue
            assert finding is not None
            assert (finding.severity, finding.count) == ("warning", 30)
            assert finding.details["without_words"] == 30
            assert finding.message.endswith("More than 90% of the text is markup in 30 rows.")
            cut = report.finding("long-texts-cut")
            assert cut is not None
            assert cut.severity == "info"


def test_texts_of_which_most_is_not_read_are_a_warning(tmp_path: Path) -> None:
    with closing(mails(tmp_path / "a.db")) as conn:
        conn.execute("update mails set body = 'word ' || printf('%.50000c', 'x') where id <= 10")
        task = define(conn, "mails", text=["body"], labels=["topic"])
        cut = run_checks(conn, task, leaves_machine=False, deep=False).finding("long-texts-cut")
        assert cut is not None
        assert (cut.severity, cut.details["mostly_cut"]) == ("warning", 10)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (r"{\rtf1\ansi{\fonttbl\f0 Arial;}\f0 Hello\par}", "rtf"),
        ("Gr=C3=BC=C3=9Fe aus K=C3=B6ln und noch mehr =\nText", "quoted-printable"),
        ("Content-Transfer-Encoding: base64\n\nSGVsbG8=", "base64"),
        (("QUJD" * 16 + "\n") * 4, "base64"),
        ("&lt;p class=&quot;x&quot;&gt;Hello&lt;/p&gt;", "escaped"),
        ("<pre>&lt;p&gt;Hello&lt;/p&gt;</pre>", None),
        ("Sch\u00c3\u00b6ne Gr\u00c3\u00bc\u00c3\u0178e", "mojibake"),
        ("it\u00e2\u20ac\u2122s late", "mojibake"),
        ("S\u00c3O PAULO, \u00c2ngela, le ch\u00e2teau \u2013 5 \u20ac", None),
        ("a &lt; b &gt; c, &lt;b, &gt;", None),
        ("a=1 b=2 https://example.org/" + "path/" * 40, None),
        ("A1=B2, C3=D4 " * 30 + "\n" + "A" * 300, None),
        ("=3D" * 3_000, None),
    ],
)
def test_texts_that_have_to_be_decoded_are_found(
    text: str, form: str | None, tmp_path: Path
) -> None:
    with closing(mails(tmp_path / "a.db")) as conn:
        conn.execute("update mails set body = ? where id = 3", [text])
        task = define(conn, "mails", text=["body"], labels=["topic"])
        found = run_checks(conn, task, leaves_machine=False, deep=False).finding("encoded-text")
        assert (found and found.details["form"]) == form


def test_a_stored_markup_is_checked() -> None:
    stored = Task("t", ("text",), ("label",), "binary", markup="html").to_dict()
    assert Task.from_dict(stored).markup == "html"
    del stored["markup"]
    assert Task.from_dict(stored).markup is None
    for damaged in ("rtf", 1, ["html"], ""):
        with pytest.raises(TaskError):
            Task.from_dict({**stored, "markup": damaged})


def test_a_markup_that_is_none_is_refused(tmp_path: Path) -> None:
    with closing(mails(tmp_path / "a.db", each=1)) as conn, pytest.raises(TaskError, match="html"):
        define(conn, "mails", text=["body"], labels=["topic"], markup="bbcode")


def test_the_command_line_proposes_and_takes_it(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    mails(tmp_path / "a.db").close()
    words = [path, "mails", "--text", "body", "--label", "topic"]
    run = CliRunner()
    checked = run.invoke(cli, ["ftclassify", "check", *words, "--local"])
    assert re.search(r"Choose html as the markup .* \(--markup html\)", checked.output)
    checked = run.invoke(cli, ["ftclassify", "check", *words, "--local", "--markup", "html"])
    assert "--markup html" in checked.output
    assert is_html(mail("x"))
    trained = run.invoke(cli, ["ftclassify", "train", *words, "--markup", "html", "--name", "c"])
    assert trained.exit_code == 0, trained.output
    shown = run.invoke(cli, ["ftclassify", "classifiers", "show", path, "c"])
    assert "html" in shown.output
