"""Reading the rows: one pass for what the cells say, one for the splits.

A split depends on all rows, so it takes a second pass to say which row is where. Of each row only
numbers and hashes stay behind, and the texts of two samples of fixed size, so that memory does not
follow the table.
"""

from __future__ import annotations

import random
import sqlite3
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

from ..core.database import Key, Relation, json_key
from ..core.examples import Record, read_records
from ..core.foreign_keys import find_lookup, read_names, with_names
from ..core.humanize import shortened
from ..core.label_cells import Labels
from ..core.label_notations import label_reader
from ..core.labels import MAX_LABELS, LabelSet, LabelValue, label_name, variant_groups
from ..core.literals import of_keys
from ..core.splits import SplitPlan, SplitReport, Splitter
from ..core.task import Task
from ..core.text import text_hash
from .codes import CODES, Severity
from .hosted import Hosted
from .report import MAX_KEYS, Finding
from .report_data import SampleRow
from .row_conditions import Seen, SeenGroups, checked

Progress = Callable[[str, float], None]
DEEP_ROWS = 20_000
"""Rows that the deep checks look at."""
DEEP_CHARACTERS = 4_000
"""Characters of each of them: beyond that a text says little more about its label."""
SAMPLE_CHARACTERS = 2_000
_STEP = 2_000


class Watcher(Protocol):
    """Looks at every example of the first pass, or every text, then says what it found."""

    every_text: bool
    """Whether to see rows that are not labelled too."""

    def see(self, key: Key, text: str, labels: tuple[LabelValue, ...]) -> None: ...

    def findings(self, facts: Facts) -> Iterator[Finding]: ...


class Counting(Protocol):
    """Looks at every example of the second pass."""

    def see(self, text: str, labels: tuple[LabelValue, ...], split: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Sampled:
    """disputed: whether another row gives the same text other labels."""

    key: Key
    text: str
    labels: tuple[LabelValue, ...]
    disputed: bool


@dataclass
class Facts:
    """What the passes leave behind, and the source that it is about."""

    conn: sqlite3.Connection
    task: Task
    plan: SplitPlan
    source: Relation
    most_keys: int = MAX_KEYS
    predicted: Collection[str] = ()
    read: Sequence[Record] | None = None
    """The usable rows, where they have been read."""
    private: bool = True
    seed: int = 0
    leaves_machine: bool | None = True
    """None: nobody has said yet who trains."""
    hosted: Hosted | None = None
    """What is asked where a provider may train; None: the texts stay here."""
    total: int = 0
    labelled: int = 0
    usable: int = 0
    characters: array[int] = field(default_factory=lambda: array("Q"))
    text_problems: dict[str, Seen] = field(default_factory=lambda: defaultdict(Seen))
    label_problems: dict[str, Seen] = field(default_factory=lambda: defaultdict(Seen))
    not_utf8: Seen = field(default_factory=Seen)
    combinations: Counter[tuple[LabelValue, ...]] = field(default_factory=Counter)
    partly_blank: Seen = field(default_factory=Seen)
    variants: Seen = field(default_factory=Seen)
    """Rows whose label is a rarer way of writing another."""
    too_many_labels: bool = False
    surplus: Seen = field(default_factory=Seen)
    conflicts: dict[int, set[int]] = field(default_factory=dict)
    conflicting: SeenGroups = field(default_factory=SeenGroups)
    distinct_texts: int = 0
    near_copies: SeenGroups = field(default_factory=SeenGroups)
    near_groups: int = 0
    disputed_copies: SeenGroups = field(default_factory=SeenGroups)
    disputed_groups: int = 0
    groups: int = 0
    largest_group: int = 0
    largest_of: Counter[LabelValue] = field(default_factory=Counter)
    """Rows of the largest group of copies, by label."""
    report: SplitReport = field(default_factory=SplitReport)
    given_validation: bool = False
    left_out: Seen = field(default_factory=Seen)
    shared: Seen = field(default_factory=Seen)
    sample: list[SampleRow] = field(default_factory=list)
    deep: list[Sampled] = field(default_factory=list)

    @cached_property
    def read_labels(self) -> Callable[[Sequence[object]], Labels]:
        return label_reader(self.task.label_reading, self.task.labels)

    @property
    def most_read(self) -> int | None:
        """Characters that the trainer reads of a text; None: all."""
        from ..trainers.local.features import MAX_CHARACTERS

        return None if self.leaves_machine else MAX_CHARACTERS

    @property
    def counts(self) -> Counter[LabelValue]:
        """Usable rows by label; every label column of several has its entry."""
        counts: Counter[LabelValue] = Counter()
        counts.update(dict.fromkeys(self.task.named_labels, 0))
        for labels, rows in self.combinations.items():
            for label in labels:
                counts[label] += rows
        return counts

    @cached_property
    def variants_of(self) -> dict[LabelValue, list[LabelValue]]:
        """Of each label in its commonest way of writing all ways, that one first. Every sentence
        about labels counts so: what is said of one still holds when they have been merged.
        To be asked after the first pass."""
        used = {label: rows for label, rows in self.counts.items() if rows}
        return {group[0]: group for group in variant_groups(used)}

    @property
    def examples(self) -> dict[LabelValue, int]:
        """Usable rows of each label in all its ways of writing; only of those that have any."""
        counts = self.counts
        return {label: sum(counts[v] for v in all_) for label, all_ in self.variants_of.items()}

    def in_split(self, split: str, label: LabelValue) -> int:
        """The same rows of one split."""
        counted: Mapping[str, int] = self.report.counts.get(split) or {}
        return sum(counted.get(name, 0) for name in {*map(self.name_of, self.variants_of[label])})

    @property
    def names(self) -> Counter[str]:
        names: Counter[str] = Counter()
        for label, rows in self.counts.items():
            names[self.name_of(label)] += rows
        return names

    def name_of(self, label: LabelValue) -> str:
        """The label for people: by its name in another table, if it is a key of one."""
        return self.named.get(label) or label_name(label)

    def label_set(self) -> LabelSet:
        """Raises LabelError when the labels cannot form a set."""
        return with_names(self.conn, self.task, self.task.label_set(self.counts))

    @cached_property
    def named(self) -> dict[LabelValue, str]:
        lookup = find_lookup(self.conn, self.task)
        return {} if lookup is None else read_names(self.conn, lookup, self.counts)

    def finding(
        self,
        code: str,
        message: str,
        advice: str | None = None,
        *,
        count: int | None = None,
        severity: Severity | None = None,
        seen: Seen | SeenGroups | None = None,
        where: str | None = None,
        where_rows: int | None = None,
        **details: Any,
    ) -> Finding:
        """A finding with its condition: `where` if it selects `where_rows` (default: `count`)
        rows, else the list of the keys `seen`. The advice and the severity are those of the code,
        the count is that of what was `seen`, unless others are given. Raises ValueError for a code
        or severity that is not declared, or none where the code has several."""
        if count is None:
            count = 0 if seen is None else seen.count
        if severity is None:
            (severity,) = CODES[code].severities
        expected = count if where_rows is None else where_rows
        by_key = of_keys(self.source.identity, seen.keys) if seen else None
        condition = checked(self.conn, self.task, self.source, where, expected)
        if condition and seen and by_key:
            # As many rows, but other ones?
            both = f"{condition} and {by_key}"
            if checked(self.conn, self.task, self.source, both, len(seen.keys)) is None:
                condition = None
        if condition is None and seen is not None and seen.complete:
            condition = checked(self.conn, self.task, self.source, by_key, seen.count)
        groups = seen.groups(self.most_keys) if isinstance(seen, SeenGroups) else ()
        keys = [key for group in groups for key in group.keys] or (seen.keys if seen else [])
        keys = keys[: self.most_keys]
        advice = advice or CODES[code].advice
        return Finding(
            code, severity, count, message, advice, tuple(map(json_key, keys)), details, condition,
            [replace(group, keys=tuple(map(json_key, group.keys))) for group in groups],
        )  # fmt: skip


def first_pass(facts: Facts, watchers: Sequence[Watcher], progress: Progress) -> Splitter:
    """Fills everything of `facts` that does not depend on the splits."""
    splitter = Splitter(facts.plan, split_column=facts.task.split_column is not None)
    texts = _Texts(facts)
    labels_seen: set[LabelValue] = set()
    for record in read_records(facts.conn, facts.task):
        facts.total += 1
        if facts.total % _STEP == 0:
            progress("Reading the rows", facts.total)
        _note_problems(facts, record)
        text, labels = record.text, record.labels.values
        if text is not None:
            for watcher in watchers:
                if labels is not None or watcher.every_text:
                    watcher.see(record.key, text, labels or ())
        if text is None or labels is None:
            continue
        facts.usable += 1
        facts.given_validation |= record.split == "validation"
        facts.characters.append(len(text))
        if not facts.too_many_labels:
            labels_seen.update(labels)
            facts.too_many_labels = len(labels_seen) > MAX_LABELS
            facts.combinations[labels] += 1
            texts.see(record.key, text, labels)
            splitter.add(record)
    facts.distinct_texts = len(texts.first)
    return splitter


def _note_problems(facts: Facts, record: Record) -> None:
    if record.rendered.problem is not None:
        facts.text_problems[record.rendered.problem].add(record.key)
    if record.rendered.not_utf8:
        facts.not_utf8.add(record.key)
    if record.labels.values is not None:
        facts.labelled += 1
        if record.labels.partly_blank:
            facts.partly_blank.add(record.key)
    if record.labels.values is None or record.labels.problem is not None:
        facts.label_problems[record.labels.problem or "unlabelled"].add(record.key)


class _Texts:
    """Finds repeated texts by hash: 64 bits and the number of its labels for each distinct text."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.first: dict[int, int] = {}
        self.label_numbers: dict[tuple[LabelValue, ...], int] = {}

    def see(self, key: Key, text: str, labels: tuple[LabelValue, ...]) -> None:
        name = text_hash(text)
        # Two lists of the same labels in another order say the same.
        wanted = tuple(sorted(labels, key=label_name)) if len(labels) > 1 else labels
        number = self.label_numbers.setdefault(wanted, len(self.label_numbers))
        known = self.first.get(name)
        if known is None:
            self.first[name] = number
            return
        others = self.facts.conflicts.get(name, set())
        if number == known or number in others:
            self.facts.surplus.add(key)
        else:
            self.facts.conflicts[name] = others | {number}


def second_pass(
    facts: Facts,
    splitter: Splitter,
    counting: Sequence[Counting],
    rng: random.Random,
    sample_size: int,
    deep: bool,
    progress: Progress,
) -> None:
    """Fills what depends on the splits, and draws the samples."""
    facts.report.left_out.update(splitter.left_out)
    written = (g for g in facts.variants_of.values() if len({label_name(v) for v in g}) > 1)
    rarer = {label for group in written for label in group[1:]}
    sample = Sampler(facts.usable, sample_size, rng)
    deep_sample = Sampler.deep(facts.usable, facts.seed)
    _note_groups(facts, splitter)
    records = read_records(facts.conn, facts.task) if facts.read is None else facts.read
    for number, record in enumerate(records, 1):
        if number % _STEP == 0:
            progress("Dividing the rows", number)
        text, labels = record.text, record.labels.values
        if text is None or labels is None:
            continue
        if rarer and not rarer.isdisjoint(labels):
            facts.variants.add(record.key)
        names = list(map(facts.name_of, labels))
        disputed = bool(facts.conflicts) and text_hash(text) in facts.conflicts
        if disputed:
            facts.conflicting.add(record.key, text_hash(text))
        if sample.take():
            shown = shortened(text, SAMPLE_CHARACTERS)
            facts.sample.append({"key": json_key(record.key), "text": shown, "labels": names})
        if deep and deep_sample.take():
            facts.deep.append(Sampled(record.key, text[:DEEP_CHARACTERS], labels, disputed))
        group = splitter.near_copies(record)
        if group is not None and group.texts > 1:
            facts.near_copies.add(record.key, group)
            if group.disputed:
                facts.disputed_copies.add(record.key, group)
        split = splitter.split_of(record)
        if split is None:
            facts.left_out.add(record.key)
            continue
        facts.report.count(split, names)
        if facts.task.split_column and split != "train" and splitter.shares_train(record):
            facts.report.shared += 1
            facts.shared.add(record.key)
        for counter in counting:
            counter.see(text, labels, split)


def _note_groups(facts: Facts, splitter: Splitter) -> None:
    for group in splitter.groups():
        facts.groups += 1
        facts.near_groups += group.texts > 1
        facts.disputed_groups += group.disputed
        facts.largest_group = max(facts.largest_group, group.rows)
        for label in group.labels:
            facts.largest_of[label] = max(facts.largest_of[label], group.rows)


class Sampler:
    """Takes exactly `size` of `rows` rows, in their order, each with the same chance.

    Selection sampling: Knuth, The Art of Computer Programming, volume 2, algorithm 3.4.2 S.
    """

    def __init__(self, rows: int, size: int, rng: random.Random) -> None:
        self.left, self.wanted, self.rng = rows, min(rows, size), rng

    @classmethod
    def deep(cls, rows: int, seed: int) -> Sampler:
        """That takes the rows which the deep checks look at, and the queue of mislabelled ones."""
        return cls(rows, DEEP_ROWS, random.Random(seed))

    def take(self) -> bool:
        chosen = self.rng.random() * self.left < self.wanted
        self.left -= 1
        self.wanted -= chosen
        return chosen
