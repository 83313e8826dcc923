"""Words and columns that give the label away.

A model trained on a mail header, a ticket number or the agent's closing formula scores splendidly
in every test, and fails on the first text that comes without it. Such a word is in nearly all texts
of one label and in nearly none of the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.humanize import counted
from ..core.label_kinds import KINDS
from ..core.labels import LabelValue, folded, label_name, named
from .codes import INFO, MILD, Code, Section
from .registry import Deep, check
from .report import Finding, listing
from .report_data import LeakingWord
from .scan import Facts, Sampled


@dataclass(frozen=True)
class DeepSample:
    """Up to `scan.DEEP_ROWS` rows, and the labels that at least `least` of them have.

    targets: for each row the positions of its labels in `names`; rows without one of the labels
             are left out where each row has one
    """

    rows: tuple[Sampled, ...]
    values: tuple[LabelValue, ...]
    targets: tuple[tuple[int, ...], ...]
    note: str
    """` among 20,000 sampled rows`, empty when all rows were looked at."""
    named: Mapping[LabelValue, str] = field(default_factory=dict)
    """The names of labels that are keys of another table."""

    @property
    def names(self) -> list[str]:
        return [self.named.get(value) or label_name(value) for value in self.values]


def deep_sample(facts: Facts, least: int) -> DeepSample:
    counts: dict[LabelValue, int] = {}
    for row in facts.deep:
        for label in row.labels:
            counts[label] = counts.get(label, 0) + 1
    values = tuple(sorted((v for v, n in counts.items() if n >= least), key=label_name))
    index = {value: i for i, value in enumerate(values)}
    rows, targets = [], []
    for row in facts.deep:
        target = tuple(index[label] for label in row.labels if label in index)
        if target or not facts.task.exclusive:
            rows.append(row)
            targets.append(target)
    sampled = len(facts.deep) < facts.usable
    note = f" among {len(facts.deep):,} sampled rows" if sampled else ""
    return DeepSample(tuple(rows), values, tuple(targets), note, facts.named)


PRECISION, RECALL = 0.95, 0.8
SURE_PRECISION, SURE_RECALL = 0.98, 0.95
"""From here on a warning: ordinary words of a subject seldom reach it."""
LEAST_ROWS = 20
"""Rows of a label below which chance alone finds such words."""
LIFT = 1.5
"""A word says something if its label is this much likelier with it than without knowing."""
_SHARE = 0.5
_PLAIN = {
    "yes", "no", "true", "false", "none", "other", "others", "not", "and", "the", "for", "all",
    "any", "new", "good", "bad",
}  # fmt: skip


@check(
    Section.DEEP,
    Code(
        "leaking-words",
        MILD,
        "A word that gives a label away.",
        "Check that the texts to classify will have such words; if they come from a header, a form "
        "or a reply, remove them.",
    ),
    deep=Deep("Looking for words that give labels away", 1),
)
def word_findings(facts: Facts) -> Iterator[Finding]:
    sample = deep_sample(facts, LEAST_ROWS)
    if len(sample.values) < KINDS[facts.task.kind].fewest:
        return
    leaks = _words(sample)
    if not leaks:
        return
    sure = any(w["precision"] >= SURE_PRECISION and w["recall"] >= SURE_RECALL for w in leaks)
    shown = [f"{w['word']} ({named(w['label'])})" for w in leaks]
    yield facts.finding(
        "leaking-words",
        f"{counted(len(leaks), 'word gives', 'words give')} a label away"
        f"{sample.note}: {listing(shown)}.",
        count=len(leaks),
        severity="warning" if sure else "info",
        words=leaks,
    )


def _words(sample: DeepSample) -> list[LeakingWord]:
    from sklearn.feature_extraction.text import CountVectorizer

    words = CountVectorizer(binary=True, min_df=LEAST_ROWS, dtype="int32")
    try:
        presence = words.fit_transform(row.text for row in sample.rows)
    except ValueError:  # no word is in that many texts
        return []
    labels = _indicators(sample)
    both = (presence.T @ labels).tocoo()
    with_word = presence.sum(axis=0).A1
    with_label = labels.sum(axis=0).A1
    precision = both.data / with_word[both.row]
    recall = both.data / with_label[both.col]
    prior = with_label[both.col] / len(sample.rows)
    telling = (precision >= PRECISION) & (recall >= RECALL) & (precision >= LIFT * prior)
    names, vocabulary = sample.names, words.get_feature_names_out()
    found: list[LeakingWord] = [
        {
            "word": str(vocabulary[both.row[i]]),
            "label": names[both.col[i]],
            "precision": round(float(precision[i]), 4),
            "recall": round(float(recall[i]), 4),
            "rows": int(both.data[i]),
        }
        for i in telling.nonzero()[0]
    ]
    return sorted(found, key=lambda w: -w["precision"] * w["recall"])[:50]


def _indicators(sample: DeepSample) -> Any:
    from scipy.sparse import csr_matrix

    rows = [i for i, target in enumerate(sample.targets) for _ in target]
    columns = [j for target in sample.targets for j in target]
    shape = (len(sample.rows), len(sample.values))
    return csr_matrix(([1] * len(rows), (rows, columns)), shape=shape, dtype="int32")


@check(
    Section.DEEP,
    Code(
        "label-in-text",
        INFO,
        "Labels that occur in their own texts.",
        "Fine if the authors wrote the words; if the label was copied into the text, remove it.",
    ),
    deep=Deep("Looking for labels in their own texts", 1),
)
def label_word_findings(facts: Facts) -> Iterator[Finding]:
    """Labels whose own name is in half of their texts, and not nearly as often in the others."""
    sample = deep_sample(facts, 5)
    own: list[list[str]] = [[] for _ in sample.names]
    for row, target in zip(sample.rows, sample.targets, strict=True):
        for number in target:
            own[number].append(row.text)
    shares = {}
    for number, name in enumerate(sample.names):
        pattern = _name_pattern(name)
        share = _share(pattern, own[number]) if pattern else 0.0
        if pattern and share >= _SHARE and share >= 2 * _elsewhere(pattern, sample, number):
            shares[name] = share
    if shares:
        shown = [f"{named(name)} ({share:.0%})" for name, share in shares.items()]
        yield facts.finding(
            "label-in-text",
            f"The name of the label stands in its own texts{sample.note}: {listing(shown)}.",
            count=len(shares),
            shares={name: round(share, 4) for name, share in list(shares.items())[:500]},
        )


def _name_pattern(name: str) -> re.Pattern[str] | None:
    """Finds the label's name in a text; None for names too short or too plain to mean anything."""
    words = folded(re.sub(r"[_\-/]+", " ", name)).split()
    phrase = " ".join(words)
    if len(phrase) < 3 or phrase in _PLAIN or not any(c.isalpha() for c in phrase):
        return None
    return re.compile(r"(?<!\w)" + r"[\s_\-/]+".join(map(re.escape, words)) + r"(?!\w)", re.I)


def _share(pattern: re.Pattern[str], texts: list[str]) -> float:
    return sum(pattern.search(text) is not None for text in texts) / len(texts)


def _elsewhere(pattern: re.Pattern[str], sample: DeepSample, number: int) -> float:
    """The share of texts without the label; 1 when there is no such text."""
    rows = zip(sample.rows, sample.targets, strict=True)
    others = [row.text for row, target in rows if number not in target]
    return _share(pattern, others) if others else 1.0
