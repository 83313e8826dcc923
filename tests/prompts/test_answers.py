from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_ftclassify.core.labels import Kind, LabelSet, LabelValue
from datasette_ftclassify.prompts.answer_parser import AnswerReader, array_items
from datasette_ftclassify.prompts.formats import ExportFormat


def reader(*labels: LabelValue, kind: Kind = "multiclass", **options: Any) -> AnswerReader:
    return AnswerReader(ExportFormat(**options).bind(LabelSet(labels, kind)))


NEWS = (
    "business",
    "debt_collection",
    "entertainment",
    "ice hockey",
    "non-fiction",
    "sport",
    "tech",
)
REAL: dict[str, str | None] = {
    "tech": "tech",
    "techn": "tech",
    "Tech": "tech",
    "TECH.": "tech",
    "tech\n": "tech",
    "sports": "sport",
    "busin": "business",
    "spor": "sport",
    "Entertain": "entertainment",
    "entertainmnet": "entertainment",
    "Debt collection.": "debt_collection",
    "debt-collection": "debt_collection",
    "DEBT_COLLECTION": "debt_collection",
    "DebtCollection": "debt_collection",
    "Debt Collection": "debt_collection",
    "ice_hockey": "ice hockey",
    "Ice-Hockey": "ice hockey",
    "non fiction": "non-fiction",
    "“tech”": "tech",
    "`tech`": "tech",
    "**tech**": "tech",
    "'Debt collection'.": "debt_collection",
    "```\ntech\n```": "tech",
    '```json\n{"label": "tech"}\n```': "tech",
    '{"label": "tech"}': "tech",
    '{"category": "Debt collection", "confidence": 0.93}': "debt_collection",
    '["tech"]': "tech",
    "[tech]": "tech",
    "(sport)": "sport",
    "Label: tech": "tech",
    "label = tech.": "tech",
    "**Label:** tech": "tech",
    "Category: Debt collection": "debt_collection",
    "The label is tech.": "tech",
    "The correct category is: “sport”": "sport",
    "Answer: 1. tech": "tech",
    "1. tech": "tech",
    "3) Sport": "sport",
    "#2: business": "business",
    "- tech": "tech",
    "tech!": "tech",
    "<think>\nsport? No: computers.\n</think>\n\ntech": "tech",
    "<think>" + "so many thoughts " * 500 + "</think>Label: tech": "tech",
    "tech<|im_end|>": "tech",
    "Label: tech</s>": "tech",
    "<answer>tech</answer>": "tech",
    "<b>Debt collection</b>": "debt_collection",
    "\\boxed{tech}": "tech",
    "$\\boxed{\\text{ice hockey}}$": "ice hockey",
    "Prediction: tech": "tech",
    "Label：tech": "tech",
    "Label -> tech": "tech",
    "The most appropriate label is tech.": "tech",
    "{'label': 'tech'}": "tech",
    '{"label": "tech",}': "tech",
    '"category": "Debt collection"': "debt_collection",
    '{"label": "tech", "type': None,
    '{"result": {"label": "tech", "type": "text"}}': "tech",
    '[{"label": "tech"}]': "tech",
    "__tech__": "tech",
    "「tech」": "tech",
    "| tech |": "tech",
    "<think>tech</think>": None,
    "<think>tech": None,
    "<think>tech</think>not tech": None,
    "{'label': 'not tech'}": None,
    '[{"label": "tech"}, {"label": "sport"}]': None,
    # What is none of the labels, or might be several of them.
    "soccer": None,
    "basketball": None,
    "not tech": None,
    "Label: not tech": None,
    "no sport": None,
    "tech or business": None,
    "tech, business": None,
    "tech/business": None,
    "tech\nbusiness": None,
    '["tech", "business"]': None,
    '{"label": "tech", "category": "sport"}': None,
    '{"tech": 0.2, "sport": 0.8}': None,
    '{"label": ["tech", "sport"]}': None,
    '{"label": null}': None,
    "bus": None,
    "technology": None,
    "fiction": None,
    "nonsport": None,
    "ice": None,
    "debt": None,
    "The label is not clear.": None,
    "Neither.": None,
    "1.": None,
    "Label:": None,
    "{}": None,
}
"""What models said where these labels were asked for, and what it means."""


@pytest.mark.parametrize("raw", REAL)
def test_real_answers(raw: str) -> None:
    answer = reader(*NEWS).read(raw)
    wanted = REAL[raw]
    assert answer.labels == (None if wanted is None else (wanted,))
    assert (answer.reason is None) == (wanted is not None)


@pytest.mark.parametrize(
    ("labels", "raw"),
    [
        (("hockey", "baseball"), "soccer"),
        (("tech", "technical support"), "techn"),  # as much the beginning of the other
        (("tech", "techs"), "techn"),
        (("debt_collection", "debt collection"), "Debt-collection"),
        (("meaningless", "useful"), "meaning"),
        (("employee", "client"), "employ"),
        (("approved late", "rejected"), "approved"),
        (("level 1", "level 2"), "level 1b"),
        (("level 1", "other"), "level -1"),
        (("-1", "1"), "Answer: - 1"),
        (("1.7", "8"), "1.8"),
        (("inter", "other"), "international"),
        (("ham", "eggs"), "hams"),
        (("abc123456", "other"), "abc12345"),
    ],
)
def test_what_could_be_read_differently_is_not_read(labels: tuple[str, ...], raw: str) -> None:
    assert reader(*labels).read(raw).labels is None
    assert reader(*labels).read(raw, finish_reason="length").labels is None


def test_a_cut_off_label_is_the_only_one_that_begins_so() -> None:
    assert reader(*NEWS).read("techn", finish_reason="length").labels == ("tech",)
    assert reader(*NEWS).read("entertain", finish_reason="length").labels == ("entertainment",)
    assert reader("entertainment", "entertaining").read("entertain").labels is None


SPORTS = reader("baseball", "ice hockey", "level 1", "advanced", "US", "us", "7")


@pytest.mark.parametrize(
    ("raw", "label", "how"),
    [
        ("baseball", "baseball", "exact"),
        (" baseball\n", "baseball", "exact"),
        ("US", "US", "exact"),
        ("Baseball", "baseball", "folded"),
        ("ICE \t Hockey.", "ice hockey", "folded"),
        ("“baseball”", "baseball", "folded"),
        ("**baseball**", "baseball", "folded"),
        ('"7".', "7", "folded"),
        ("basebal", "baseball", "nearest"),
        ("Baesball!", "baseball", "nearest"),
        ("ice-hokey", "ice hockey", "nearest"),
    ],
)
def test_answers_that_name_a_label(raw: str, label: str, how: str) -> None:
    answer = SPORTS.read(raw)
    assert (answer.labels, answer.how, answer.reason) == ((label,), how, None)
    assert answer.raw == raw


@pytest.mark.parametrize(
    "raw",
    [
        "football",
        "it is baseball",
        "baseball, ice hockey",
        "Us",  # one of two labels
        "level 2",  # one edit from level 1, and another number
        "level -1",
        "radvanced",  # another beginning
        "8",
        "bsbl",
        "x" * 100_000,
        "[]",
    ],
)
def test_answers_that_name_none(raw: str) -> None:
    answer = SPORTS.read(raw)
    assert (answer.labels, answer.how) == (None, None)
    assert answer.reason == "outside the label set"


def test_what_is_as_near_to_two_labels_is_neither() -> None:
    assert reader("wanderer", "wonderer").read("wunderer").labels is None
    # As near to a label too short to be misspelt.
    assert reader("shame", "sham").read("shams").labels is None
    assert reader("shame", "tram").read("shams").labels == ("shame",)


def test_short_labels_and_numbers_are_never_mended() -> None:
    assert reader("spam", "okay").read("spar").labels is None
    assert reader(10000, 23456).read("10001").labels is None
    assert reader(10000, 23456).read("10000+").labels is None
    assert reader("1.23456", "abc").read("1.23457").labels is None


def test_edits_grow_with_the_label() -> None:
    labels = reader("card arrival", "declined transfer of money abroad")
    assert labels.read("card arrivel").how == "nearest"
    assert labels.read("card errivel").labels is None
    assert labels.read("declinet transfir of muney abroad").how == "nearest"
    assert labels.read("declinet transfir of muney abrood").labels is None
    assert labels.read("cardarrival").how == "nearest"
    assert reader("my cat is", "other").read("my catis").how == "nearest"
    assert reader("my cat is", "other").read("mycatis").labels is None


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("user is authorised", "user is unauthorised"),
        ("payment unsuccessful due to card", "payment successful due to card"),
        ("complaint without refund request", "complaint with refund request"),
        ("card not working today", "card now working today"),
        ("refund is possible", "refund impossible"),
        ("customer can be refunded", "customer can't be refunded"),
        ("request for a new account", "request for no new account"),
        ("class A felony", "class B felony"),
        ("north-east region", "north-west region"),
        ("hypertension", "hypotension"),
        ("interstate", "intrastate"),
        ("employer", "employee"),
        ("prescribed", "proscribed"),
        ("客户可以退款的情况", "客户不可退款的情况"),
        ("кошелёк доступен", "кошелёк недоступен"),
    ],
)
def test_a_few_letters_make_another_word(label: str, said: str) -> None:
    assert reader(label, "zebra").read(said).labels is None
    assert reader(said, "zebra").read(label).labels is None


def test_numbers_keep_their_type() -> None:
    assert reader(1, 2.5).read("2.5").labels == (2.5,)
    assert reader(1, 2.5).read("1.").labels == (1,)
    assert reader(1, 2.5).read("1.0").labels is None


def test_codes() -> None:
    coded = reader(*(f"topic {i}" for i in range(13)), labels="code")
    assert coded.read("12").labels == ("topic 12",)
    assert coded.read("'3'").how == "folded"
    assert coded.read("3 = topic 3").labels == coded.read("3. Topic_3.").labels == ("topic 3",)
    assert coded.read("Label: 12").labels == coded.read('{"label": 12}').labels == ("topic 12",)
    for raw in ("13", "03", "topic 3", "-1", "3 = topic 4", "3, 4", "3.5"):
        assert coded.read(raw).reason == "outside the label set"


def test_completions_end_at_their_stop_sequence() -> None:
    plain = reader("ham", "hamlet", "spam", form="completion")
    assert plain.read(" spam\nand more").how == "exact"
    assert plain.read(" Spam.\nand more").how == "folded"
    assert plain.read("\nspam").reason == "empty answer"
    # The stop sequence shows that it was over.
    assert plain.read(" ham\nx", finish_reason="length").labels == ("ham",)


def test_why_there_is_no_label() -> None:
    assert SPORTS.read("").reason == "empty answer"
    assert SPORTS.read(None).reason == "empty answer"
    assert SPORTS.read(" \n ").reason == "empty answer"
    assert SPORTS.read("baseball", finish_reason="content_filter").reason == "filtered"
    assert SPORTS.read("football", finish_reason="length").reason == "cut off"
    refused = SPORTS.read(None, refusal="I cannot help with that.")
    assert (refused.reason, refused.raw) == ("refused", "I cannot help with that.")


def test_an_answer_that_was_cut_off() -> None:
    places = reader("New York", "New York City", "Newark", labels="text")
    assert places.read("New York", finish_reason="length").reason == "cut off"
    assert places.read("new york", finish_reason="length").reason == "cut off"
    assert places.read("new york").how == "folded"
    assert places.read("New York City", finish_reason="length").how == "exact"
    assert places.read("Newarl", finish_reason="length").reason == "cut off"
    assert places.read("New York Cit", finish_reason="length").labels == ("New York City",)
    assert places.read("New", finish_reason="length").reason == "cut off"
    coded = reader(*map(str, range(13)), labels="code")
    assert coded.read("1", finish_reason="length").reason == "cut off"
    assert coded.read("2", finish_reason="length").how == "exact"


TAGS = reader("a", "café", "it's", "long label", kind="multilabel")


@pytest.mark.parametrize(
    ("raw", "labels", "how"),
    [
        ("[]", (), "exact"),
        ('["café", "a"]', ("a", "café"), "exact"),
        ('["caf\\u00e9"]', ("café",), "exact"),
        ('["a", "a"]', ("a",), "exact"),
        ("['a', 'café']", ("a", "café"), "folded"),
        ('["a",]', ("a",), "folded"),
        ('```json\n["a"]\n```', ("a",), "folded"),
        ('["A", "Cafe\u0301."]', ("a", "café"), "folded"),
        ('["long lable", "a"]', ("a", "long label"), "nearest"),
        ("[ ] .", (), "folded"),
        ("a", ("a",), "folded"),
        ("[a]", ("a",), "folded"),
        ("a, café", ("a", "café"), "folded"),
        ("- A\n- long_label", ("a", "long label"), "folded"),
        ("1. a\n2. café", ("a", "café"), "folded"),
        ("Labels: a; café.", ("a", "café"), "folded"),
        ('{"labels": ["a", "it\'s"]}', ("a", "it's"), "folded"),
        ('```json\n{"labels": []}\n```', (), "folded"),
    ],
)
def test_arrays(raw: str, labels: tuple[str, ...], how: str) -> None:
    answer = TAGS.read(raw)
    assert (answer.labels, answer.how) == (labels, how)


@pytest.mark.parametrize(
    "raw",
    ["b", "a or café", "a and café", "a, b", "not a", "none",
     '["a", "b"]', '["a" "café"]', '["a"', '[["a"]]', "['it's']", '["a",,]', "[,]", "[a, b]",
     '{"a": 1}', '["a"] or ["café"]', "[NaN]", "[1e999]", "[" * 5000],
)  # fmt: skip
def test_what_is_no_array_of_labels(raw: str) -> None:
    assert TAGS.read(raw).reason == "outside the label set"


def test_an_array_that_was_cut_off() -> None:
    assert TAGS.read('["a", "ca', finish_reason="length").reason == "cut off"
    assert TAGS.read('["a"]', finish_reason="length").labels == ("a",)


def test_arrays_of_codes() -> None:
    coded = reader("x", "y", kind="multilabel", labels="code")
    assert coded.read("[1]").labels == ("y",)
    assert coded.read("[0, 1,]").labels == ("x", "y")
    assert coded.read("[2]").labels is None


def test_flags() -> None:
    flags = reader("x", "y", "z", kind="multilabel", multilabel="flags")
    assert flags.read("010").labels == ("y",)
    assert flags.read("000").labels == ()
    assert flags.read('"0 1 1".').how == "folded"
    for raw in ("01", "0110", "012", "xyz", "٠١٠"):
        assert flags.read(raw).reason == "outside the label set"
    assert flags.read("01", finish_reason="length").reason == "cut off"


READERS = [
    SPORTS,
    TAGS,
    reader("ham", "spam", form="completion"),
    reader(*range(20), labels="code"),
    reader("x", "y", kind="multilabel", multilabel="flags"),
    reader("x", "y", kind="multilabel", labels="code", form="completion"),
]
ANYTHING = st.text(st.characters(exclude_categories=[])) | st.text("[]\"'\\, axé01.-\n`")
FINISHES = st.sampled_from([None, "stop", "length", "content_filter", "tool_calls"])


@given(st.sampled_from(READERS), ANYTHING, FINISHES)
def test_no_answer_breaks_it(reader: AnswerReader, raw: str, finish: str | None) -> None:
    answer = reader.read(raw, finish_reason=finish)
    assert answer.raw == raw
    assert (answer.labels is None) == (answer.how is None) == (answer.reason is not None)
    assert set(answer.labels or ()) <= set(reader._codec.labels.values)


NAMES = st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, unique=True)


@given(NAMES.filter(lambda names: all(n.strip() for n in names)), st.data())
def test_every_answer_of_training_is_read_exactly(names: list[str], data: st.DataObject) -> None:
    kind: Kind = data.draw(st.sampled_from(["multiclass", "multilabel"]))
    labels = LabelSet.of(names, kind)
    codec = ExportFormat(
        labels=data.draw(st.sampled_from(["text", "code"])),
        multilabel=data.draw(st.sampled_from(["array", "flags"])),
    ).bind(labels)
    size = {} if kind == "multilabel" else {"min_size": 1, "max_size": 1}
    chosen = data.draw(st.lists(st.sampled_from(labels.values), unique=True, **size))
    answer = AnswerReader(codec).read(codec.answer_for(chosen))
    assert answer.how == "exact"
    assert set(answer.labels or ()) == set(chosen)


@given(st.sampled_from(["baseball", "ice hockey", "advanced"]), st.data())
def test_one_slip_is_mended(label: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(max(1, label.find(" ") + 2), len(label) - 1))
    slip = label[:at] + data.draw(st.sampled_from("äöü")) + label[at + 1 :]
    assert SPORTS.read(slip).labels == (label,)


@given(st.lists(st.text("ab]['\", \\")))
def test_items_of_any_json_array(items: list[str]) -> None:
    assert array_items(json.dumps(items)) == items
