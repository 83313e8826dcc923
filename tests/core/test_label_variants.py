"""Labels that only look the same are told with their rows, and count as one where wanted."""

from __future__ import annotations

import json
import re
import unicodedata
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import database, table
from visiting import get, serve

from datasette_ftclassify.checks import run_checks
from datasette_ftclassify.core.database import connect, decode
from datasette_ftclassify.core.errors import TaskError
from datasette_ftclassify.core.examples import read_records
from datasette_ftclassify.core.labels import (
    folded,
    label_name,
    label_of_bytes,
    variant_groups,
    variant_key,
)
from datasette_ftclassify.core.task import Task, define, with_variants_merged
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest

NFD = unicodedata.normalize("NFD", "Café")
VARIANTS = [
    ["spam", "spam ", "\u00a0spam", "sp\u200bam", "\ufeffspam", "Spam", "SPAM\t"],
    ["Café", NFD, "café", "Cafe\u0301\u200d"],
    ["new york", "New  York", "new\u00a0york", "new york\r\n"],
    [1, "1", "1.0", " 1", "1.00"],
    [2.5, "2.5", "2.50"],
    [-3, "-3.0"],
    ["spam", "spam\0", "\0spam"],
    ["Päckchen", "PÃ¤ckchen", "pÃ¤ckchen", "P\u00c3\u00a4ckchen"],
    ["déjà vu", "dÃ©jÃ\u00a0 vu"],
    ["客服", "客服".encode().decode("latin-1")],
    ["it’s", "itâ€™s", "it's"],
    ["café", "cafÃ©", "cafÃƒÂ©"],
    ["R&D", "R & D", "R&amp;D"],
    ["on / off", "on/off", "On /off"],
    ["a - b", "a – b", "a — b"],
    ["10 %", "10%", "10&nbsp;%"],
    ["İade", "iade", "IADE", "ıade"],
    ["گزارش مالی", "گزارش مالي", "گزارش مالى"],
    ["2024-01-05", "2024-01-05 00:00:00", "2024-01-05T00:00", "2024-01-05 00:00:00.000"],
    [3, "+3", "3,0", "٣", "３", "3,00"],
    [-1, "−1", "-1,0"],
    ["urgent", "urgent.", "Urgent;", "'urgent'", '"urgent"', "“Urgent”", "«urgent»."],
    ["log-in", "log in", "log_in", "log\u2011in", "Log\u2013In"],
    ["file", "ﬁle", "ｆｉｌｅ"],
    ["bill", "[x] bill", "[X]Bill", "- [x] bill", "✔️ Bill", "• bill"],
    ["bill", "<label>bill</label>", "&lt;b class='x'&gt; Bill &lt;/b&gt;."],
    ["bill", "1. bill", "12) Bill"],
    ["فاتورة", "\ufed3\ufe8e\ufe97\ufeee\ufead\ufe93"],
    ["bill", "b\u0456ll", "B\u0406LL"],
    ["Gebühr", label_of_bytes(b"Geb\xfchr"), label_of_bytes(b"GEB\xdcHR")],
]
APART = [
    "01",
    "1",
    "-1",
    "1.5",
    "1,500",
    "2024-01-05 00:30",
    "1e0",
    "v1",
    "a b",
    "ab",
    "a",
    "A*",
    "a+",
    "a-",
    "fraud",
    "fraud?",
    ".",
    "...",
    "-",
    "--",
    "''",
    "cafe",
    "café",
    "0",
    "x²",
    "x2",
    "SÃO",
    "[ ] a",
    "<i>a</b>",
    "<a>",
    "<a>b</a> c",
    "-a",
    "1.a",
    "1. 5",
    "- 5",
]


@pytest.mark.parametrize("group", VARIANTS, ids=str)
def test_variants_share_a_key(group: list[Any]) -> None:
    assert len({variant_key(label) for label in group}) == 1


def test_what_is_no_variant_stays_apart() -> None:
    assert len(set(map(variant_key, APART))) == len(APART)
    assert variant_key(1.0) == variant_key(1)
    assert folded("sp\u200bam") == folded("SPAM ")


def labelled(*labels: Any) -> tuple[Any, Task]:
    conn = table(["text", "label"], [(f"text {n} {v!r}", v) for n, v in enumerate(labels)])
    return conn, define(conn, "t", text=["text"], labels=["label"])


def values(conn: Any, task: Task) -> list[Any]:
    return [(record.labels.values or (None,))[0] for record in read_records(conn, task)]


def test_variants_are_a_finding_with_their_rows_and_stay_apart_until_merged() -> None:
    conn, task = labelled(*["spam"] * 5, *["ham"] * 5, "spam\u200b", "Ham", "spam\u200b", "1", 1)
    report = run_checks(conn, task, deep=False, leaves_machine=False)
    found = report.finding("label-variants")
    assert found is not None
    assert found.severity == "warning"
    assert found.keys == ((11,), (12,), (13,))
    assert found.count == 3
    assert "'spam' / 'spam\\u200b'" in found.message
    assert found.details["set"] == {"merged": ["spam", "ham"]}
    assert values(conn, task)[10] == "spam\u200b"
    twins = report.finding("label-types")
    assert twins is not None
    assert twins.details["set"] == {"merged": ["1"]}


def test_letters_of_another_alphabet_are_told_apart_in_the_message() -> None:
    conn, task = labelled(*["bill"] * 5, *["b\u0456ll"] * 3, *["tea"] * 5)
    found = run_checks(conn, task, deep=False, leaves_machine=False).finding("label-variants")
    assert found is not None
    assert "'bill' / 'b\\u0456ll'" in found.message


def test_bytes_of_another_encoding_are_merged_into_the_label_they_spell() -> None:
    conn, task = labelled(*["Gebühr"] * 3, *["GebÃ¼hr"] * 3, *["ham"] * 5)
    for _ in range(4):
        conn.execute("insert into t values ('a fee', cast(x'476562fc6872' as text))")
    conn.execute("insert into t values ('one more', cast(x'fc6872' as text))")
    conn.text_factory = decode
    merged = with_variants_merged(conn, task)
    assert merged.merged == ("Gebühr",)  # of as many rows as its mangled form
    told = [value for value in values(conn, merged) if value != "ham"]
    assert told == ["Gebühr"] * 10 + ["\\xfchr"]


def test_normal_forms_are_told_apart_in_the_message() -> None:
    conn, task = labelled(*["Café"] * 5, *[NFD] * 3, *["tea"] * 5)
    found = run_checks(conn, task, deep=False, leaves_machine=False).finding("label-variants")
    assert found is not None
    assert "'Caf\\xe9' / 'Cafe\\u0301'" in found.message


def test_merged_they_count_as_the_commonest_and_later_ones_too() -> None:
    conn, task = labelled(*["spam"] * 3, "Spam", *["ham"] * 2, "ham ", 1, "1", "1.0", "1.0", "1.0")
    merged = with_variants_merged(conn, task)
    assert set(merged.merged) == {"spam", "ham", "1.0"}
    assert set(values(conn, merged)) == {"spam", "ham", "1.0"}
    conn.execute("insert into t values ('new', 'SPAM\u200b'), ('newer', 1.0), ('other', 'eggs')")
    assert values(conn, merged)[-3:] == ["spam", "1.0", "eggs"]
    report = run_checks(conn, merged, deep=False, leaves_machine=False)
    told = report.finding("label-variants")
    assert told is not None
    assert told.severity == "info"
    assert report.finding("label-types") is None


async def test_pages_tell_labels_apart_that_differ_by_white_space(tmp_path: Path) -> None:
    labels = ["boats", "boats ", "boats\u00a0", "trees"]
    with closing(connect(tmp_path / "town.db", must_exist=False)) as conn:
        with conn:
            conn.execute("create table mails (id integer primary key, body text, topic text)")
            rows = [(f"{labels[n % 4].strip()} number {n}", labels[n % 4]) for n in range(120)]
            conn.executemany("insert into mails (body, topic) values (?, ?)", rows)
        task = define(conn, "mails", text=["body"], labels=["topic"])
        train_classifier(conn, task, TrainRequest(name="topics", curve=False))
    datasette = serve(tmp_path / "town.db")
    shown = ["boats", "&#39;boats &#39;", "&#39;boats\\xa0&#39;", "trees"]
    listed = (await get(datasette, "/town/-/ftclassify")).text
    assert f"4: {', '.join(shown)}" in listed
    page = (await get(datasette, "/town/-/ftclassify/classifiers/topics@1")).text
    heads = re.findall(r'<th scope="row" dir="auto">([^<]*)</th>', page)
    assert set(heads) == set(shown)


def test_two_labels_that_are_written_in_several_ways_are_binary() -> None:
    conn, task = labelled("yes", "Yes", "no", "yes")
    assert task.kind == "multiclass"
    assert with_variants_merged(conn, task).kind == "binary"


def test_two_labels_of_lists_stay_several_to_a_row() -> None:
    conn, task = labelled('["a"]', '["A", "b"]', '["b", "a"]', "[]")
    assert with_variants_merged(conn, task).kind == task.kind == "multilabel"


def test_variants_are_found_in_a_column_to_which_they_are_equal() -> None:
    conn = database("create table t (text, label text collate nocase)")
    rows = [(f"text {n}", label) for n, label in enumerate(["spam", "Spam", "ham", "spam"])]
    conn.executemany("insert into t values (?, ?)", rows)
    task = define(conn, "t", text=["text"], labels=["label"])
    assert with_variants_merged(conn, task).merged == ("spam",)


def test_variants_in_lists_are_merged() -> None:
    conn, task = labelled("a|b", "A|b", "a|c", "a", "b |c", "A\u200b|c")
    merged = with_variants_merged(conn, task)
    assert [r.labels.values for r in read_records(conn, merged)][1] == ("a", "b")
    assert [r.labels.values for r in read_records(conn, merged)][-1] == ("a", "c")


LABELS = st.one_of(
    st.sampled_from([v for group in VARIANTS for v in group]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4),
    st.integers(-5, 5),
    st.floats(-5, 5).map(lambda x: round(x, 1)),
)


@given(st.lists(LABELS, min_size=1, max_size=15))
def test_merging_leaves_no_variants_and_loses_no_row(labels: list[Any]) -> None:
    conn, task = labelled(*labels)
    merged = with_variants_merged(conn, task)
    before, after = values(conn, task), values(conn, merged)
    assert [value is None for value in before] == [value is None for value in after]
    kept = [value for value in after if value is not None]
    assert all(len(group) == 1 for group in variant_groups(dict.fromkeys(kept, 1)))
    assert {label_name(v) for v in kept} <= {label_name(v) for v in before if v is not None}
    assert Task.from_dict(json.loads(json.dumps(merged.to_dict()))) == merged


@pytest.mark.parametrize("damaged", ["spam", {"a": 1}, [None], [["a"]], [True], [1e999], 3])
def test_a_strangers_merging_is_checked(damaged: Any) -> None:
    _, task = labelled("a", "b")
    with pytest.raises(TaskError, match="damaged"):
        Task.from_dict({**task.to_dict(), "merged": damaged})


def test_a_task_of_an_earlier_version_is_the_same_task() -> None:
    _, task = labelled("a", "b")
    assert not {"notation", "label_names", "merged"} & set(task.to_dict())
    assert Task.from_dict(task.to_dict()) == task
