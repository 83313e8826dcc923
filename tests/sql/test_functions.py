"""The SQL functions, as queries. Each is declared in one place, and everything that lists functions
has it. Below the minimum score that is kept with a classifier there is no label."""

from __future__ import annotations

import gc
import json
import math
import os
import runpy
import sqlite3
import subprocess
import sys
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import programs
import pytest
import sqlite_utils
from folders import ROOT
from hypothesis import example, given, settings
from hypothesis import strategies as st
from programs import output_of
from sample_databases import answer, rows, value

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import ArtifactError
from datasette_ftclassify.core.task import define
from datasette_ftclassify.core.text import TEXT_FORM, reading_of
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.sql import functions, registration
from datasette_ftclassify.sql.declaration import sql_function
from datasette_ftclassify.sql.functions import FUNCTIONS, Functions, array_items, register
from datasette_ftclassify.sql.registration import create_function
from datasette_ftclassify.sql.texts import text_for
from datasette_ftclassify.store.aliases import remove_alias
from datasette_ftclassify.store.classifiers import find_classifier, rename_classifier, set_default
from datasette_ftclassify.store.deletion import delete_classifier
from datasette_ftclassify.store.minimum_scores import MinimumScore, find_minimum, set_minimum
from datasette_ftclassify.web.named_classifiers import named_classifiers

DRAIN = "The drain on Mill Lane is blocked and the road floods"


@pytest.fixture
def conn(trained: Path):
    with closing(connect(trained)) as conn:
        register(conn)
        yield conn


def test_classify_answers_from_the_default_classifier(conn):
    assert value(conn, "select ft_classify(?)", [DRAIN]) == "Water and drains"


def test_score_is_the_probability_and_logprob_its_logarithm(conn):
    score, logprob = rows(conn, "select ft_score(:t), ft_logprob(:t)", {"t": DRAIN})[0]
    assert 0.5 < score <= 1
    assert logprob == pytest.approx(math.log(score))


def test_json_holds_everything(conn):
    full = answer(conn, "select ft_classify_json(?)", [DRAIN])
    assert full["label"] == "Water and drains"
    assert (full["classifier"], full["version"]) == ("topics", 1)
    assert sum(math.exp(x) for x in full["logprobs"].values()) == pytest.approx(1, abs=1e-4)
    assert full["logprobs"][full["label"]] == pytest.approx(full["logprob"], abs=1e-5)
    assert max(full["logprobs"], key=full["logprobs"].get) == full["label"]


def test_integer_labels_come_back_as_integers(conn):
    assert value(conn, "select typeof(ft_classify(?, 'urgent'))", [DRAIN]) == "integer"
    assert value(conn, "select ft_classify(?, 'urgent')", [DRAIN]) == 1


def test_multilabel_gives_arrays(conn):
    text = "The drain in our street is blocked, the street floods"
    labels = json.loads(value(conn, "select ft_labels(?, 'subjects')", [text]))
    assert "street" in labels
    assert json.loads(value(conn, "select ft_classify(?, 'subjects')", [text])) == labels
    full = answer(conn, "select ft_classify_json(?, 'subjects')", [text])
    assert full["labels"] == labels
    assert full["score"] == pytest.approx(math.exp(full["logprob"]))


def test_labels_of_a_single_label_classifier_is_an_array_of_one(conn):
    assert value(conn, "select ft_labels(?)", [DRAIN]) == '["Water and drains"]'


def test_many_answers_in_order_with_null_for_null(conn):
    texts = [DRAIN, None, "music until 3 am next door, so much noise"]
    many = json.loads(value(conn, "select ft_classify_many(?)", [json.dumps(texts)]))
    assert many == ["Water and drains", None, "Noise"]


def test_many_over_a_whole_table_agrees_with_row_by_row(conn):
    single = [r[0] for r in rows(conn, "select ft_classify(message) from messages order by id")]
    batch = value(
        conn,
        "select ft_classify_many(json_group_array(message)) from"
        " (select message from messages order by id)",
    )
    assert json.loads(batch) == single


@pytest.mark.parametrize("bad", ["", "{}", "nonsense", 7, None, b"[]", "[" * 100_000])
def test_many_of_something_else_is_null(conn, bad):
    assert value(conn, "select ft_classify_many(?)", [bad]) is None


def test_many_has_limits_on_texts_and_on_their_bytes(trained, monkeypatch):
    monkeypatch.setattr(functions, "MANY_LIMIT", 2)
    monkeypatch.setattr(functions, "MANY_BYTES", 60)
    small = replace(FUNCTIONS["ft_classify_many"], longest=60)
    monkeypatch.setitem(FUNCTIONS, small.name, small)
    with closing(connect(trained)) as conn:
        register(conn)
        for few in ('["a", "b"]', f'["{"é" * 28}"]', '["1", 2]'):
            assert value(conn, "select ft_classify_many(?)", [few]) is not None
        for many in ('["a", "b", "c"]', f'["{"é" * 29}"]', "[1, 2, 3]"):
            assert value(conn, "select ft_classify_many(?)", [many]) is None


@pytest.mark.parametrize(
    "array",
    ['["a",]', '["a"', '["a"]]', '[,"a"]', '["a" "b"]', '["a", ["b"]]', '[{"a": 1}]', '"a"', "["],
)
def test_many_takes_an_array_of_texts_and_nothing_else(conn, array):
    assert value(conn, "select ft_classify_many(?)", [array]) is None


@settings(max_examples=100)
@given(st.lists(st.one_of(st.none(), st.text(), st.integers(), st.floats(allow_nan=False))))
def test_many_reads_arrays_as_json_does(items):
    for indent in (None, 2):
        assert list(array_items(json.dumps(items, indent=indent))) == items


def test_a_name_of_any_length_is_refused_at_once(conn, monkeypatch):
    monkeypatch.setattr("datasette_ftclassify.store.classifiers.did_you_mean", None)
    told = answer(conn, "select ft_classify_json('a', printf('%.*c', 300, 'x'))")
    assert told["error"] == "No classifier has a name of 300 characters."


def test_tokens_of_millions_of_bytes_are_not_counted(conn):
    assert value(conn, "select ft_tokens(printf('%.*c', 2000000, ' '))") is not None
    assert value(conn, "select ft_tokens(printf('%.*c', 2000001, ' '))") is None


def test_explain_names_the_words_that_spoke(conn):
    told = answer(conn, "select ft_explain(?)", [DRAIN])
    assert told["label"] == "Water and drains"
    strongest = max(told["words"], key=lambda w: w["weight"])
    assert strongest["word"].lower() in ("drain", "blocked", "floods")


def test_explain_of_a_multilabel_answer_goes_label_by_label(conn):
    told = answer(conn, "select ft_explain('the street light in our street', 'subjects')")
    assert set(told["words"]) == set(told["labels"])


@pytest.mark.parametrize("call", FUNCTIONS)
def test_null_in_null_out(conn, call):
    assert value(conn, f"select {call}(null)") is None
    assert value(conn, f"select {call}(null, null)") is None


def test_an_unknown_classifier_is_null_and_the_json_form_says_why(conn):
    assert value(conn, "select ft_classify('x', 'topisc')") is None
    assert value(conn, "select ft_score('x', 'topisc')") is None
    told = answer(conn, "select ft_classify_json('x', 'topisc')")
    assert "did you mean topics?" in told["error"]
    assert told["classifier"] == "topisc"
    assert told["similar"] == ["topics"]
    assert "similar" not in answer(conn, "select ft_classify_json('x', 'zzzz')")


def test_a_database_without_classifiers_says_what_to_do(tmp_path):
    with closing(sqlite3.connect(tmp_path / "empty.db")) as conn:
        register(conn)
        assert value(conn, "select ft_classify('x')") is None
        assert "train" in answer(conn, "select ft_classify_json('x')")["error"]


def test_a_blob_is_not_a_text(conn):
    assert value(conn, "select ft_classify(x'00ff')") is None
    assert "BLOB" in answer(conn, "select ft_classify_json(x'00ff')")["error"]


@pytest.mark.parametrize("empty", ["", "   ", "\n\t "])
def test_an_empty_text_has_no_label_as_in_predict(conn, empty):
    assert value(conn, "select ft_classify(?)", [empty]) is None
    assert "empty" in answer(conn, "select ft_classify_json(?)", [empty])["error"]
    many = value(conn, "select ft_classify_many(?)", [json.dumps([empty, DRAIN])])
    assert json.loads(many) == [None, "Water and drains"]


def test_numbers_are_texts(conn):
    assert value(conn, "select ft_classify(12)") == value(conn, "select ft_classify('12')")
    assert value(conn, "select ft_classify(1.5)") == value(conn, "select ft_classify('1.5')")


@settings(max_examples=60)
@example("\u00ad")  # a soft hyphen alone, which is no text to read
@given(st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.binary(), st.none()))
def test_nothing_that_sqlite_can_hold_makes_them_raise(trained_file, cell):
    with closing(connect(trained_file)) as conn:
        register(conn)
        try:
            stored = conn.execute("select ?", [cell]).fetchone()[0]
        except UnicodeEncodeError:
            return  # a lone surrogate cannot be stored at all
        for call in ("ft_classify", "ft_score", "ft_classify_json", "ft_explain", "ft_tokens"):
            got = value(conn, f"select {call}(?)", [cell])
            if call == "ft_classify_json":
                expects_null = stored is None  # an error object is an answer, too
            elif call == "ft_tokens":
                expects_null = stored is None or isinstance(stored, bytes)
            else:
                expects_null = text_for(stored, reading_of(TEXT_FORM)) is None
            assert (got is None) == expects_null


CALLS = [name for name in FUNCTIONS if name != "ft_classify_many"]


@settings(max_examples=60)
@given(st.binary(min_size=1))
def test_a_text_that_is_not_utf8_is_answered_as_predict_reads_it(trained_file, data):
    """Windows-1252, loaded byte for byte: what is no UTF-8 is replaced, for each query as for
    predict, and no query ends because of it."""
    with closing(connect(trained_file)) as conn:
        register(conn)
        read = conn.execute("select cast(? as text)", [data]).fetchone()[0]
        for call in CALLS:
            ours, theirs = rows(conn, f"select {call}(cast(? as text)), {call}(?)", [data, read])[0]
            assert ours == theirs
        many = "select ft_classify_many(cast(? as text))"
        assert value(conn, many, [b'["' + DRAIN.encode() + b' \xfc"]']) is not None
        assert value(conn, "select ft_classify('a', cast(? as text))", [b"\xff" + data]) is None


def test_a_text_of_any_length_is_answered_by_its_beginning(conn):
    start = "The drain on Mill Lane is blocked. " * 1_000
    query = "select ft_score(?)"
    assert value(conn, query, [start * 40]) == value(conn, query, [start])
    assert value(conn, "select ft_classify(? || 'a')", [start * 40]) == "Water and drains"


@pytest.mark.parametrize("label", ["\ud800", 2**70, True, float("inf"), float("nan")])
def test_an_answer_that_sqlite_cannot_hold_ends_no_query(label):
    with closing(sqlite3.connect(":memory:")) as conn:
        create_function(conn, "answer", 0, lambda: label, 100)
        assert value(conn, "select answer() is null") in (0, 1)


def test_a_connection_that_is_dropped_lets_its_functions_go(trained):
    gc.collect()
    before = len(registration._registered)
    conn = sqlite3.connect(trained)
    register(conn)
    conn.execute("select ft_classify('x')").fetchone()
    register(conn)
    there = sum(len(function.counts) for function in FUNCTIONS.values())
    assert len(registration._registered) == before + there
    conn.close()
    del conn
    gc.collect()
    assert len(registration._registered) == before


def test_versions_are_addressed_with_an_at_sign(conn, trained):
    task = define(conn, "messages", text=["message"], labels=["topic"])
    train_classifier(conn, task, TrainRequest(name="topics", curve=False))
    assert answer(conn, "select ft_classify_json('x')")["version"] == 2
    assert answer(conn, "select ft_classify_json('x', 'topics@1')")["version"] == 1
    assert "error" in answer(conn, "select ft_classify_json('x', 'topics@3')")


def test_a_new_classifier_is_seen_by_the_next_query_of_another_connection(conn, trained):
    assert value(conn, "select ft_classify('x', 'second')") is None
    with closing(connect(trained)) as other:
        task = define(other, "messages", text=["message"], labels=["channel"])
        train_classifier(other, task, TrainRequest(name="second", curve=False))
    assert value(conn, "select ft_classify('x', 'second')") is not None


def test_a_change_is_seen_however_soon_the_next_query_comes(conn, trained):
    with closing(sqlite3.connect(trained, isolation_level=None)) as other:
        other.execute("pragma synchronous = off")
        other.execute("pragma journal_mode = off")
        for i in range(300):
            old, new = ("urgent", "haste") if i % 2 == 0 else ("haste", "urgent")
            query = "select ft_labels('x', ?)"
            assert value(conn, query, [old]) is not None
            other.execute("update _ftclassify_classifiers set name = ? where name = ?", [new, old])
            assert value(conn, query, [old]) is None


def test_a_deleted_classifier_is_gone_at_the_next_query(conn, trained):
    assert value(conn, "select ft_classify('x', 'urgent')") is not None
    with closing(connect(trained)) as other:
        delete_classifier(other, "urgent")
    assert value(conn, "select ft_classify('x', 'urgent')") is None


def test_a_change_on_the_same_connection_is_seen_too(conn):
    assert value(conn, "select ft_classify('x')") is not None
    rename_classifier(conn, "urgent", "haste")
    assert value(conn, "select ft_classify('x', 'haste')") is not None
    old, new = "select ft_classify_json('x', 'urgent')", "select ft_classify_json('x', 'haste')"
    assert value(conn, old) == value(conn, new)  # the old name is an alias
    remove_alias(conn, "urgent")
    assert value(conn, "select ft_classify('x', 'urgent')") is None
    set_default(conn, "haste")
    assert answer(conn, "select ft_classify_json('x')")["classifier"] == "haste"


def test_one_connection_dropped_does_not_stay_open(trained):
    """A function that held its connection would keep it, and its file, for ever."""
    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else None
    if before is None:
        pytest.skip("needs /proc")
    for _ in range(20):
        conn = sqlite3.connect(trained)
        register(conn)
        conn.execute("select ft_classify('x')").fetchone()
        del conn
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_they_work_in_views_where_and_updates(conn):
    conn.execute("create view guesses as select id, ft_classify(message) as guess from messages")
    assert value(conn, "select count(*) from guesses where guess = 'Noise'") > 20
    conn.execute("alter table messages add column guess text")
    conn.execute("update messages set guess = ft_classify(message)")
    different = "select count(*) from messages join guesses using (id)"
    assert value(conn, f"{different} where messages.guess is not guesses.guess") == 0


def test_an_index_cannot_be_made_of_a_classifier_that_may_change(conn):
    with pytest.raises(sqlite3.OperationalError, match="non-deterministic"):
        conn.execute("create index i on messages(ft_classify(message))")


def test_an_attached_database_is_looked_through(trained, tmp_path):
    with closing(sqlite3.connect(":memory:")) as conn:
        register(conn)
        assert value(conn, "select ft_classify('x')") is None
        conn.execute('attach ? as [odd "name]', [str(trained)])
        assert value(conn, "select ft_classify(?)", [DRAIN]) == "Water and drains"
        with closing(connect(trained)) as other:
            rename_classifier(other, "topics", "themes")
        assert answer(conn, "select ft_classify_json('x')")["classifier"] == "themes"


def test_of_several_attached_databases_one_must_be_named(trained, tmp_path):
    other = tmp_path / "other.db"
    other.write_bytes(trained.read_bytes())
    with closing(connect(other)) as conn:
        rename_classifier(conn, "topics", "themes")
    with closing(sqlite3.connect(":memory:")) as conn:
        register(conn)
        conn.execute("attach ? as a", [str(trained)])
        conn.execute("attach ? as b", [str(other)])
        assert value(conn, "select ft_classify('x')") is None
        assert "(a, b): name one" in answer(conn, "select ft_classify_json('x')")["error"]
        assert answer(conn, "select ft_classify_json('x', 'themes')")["classifier"] == "themes"
    with closing(connect(trained)) as conn:  # the main database has the first word
        register(conn)
        conn.execute("attach ? as b", [str(other)])
        assert answer(conn, "select ft_classify_json('x')")["classifier"] == "topics"


def test_a_database_in_memory_holds_classifiers_as_well(trained):
    with closing(connect(trained)) as source, closing(sqlite3.connect(":memory:")) as conn:
        source.backup(conn)
        register(conn)
        assert value(conn, "select ft_classify(?)", [DRAIN]) == "Water and drains"


def test_an_immutable_file_alone_is_enough(trained):
    trained.chmod(0o444)
    with closing(sqlite3.connect(f"file:{trained}?immutable=1", uri=True)) as conn:
        register(conn)
        assert value(conn, "select ft_classify(?)", [DRAIN]) == "Water and drains"


def test_answers_are_the_same_in_another_process_and_another_copy(trained, tmp_path):
    """To the last bit: nothing is left to a random seed, a hash seed or a thread count."""
    copy = tmp_path / "elsewhere.db"
    copy.write_bytes(trained.read_bytes())
    code = (
        "import sqlite3, sys; from datasette_ftclassify.sql.functions import register;"
        "c = sqlite3.connect(sys.argv[1]); register(c);"
        "print([x[0].hex() for x in c.execute('select ft_logprob(message) from messages')])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, str(path)],
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for path, seed, threads in ((trained, "1", "1"), (copy, "2", "2"))
    }
    assert len(outputs) == 1
    assert len(outputs.pop()) > 1_000


def test_sqlite_utils_has_them_through_its_plugin(trained):
    said = output_of(
        programs.sqlite_utils, "query", trained, "select ft_classify(:t) as topic", "-p", "t", DRAIN
    )
    assert json.loads(said) == [{"topic": "Water and drains"}]
    db = sqlite_utils.Database(trained)
    assert next(iter(db.query("select ft_labels(?) as l", [DRAIN])))["l"] == '["Water and drains"]'
    db.close()


def test_tokens_are_counted_for_a_model(conn, vocabularies):
    assert value(conn, "select ft_tokens('hello world', 'gpt-4.1-mini')") == 2
    assert value(conn, "select ft_tokens('hello world', 'ft:gpt-4.1-mini:org::id')") == 2
    assert value(conn, "select ft_tokens('<|endoftext|>')") > 1


def test_what_cannot_be_loaded_is_not_tried_for_every_row(trained, monkeypatch):
    from datasette_ftclassify.sql import resolver

    tried = []
    maker = resolver.answerer_maker

    def counted(*arguments):
        tried.append(1)
        return maker(*arguments)

    monkeypatch.setattr(resolver, "answerer_maker", counted)
    with closing(connect(trained)) as conn, conn:
        conn.execute("update _ftclassify_artifacts set data = x'00' where part = 'weights'")
    with closing(connect(trained)) as conn:
        register(conn)
        assert value(conn, "select count(ft_classify(message)) from messages") == 0
        assert len(tried) == 1
        with conn:  # a change, after which it may be good
            conn.execute("update _ftclassify_artifacts set part = part")
        assert value(conn, "select ft_classify('a drain')") is None
        assert len(tried) == 2


def test_loaded_classifiers_have_a_limit_of_memory_in_all(trained, monkeypatch):
    from datasette_ftclassify.sql import loading, resolver

    names = ("topics", "urgent", "subjects")
    monkeypatch.setattr(loading, "_answerers", OrderedDict())
    monkeypatch.setattr(loading, "MAX_LOADED_BYTES", 1_000_000)
    monkeypatch.setattr(resolver, "AT_REST", 0.0)
    with closing(connect(trained)) as conn, closing(connect(trained)) as other:
        register(conn)
        register(other)
        first = value(other, "select ft_classify('a drain', 'topics')")
        for name in names:
            assert value(conn, "select ft_classify('a drain', ?)", [name]) is not None
            sizes = [size for _, size in loading._answerers.values()]
            assert sum(sizes) <= 1_000_000 or len(sizes) == 1
        gone = weakref.ref(next(iter(loading._answerers.values()))[0])
        assert value(other, "select ft_classify('a drain', 'topics')") == first
        gc.collect()
        assert gone() is None or len(loading._answerers) > 1


def test_known_tells_texts_of_other_kinds(conn):
    """A classifier always answers with one of its labels: what it says of one invented word is
    worth nothing, however high its score."""
    sql = "select ft_known(?), ft_score(?)"
    (inside, _), (invented, score) = (rows(conn, sql, [t, t])[0] for t in (DRAIN, "frobnitz"))
    assert invented < 0.05 < inside <= 1
    assert 0 <= score <= 1
    assert answer(conn, "select ft_classify_json(?)", [DRAIN])["known"] == pytest.approx(inside)
    for name in ("topics", "urgent", "subjects"):
        assert value(conn, "select ft_known('zyxqu', ?)", [name]) < 0.1
    assert rows(conn, "select ft_known(null), ft_known(x'00'), ft_known(' ')") == [(None,) * 3]


def test_a_classifier_of_an_earlier_version_has_no_known(trained):
    with closing(sqlite3.connect(trained)) as conn, conn:
        conn.execute("update _ftclassify_classifiers set header = json_remove(header, '$.known')")
    with closing(connect(trained)) as conn:
        register(conn)
        assert value(conn, "select ft_known(?)", [DRAIN]) is None
        full = answer(conn, "select ft_classify_json(?)", [DRAIN])
    assert full["label"] == "Water and drains"
    assert full["known"] is None


@pytest.fixture
def new_function() -> Iterator[str]:
    @sql_function("twice the score", longest=1_000)
    def ft_double(functions: Functions, text: object, classifier: object = None) -> float | None:
        answer = functions.resolve(classifier).answer(text)
        return None if answer is None or answer.score is None else 2 * answer.score

    yield "ft_double"
    del FUNCTIONS["ft_double"]


def test_a_declared_function_is_in_queries_documents_and_pages(trained: Path, new_function: str):
    with closing(connect(trained)) as conn:
        register(conn)
        ((twice, once, named),) = rows(
            conn, "select ft_double('the drain'), ft_score('the drain'), ft_double('a', 'urgent')"
        )
        assert twice == 2 * once
        assert 1 <= named <= 2
        assert value(conn, "select ft_double(x'00')") is None
    made = runpy.run_path(str(ROOT / "docs" / "make_tables.py"))
    table = made["TABLES"]["sql.md"]["SQL functions"]()
    assert "\n| `ft_double(text [, classifier])` | twice the score |" in table
    sql = "select ft_double(body, 'gone'), ft_tokens(body, 'gpt-4o') from t"
    assert list(named_classifiers(sql, {})) == ["gone"]


UNSURE = "hello"


def keep(conn, score: float | None = None, name: str = "topics", **more) -> None:
    minimum = MinimumScore("fixed", score, **more)
    set_minimum(conn, find_classifier(conn, name), minimum)


def test_below_it_there_is_no_label_and_the_score_stays(conn):
    sure, unsure = (value(conn, "select ft_score(?)", [text]) for text in (DRAIN, UNSURE))
    assert unsure < sure
    keep(conn, (sure + unsure) / 2)
    for text, label in ((DRAIN, "Water and drains"), (UNSURE, None)):
        ((single, array, many),) = rows(
            conn,
            "select ft_classify(:t), ft_labels(:t), ft_classify_many(json_array(:t, null))",
            {"t": text},
        )
        assert single == label
        assert array == (None if label is None else json.dumps([label]))
        assert json.loads(many) == [label, None]
    assert value(conn, "select ft_score(?)", [UNSURE]) == unsure
    assert value(conn, "select ft_logprob(?)", [UNSURE]) == pytest.approx(math.log(unsure))


def test_an_answer_of_just_that_score_is_given(conn):
    score = value(conn, "select ft_score(?)", [UNSURE])
    keep(conn, score)
    assert value(conn, "select ft_classify(?)", [UNSURE]) is not None
    keep(conn, math.nextafter(score, 1))
    assert value(conn, "select ft_classify(?)", [UNSURE]) is None


def test_json_says_why_and_what_it_would_be(conn):
    likeliest = value(conn, "select ft_classify(?)", [UNSURE])
    keep(conn, 0.999)
    for call in ("ft_classify_json", "ft_explain"):
        said = answer(conn, f"select {call}(?)", [UNSURE])
        assert said["label"] is None
        assert said["minimum_score"] == 0.999
        assert "0.999 is the minimum score" in said["reason"]
        assert said["likeliest"] == likeliest
    assert said["words"] is not None
    assert "minimum_score" not in answer(conn, "select ft_classify_json(?, 'urgent')", [DRAIN])


def test_a_change_is_seen_at_once_by_another_connection(conn, trained: Path):
    assert value(conn, "select ft_classify(?)", [DRAIN]) is not None
    with closing(connect(trained)) as other:
        keep(other, 1.0)
        assert value(conn, "select ft_classify(?)", [DRAIN]) is None
        set_minimum(other, find_classifier(other, "topics"), None)
        assert value(conn, "select ft_classify(?)", [DRAIN]) is not None


def test_thresholds_of_labels_are_obeyed_and_one_can_be_never_given(conn):
    labels = find_classifier(conn, "subjects").labels
    text = "The drain in our street is blocked, the street floods"
    assert "street" in json.loads(value(conn, "select ft_classify(?, 'subjects')", [text]))
    keep(conn, None, "subjects", thresholds=(0.0,) * len(labels))
    every = json.loads(value(conn, "select ft_classify(?, 'subjects')", [text]))
    assert every == list(labels.values)
    never = tuple(None if name == "street" else 0.0 for name in labels.names)
    keep(conn, None, "subjects", thresholds=never)
    assert "street" not in json.loads(value(conn, "select ft_labels(?, 'subjects')", [text]))


@pytest.mark.parametrize(
    "damage",
    [
        "score = 1.5", "score = -1", "score = 'x'", "score = null", "score = x'00'",
        "thresholds = '[0.5]'", "strength = x'00'", "set_at = zeroblob(10)", "wrong = 9e99",
        "score = zeroblob(1000000)", "coverage = '0.5x'",
    ],
)  # fmt: skip
def test_a_damaged_one_answers_nothing_and_says_so(conn, damage: str):
    keep(conn, 0.0)
    with conn:
        conn.execute(f"update _ftclassify_minimum_scores set {damage}")
    assert value(conn, "select ft_classify(?)", [DRAIN]) is None
    said = answer(conn, "select ft_classify_json(?)", [DRAIN])
    assert "minimum score of topics@1 is damaged" in said["error"]
    with pytest.raises(ArtifactError, match="damaged"):
        find_minimum(conn, find_classifier(conn, "topics"))
    set_minimum(conn, find_classifier(conn, "topics"), None)
    assert value(conn, "select ft_classify(?)", [DRAIN]) is not None


@pytest.mark.parametrize(
    "damage",
    [
        {"labels": None}, {"labels": []}, {"labels": [["a"]]}, {"first": "b"}, {"first": [1]},
        {"first": ["x"] * 9}, {"first": ["x" * 501]}, {"levels": []}, {"levels": [7]},
        {"levels": 0.5}, {"origin": 3},
    ],
)  # fmt: skip
def test_a_damaged_tree_of_labels_is_one_too(conn, damage: dict[str, object]):
    others = [["a"]] * (len(find_classifier(conn, "topics").labels) - 1)
    whole = {"origin": "'/'", "labels": [["a"], *others], "levels": [0.5]}
    if "first" in damage:
        damage = {"labels": [damage["first"], *others]}
    keep(conn, 0.0)
    for tree, sound in ((whole, True), ({**whole, **damage}, False)):
        with conn:
            conn.execute("update _ftclassify_minimum_scores set tree = ?", [json.dumps(tree)])
        assert (value(conn, "select ft_classify(?)", [DRAIN]) is not None) is sound


def test_thresholds_of_another_number_of_labels_are_damaged(conn):
    for thresholds in ((), (0.5,), None):
        keep(conn, None, "subjects", thresholds=thresholds)
        assert value(conn, "select ft_classify(?, 'subjects')", [DRAIN]) is None


def test_a_file_of_an_older_version_has_none(conn):
    with conn:
        conn.execute("drop table _ftclassify_minimum_scores")
    assert find_minimum(conn, find_classifier(conn, "topics")) is None
    assert value(conn, "select ft_classify(?)", [DRAIN]) == "Water and drains"


def test_it_goes_with_its_classifier(conn):
    keep(conn, 0.5)
    delete_classifier(conn, "topics")
    assert value(conn, "select count(*) from _ftclassify_minimum_scores") == 0


def test_an_attached_database_has_its_own(conn, trained: Path, tmp_path: Path):
    keep(conn, 1.0)
    with closing(connect(tmp_path / "other.db", must_exist=False)) as other:
        register(other)
        other.execute("attach ? as a", [str(trained)])
        assert value(other, "select ft_classify(?, 'topics')", [DRAIN]) is None


def test_ft_score_of_a_label_is_its_probability(conn):
    full = answer(conn, "select ft_classify_json(?)", [DRAIN])
    for label, logprob in full["logprobs"].items():
        score = value(conn, "select ft_score(?, 'topics', ?)", [DRAIN, label])
        assert score == pytest.approx(math.exp(logprob), abs=1e-5)
        assert value(conn, "select ft_score(?, null, ?)", [DRAIN, label]) == score
    for gone in ("no such label", None, 7, 1.5, b"x", ""):
        assert value(conn, "select ft_score(?, 'topics', ?)", [DRAIN, gone]) is None
    assert value(conn, "select ft_score(null, 'topics', 'Water and drains')") is None
    assert value(conn, "select ft_score(?, 'no such', 'Water and drains')", [DRAIN]) is None


def test_a_label_that_is_a_number_is_named_as_a_number_or_a_text(conn):
    one = value(conn, "select ft_score(?, 'urgent', 1)", [DRAIN])
    assert one == value(conn, "select ft_score(?, 'urgent', '1')", [DRAIN])
    zero = value(conn, "select ft_score(?, 'urgent', 0)", [DRAIN])
    assert one + zero == pytest.approx(1)


def test_of_several_labels_each_has_a_probability_of_its_own(conn):
    text = "The drain in our street is blocked, the street floods"
    labels = find_classifier(conn, "subjects").labels.names
    scores = [value(conn, "select ft_score(?, 'subjects', ?)", [text, label]) for label in labels]
    assert all(0 <= score <= 1 for score in scores)
    assert scores[labels.index("street")] == max(scores)
