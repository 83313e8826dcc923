"""Stored classifiers that somebody has changed: their JSON, arrays, tokenizers and evaluations.

The good database is that of `sample_databases.make_trained`: classifiers `topics`, `urgent` and
`subjects`, each with an evaluation. A change is made to all of them where nothing else is said.
"""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Callable, Iterator
from typing import Any

from . import Mutation, Mutations

MANY = 200_000
Change = Callable[[dict[str, Any]], object]

CELLS = {
    "label set": ("_ftclassify_classifiers", "labels"),
    "header": ("_ftclassify_classifiers", "header"),
    "report": ("_ftclassify_classifiers", "report"),
    "task": ("_ftclassify_tasks", "definition"),
    "plan": ("_ftclassify_splits", "plan"),
    "metrics": ("_ftclassify_evaluations", "metrics"),
}


def mutations(kind: str) -> Mutations:
    """Those of a kind."""
    return KINDS[kind]()


def _raw() -> Mutations:
    """What may stand for JSON in any cell, alone and within what was there."""
    values = {
        "nothing": "",
        "too deep to parse": "[" * 100_000 + "]" * 100_000,
        "as deep as Python goes": "[" * 900 + "]" * 900,
        "many numbers": f"[{'7,' * MANY * 3}7]",
        "many empty lists": f"[{'[],' * 1_000_000}[]]",
        "a long text": json.dumps("x" * 1_500_000),
        "a very long text": json.dumps("x" * 6_000_000),
        "beyond infinity": "1e999",
        "not a number": "NaN",
        "a long number": "9" * 4_000,
        "half a character": '"\\ud800"',
    }
    within = ("as deep as Python goes", "many empty lists", "a long text", "beyond infinity",
              "a long number", "half a character")  # fmt: skip
    for cell, (table, column) in CELLS.items():
        for name, value in values.items():
            yield f"{cell} is {name}", _write(table, column, value)
            if name in within:
                yield f"{cell} holds {name}", _insert(table, column, value)
        yield f"{cell} is a BLOB", _write(table, column, b"\xff\x00")
        yield f"{cell} is a number", _write(table, column, 7)


def _short_cells() -> Mutations:
    for column in ("uid", "name", "trainer", "created_at"):
        for name, value in {"long": "x" * 2_000_000, "a BLOB": b"\xff", "empty": ""}.items():
            yield f"{column} is {name}", _write_one("_ftclassify_classifiers", column, value)
    for column in ("version", "seed", "training_rows", "split_id"):
        for name, value in {"infinite": 9e999, "a text": "x", "negative": -(2**63)}.items():
            yield f"{column} is {name}", _write_one("_ftclassify_classifiers", column, value)


def _labels() -> Mutations:
    values: dict[str, Any] = {
        "many": list(range(MANY)),
        "one too many": list(range(5_001)),
        "a long one": ["a", "x" * 900_000],
        "long in all": [f"{i} {'x' * 9_000}" for i in range(200)],
        "the same": ["a"] * 10,
        "the same by name": ["1", 1],
        "nested": [["a"], {"b": 1}],
        "true and null": [True, None],
        "none": [],
        "huge": [10**18, 10**19],
    }
    for name, value in values.items():
        change: Change = lambda data, value=value: data.update(values=value)  # noqa: E731
        yield name, _edit("_ftclassify_classifiers", "labels", change)
    yield (
        "of no kind",
        _edit("_ftclassify_classifiers", "labels", lambda data: data.update(kind=["binary"])),
    )


def _headers() -> Mutations:
    for key in ("n_labels", "n_words", "n_chars", "columns"):
        for value in (-1, 0, 10**12, 1.5, True, "7", None, [1], 2**62):
            yield f"{key} is {value!r}", _header(key, value)
    for value in (0, -1, 1e9, "x", None, [1.0]):
        yield f"temperature is {value!r}", _header("temperature", value)
    for name, value in {
        "many": [0.5] * MANY, "too large": [2.0] * 11, "no list": 0.5, "texts": ["x"] * 11,
    }.items():  # fmt: skip
        yield f"thresholds are {name}", _header("thresholds", value)
    for value in (2, "x" * 100_000, None, {}, [1]):
        yield f"format is {str(value)[:9]}", _header("format", value)
    for value in (None, [], {"words": 10**15}, {"words": -1}):
        yield f"sizes are {value}", _header("sizes", value)
    for value in ([], 7, {}, {"certainty": [0.0] * MANY}, {"rows": 10**12}):
        yield f"known is {str(value)[:20]}", _header("known", value)
    for value in ([], 7, {"n_tokens": 10**9, "dimensions": 4_096}, {"n_tokens": 5}):
        yield f"embedding is {value}", _header("embedding", value)


def _parts() -> Mutations:
    for part in ("words", "chars", "idf", "weights", "bias"):
        yield f"{part} empty", _part(part, b"")
        yield f"{part} all ones", _same_size(part, b"\xff")
        yield f"{part} all zero", _same_size(part, b"\x00")
        yield f"{part} of five megabytes", _part(part, b"a" * 5_000_000)
        yield f"{part} many lines", _part(part, b"\n" * 2_000_000)
        yield f"{part} gone", _delete(part)
        yield f"{part} a text", _write_where(part, "text")
    yield "many more parts", _more_parts
    yield "many classifiers", _many_classifiers
    yield "infinite weights", _same_size("weights", b"\x00\x7c")
    yield "huge bias", _part("bias", struct.pack("<f", 1e30) * 11)


def _tokenizers() -> Mutations:
    """Tokenizers with programs in them, and past every bound of a plain one."""
    replace = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 100}
    expression = {"type": "Replace", "pattern": {"Regex": "(a|aa)+$"}, "content": "b"}
    changes: dict[str, Change] = {
        "plain": lambda d: None,
        "nested replacements": lambda d: d.update(normalizer=_sequence([replace] * 5)),
        "a regular expression": lambda d: d.update(normalizer=expression),
        "a map of characters": lambda d: d.update(
            normalizer={"type": "Precompiled", "precompiled_charsmap": "A" * 100_000}
        ),
        "a prefix": lambda d: d.update(normalizer={"type": "Prepend", "prepend": "x" * 10**6}),
        "sequences in sequences": lambda d: d.update(normalizer=_nested(12)),
        "steps without end": lambda d: d.update(normalizer=_sequence([{"type": "NFKC"}] * MANY)),
        "steps that pad": lambda d: d.update(normalizer=_sequence([_BERT] * 40)),
        "an unknown step": lambda d: d.update(normalizer={"type": "x" * 100_000}),
        "a flag that is none": lambda d: d.update(normalizer={**_BERT, "lowercase": "no"}),
        "a split": lambda d: d.update(
            pre_tokenizer={"type": "Split", "pattern": {"Regex": "(x+x+)+y"}, "invert": False,
                           "behavior": "Isolated"}
        ),
        "bytes": lambda d: d.update(pre_tokenizer={"type": "ByteLevel"}),
        "no model": lambda d: d.update(model=None),
        "another model": lambda d: d["model"].update(type="BPE", merges=[["a", "b"]] * 100_000),
        "an empty vocabulary": lambda d: d["model"].update(vocab={}),
        "a list for a vocabulary": lambda d: d["model"].update(vocab=[1, 2]),
        "many tokens": lambda d: d["model"].update(vocab={str(n): n for n in range(650_000)}),
        "a long token": lambda d: d["model"]["vocab"].update({"x" * 500_000: 1}),
        "negative numbers": lambda d: d["model"]["vocab"].update(x=-5),
        "huge numbers": lambda d: d["model"]["vocab"].update(x=2**62),
        "numbers that are none": lambda d: d["model"]["vocab"].update(x=1.5),
        "words without end": lambda d: d["model"].update(max_input_chars_per_word=10**9),
        "words of no length": lambda d: d["model"].update(max_input_chars_per_word=0),
        "a long unknown": lambda d: d["model"].update(unk_token="x" * 10**6),
        "a long inner prefix": lambda d: d["model"].update(continuing_subword_prefix="#" * 10**6),
        "unigrams of nothing": lambda d: d["model"].update(type="Unigram", vocab=[]),
        "unigrams with no scores": lambda d: d["model"].update(type="Unigram", vocab=[["a"]]),
        "unigrams too long": lambda d: d["model"].update(type="Unigram", vocab=[["a" * 99, 0]]),
        "unigrams of huge scores": lambda d: d["model"].update(
            type="Unigram", vocab=[["a", 1e300]]
        ),
        "an unknown unigram": lambda d: d["model"].update(
            type="Unigram", vocab=[["a", -1]], unk_id=10**9
        ),
        "many added": lambda d: d.update(added_tokens=[_added(str(n), n) for n in range(5_000)]),
        "a long added": lambda d: d.update(added_tokens=[_added("x" * 100_000, 1)]),
        "an empty added": lambda d: d.update(added_tokens=[_added("", 1)]),
        "added with no number": lambda d: d.update(added_tokens=[_added("x", None)]),
        "added that are none": lambda d: d.update(added_tokens=[[], 7, None]),
    }  # fmt: skip
    for name, change in changes.items():
        yield name, _tokenizer(change)
    yield "no JSON", _embedding(b"{}")
    yield "deep", _embedding(b"[" * 100_000)
    yield "no text", _embedding(b"\xff\xfe")
    yield "large", _embedding(b'{"x": "' + b"x" * 25_000_000 + b'"}')
    yield "many lists", _embedding(b"[" + b"[]," * 3_000_000 + b"[]]")


def _metrics() -> Mutations:
    share = {"precision": 1, "recall": 1, "f1": 1, "support": 1, "predicted": 1}
    bin_ = {"low": 0, "high": 1, "count": 1, "confidence": 0.5, "accuracy": 0.5}
    changes: dict[str, Change] = {
        "many labels": lambda m: m.update(labels={str(n): share for n in range(MANY)}),
        "a long label": lambda m: m.update(labels={"x" * 900_000: share}),
        "labels that are none": lambda m: m.update(labels=[1]),
        "figures that are none": lambda m: m.update(labels={"a": {}}),
        "figures of texts": lambda m: m.update(labels={"a": {**share, "f1": "x"}}),
        "figures beyond 1": lambda m: m.update(labels={"a": {**share, "f1": 1e300}}),
        "a negative support": lambda m: m.update(labels={"a": {**share, "support": -1}}),
        "figures with another name": lambda m: m.update(labels={"a": {**share, "name": [1]}}),
        "a confusion of many": lambda m: m.update(
            confusion={"labels": [str(n) for n in range(MANY)], "matrix": [[1]] * MANY}
        ),
        "a large matrix": lambda m: m.update(
            confusion={"labels": [str(n) for n in range(800)], "matrix": [[1] * 800] * 800}
        ),
        "a matrix of 500": lambda m: m.update(
            confusion={"labels": [str(n) for n in range(500)], "matrix": [[10**15] * 501] * 500}
        ),
        "a ragged matrix": lambda m: m.update(
            confusion={"labels": ["a", "b"], "matrix": [[1], [1, 2, 3]]}
        ),
        "a negative cell": lambda m: m.update(confusion={"labels": ["a"], "matrix": [[-5]]}),
        "a cell that is none": lambda m: m.update(confusion={"labels": ["a"], "matrix": [["x"]]}),
        "a matrix that is none": lambda m: m.update(confusion={"labels": 3, "matrix": "no"}),
        "no confusion": lambda m: m.update(confusion=None),
        "cells outside": lambda m: m.update(confusion={"labels": ["a"], "cells": [0, 9, 1]}),
        "cells cut off": lambda m: m.update(confusion={"labels": ["a"], "cells": [0, 0]}),
        "many cells": lambda m: m.update(confusion={"labels": ["a"], "cells": [0, 0, 1] * 60_000}),
        "long confused labels": lambda m: m.update(
            confusion={"labels": ["x" * 9_999, "y" * 9_999], "matrix": [[1, 2], [3, 4]]}
        ),
        "many bins": lambda m: m.update(reliability=[bin_] * MANY),
        "a bin of texts": lambda m: m.update(reliability=[{**bin_, "count": "many"}]),
        "a bin without bounds": lambda m: m.update(reliability=[{"count": 1}]),
        "a bin of nothing": lambda m: m.update(reliability=[{**bin_, "accuracy": None}]),
        "a negative bin": lambda m: m.update(reliability=[{**bin_, "count": -1}]),
        "a huge bin": lambda m: m.update(reliability=[{**bin_, "count": 10**18}] * 100),
        "no bins": lambda m: m.update(reliability=[]),
        "an accuracy of text": lambda m: m.update(accuracy="x", subset_accuracy="x"),
        "an accuracy of 7": lambda m: m.update(accuracy=7),
        "no accuracy": lambda m: m.pop("accuracy", None),
        "both kinds": lambda m: m.update(accuracy=1, subset_accuracy=1),
        "test rows below none": lambda m: m.update(n_test=-1),
        "abstentions of text": lambda m: m.update(abstained="x"),
        "an error of 10": lambda m: m.update(ece=10),
        "a long majority": lambda m: m.update(majority_label="x" * 900_000),
        "many majorities": lambda m: m.update(majority_labels=["x"] * MANY),
        "many reasons": lambda m: m.update(abstained_reasons={str(n): 1 for n in range(MANY)}),
        "a name that is none": lambda m: m.update(classifier=[[]], version="x"),
    }  # fmt: skip
    for name, change in changes.items():
        yield name, _edit("_ftclassify_evaluations", "metrics", change)
    yield "many evaluations", _many_evaluations


def _reports() -> Mutations:
    point = {"rows": 10, "labels": 2, "metric": "accuracy", "score": 0.5, "low": 0.4, "high": 0.6}
    curves: dict[str, Any] = {
        "many points": {"points": [point] * MANY, "summary": "x"},
        "points of text": {"points": [{**point, "rows": "x"}], "summary": "x"},
        "points that are none": {"points": [7], "summary": "x"},
        "a long metric": {"points": [{**point, "metric": "x" * 900_000}], "summary": "x"},
        "a huge score": {"points": [{**point, "score": 1e300}], "summary": "x"},
        "no summary": {"points": [point]},
        "a long summary": {"points": [point, point], "summary": "x" * 900_000},
        "no curve": [],
    }
    for name, curve in curves.items():
        yield (
            name,
            _edit(
                "_ftclassify_classifiers",
                "report",
                lambda data, curve=curve: data.update(learning_curve=curve),
            ),
        )
    for key in ("why", "model", "shutdown_date", "recipe"):
        for value in ("x" * 900_000, [[["x"]]], 7):
            yield (
                f"{key} is {str(value)[:9]}",
                _edit(
                    "_ftclassify_classifiers",
                    "report",
                    lambda data, key=key, value=value: data.update({key: value}),
                ),
            )


def _rows() -> Mutations:
    values: dict[str, tuple[str, Any]] = {
        "long keys": ("row_key", '["' + "x" * 1_000_000 + '"]'),
        "deep keys": ("row_key", "[" * 50_000),
        "keys of lists": ("row_key", "[[[1]], {}]"),
        "many keys": ("row_key", f"[{'1,' * 20_000}1]"),
        "many labels": ("truth", f"[{'1,' * 20_000}1]"),
        "labels below none": ("truth", "[-1]"),
        "labels beyond": ("chosen", "[99999999999999999999]"),
        "labels of texts": ("chosen", '["a"]'),
        "labels of numbers": ("chosen", "[0.5, 1e999]"),
        "scores of text": ("score", "x"),
        "infinite scores": ("score", 9e999),
        "scores below none": ("score", -5.0),
        "BLOBs": ("truth", b"\xff"),
        "probabilities of text": ("probabilities", '["a", "b"]'),
        "probabilities of the row's labels": ("truth_score", "much"),
    }
    for name, (column, value) in values.items():
        yield name, _first_row(column, value)
    yield "many rows", _many_rows


_BERT = {
    "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
    "strip_accents": None, "lowercase": True,
}  # fmt: skip


def _sequence(steps: list[Any]) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": steps}


def _nested(depth: int) -> dict[str, Any]:
    return _sequence([_BERT] if not depth else [_nested(depth - 1)] * 2)


def _added(content: str, number: Any) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"id": number, "content": content, **flags}


def _write(table: str, column: str, value: Any) -> Mutation:
    def mutate(conn: sqlite3.Connection) -> None:
        distinct = "definition" if column == "definition" else None
        if distinct and isinstance(value, (str, bytes)):
            # Tasks are unique by their text.
            end = " ' '" if isinstance(value, str) else "x'20'"
            conn.execute("pragma foreign_keys = off")
            conn.execute(
                f"update {table} set {column} = ? || replace(hex(zeroblob(id)), '00', {end})",
                [value],
            )
        elif distinct:
            conn.execute(f"update {table} set {column} = ? + id", [value])
        else:
            conn.execute(f"update {table} set {column} = ?", [value])

    return mutate


def _write_one(table: str, column: str, value: Any) -> Mutation:
    def mutate(conn: sqlite3.Connection) -> None:
        conn.execute("pragma foreign_keys = off")
        conn.execute(f"update {table} set {column} = ? where id = 1", [value])

    return mutate


def _insert(table: str, column: str, value: str) -> Mutation:
    """Puts the value into the object that is there."""

    def mutate(conn: sqlite3.Connection) -> None:
        conn.execute(
            f"update {table} set {column} = '{{\"hostile\": ' || ? || ', ' || substr({column}, 2)",
            [value],
        )

    return mutate


def _edit(table: str, column: str, change: Change) -> Mutation:
    def mutate(conn: sqlite3.Connection) -> None:
        for number, text in conn.execute(f"select id, {column} from {table}").fetchall():
            data = json.loads(text)
            change(data)
            conn.execute(
                f"update {table} set {column} = ? where id = ?", [json.dumps(data), number]
            )

    return mutate


def _header(key: str, value: Any) -> Mutation:
    return _edit("_ftclassify_classifiers", "header", lambda data: data.update({key: value}))


def _part(part: str, blob: bytes) -> Mutation:
    """Replaces a part, and says so in the header."""

    def mutate(conn: sqlite3.Connection) -> None:
        conn.execute("update _ftclassify_artifacts set data = ? where part = ?", [blob, part])
        _edit(
            "_ftclassify_classifiers",
            "header",
            lambda data: data["sizes"].update({part: len(blob)}),
        )(conn)

    return mutate


def _same_size(part: str, pattern: bytes) -> Mutation:
    def mutate(conn: sqlite3.Connection) -> None:
        sql = "select id, length(data) from _ftclassify_artifacts where part = ?"
        for number, size in conn.execute(sql, [part]).fetchall():
            blob = (pattern * size)[:size]
            conn.execute("update _ftclassify_artifacts set data = ? where id = ?", [blob, number])

    return mutate


def _delete(part: str) -> Mutation:
    def mutate(conn: sqlite3.Connection) -> None:
        conn.execute("delete from _ftclassify_artifacts where part = ?", [part])

    return mutate


def _write_where(part: str, value: Any) -> Mutation:
    def mutate(conn: sqlite3.Connection) -> None:
        conn.execute("update _ftclassify_artifacts set data = ? where part = ?", [value, part])

    return mutate


def _more_parts(conn: sqlite3.Connection) -> None:
    conn.executemany(
        "insert into _ftclassify_artifacts (classifier_id, part, data)"
        " values (1, ?, zeroblob(1000))",
        ((f"part {n}",) for n in range(5_000)),
    )


def plain_tokenizer() -> dict[str, Any]:
    """One that is good, in the form that is stored."""
    words = ["[PAD]", "[UNK]", "drain", "road", "##s", "the", "a", "noise"]
    return {
        "added_tokens": [_added("[PAD]", 0), _added("[UNK]", 1)],
        "normalizer": dict(_BERT),
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": {word: n for n, word in enumerate(words)},
        },
    }  # fmt: skip


def _tokenizer(change: Change) -> Mutation:
    def mutate(conn: sqlite3.Connection) -> None:
        data = plain_tokenizer()
        change(data)
        _embedding(json.dumps(data).encode())(conn)

    return mutate


def _embedding(tokenizer: bytes) -> Mutation:
    """Gives `topics` vectors of eight tokens, and this tokenizer."""

    def mutate(conn: sqlite3.Connection) -> None:
        (text,) = conn.execute("select header from _ftclassify_classifiers where id = 1").fetchone()
        header = json.loads(text)
        header["embedding"] = {"n_tokens": 8, "dimensions": 2, "unknown": 1}
        parts = {
            "tokenizer": tokenizer,
            "vectors": struct.pack("<e", 0.5) * 16,
            "embedding_weights": struct.pack("<f", 0.1) * 2 * header["columns"],
        }
        header["sizes"] |= {name: len(blob) for name, blob in parts.items()}
        conn.execute(
            "update _ftclassify_classifiers set header = ? where id = 1", [json.dumps(header)]
        )
        conn.executemany(
            "insert into _ftclassify_artifacts (classifier_id, part, data) values (1, ?, ?)",
            parts.items(),
        )

    return mutate


def _many_evaluations(conn: sqlite3.Connection) -> None:
    conn.execute(
        "insert into _ftclassify_evaluations (classifier_id, split, metrics, created_at)"
        " select 1, 'test', metrics, created_at from _ftclassify_evaluations,"
        " (with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000)"
        " select i from n) where classifier_id = 1"
    )


def _first_row(column: str, value: Any) -> Mutation:
    def mutate(conn: sqlite3.Connection) -> None:
        conn.execute(
            f"update _ftclassify_evaluation_rows set {column} = ? where row_key ="
            " (select min(row_key) from _ftclassify_evaluation_rows)",
            [value],
        )

    return mutate


TESTED = "(select max(id) from _ftclassify_evaluations where classifier_id = 1)"


def _many_rows(conn: sqlite3.Connection) -> None:
    def rows() -> Iterator[tuple[str]]:
        return ((f"[{n}]",) for n in range(1_000_000, 1_000_000 + MANY))

    conn.executemany(
        "insert into _ftclassify_evaluation_rows (evaluation_id, row_key, truth, chosen, score)"
        f" select {TESTED}, ?, '[0]', '[1]', 0.5",
        rows(),
    )


def _many_classifiers(conn: sqlite3.Connection) -> None:
    conn.execute(
        "insert into _ftclassify_classifiers (uid, name, version, trainer, kind, labels, task_id,"
        " split_id, seed, training_rows, header, report, created_at)"
        " select uid || i, name, i + 1, trainer, kind, labels, task_id, split_id, seed,"
        " training_rows, header, report, created_at from _ftclassify_classifiers,"
        " (with recursive n(i) as (select 1 union all select i + 1 from n where i < 1500)"
        " select i from n)"
    )


KINDS: dict[str, Callable[[], Mutations]] = {
    "raw": _raw, "short_cells": _short_cells, "labels": _labels, "headers": _headers,
    "parts": _parts, "tokenizers": _tokenizers, "metrics": _metrics, "reports": _reports,
    "rows": _rows,
}  # fmt: skip
