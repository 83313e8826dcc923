from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasette_ftclassify.core.database import NotUtf8
from datasette_ftclassify.core.errors import ExportError
from datasette_ftclassify.core.examples import Example, Split
from datasette_ftclassify.core.labels import Kind, LabelSet, LabelValue
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import Task
from datasette_ftclassify.export import ExportFormat, Manifest, export, read_back
from datasette_ftclassify.prompts.formats import STOPS
from datasette_ftclassify.prompts.tokenizer import tokenizer_for

FORMS = ("chat", "completion")


def task(kind: Kind = "multiclass") -> Task:
    return Task(source="mail", text=("body",), labels=("folder",), kind=kind)


def example(text: str, *labels: LabelValue, split: Split = "train") -> Example:
    return Example((1,), text, labels, split)


def write(
    folder: Path, examples: Sequence[Example], kind: Kind = "multiclass", **options: Any
) -> Any:
    values = [value for e in examples for value in e.labels]
    labels = LabelSet.of(values, kind)
    keywords = {k: options.pop(k) for k in ("overwrite", "tokenizer", "progress") if k in options}
    return export(
        examples, labels, task(kind), ExportFormat(**options), folder, plan=SplitPlan(), **keywords
    )


def lines(path: Path) -> list[Any]:
    content = path.read_bytes()
    assert content.endswith(b"\n")
    # Readers differ in where they break lines; no line may break anywhere else.
    assert len(content.decode("utf-8").splitlines()) == content.count(b"\n")
    return [json.loads(line) for line in content.split(b"\n")[:-1]]


def test_chat_lines_have_the_documented_shape(tmp_path: Path) -> None:
    write(tmp_path, [example("Free prize!", "spam"), example("See you at 8", "ham")])
    for line in lines(tmp_path / "train.jsonl"):
        assert set(line) == {"messages"}
        assert [set(m) for m in line["messages"]] == [{"role", "content"}] * 3
        assert [m["role"] for m in line["messages"]] == ["system", "user", "assistant"]
        assert all(isinstance(m["content"], str) and m["content"] for m in line["messages"])
    assert line["messages"][1:] == [
        {"role": "user", "content": "See you at 8"},
        {"role": "assistant", "content": "ham"},
    ]
    assert line["messages"][0]["content"].endswith("\nham\nspam")


def test_completion_lines_have_the_documented_shape(tmp_path: Path) -> None:
    write(tmp_path, [example("Free prize!", "spam"), example("Hi", "ham")], form="completion")
    assert lines(tmp_path / "train.jsonl") == [
        {"prompt": "Free prize!\n\n###\n\n", "completion": " spam\n"},
        {"prompt": "Hi\n\n###\n\n", "completion": " ham\n"},
    ]


def test_labels_that_are_no_utf_8_are_read_back_as_they_were(tmp_path: Path) -> None:
    raw = "Käse".encode("cp1252")
    write(tmp_path, [example("Gouda", NotUtf8("K\\xe4se", raw)), example("Pear", "fruit")])
    assert [line["messages"][2]["content"] for line in lines(tmp_path / "train.jsonl")] == [
        "K\\xe4se",
        "fruit",
    ]
    (_, (cheese,)), _ = read_back(tmp_path / "train.manifest.json")
    assert isinstance(cheese, NotUtf8)
    assert cheese.raw == raw


def test_a_code_is_the_first_token_of_the_answer(tmp_path: Path, vocabularies: Path) -> None:
    examples = [example("Free prize!", "spam"), example("Hi", "ham")]
    write(tmp_path, examples, form="completion", labels="code")
    first, second = lines(tmp_path / "train.jsonl")
    # No space before a number: in both vocabularies " 1" is two tokens and "1" is one.
    assert (first["completion"], second["completion"]) == ("1\n", "0\n")
    for model in ("davinci-002", "gpt-4.1-mini"):
        tokenizer = tokenizer_for(model)
        whole = tokenizer.encode(first["prompt"] + first["completion"])
        prompt = tokenizer.encode(first["prompt"])
        assert whole is not None
        assert prompt is not None
        assert whole[len(prompt)] == tokenizer.first_token("1")
        assert tokenizer.is_single("1")


def test_the_system_message_explains_codes() -> None:
    labels = LabelSet.of(["ham", "odd\nname", " edge"], "multiclass")
    system = ExportFormat(labels="code").bind(labels).system
    assert "number" in system
    assert system.endswith('\n0 = " edge"\n1 = ham\n2 = "odd\\nname"')
    many = LabelSet.of([f"label {i}" for i in range(200)], "multiclass")
    assert "label 7" not in ExportFormat().bind(many).system
    assert ExportFormat(system="Sort it.").bind(labels).system == "Sort it."
    assert ExportFormat(system="").bind(labels).prompt_for("x") == [
        {"role": "user", "content": "x"}
    ]


def test_several_labels(tmp_path: Path) -> None:
    labels = LabelSet(("joy", "fear", "love"), "multilabel")
    array = ExportFormat().bind(labels)
    # In the set's order, whatever the row's: one answer for one meaning.
    assert array.answer_for(("love", "joy")) == '["joy", "love"]'
    assert array.answer_for(()) == "[]"
    many = LabelSet(tuple(range(20)), "multilabel")
    assert ExportFormat().bind(many).answer_for((16, 1, 8)) == '["1", "8", "16"]'
    flags = ExportFormat(multilabel="flags").bind(labels)
    assert flags.answer_for(("love", "joy")) == "101"
    assert flags.answer_for(()) == "000"
    codes = ExportFormat(labels="code").bind(labels)
    assert codes.answer_for(("love", "joy")) == "[0, 2]"


def test_answers_of_a_model_are_read_with_tolerance() -> None:
    labels = LabelSet.of(["ham", "spam"], "binary")
    chat = ExportFormat().bind(labels)
    assert chat.decode_answer(" spam\n") == ("spam",)
    assert chat.decode_answer("Spam, I think") is None
    completion = ExportFormat(form="completion").bind(labels)
    assert completion.decode_answer(" spam") == ("spam",)
    assert completion.decode_answer(" spam\nham\nspam") == ("spam",)
    codes = ExportFormat(form="completion", labels="code").bind(labels)
    assert codes.decode_answer(" 1") == ("spam",)
    assert codes.decode_answer("2") is None
    several = LabelSet(("joy", "fear"), "multilabel")
    array = ExportFormat().bind(several)
    assert array.decode_answer('["fear", "joy"]') == ("joy", "fear")
    for nonsense in ('["rage"]', "joy", "[[]]", "{}", "[" * 100_000, '["joy"'):
        assert array.decode_answer(nonsense) is None
    flags = ExportFormat(multilabel="flags").bind(several)
    assert flags.decode_answer(" 01") == ("fear",)
    assert flags.decode_answer("011") is None
    assert flags.decode_answer("02") is None


@pytest.mark.parametrize("form", FORMS)
def test_a_prompt_is_the_line_without_its_answer(form: Any) -> None:
    labels = LabelSet.of(["ham", "spam"], "binary")
    codec = ExportFormat(form=form).bind(labels)
    line = json.loads(codec.encode("Free prize!", ("spam",)))
    prompt = codec.prompt_for("Free prize!")
    assert prompt == (line["messages"][:-1] if form == "chat" else line["prompt"])


def test_the_stop_sequence_is_in_no_label() -> None:
    awkward = LabelSet.of(["a\nb", "THE END"], "binary")
    codec = ExportFormat(form="completion").bind(awkward)
    assert codec.stop == "\n###"
    with pytest.raises(ExportError, match="occurs in a label"):
        ExportFormat(form="completion", stop=" END").bind(awkward)
    # "x" + "x\n" holds the sequence a character early.
    with pytest.raises(ExportError, match="occurs in a label"):
        ExportFormat(form="completion", stop="xx").bind(LabelSet.of(["ax", "b"], "binary"))
    with pytest.raises(ExportError, match="Every usual stop"):
        ExportFormat(form="completion").bind(LabelSet.of(["".join(STOPS), "b"], "binary"))
    several = LabelSet(("a", "b"), "multilabel")
    with pytest.raises(ExportError, match="occurs in the answer"):
        ExportFormat(form="completion", stop=", ").bind(several).encode("text", ("a", "b"))


@pytest.mark.parametrize(
    "options",
    [
        {"form": "jsonl"},
        {"labels": "names"},
        {"multilabel": "bits"},
        {"form": "completion", "separator": ""},
        {"form": "completion", "system": "Sort it."},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ExportError):
        ExportFormat(**options)


def test_every_split_has_its_file_and_manifest(tmp_path: Path, vocabularies: Path) -> None:
    steps: list[int] = []
    result = write(
        tmp_path / "new" / "folder",
        [example("one", 1), example("two", 2), example("three", 1, split="test")],
        tokenizer=tokenizer_for("gpt-4.1-mini"),
        progress=steps.append,
    )
    assert result.rows == {"train": 2, "validation": 0, "test": 1}
    assert set(result.files) == {"train", "test"}
    assert "No validation.jsonl: no row is in that split." in result.notes
    assert steps[-1] == 3
    folder = tmp_path / "new" / "folder"
    assert sorted(path.name for path in folder.iterdir()) == [
        "test.jsonl", "test.manifest.json", "train.jsonl", "train.manifest.json",
    ]  # fmt: skip
    manifest = Manifest.load(folder / "train.manifest.json")
    assert manifest.counts == {"1": 1, "2": 1}
    assert manifest.plan == SplitPlan()
    assert manifest.task == task()
    assert manifest.tokens is not None
    assert manifest.tokens.exact is True
    assert result.tokens == {"train": manifest.tokens.total, "test": manifest.tokens.longest}
    assert json.loads(json.dumps(result.to_dict()))["rows"]["train"] == 2


def test_tokens_are_counted_as_the_cookbook_does(tmp_path: Path, vocabularies: Path) -> None:
    tokenizer = tokenizer_for("gpt-4o")
    result = write(tmp_path, [example("Free prize!", "spam")], tokenizer=tokenizer)
    messages = lines(tmp_path / "train.jsonl")[0]["messages"]
    expected = 3 + sum(
        3 + tokenizer.count(m["role"]) + tokenizer.count(m["content"]) for m in messages
    )
    assert result.tokens == {"train": expected}
    both = [example("Free prize!", "spam"), example("Hi", "spam")]
    result = write(tmp_path, both, tokenizer=tokenizer, overwrite=True)
    assert result.written[0].longest == expected < result.tokens["train"] < 2 * expected
    result = write(tmp_path, [example("Hi", "spam")], tokenizer=tokenizer, form="completion",
                   overwrite=True)  # fmt: skip
    line = lines(tmp_path / "train.jsonl")[0]
    expected = tokenizer.count(line["prompt"]) + tokenizer.count(line["completion"])
    assert result.tokens == {"train": expected}


def test_existing_files_are_not_overwritten(tmp_path: Path) -> None:
    write(tmp_path, [example("one", "a"), example("two", "b", split="test")])
    before = (tmp_path / "train.jsonl").read_bytes()
    with pytest.raises(ExportError, match=r"train\.jsonl"):
        write(tmp_path, [example("other", "a")])
    assert (tmp_path / "train.jsonl").read_bytes() == before
    write(tmp_path, [example("other", "a")], overwrite=True)
    # The earlier test set is no part of this export.
    assert sorted(p.name for p in tmp_path.iterdir()) == ["train.jsonl", "train.manifest.json"]


def test_a_failed_export_leaves_nothing_behind(tmp_path: Path) -> None:
    def rows() -> Any:
        yield example("one", "a")
        yield example("two", "b", split="test")
        yield example("three", "not in the set")

    labels = LabelSet.of(["a", "b"], "binary")
    with pytest.raises(ExportError, match="not in the set"):
        export(rows(), labels, task(), ExportFormat(), tmp_path, plan=SplitPlan())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ExportError, match="nothing to export"):
        export([], labels, task(), ExportFormat(), tmp_path, plan=SplitPlan())
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="Cannot write"):
        export(rows(), labels, task(), ExportFormat(), tmp_path / "file", plan=SplitPlan())


def test_a_row_with_one_label_has_one_label() -> None:
    codec = ExportFormat().bind(LabelSet.of(["a", "b"], "binary"))
    for values in ((), ("a", "b")):
        with pytest.raises(ExportError, match="wants one"):
            codec.encode("text", values)


def test_texts_that_hold_the_separator_are_counted_and_come_back(tmp_path: Path) -> None:
    text = "before\n\n###\n\nafter\n\n###\n\n"
    result = write(tmp_path, [example(text, "a"), example("plain", "b")], form="completion")
    assert result.written[0].separator_rows == 1
    assert "1 texts hold the separator" in result.notes[-1]
    assert next(read_back(tmp_path / "train.manifest.json")) == (text, ("a",))


def test_the_same_export_has_the_same_bytes(tmp_path: Path) -> None:
    examples = [example("one", "a"), example("two", "b")]
    write(tmp_path / "x", examples)
    write(tmp_path / "y", examples)
    for path in (tmp_path / "x").iterdir():
        assert path.read_bytes() == (tmp_path / "y" / path.name).read_bytes()


def test_half_a_surrogate_pair_is_written_as_an_escape(tmp_path: Path) -> None:
    write(tmp_path, [example("broken \ud83d emoji", "a"), example("fine", "b \udc00")])
    assert rb"broken \ud83d emoji" in (tmp_path / "train.jsonl").read_bytes()
    back = list(read_back(tmp_path / "train.manifest.json"))
    assert back == [("broken \ud83d emoji", ("a",)), ("fine", ("b \udc00",))]


@pytest.mark.parametrize("bom", [False, True])
def test_byte_order_mark(tmp_path: Path, bom: bool) -> None:
    write(tmp_path, [example("one", "a")], bom=bom)
    content = (tmp_path / "train.jsonl").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf") == bom
    assert list(read_back(tmp_path / "train.manifest.json")) == [("one", ("a",))]


def test_damage_is_noticed_before_the_first_row(tmp_path: Path) -> None:
    write(tmp_path, [example("one", "a"), example("two", "b")])
    manifest = tmp_path / "train.manifest.json"
    data = json.loads(manifest.read_text())
    content = (tmp_path / "train.jsonl").read_bytes()
    (tmp_path / "train.jsonl").write_bytes(content.replace(b"one", b"eno"))
    with pytest.raises(ExportError, match="changed since"):
        read_back(manifest)
    (tmp_path / "train.jsonl").unlink()
    with pytest.raises(ExportError, match="Cannot read"):
        read_back(manifest)
    damaged: list[Any] = [
        {**data, "file": "../secret.jsonl"},
        {**data, "file": ""},
        {**data, "format": {"form": "chat"}},
        {**data, "format": {**data["format"], "bom": "yes"}},
        {**data, "labels": {"values": [], "kind": "binary"}},
        {k: v for k, v in data.items() if k != "sha256"},
        {**data, "format_version": 99},
        {**data, "rows": "many"},
        {**data, "counts": [1]},
        {**data, "plan": {"seed": 0, "validation": 2, "test": 2}},
        {**data, "task": {"source": 1}},
        {**data, "tokens": {"total": 1}},
        [],
    ]
    for content_of in damaged:
        manifest.write_text(json.dumps(content_of))
        with pytest.raises(ExportError):
            read_back(manifest)
    with pytest.raises(ExportError, match="Cannot read"):
        read_back(tmp_path / "no.manifest.json")


# What real tables hold: separators of other readers, NUL, control characters, emoji, half a
# surrogate pair (a JSON label may have one), text that looks like our own format.
odd = st.sampled_from(
    ["\u2028", "\u2029", "\x85", "\x00", "\x0b", "\x1c", "\r\n", "\n\n###\n\n", '"', "\\", "|",
     "\ud83d", "😀", "👍🏽", " ", " END", "[", "]", "<|endoftext|>", "\ufeff"]
)  # fmt: skip
texts = st.lists(st.one_of(st.text(max_size=8), odd), min_size=1, max_size=5).map("".join)
names = st.one_of(texts, st.sampled_from([" a", "a", "a ", "1", "[1]", "0", "", "null", "\n"]))
label_values = st.one_of(
    names,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),  # which no label is: see labels.is_label
)


picks = st.lists(st.integers(0, 5), max_size=4)


def _one_name_each(values: list[LabelValue]) -> list[LabelValue]:
    return list({LabelSet((v,), "multilabel").names[0]: v for v in values}.values())


@settings(max_examples=150)
@given(
    values=st.lists(label_values, min_size=1, max_size=6).map(_one_name_each),
    rows=st.lists(
        st.tuples(texts, st.lists(st.integers(0, 5), max_size=4)), min_size=1, max_size=5
    ),
    kind=st.sampled_from(["multiclass", "multilabel"]),
    form=st.sampled_from(FORMS),
    as_labels=st.sampled_from(["text", "code"]),
    multilabel=st.sampled_from(["array", "flags"]),
    bom=st.booleans(),
)
def test_whatever_is_exported_reads_back(
    values: list[LabelValue],
    rows: list[tuple[str, list[int]]],
    kind: Kind,
    form: Any,
    as_labels: Any,
    multilabel: Any,
    bom: bool,
) -> None:
    labels = LabelSet.of(values, kind)
    size = len(labels)
    examples = []
    for text, picked in rows:
        # Two halves of a pair side by side are one character once they are JSON.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        chosen = sorted(
            {i % size for i in picked} if kind == "multilabel" else {sum(picked) % size}
        )
        examples.append(Example((1,), text, tuple(labels.values[i] for i in chosen), "train"))
    fmt = ExportFormat(form=form, labels=as_labels, multilabel=multilabel, bom=bom)
    with tempfile.TemporaryDirectory() as folder:
        export(examples, labels, task(kind), fmt, folder, plan=SplitPlan())
        back = list(read_back(Path(folder, "train.manifest.json")))
        lines_of_file = Path(folder, "train.jsonl").read_bytes().decode("utf-8-sig").splitlines()
    assert back == [(e.text, e.labels) for e in examples]
    types = [[type(value) for value in values] for _, values in back]
    assert types == [[type(value) for value in e.labels] for e in examples]
    assert len(lines_of_file) == len(examples)
