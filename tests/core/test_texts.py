"""One text is one text: learnt, checked, predicted and asked in SQL in the same form, whatever
bytes and characters its cell is made of. Mails and pages in HTML are read by their words, on every
path, when a task says so."""

from __future__ import annotations

import json
import re
import sqlite3
import time
import unicodedata
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from datasette.cli import cli
from hypothesis import given
from hypothesis import strategies as st

from datasette_ftclassify.checks import run_checks
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import LabelError, TaskError
from datasette_ftclassify.core.examples import read_records
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.core.markup import MAX_MARKUP, is_html, words_of_html
from datasette_ftclassify.core.task import Task, define
from datasette_ftclassify.core.text import TEXT_FORM, reading_of
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.classifiers import find_classifier

clean = reading_of(TEXT_FORM)
WORDS = {
    "Käse": ["Grüner Käse", "Käse für Köln", "mehr Käse"],
    "Obst": ["Äpfel", "süßes Öl", "Birne"],
}


def open_file(path: Path) -> sqlite3.Connection:
    conn = connect(path, must_exist=False)
    register(conn)
    return conn


def fill(conn: sqlite3.Connection, rows: list[tuple[bytes, bytes]]) -> None:
    """A table of texts and labels whose bytes are as given."""
    conn.execute("create table t (id integer primary key, text, label)")
    conn.executemany("insert into t (text, label) values (cast(? as text), cast(? as text))", rows)
    conn.commit()


def foods(encoding: str = "utf-8", form: str = "NFC") -> list[tuple[bytes, bytes]]:
    return [
        (unicodedata.normalize(form, f"{text} {i}").encode(encoding), label.encode())
        for i in range(12)
        for label, texts in WORDS.items()
        for text in texts
    ]


def food_task(conn: sqlite3.Connection) -> Task:
    return define(conn, "t", text=["text"], labels=["label"])


@given(st.text())
def test_two_normal_forms_of_a_text_are_one(text: str) -> None:
    same = {clean(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")}
    assert len(same) == 1


@given(st.text(st.characters(codec=None) | st.sampled_from("\0\u200b\ufeff\u202e\ud800e\u0301")))
def test_what_nobody_sees_makes_no_other_text(text: str) -> None:
    read = clean(text)
    read.encode()
    assert clean(read) == read
    assert not set(read) & set("\0\xad\u200b\u2060\ufeff\u202e\ud800\udfff")
    assert clean("\ufeff" + text) == read


def test_joiners_and_what_is_seen_stay() -> None:
    for text in ("می\u200cخواهم", "क्\u200dष", "👩\u200d🚒 ❤\ufe0f", "a\u0301".encode().decode()):
        assert clean(text) == unicodedata.normalize("NFC", text)
    assert clean("free\0 V\u200bia\xadgra") == "free Viagra"
    assert clean("half \ud800") == "half \ufffd"


def test_a_heap_of_marks_costs_no_time() -> None:
    """Sorting combining marks takes time by the square of their number: minutes for a megabyte."""
    text = "a" + "\u0301\u0316" * 500_000
    clean("é")
    start = time.process_time()
    assert len(clean(text)) < 40
    assert time.process_time() - start < 5


def test_a_text_from_before_there_were_forms_is_read_as_it_stands() -> None:
    stored = Task("t", ("text",), ("label",), "binary").to_dict()
    del stored["text_form"]
    old = Task.from_dict(stored)
    text = "a\u0301\0\ufeff"
    assert old.read(text) == text
    assert old.renderer()([text]).text == text
    assert Task.from_dict(old.to_dict()) == old


@pytest.mark.parametrize("damaged", [-1, TEXT_FORM + 1, True, "1", None, 1.0])
def test_a_form_that_is_none_is_a_damaged_task(damaged: object) -> None:
    stored = Task("t", ("text",), ("label",), "binary").to_dict()
    with pytest.raises(TaskError):
        Task.from_dict({**stored, "text_form": damaged})


def test_all_paths_answer_alike_whatever_the_bytes(tmp_path: Path) -> None:
    """Trained on composed characters; asked with decomposed ones, Windows-1252, NUL, marks."""
    with closing(open_file(tmp_path / "a.db")) as conn:
        fill(conn, foods())
        classifier = train_classifier(conn, food_task(conn), TrainRequest(name="c")).classifier
        conn.execute("delete from t")
        texts = [
            "Grüner Käse".encode(),
            unicodedata.normalize("NFD", "Grüner Käse").encode(),
            "\ufeffGrüner K\u200bäse\0".encode(),
            "\u202aGrüner\u202c Käse".encode(),
            "Grüner Käse".encode("cp1252"),
            b"\xff\xfe",
            b"\xed\xa0\x80",
            b"",
        ]
        conn.executemany(
            "insert into t (text) values (cast(? as text))", [(text,) for text in texts]
        )
        conn.commit()
        predict_rows(conn, classifier, "t")
        rows = conn.execute(
            "select c_label is ft_classify(text), abs(c_score - ft_score(text)) < 1e-9, c_score,"
            " json_extract(ft_classify_many(json_array(text)), '$[0]') is c_label from t"
        ).fetchall()
        assert all(same and alike for same, *_, alike in rows[:-1])
        assert all(near for _, near, *_ in rows[:-1])
        assert len({score for _, _, score, _ in rows[:4]}) == 1
        assert rows[-1][0] == 1
        assert rows[-1][2] is None


def test_cells_that_are_no_utf_8_are_found(tmp_path: Path) -> None:
    with closing(open_file(tmp_path / "a.db")) as conn:
        odd = [(f"Päckchen {i}".encode("cp1252"), b"Obst") for i in range(3)]
        lost = [(b"Brot", "Käse".encode("cp1252"))] * 2
        # A sign that really stands in the cell is a character like any other.
        kept = [(f"Saft {i} \ufffd".encode(), "R\ufffdst".encode()) for i in range(5)]
        fill(conn, [*foods(), *odd, *lost, *kept])
        conn.execute("create view v as select * from t")
        for source in ("t", "v"):
            task = define(conn, source, text=["text"], labels=["label"])
            report = run_checks(conn, task, leaves_machine=False, deep=False)
            text, label = report.finding("undecodable-text"), report.finding("undecodable-label")
            assert text
            assert label
            assert (text.count, label.count) == (3, 2)
            assert len(text.keys) == 3
            assert "Windows-1252" in text.advice + label.advice
            learnt = {r.labels.values for r in read_records(conn, task) if r.usable}
            assert learnt == {("Käse",), ("Obst",), ("R\ufffdst",), ("K\\xe4se",)}
        assert text.where is None or conn.execute(f"select count(*) from v where {text.where}")
        classifier = train_classifier(conn, food_task(conn), TrainRequest(name="c")).classifier
        predict_rows(conn, classifier, "t")
        assert conn.execute("select count(*) from t where c_label not in (select label from t)"
                            ).fetchone() == (0,)  # fmt: skip


def test_a_label_that_is_no_utf_8_comes_back_as_it_was(tmp_path: Path) -> None:
    with closing(open_file(tmp_path / "a.db")) as conn:
        fill(conn, [(text, label.decode().encode("cp1252")) for text, label in foods()])
        classifier = train_classifier(conn, food_task(conn), TrainRequest(name="c")).classifier
        assert classifier.labels.names == ("K\\xe4se", "Obst")
        predict_rows(conn, classifier, "t")
        found = conn.execute(
            "select count(*), sum(c_label is label), sum(ft_classify(text) is label),"
            " min(typeof(c_label)), min(json_valid(ft_classify_json(text))) from t"
        ).fetchone()
        assert found == (72, 72, 72, "text", 1)


@pytest.mark.parametrize("raw", [{"9": "ff"}, {"0": "zz"}, {"0": "ff"}, [1], "ff", {"x": "61"}])
def test_stored_bytes_of_a_label_are_checked(raw: object) -> None:
    with pytest.raises(LabelError):
        LabelSet.from_dict({"values": ["a", "b"], "kind": "binary", "raw": raw})


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
