"""One text is one text: learnt, checked, predicted and asked in SQL in the same form, whatever
bytes and characters its cell is made of."""

from __future__ import annotations

import sqlite3
import time
import unicodedata
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_ftclassify.checks import run_checks
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import LabelError, TaskError
from datasette_ftclassify.core.examples import read_records
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.core.task import Task, define
from datasette_ftclassify.core.text import TEXT_FORM, reading_of
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.sql.functions import register

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
