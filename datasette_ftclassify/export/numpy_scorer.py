"""Classifies texts with the model in this folder: needs Python 3.10 and numpy, and nothing else.

    python classify.py "the lamp flickers" "noise at night"
    python classify.py < texts.txt           (a text a line)

    from classify import Model
    model = Model("folder")
    model.answers(["the lamp flickers"])     # each with the score of all labels
    model.classify(frame["message"])         # the labels of a column of pandas, Polars, PyArrow
    model.predict(frame["message"])          # its columns label, score, logprob and known
    model.arrow(column)                      # as classify, as an array of PyArrow, for DuckDB

Made by datasette-ftclassify (export-model), which answers the same.
"""

import json
import math
import re
import sys
import unicodedata
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1
MAX_CHARACTERS = 20_000
MARKS = "".join(c for c in map(chr, range(0x300, 0xE00)) if unicodedata.category(c)[0] == "M")
WORDS = {1: re.compile(r"(?u)\b\w\w+\b"), 2: re.compile(rf"[\w{MARKS}]{{2,}}")}
UNSEEN = "\0\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
COMBINING = "".join(c for c in map(chr, range(0x300, 0x20000)) if unicodedata.combining(c))
find_unseen, find_halves = re.compile(f"[{UNSEEN}]+"), re.compile("[\ud800-\udfff]")
find_marks = re.compile(f"([{COMBINING}]{{30}})[{COMBINING}]+")
LEVELS = (
    0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, *(i / 40 for i in range(4, 41)),
)  # fmt: skip
COLUMNS = ("label", "score", "logprob", "known")
CACHED_WORDS = 20_000


class Model:
    """folder: that of model.json. Raises ValueError for a model that needs more than numpy and for
    files that were changed or are not whole, and OSError for missing ones."""

    def __init__(self, folder: str | Path = ".") -> None:
        try:
            self._load(Path(folder))
        except (LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError("The model.json is damaged: export the model again.") from error

    def _load(self, place: Path) -> None:
        about = json.loads((place / "model.json").read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise ValueError(f"The folder has format {about['format']}; this reads {FORMAT}.")
        head, self.task = about["header"], about["task"]
        if head.get("embedding") or self.task.get("markup"):
            raise ValueError(
                "This model reads vectors or HTML: import it into datasette-ftclassify."
            )
        self.values = about["labels"]["values"]
        self.labels = about["labels"].get("names") or self.values
        self.several, self.minimum = head["multilabel"], about.get("minimum_score") or {}
        types = {str} if self.several else set(map(type, self.values))
        self.label_type: type = types.pop() if len(types) == 1 else str
        self.usual = head.get("known")
        self.temperature, self.token = head["temperature"], WORDS[head["format"]]
        self.beta = None if head.get("beta") is None else np.array(head["beta"])
        least = self.minimum.get("thresholds") or head["thresholds"] or [0.5] * head["n_labels"]
        self.least = np.array([2.0 if one is None else one for one in least])

        def read(name: str) -> bytes:
            told = about["parts"][name]
            with (place / f"{name}.bin").open("rb") as file:
                data = file.read(told["bytes"] + 1)
            if sha256(data).hexdigest() != told["sha256"]:
                raise ValueError(f"{name}.bin was changed or is not whole: export the model again.")
            return data

        def part(name: str, kind: str) -> np.ndarray:
            return np.frombuffer(read(name), kind).astype(np.float32)

        def terms(name: str, start: int) -> dict[str, int]:
            text = read(name).decode("utf-8")
            return {term: start + i for i, term in enumerate(text.split("\n"))} if text else {}

        self.words = terms("words", 0)
        self.chars = terms("chars", head["n_words"])
        self.idf, self.bias = part("idf", "<f4"), part("bias", "<f4")
        self.weights = part("weights", "<f2").reshape(-1, head["columns"])
        self._pieces: dict[str, bytes] = {}

    def log_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Natural logarithms of each label's probability, float64 (n, labels)."""
        rows = [self._one(self._read(text))[0] for text in texts]
        return np.array(rows).reshape(-1, len(self.labels))

    def answers(self, texts: Sequence[str]) -> list[dict[str, Any] | None]:
        """For each text: its label (None below the minimum score) or labels, and the scores of all.
        None for a blank one, which has no answer."""
        found: list[dict[str, Any] | None] = []
        for text in map(self._text, texts):
            if text is None:
                found.append(None)
                continue
            row = np.exp(self._one(text)[0])
            scores = dict(zip(map(str, self.labels), row.tolist(), strict=True))
            if self.several:
                labels = [self.labels[i] for i in np.flatnonzero(row >= self.least)]
                found.append({"labels": labels, "scores": scores})
            else:
                best = int(row.argmax())
                label = self.labels[best] if self._allows(float(row[best])) else None
                found.append({"label": label, "score": float(row[best]), "scores": scores})
        return found

    def classify(self, cells: Any) -> list[Any]:
        """What ft_classify() gives for each cell of a column: a list, a Series of pandas or Polars,
        an array of numpy or PyArrow. None where there is no text, or no label for want of the
        minimum score. Several labels are a JSON array."""
        return [None if text is None else self._label(text)[0] for text in self._texts(cells)]

    def predict(self, cells: Any) -> dict[str, list[Any]]:
        """The same with what else a prediction writes, as COLUMNS; `score` also of a label that
        is not given, `known` None where it was not measured."""
        nothing = (None,) * len(COLUMNS)
        rows = [nothing if text is None else self._row(text) for text in self._texts(cells)]
        return {name: [row[i] for row in rows] for i, name in enumerate(COLUMNS)}

    def arrow(self, cells: Any) -> Any:
        """`classify` as an array of PyArrow."""
        return self._arrow(self.classify(cells), self.label_type)

    def arrow_struct(self, cells: Any) -> Any:
        """`predict` as an array of PyArrow, of structs with COLUMNS."""
        import pyarrow

        found = self.predict(cells)
        types = {"label": self.label_type}
        arrays = [self._arrow(found[name], types.get(name, float)) for name in COLUMNS]
        return pyarrow.StructArray.from_arrays(arrays, COLUMNS)

    def _arrow(self, values: list[Any], kind: type) -> Any:
        """Labels of several types are texts: a column has one."""
        import pyarrow

        kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
        return pyarrow.array([None if v is None else kind(v) for v in values], kinds[kind])

    def _row(self, text: str) -> tuple[Any, ...]:
        label, logprob, logprobs, words = self._label(text)
        return label, math.exp(logprob), logprob, self._known(logprobs, words)

    def _label(self, text: str) -> tuple[Any, float, np.ndarray, float]:
        """As in a label column, its log-probability, that of all labels, and the share of words
        that are known. Several labels are taken as independent."""
        row, words = self._one(text)
        if self.several:
            given = np.exp(row) >= self.least
            named = [self.values[i] for i in np.flatnonzero(given)]
            x = np.minimum(row, -1e-12)
            off = np.where(x > -math.log(2), np.log(-np.expm1(x)), np.log1p(-np.exp(x)))
            joint = float(np.where(given, row, off).sum())
            return json.dumps(named, ensure_ascii=False), joint, row, words
        best = int(row.argmax())
        logprob = float(row[best])
        return self.values[best] if self._allows(math.exp(logprob)) else None, logprob, row, words

    def _allows(self, score: float) -> bool:
        return score >= (self.minimum.get("score") or 0)

    def _known(self, row: np.ndarray, words: float) -> float | None:
        """How much a text is like the training rows, 0 to 1: the share that looked less so."""
        if self.usual is None:
            return None
        sure = float(row.max() if self.several else np.exp(row) @ row)
        least = 0.5 / (self.usual["rows"] + 1)
        ranks = [max(rank(self.usual["certainty"], sure), least),
                 max(rank(self.usual["words"], words), least)]  # fmt: skip
        both = math.log(ranks[0]) + self.usual["weight"] * math.log(ranks[1])
        return rank(self.usual["together"], both)

    def _texts(self, cells: Any) -> Iterator[str | None]:
        """As SQL reads them: numbers as text; None for what is no text, or blank."""
        for how in ("to_pylist", "to_list", "tolist"):
            if hasattr(cells, how):
                cells = getattr(cells, how)()
                break
        for cell in cells:
            if type(cell) in (int, float) and cell == cell:
                cell = str(cell)
            yield self._text(cell) if isinstance(cell, str) else None

    def _text(self, cell: str) -> str | None:
        text = self._read(cell)
        return text if text and not text.isspace() and not cell.isspace() else None

    def _one(self, text: str) -> tuple[np.ndarray, float]:
        features, values, words = self._features(text)
        scores = np.einsum("i,ij->j", values, self.weights.take(features, axis=0))
        scores = np.add(scores, self.bias, dtype=np.float64) / self.temperature
        found: np.ndarray
        if self.several:
            found = -np.logaddexp(0.0, -scores)
        else:
            if len(scores) < len(self.labels):
                scores = np.array([0.0, scores[0]])
            scores -= scores.max()
            found = scores - math.log(np.exp(scores).sum())
        if self.beta is None:
            return found, words
        certain = np.minimum(found, -1e-12)
        a, b, c = self.beta.T
        found = -np.logaddexp(0.0, -(a * certain - b * np.log(-np.expm1(certain)) + c))
        if not self.several:
            found -= np.log(np.exp(found).sum())
        return found, words

    def _features(self, text: str) -> tuple[np.ndarray, np.ndarray, float]:
        """TF-IDF of words and pairs of them, and of pieces of words, each of length 1; and the
        share of the former that are features."""
        text = text[:MAX_CHARACTERS].lower()
        words = self.token.findall(text)
        words += [f"{one} {two}" for one, two in pairwise(words)]
        found = [i for i in map(self.words.get, words) if i is not None]
        places = [array("i", found).tobytes(), *map(self._pieces_of, text.split())]
        ordered = np.sort(np.frombuffer(b"".join(places), dtype=np.int32))
        last = np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)].nonzero()[0]
        features, counts = ordered[last], np.diff(last, prepend=-1)
        values = self.idf[features] * (1 + np.log(counts)).astype(np.float32)
        split = len(set(found))
        for block in (values[:split], values[split:]):
            if len(block):
                block /= np.sqrt(block.dot(block))
        return features, values, len(found) / len(words) if words else 0.0

    def _pieces_of(self, word: str) -> bytes:
        """The numbers of its pieces, which are remembered: most words come again."""
        known = self._pieces.get(word)
        if known is None:
            found = [i for i in map(self.chars.get, pieces(word)) if i is not None]
            known = array("i", found).tobytes()
            if len(word) <= 64:
                if len(self._pieces) >= CACHED_WORDS:
                    self._pieces.clear()
                self._pieces[word] = known
        return known

    def _read(self, text: str) -> str:
        if not self.task.get("text_form"):
            return text
        if not text.isascii():
            text = find_halves.sub("\ufffd", find_unseen.sub("", text))
            if len(text) > 1_000:
                text = find_marks.sub(r"\1", text)
            return unicodedata.normalize("NFC", text)
        return text.replace("\0", "")


def rank(values: Sequence[float], value: float) -> float:
    """The share of rows with this value or a lower one, from the values at LEVELS."""
    place = bisect_right(values, value)
    if place in (0, len(values)):
        return float(place > 0)
    low, high = values[place - 1 : place + 1]
    share = (value - low) / (high - low)
    return LEVELS[place - 1] + share * (LEVELS[place] - LEVELS[place - 1])


def pieces(word: str) -> Iterator[str]:
    """All of 2 to 5 characters of a word with a space around it."""
    padded = f" {word} "
    for size in range(2, 6):
        if len(padded) <= size:
            yield padded
            return
        for start in range(len(padded) - size + 1):
            yield padded[start : start + size]


def main() -> None:
    if sys.argv[1:] in (["-h"], ["--help"]):
        sys.exit(print(__doc__))
    try:
        model = Model(Path(__file__).parent)
    except (OSError, ValueError) as error:
        sys.exit(f"Error: {error}")
    lines = (line.decode("utf-8", "replace").rstrip("\r\n") for line in sys.stdin.buffer)
    for text in sys.argv[1:] or lines:
        print(json.dumps(model.answers([text])[0], ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
