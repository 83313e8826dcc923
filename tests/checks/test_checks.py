"""What the checks say about rows, labels, splits and a hosted model."""

from __future__ import annotations

import ast
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from checking import SUBJECTS, check, clean_rows, codes, found, sentence, table
from commands import run
from folders import ROOT
from hypothesis import given
from hypothesis import strategies as st

from datasette_ftclassify import checks
from datasette_ftclassify.checks import Finding, hosted, run_checks
from datasette_ftclassify.checks.codes import Section
from datasette_ftclassify.checks.distributions import distribution
from datasette_ftclassify.checks.registry import codes_of
from datasette_ftclassify.checks.row_conditions import SeenGroups
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import Task, define, with_variants_merged
from datasette_ftclassify.core.typed_json import as_json
from datasette_ftclassify.export import ExportFormat

DOCS = ROOT / "docs" / "checks.md"


def test_a_clean_table_has_nothing_to_correct(vocabularies: Path) -> None:
    report = check(clean_rows(340), deep=True)
    assert codes(report) == {"no-label-for-the-rest"}  # which is good to know, and no fault
    assert report.ok
    assert report.rows == {"total": 1020, "labelled": 1020, "unlabelled": 0, "usable": 1020}


def test_the_report_is_json() -> None:
    spoilt = [*clean_rows(20), (b"\x00", "garden"), ("text", float("inf")), (None, None)]
    report = check(spoilt, deep=True)
    assert json.loads(json.dumps(as_json(report), allow_nan=False))["rows"]["total"] == 63


def test_gravest_findings_come_first() -> None:
    report = check([("one", "a"), ("", "a"), ("two", None), ("three", None)])
    severities = [finding.severity for finding in report.findings]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    infos = [f.count for f in report.findings if f.severity == "info"]
    assert infos == sorted(infos, reverse=True)


def test_a_finding_keeps_to_its_severities() -> None:
    with pytest.raises(ValueError, match="cannot be"):
        Finding("one-label", "info", 1, "", "")


# Amounts


def test_a_table_without_examples() -> None:
    report = check([("a text", None), (None, "a label")])
    assert found(report, "no-examples").count == 2
    assert not report.ok


@pytest.mark.parametrize(("rows", "severity"), [(9, "error"), (10, "warning"), (99, "warning")])
def test_too_few_examples(rows: int, severity: str) -> None:
    report = check(clean_rows(34)[:rows])
    assert found(report, "too-few-examples").severity == severity


def test_a_hundred_examples_are_not_too_few() -> None:
    assert "too-few-examples" not in codes(check(clean_rows(34)[:100]))


def test_small_labels_by_size() -> None:
    rows = [*clean_rows(100), ("once only", "single")]
    rows += [(f"rarely {n}", "rare") for n in range(4)]
    rows += [(f"sometimes {n}", "small") for n in range(99)]
    report = check(rows)
    assert found(report, "single-example-labels").details["labels"] == {"single": 1}
    assert found(report, "rare-labels").details["labels"] == {"rare": 4}
    small = found(report, "small-labels")
    assert small.details["labels"] == {"small": 99}
    assert small.where == "\"label\" in ('small')"


def test_one_label_and_one_text() -> None:
    assert found(check([(f"text {n}", "same") for n in range(20)]), "one-label").count == 20
    assert found(check([("same", n % 2) for n in range(20)]), "one-text").count == 20


def test_labels_that_look_like_free_text() -> None:
    rows = [(f"text {n}", f"answer number {n}") for n in range(30)]
    report = check(rows)
    assert found(report, "free-text-labels").severity == "error"
    assert "single-example-labels" not in codes(report)


def test_more_labels_than_a_classifier_holds() -> None:
    rows = [(f"text {n % 9000}", f"label {n // 2}") for n in range(10_010)]
    report = check(rows, deep=True)
    assert codes(report) >= {"too-many-labels"}
    assert report.rows["usable"] == 10_010


@pytest.mark.parametrize(
    ("labels", "warned"),
    [
        (("hockey", "baseball"), True),
        (("hockey", "baseball", "Other sports"), False),
        (("hockey", "baseball", "none of these"), False),
        (("hockey", "baseball", "mother"), True),
        (("relevant", "irrelevant"), False),
        ((0, 1), False),
        (("yes", "no"), False),
    ],
)
def test_whether_a_label_stands_for_the_rest(labels, warned) -> None:
    rows = [(f"text number {n} about {label}", label) for n in range(20) for label in labels]
    report = check(rows)
    assert ("no-label-for-the-rest" in codes(report)) == warned
    if warned:
        told = found(report, "no-label-for-the-rest")
        assert told.message.startswith(f"A text about anything else gets one of the {len(labels)}")
        assert "minimum score" in told.advice


def test_no_finding_tells_readers_of_pages_an_option_of_the_command_line() -> None:
    named = [
        (path.name, node.value)
        for path in Path(checks.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and re.search(r"(^|\W)--[a-z]", str(node.value))
    ]
    assert named == []


def test_imbalance() -> None:
    rows = [(f"often {n}", "often") for n in range(190)] + [
        (f"seldom {n}", "no") for n in range(10)
    ]
    finding = found(check(rows), "imbalance")
    assert finding.details["ratio"] == 19
    assert finding.details["majority_share"] == 0.95
    assert finding.severity == "warning"
    assert "imbalance" not in codes(check(clean_rows(20) + rows[100:180]))


def test_labels_that_are_all_on_nearly_every_row_are_not_compared() -> None:
    rows = [(f"message {n} of many", "a|b" if n % 20 else "a") for n in range(200)]
    told = found(check(rows, task={"delimiter": "|"}), "imbalance").message
    assert "examples (100%)." in told
    assert "times" not in told


def test_labels_spelt_in_several_ways() -> None:
    rows = [*clean_rows(), ("apart", "Garden"), ("apart too", "garden "), ("x y z", "House")]
    report = check(rows)
    finding = found(report, "label-variants")
    assert finding.count == 3
    assert finding.details["groups"][0] == {"garden": 110, "Garden": 1, "garden ": 1}
    assert finding.where == "\"label\" in ('Garden', 'garden ', 'House')"
    assert "single-example-labels" not in codes(report)
    assert "imbalance" not in codes(report)


def test_all_sentences_count_a_label_with_its_ways_of_writing() -> None:
    """What they say before the ways of writing are merged holds afterwards, too."""
    rows = [(sentence(label, n), _written(label, n)) for n in range(60) for label in SUBJECTS]
    rows += [(f"shed number {n} has a door", ("shed", "Shed", "shed ")[n % 3]) for n in range(6)]
    rows += [(f"rarely the cat {n} purrs", ("cat", "Cat")[n % 2]) for n in range(4)]
    said = {f.code: f for f in check(rows).findings}
    conn = table(rows)
    merged = with_variants_merged(conn, define(conn, "t", text=["text"], labels=["label"]))
    afterwards = {f.code: f for f in run_checks(conn, merged, deep=False).findings}
    counting = {"small-labels", "rare-labels", "imbalance", "no-label-for-the-rest"}
    assert counting <= said.keys() & afterwards.keys()
    for code in counting:
        assert said[code].message == afterwards[code].message
        assert said[code].details == afterwards[code].details
    assert said["rare-labels"].details["labels"] == {"Cat": 4}
    assert said["small-labels"].details["labels"]["Shed"] == 6
    assert said["no-label-for-the-rest"].count == 5
    assert "count them as one" in said["label-variants"].message + said["label-variants"].advice


def _written(label: str, number: int) -> str:
    return label if number % 3 else label.title() if number % 2 else f"{label} "


def test_one_label_in_several_ways_of_writing_is_one_label() -> None:
    rows = [(sentence("port", n), ("port", "Port")[n % 2]) for n in range(40)]
    assert found(check(rows), "one-label").count == 40
    rows = [(sentence("port", n), ("port", "Port")[n % 2]) for n in range(3)]
    rows += [(sentence("house", n), "house") for n in range(300)]
    missing = [f for f in check(rows).findings if f.code == "label-missing-from-split"]
    assert not any("Port" in f.details["labels"] for f in missing)


def test_a_label_as_number_and_as_text() -> None:
    rows = [(f"text {n}", "1" if n % 5 else 1) for n in range(50)]
    finding = found(check(rows + [(f"more {n}", "2") for n in range(50)]), "label-types")
    assert finding.severity == "error"
    assert finding.count == 50


# Cells


def test_cells_without_text_or_label() -> None:
    rows = [(None, "garden"), ("  ", "garden"), (b"bytes", "garden"), ("a", " "), ("b", b"x")]
    report = check([*clean_rows(), *rows, ("not yet", None)])
    first = len(clean_rows()) + 1
    expected = ["null-text", "empty-text", "blob-text", "empty-label", "blob-label", "unlabelled"]
    for number, code in enumerate(expected):
        finding = found(report, code)
        assert finding.keys == ((first + number,),)
        assert finding.where is not None
    assert report.rows == {"total": 336, "labelled": 333, "unlabelled": 3, "usable": 330}


def test_white_space_that_sql_does_not_trim_is_found_by_key() -> None:
    rows = [*clean_rows(), ("\n\t", "garden"), (" ", "garden")]
    assert found(check(rows), "empty-text").where == '"id" in (331, 332)'


def test_labels_that_are_no_list() -> None:
    rows = [("a", '["x"]'), ("b", '["x", "y"]'), ("c", "x"), ("d", "[1")]
    task = Task("t", ("text",), ("label",), "multilabel")
    report = run_checks(table(rows), task, deep=False)
    assert found(report, "invalid-label").keys == ((3,), (4,))


def test_conditions_of_the_task_stay_in_force() -> None:
    rows = [*clean_rows(), (None, "garden"), (None, "port")]
    report = check(rows, task={"where": "label != 'port'"})
    finding = found(report, "null-text")
    assert finding.count == 1
    conn = table(rows)
    assert conn.execute(f"select id from t where {finding.where}").fetchall() == [(331,)]


def test_messages_count_in_words() -> None:
    one = check([*clean_rows(), ("not yet", None)])
    two = check([*clean_rows(), ("not yet", None), ("nor this", None)])
    assert found(one, "unlabelled").message == "1 row not labelled yet."
    assert found(two, "unlabelled").message == "2 rows not labelled yet."


def test_very_short_texts() -> None:
    report = check([*clean_rows(), ("??", "garden"), ("ok", "garden"), ("yes", "garden")])
    assert found(report, "very-short-texts").keys == ((331,), (332,))


def test_what_all_texts_share() -> None:
    rows = [(f"Dear town hall, {t} Yours, a resident", label) for t, label in clean_rows()]
    report = check(rows)
    assert found(report, "common-beginning").details["common"] == "Dear town hall, "
    assert found(report, "common-ending").details["common"].endswith("Yours, a resident")
    # What this software puts before the columns is not the writers'.
    two = check([(*row, "x") for row in rows], "text, label, place", text=["text", "place"])
    assert "common-beginning" not in codes(two)


# The same text twice


def test_duplicates_and_conflicts() -> None:
    text, label = clean_rows()[0]
    copies = [(text, label), (text.upper(), label), (f"  {text} ", label)]
    report = check([*clean_rows(), *copies, ("twice", "garden"), ("Twice", "house")])
    assert found(report, "exact-duplicates").keys == ((331,), (332,), (333,))
    conflict = found(report, "conflicting-labels")
    assert conflict.keys == ((334,), (335,))
    assert conflict.where == '"id" in (334, 335)'


def test_a_copy_of_a_conflicting_row_is_a_duplicate_too() -> None:
    rows = [("same", "garden"), ("same", "house"), ("same", "house"), ("same", "garden")]
    report = check([*clean_rows(), *rows])
    assert found(report, "conflicting-labels").count == 4
    assert found(report, "exact-duplicates").keys == ((333,), (334,))


def letters(count: int, label: str) -> list[tuple[str, str]]:
    """A form letter that was sent to several people: near copies of each other."""
    text = "dear {} we have not received the payment for your garden plot by the lake since spring"
    return [(text.format(name), label) for name in ("ann", "bob", "eve", "joe", "kim")[:count]]


def test_near_copies_and_those_with_other_labels() -> None:
    near = found(check([*letters(5, "house"), *clean_rows(8)]), "near-duplicates")
    assert (near.severity, near.count, near.details) == ("warning", 5, {"groups": 1, "largest": 5})
    few = found(check([*letters(5, "house"), *clean_rows(20)]), "near-duplicates")
    assert few.severity == "info"
    disputed = [*letters(3, "house"), *letters(4, "port")[3:], *clean_rows(8)]
    assert found(check(disputed), "conflicting-near-duplicates").count == 4


def test_a_text_that_stands_in_most_rows() -> None:
    few = found(check([*clean_rows(1), *[clean_rows(1)[0]] * 5]), "few-different-texts")
    assert (few.severity, few.count, few.details) == ("warning", 8, {"groups": 3, "largest": 6})


def test_the_order_of_several_labels_is_no_conflict() -> None:
    rows = [("same", "a|b"), ("same", "b|a"), ("other", "a"), ("third", "b")]
    report = check(rows, task={"delimiter": "|"})
    assert "conflicting-labels" not in codes(report)
    assert found(report, "exact-duplicates").count == 1


def test_many_rows_have_a_count_but_no_list_of_keys() -> None:
    finding = found(check([*clean_rows(), *clean_rows()]), "exact-duplicates")
    assert finding.count == 330
    assert len(finding.keys) == 10
    assert finding.where is None


# Several labels


def test_rows_with_none_of_the_labels_and_labels_always_together() -> None:
    rows = [(sentence("garden", n), n % 2, n % 2, n % 3 == 0) for n in range(60)]
    report = check(rows, "text, red, green, blue", labels=["red", "green", "blue"])
    assert found(report, "rows-without-labels").count == 20
    assert found(report, "labels-always-together").details["groups"] == [["green", "red"]]
    assert "free-text-labels" not in codes(report)


LETTERS = {
    "dues": "please find enclosed the yearly dues of our member number {} for the season to come",
    "noise": "the noise from the works on platform {} keeps all of our neighbours awake at night",
    "lost": "my umbrella with the ivory handle was lost on ferry {} between the two last stops",
}


def test_copies_are_listed_group_by_group() -> None:
    """Rows come as they do in a table, mixed; they are read side by side."""
    rows = [*clean_rows(20)]
    kinds = {"dues": 7, "noise": 4, "lost": 2}
    for number in range(7):
        rows += [
            (LETTERS[kind].format(f"{number} x{number}"), ("a", "b")[number % 2])
            for kind, count in kinds.items()
            if number < count
        ]
    report = check(rows, most_keys=100)
    near = found(report, "near-duplicates")
    assert [group.rows for group in near.groups] == [7, 4, 2]
    assert near.keys == tuple(key for group in near.groups for key in group.keys)
    for group, kind in zip(near.groups, kinds, strict=True):
        assert {rows[key[0] - 1][0][:12] for key in group.keys} == {LETTERS[kind][:12]}
    told = json.loads(json.dumps(as_json(report)))["findings"]
    (listed,) = [f["groups"] for f in told if f["code"] == "near-duplicates"]
    assert [len(group["keys"]) for group in listed] == [7, 4, 2]
    assert found(report, "conflicting-near-duplicates").groups == near.groups
    # Where there is room for some keys only, there are some of each group.
    few = found(check(rows), "near-duplicates")
    assert [(group.rows, len(group.keys)) for group in few.groups] == [(7, 3), (4, 3), (2, 2)]


@given(st.lists(st.integers(0, 300), max_size=700), st.integers(1, 300))
def test_groups_are_listed_within_their_bounds(groups: list[int], most: int) -> None:
    seen = SeenGroups()
    for number, group in enumerate(groups):
        seen.add((number,), group)
    listed = seen.groups(most)
    assert sum(len(group.keys) for group in listed) <= most
    assert [group.rows for group in listed] == sorted((g.rows for g in listed), reverse=True)
    for group in listed:
        (name,) = {groups[key] for (key,) in group.keys}
        assert group.rows == groups.count(name) >= len(group.keys)
    if len(groups) <= most:
        assert sum(len(group.keys) for group in listed) == len(groups)
    assert seen.complete == (len(seen.keys) == len(groups))


def test_texts_with_several_labels_are_listed_text_by_text() -> None:
    rows = [*clean_rows(20), *((f"is it {n % 3}?", f"{n % 2} or so") for n in range(12))]
    groups = found(check(rows, most_keys=50), "conflicting-labels").groups
    assert [group.rows for group in groups] == [4, 4, 4]
    assert all(len({rows[key[0] - 1][0] for key in group.keys}) == 1 for group in groups)


# Splits


def with_split(split: str | None, rows: int = 60) -> list[tuple[str, str, str | None]]:
    offset = {"train": 0, "validation": 1000, "test": 2000}.get(split or "", 3000)
    return [(sentence(la, offset + n), la, split) for n in range(rows // 3) for la in SUBJECTS]


def test_splits_that_were_given() -> None:
    rows = [*with_split("train"), *with_split("test"), *with_split("dev", 9), *with_split(None, 6)]
    rows.append((with_split("train")[0][0], "garden", "test"))
    report = check(rows, "text, label, part", task={"split_column": "part"})
    left_out = found(report, "split-values-left-out")
    assert left_out.details["values"] == {"dev": 9, "NULL": 6}
    assert left_out.where is not None
    assert found(report, "shared-across-splits").keys == ((136,),)
    assert found(report, "validation-from-train").count == report.splits["rows"]["validation"] > 0
    assert found(report, "small-test-split").count == 61
    assert sum(report.splits["rows"].values()) + 15 == report.rows["usable"]


def test_splits_that_lack_something() -> None:
    task = {"split_column": "part"}
    only_test = check(with_split("test"), "text, label, part", task=task)
    assert found(only_test, "no-training-rows").severity == "error"
    rows = [*with_split("train"), *with_split("validation", 9)]
    assert found(check(rows, "text, label, part", task=task), "no-test-rows")
    rows += [(sentence("garden", 5000 + n), "shed", "test") for n in range(5)]
    missing = [
        (f.details["split"], f.details["labels"], f.severity)
        for f in check(rows, "text, label, part", task=task).findings
        if f.code == "label-missing-from-split"
    ]
    assert ("train", ["shed"], "warning") in missing
    assert ("test", ["garden", "house", "port"], "info") in missing


def test_labels_whose_copies_leave_too_few_rows_to_test() -> None:
    letter = "dear sir or madam the ferry of the twelfth never came and we were left at the jetty"
    rows = [*clean_rows(12), *((letter, "port") for _ in range(160)), *(("bye", "gone"),) * 20]
    finding = found(check(rows), "test-rows-few-for-copies")
    assert finding.details["labels"].keys() == {"port", "gone"}
    port, gone = (finding.details["labels"][label] for label in ("port", "gone"))
    assert (port["rows"], port["largest"]) == (172, 160)
    assert 0 < port["test"] < 17 / 2
    assert (gone["rows"], gone["largest"], gone["test"]) == (20, 20, 0)
    assert "port (" in finding.message
    assert f"{port['test']} of 172" in finding.message
    # What is missing because of its copies is not said twice.
    assert "label-missing-from-split" not in {
        f.code for f in check(rows).findings if f.details.get("split") == "test"
    }
    # Twelve letters of twenty rows each can be divided.
    apart = [(sentence("house", 9_000 + n), "port") for n in range(12) for _ in range(20)]
    assert "test-rows-few-for-copies" not in codes(check([*clean_rows(40), *apart]))


def test_no_share_for_the_test_split() -> None:
    assert found(check(clean_rows(), plan=SplitPlan(test=0)), "no-test-rows").count == 0


# The model


def test_label_tokens(vocabularies: Path) -> None:
    rows = [(f"text {n}", ("credit_card", "credit_line", "hat")[n % 3]) for n in range(120)]
    report = check(rows)
    several = found(report, "labels-of-several-tokens")
    assert several.details["codes"] == {"credit_card": "0", "credit_line": "1"}
    same = found(report, "labels-share-first-token")
    assert same.details["groups"] == [["credit_card", "credit_line"]]
    coded = check(rows, fmt=ExportFormat(labels="code"))
    assert not codes(coded) & {"labels-of-several-tokens", "labels-share-first-token"}
    assert report.tokens is not None
    assert report.tokens["exact"]


def test_an_unknown_vocabulary_is_said_once() -> None:
    report = check(clean_rows(), model="house-model-1")
    assert [f.code for f in report.findings].count("vocabulary-unknown") == 1
    assert report.tokens is not None
    assert not report.tokens["exact"]
    assert report.estimate is not None
    assert report.estimate["usd"] is None


def test_tokens_and_costs_are_those_of_the_exported_file(
    vocabularies: Path, tmp_path: Path
) -> None:
    from datasette_ftclassify.core.examples import read_records
    from datasette_ftclassify.core.labels import LabelSet
    from datasette_ftclassify.core.splits import Splitter, split_examples
    from datasette_ftclassify.export import export
    from datasette_ftclassify.prompts.tokenizer import tokenizer_for

    conn = table(clean_rows())
    task = define(conn, "t", text=["text"], labels=["label"])
    report = run_checks(conn, task, deep=False)
    splitter = Splitter(SplitPlan())
    for record in read_records(conn, task):
        splitter.add(record)
    written = export(
        split_examples(read_records(conn, task), splitter),
        LabelSet.of(SUBJECTS, task.kind),
        task,
        ExportFormat(),
        tmp_path,
        plan=SplitPlan(),
        tokenizer=tokenizer_for(),
    )
    train = next(file for file in written.written if file.split == "train")
    assert report.tokens is not None
    assert report.tokens["training_tokens"] == train.tokens
    assert report.tokens["bytes"] == train.size
    assert report.estimate is not None
    assert report.estimate["usd"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", report.estimate["table_date"])


def test_tokens_of_large_tables_are_projected(
    vocabularies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = check(clean_rows(400)).tokens
    monkeypatch.setattr(hosted, "TOKEN_ROWS", 200)
    projected = check(clean_rows(400)).tokens
    assert counted is not None
    assert projected is not None
    assert (counted["exact"], projected["exact"]) == (True, False)
    assert projected["note"] == f"Projected from {projected['counted_rows']} rows."
    assert 120 < projected["counted_rows"] < 280
    for figure in ("text_tokens", "training_tokens", "bytes"):
        assert projected[figure] == pytest.approx(counted[figure], rel=0.05)


def test_texts_over_the_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    prices = {
        "date": "2026-11-01",
        "models": {"tiny": {"example_tokens": 100, "file_bytes": 20000}},
    }
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(prices))
    monkeypatch.setenv("FTCLASSIFY_PRICES", str(path))
    report = check([*clean_rows(), ("word " * 200, "garden")], model="tiny")
    finding = found(report, "over-token-limit")
    assert finding.keys == ((331,),)
    assert finding.details["limit"] == 100
    assert finding.details["longest"] > 150
    assert found(report, "file-too-large").severity == "error"


def test_separator_and_stop_sequence() -> None:
    rows = [*clean_rows(), ("a\n\n###\n\nb", "garden"), ("the END", "garden"), ("c", "the END")]
    report = check(rows, fmt=ExportFormat(form="completion", stop=" END"))
    assert found(report, "separator-in-text").keys == ((331,),)
    assert found(report, "stop-in-text").keys == ((332,),)
    assert found(report, "stop-in-label").details["labels"] == ["the END"]
    in_chat = check(rows)
    assert found(in_chat, "separator-in-text").severity == "info"
    assert not codes(in_chat) & {"stop-in-text", "stop-in-label"}


def test_what_stays_here_is_not_counted_for_a_provider() -> None:
    report = check(clean_rows(), leaves_machine=False)
    assert report.tokens is None
    assert report.estimate is None
    assert report.distributions["tokens"] is None
    assert "labels-of-several-tokens" not in codes(report)


def test_where_nobody_has_chosen_a_hosted_model_its_limits_stand_in_nobodys_way(
    tmp_path: Path,
) -> None:
    """Nor is it left out what the local trainer does not read."""
    rows = [*clean_rows(), ("here is it\n\n###\n\n too", "house"), ("t", "the END")]
    rows.append(("x" * 30_000, "garden"))
    given = {"fmt": ExportFormat(form="completion", stop=" END"), "leaves_machine": None}
    report = check(rows, **given)
    model = codes_of(Section.MODEL)
    assert {"separator-in-text", "stop-in-label"} <= codes(report) & model
    assert {f.severity for f in report.findings if f.code in model} == {"info"}
    assert report.ok
    assert not check(rows, fmt=given["fmt"]).ok
    assert "long-texts-cut" in codes(report)
    path = tmp_path / "letters.db"
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("create table t (text, label)")
        conn.executemany("insert into t values (?, ?)", rows)
    words = ["check", str(path), "t", "--text", "text", "--label", "label", "--quick"]
    told = run(*words).stdout
    mine, there = told.split("Only if a hosted model is trained, such as gpt-4.1-mini")
    assert "token" not in mine
    assert "training tokens for gpt-4.1-mini" in there
    assert "with the separator" in there
    assert "warning" not in there
    for chosen in ("--local", "--trainer=local"):
        assert "token" not in run(*words, chosen).stdout


# The rest of the report


def test_the_sample_is_seeded_and_random() -> None:
    first, again = check(clean_rows(), seed=1), check(clean_rows(), seed=1)
    assert first.sample == again.sample != check(clean_rows(), seed=2).sample
    assert len(first.sample) == 10
    assert len(check(clean_rows(), sample_size=3).sample) == 3
    assert len(check(clean_rows()[:4]).sample) == 4
    shown = first.sample[0]
    assert clean_rows()[shown["key"][0] - 1] == (shown["text"], shown["labels"][0])


def test_long_texts_are_cut_in_the_sample() -> None:
    report = check([(f"{n} " * 3000, n % 2) for n in range(10)])
    assert {len(row["text"]) for row in report.sample} == {2000}


def test_distributions() -> None:
    report = check(clean_rows())
    by_split = report.distributions["labels"]
    assert {split: sum(c.values()) for split, c in by_split.items()} == report.splits["rows"]
    lengths = report.distributions["characters"]
    assert sum(each["count"] for each in lengths["bins"]) == 330
    assert lengths["min"] <= lengths["median"] <= lengths["p95"] <= lengths["max"]


def test_bins_hold_their_ends_and_a_long_tail() -> None:
    from array import array

    result = distribution(array("Q", [0, 1, 2, 3, 4, 1000]))
    assert result is not None
    assert (result["min"], result["median"], result["max"]) == (0, 2, 1000)
    assert sum(each["count"] for each in result["bins"]) == 6
    assert result["bins"][-1]["to"] is None
    assert len(result["bins"]) <= 20
    assert distribution(array("Q")) is None


def test_progress_only_grows() -> None:
    steps: list[tuple[str, float]] = []
    rows = [(f"text {n}", n % 2) for n in range(5_000)]
    check(rows, deep=True, progress=lambda what, share: steps.append((what, share)))
    shares = [share for _, share in steps]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert {what for what, _ in steps} >= {"Reading the rows", "Dividing the rows"}
