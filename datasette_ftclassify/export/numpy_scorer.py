"""Classifies texts with the model in this folder: needs Python 3.10 and numpy, and nothing else.

    python classify.py "the lamp flickers" "noise at night"
    python classify.py < texts.txt           (a text a line)

    from classify import Model
    Model("folder").answers(["the lamp flickers"])

Made by datasette-ftclassify (export-model), which answers the same.
"""

import json
import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
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


class Model:
    """folder: that of model.json. Raises ValueError for a model that needs more than numpy."""

    def __init__(self, folder: str | Path = ".") -> None:
        place = Path(folder)
        about = json.loads((place / "model.json").read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise ValueError(f"The folder has format {about['format']}; this reads {FORMAT}.")
        head, self.task = about["header"], about["task"]
        if head.get("embedding") or self.task.get("markup"):
            raise ValueError(
                "This model reads vectors or HTML: import it into datasette-ftclassify."
            )
        self.labels = about["labels"].get("names") or about["labels"]["values"]
        self.several, self.minimum = head["multilabel"], about.get("minimum_score") or {}
        self.temperature, self.token = head["temperature"], WORDS[head["format"]]
        self.beta = None if head.get("beta") is None else np.array(head["beta"])
        least = self.minimum.get("thresholds") or head["thresholds"] or [0.5] * head["n_labels"]
        self.least = np.array([2.0 if one is None else one for one in least])

        def part(name: str, kind: str) -> np.ndarray:
            return np.fromfile(place / f"{name}.bin", kind).astype(np.float32)

        def terms(name: str, start: int) -> dict[str, int]:
            text = (place / f"{name}.bin").read_bytes().decode("utf-8")
            return {term: start + i for i, term in enumerate(text.split("\n"))} if text else {}

        self.words = terms("words", 0)
        self.chars = terms("chars", head["n_words"])
        self.idf, self.bias = part("idf", "<f4"), part("bias", "<f4")
        self.weights = part("weights", "<f2").reshape(-1, head["columns"])

    def log_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Natural logarithms of each label's probability, float64 (n, labels)."""
        return np.array([self._one(text) for text in texts]).reshape(-1, len(self.labels))

    def answers(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """For each text: its label (None below the minimum score) or labels, and their scores."""
        found: list[dict[str, Any]] = []
        for row in np.exp(self.log_probabilities(texts)):
            scores = dict(zip(map(str, self.labels), row.tolist(), strict=True))
            if self.several:
                labels = [self.labels[i] for i in np.flatnonzero(row >= self.least)]
                found.append({"labels": labels, "scores": scores})
            else:
                best = int(row.argmax())
                given = row[best] >= (self.minimum.get("score") or 0)
                label = self.labels[best] if given else None
                found.append({"label": label, "score": float(row[best]), "scores": scores})
        return found

    def _one(self, text: str) -> np.ndarray:
        features, values = self._features(text)
        scores = np.einsum("i,ij->j", values, self.weights[features])
        scores = (scores + self.bias).astype(np.float64) / self.temperature
        found: np.ndarray
        if self.several:
            found = -np.logaddexp(0.0, -scores)
        else:
            if len(scores) < len(self.labels):
                scores = np.array([0.0, scores[0]])
            found = scores - np.logaddexp.reduce(scores)
        if self.beta is None:
            return found
        certain = np.minimum(found, -1e-12)
        a, b, c = self.beta.T
        found = -np.logaddexp(0.0, -(a * certain - b * np.log(-np.expm1(certain)) + c))
        if not self.several:
            found -= np.log(np.exp(found).sum())
        return found

    def _features(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """TF-IDF of words and pairs of them, and of pieces of words, each of length 1."""
        text = self._read(text)[:MAX_CHARACTERS].lower()
        words = self.token.findall(text)
        words += [f"{one} {two}" for one, two in pairwise(words)]
        found = [i for i in map(self.words.get, words) if i is not None]
        for word in text.split():
            found += [i for i in map(self.chars.get, pieces(word)) if i is not None]
        features, counts = np.unique(np.array(found, dtype=np.int64), return_counts=True)
        values = self.idf[features] * (1 + np.log(counts)).astype(np.float32)
        for block in np.split(values, [np.searchsorted(features, len(self.words))]):
            if len(block):
                block /= np.sqrt(block.dot(block))
        return features, values

    def _read(self, text: str) -> str:
        if not self.task.get("text_form"):
            return text
        if not text.isascii():
            text = re.sub("[\ud800-\udfff]", "\ufffd", re.sub(f"[{UNSEEN}]+", "", text))
            if len(text) > 1_000:
                text = re.sub(f"([{COMBINING}]{{30}})[{COMBINING}]+", r"\1", text)
            return unicodedata.normalize("NFC", text)
        return text.replace("\0", "")


def pieces(word: str) -> Iterator[str]:
    """All of 2 to 5 characters of a word with a space around it."""
    padded = f" {word} "
    for size in range(2, 6):
        if len(padded) <= size:
            yield padded
            return
        for start in range(len(padded) - size + 1):
            yield padded[start : start + size]


if __name__ == "__main__":
    given = sys.argv[1:] or [line.rstrip("\n") for line in sys.stdin]
    for answer in Model(Path(__file__).parent).answers(given):
        print(json.dumps(answer, ensure_ascii=False))
