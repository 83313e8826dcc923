"""Train, validation and test: who is in which, decided once and written down.

A split is seeded and stratified. Rows whose texts are equal or near copies (`near_duplicates`)
always share one, since a test row that was also trained on measures memory, not skill. Membership
follows from a keyed hash of the text, of near copies the smallest hash among them, so a table that
grows keeps nearly all of its rows where they were: a group moves only, as a whole, when a new copy
has a smaller hash than all of its texts.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from .errors import TaskError
from .examples import SPLITS, Example, Record, Split
from .labels import LabelValue, label_name
from .numbers import Range
from .text import hash_of_normalised, normalise, text_hash

SEEDS = 2**31
"""As many seeds as services take (OpenAI's fine-tuning API); scikit-learn takes twice as many."""


SPLIT_SHARE = Range(0, 0.9)
"""Of the labelled rows, for validation or test."""


@dataclass(frozen=True)
class SplitPlan:
    """How to divide: shares of the labelled rows for validation and test (0-1), and the seed.

    seed: any whole number; kept modulo SEEDS, so the usual ones as they are
    Raises TaskError for shares that leave nothing to train on.
    """

    seed: int = 0
    validation: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", self.seed % SEEDS)
        # Written so that it refuses NaN as well.
        if not (self.validation >= 0 and self.test >= 0 and self.validation + self.test <= 0.9):
            raise TaskError(
                "The shares for validation and test must be from 0 to 0.9 together, not "
                f"{self.validation} and {self.test}.",
                fields=("test", "validation"),
            )


@dataclass
class SplitReport:
    """Rows by split and label name, and what had to give way.

    counts:     {split: {label name: rows}}; a row with several labels counts for each
    rows:       {split: rows}
    left_out:   {value of the split column: rows} that is none of train, validation, test
    shared:     rows of validation or test whose text, or a near copy, also stands in train (given
                splits only)
    """

    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    rows: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    shared: int = 0

    def count(self, split: str, labels: Iterable[LabelValue]) -> None:
        self.rows[split] += 1
        self.counts[split].update(map(label_name, labels))


class Splitter:
    """Decides the split of every example of a task. Feed it all records, then ask.

    Holds some 300 bytes a distinct text, and less of the many of a large table (`near_duplicates`);
    nothing of the texts themselves.
    """

    def __init__(self, plan: SplitPlan, *, split_column: bool = False) -> None:
        from .near_duplicates import Sketches  # numpy is loaded when it is first used

        self.plan = plan
        self._given = split_column
        self._sketches = Sketches()
        # Of each distinct text: its number, rows, a number for its labels, the splits it was given.
        self._numbers: dict[int, int] = {}
        self._rows = array("I")
        self._labels = array("I")
        self._givens = array("B")
        self._label_numbers: dict[tuple[LabelValue, ...], int] = {}
        self._decided: _Decided | None = None
        self._last: tuple[str, NearCopies | None, Split | None] | None = None
        self._has_validation = False
        self.left_out: Counter[str] = Counter()

    def add(self, record: Record) -> None:
        """Takes note of a record; those that cannot be trained on are passed over."""
        if not record.usable or record.text is None:
            return
        if self._given and not self._note_given(record.split):
            return
        normal = normalise(record.text)
        name = hash_of_normalised(normal)
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self._numbers)
            self._sketches.add(normal)
            labels = record.labels.values or ()
            # The first row's labels stand for its text: where rows disagree, no choice is right.
            self._labels.append(self._label_numbers.setdefault(labels, len(self._label_numbers)))
            self._rows.append(0)
            self._givens.append(0)
        self._rows[number] += 1
        if self._given:
            self._givens[number] |= _BITS[record.split or ""]

    def _note_given(self, value: str | None) -> bool:
        if value not in SPLITS:
            self.left_out["NULL" if value is None else value] += 1
            return False
        self._has_validation |= value == "validation"
        return True

    def split_of(self, record: Record) -> Split | None:
        """The record's split; None when it has none (not labelled, or left out)."""
        if not record.usable or record.text is None:
            return None
        group, split = self._looked_up(record.text)
        if self._given:
            given = next((s for s in SPLITS if s == record.split), None)
            if given != "train":
                return given
        return None if group is None else split or "train"

    def shares_train(self, record: Record) -> bool:
        """Whether the row was given to validation or test, and its text, or a near copy, to train
        as well."""
        if not (self._given and record.usable and record.split in ("validation", "test")):
            return False
        group = self.near_copies(record)
        return group is not None and bool(group.given & _BITS["train"])

    def near_copies(self, record: Record) -> NearCopies | None:
        """The group of texts that the record's text is in, alone or with near copies; None for a
        record that was not added."""
        return self._looked_up(record.text or "")[0]

    def _looked_up(self, text: str) -> tuple[NearCopies | None, Split | None]:
        """Of the text's group: itself and its split. Several questions are asked of each row."""
        if self._last is None or self._last[0] is not text:
            decided = self._decide()
            number = self._numbers.get(text_hash(text))
            if number is None:
                self._last = (text, None, None)
            else:
                name = decided.names[number]
                self._last = (text, decided.groups[name], decided.splits.get(name))
        return self._last[1], self._last[2]

    def groups(self) -> Iterable[NearCopies]:
        """All groups, in no order."""
        return self._decide().groups.values()

    def _decide(self) -> _Decided:
        if self._decided is None:
            names, groups = self._grouped()
            stratified = groups
            plan = self.plan
            if self._given:
                # Only train and test were given: validation comes out of the train rows.
                none = self._has_validation
                only = _BITS["train"]
                stratified = {n: g for n, g in groups.items() if not none and g.given == only}
                plan = SplitPlan(plan.seed, plan.validation, 0.0)
            self._decided = _Decided(names, groups, _stratify(stratified, plan))
        return self._decided

    def _grouped(self) -> tuple[array[int], dict[int, NearCopies]]:
        import numpy as np

        hashes = np.fromiter(self._numbers, dtype=np.int64, count=len(self._numbers))
        names = array("q", hashes[self._sketches.groups(hashes)].tobytes())
        label_sets = list(self._label_numbers)
        groups: dict[int, NearCopies] = {}
        # The text that gives a group its name gives it its labels too.
        for name, text, labels in zip(names, self._numbers, self._labels, strict=True):
            if name == text:
                groups[name] = NearCopies(label_sets[labels])
        for number, name in enumerate(names):
            group = groups[name]
            group.texts += 1
            group.rows += self._rows[number]
            group.given |= self._givens[number]
            labels_of_text = label_sets[self._labels[number]]
            if labels_of_text != group.labels:
                group.more_labels |= set(labels_of_text) - set(group.labels)
                group.disputed |= set(labels_of_text) != set(group.labels)
        return names, groups


@dataclass
class _Decided:
    """names: of the group of each text, by its number; splits: by the name of the group."""

    names: array[int]
    groups: dict[int, NearCopies]
    splits: dict[int, Split]


class NearCopies:
    """Texts that are near copies of each other, or one text alone, as one unit to divide.

    texts, rows: how many
    labels:      of the text with the smallest hash; the group's stratum
    more_labels: what others of the texts have beside them
    disputed:    whether the texts differ in their labels
    given:       in which splits they stand, as `_BITS`
    """

    __slots__ = ("disputed", "given", "labels", "more_labels", "rows", "texts")

    def __init__(self, labels: tuple[LabelValue, ...]) -> None:
        self.labels = labels
        self.more_labels: set[LabelValue] | frozenset[LabelValue] = _NOTHING
        self.texts = self.rows = self.given = 0
        self.disputed = False

    @property
    def all_labels(self) -> set[LabelValue]:
        return {*self.labels, *self.more_labels}


_BITS: dict[str, int] = {"": 0, **{name: 1 << i for i, name in enumerate(SPLITS)}}
_NOTHING: frozenset[LabelValue] = frozenset()


def _stratify(groups: dict[int, NearCopies], plan: SplitPlan) -> dict[int, Split]:
    """Stratum by stratum, in the order of a keyed hash, test and validation fill up first.

    With several labels a row belongs to the stratum of its rarest one (the idea of Sechidis,
    Tsoumakas and Vlahavas 2011: rare labels first), so that rare labels reach every split.
    """
    frequency = Counter(label for g in groups.values() for label in g.labels)
    strata: dict[LabelValue | None, list[int]] = defaultdict(list)
    for name, group in groups.items():
        rarest = min(group.labels, key=lambda v: (frequency[v], label_name(v)), default=None)
        strata[rarest].append(name)
    splits: dict[int, Split] = {}
    for names in strata.values():
        names.sort(key=lambda n: _order(n, plan.seed))
        _divide(names, groups, plan, splits)
    _teach_every_label(groups, plan, splits)
    return splits


def _teach_every_label(
    groups: dict[int, NearCopies], plan: SplitPlan, splits: dict[int, Split]
) -> None:
    """Moves what it takes so that no label is missing from train, where large shares took all
    of a small class, or where a label only stands beside rarer ones."""
    taught: set[LabelValue] = set()
    untaught: set[LabelValue] = set()
    for name, group in groups.items():
        for labels in (group.labels, group.more_labels):
            (taught if splits[name] == "train" else untaught).update(labels)
    untaught -= taught
    if not untaught:
        return
    spare = [n for n, group in groups.items() if untaught & group.all_labels]
    for name in sorted(spare, key=lambda n: _order(n, plan.seed), reverse=True):
        if untaught & groups[name].all_labels:
            splits[name] = "train"
            untaught -= groups[name].all_labels


def _order(name: int, seed: int) -> bytes:
    return blake2b(
        name.to_bytes(8, "big", signed=True), digest_size=8, key=str(seed).encode()[:64]
    ).digest()


def _divide(
    names: Sequence[int], groups: dict[int, NearCopies], plan: SplitPlan, splits: dict[int, Split]
) -> None:
    rows = {name: groups[name].rows for name in names}
    total = sum(rows.values())
    taught = max(1 - plan.test - plan.validation, 0)
    # Train keeps at least half of what it should have of the different texts.
    most = len(names) * (1 - taught / 2) / (1 - taught) if taught < 1 else 0.0
    splits.update(dict.fromkeys(names, "train"))
    held_out: tuple[tuple[Split, float, int], ...] = (
        ("test", plan.test, 2),
        ("validation", plan.validation, 4 if plan.test else 2),
    )
    for split, share, least in held_out:
        wanted = _quota(total, len(names), share, least)
        left = {name: rows[name] for name in names if splits[name] == "train"}
        if wanted and len(left) > 1:
            for name in _held_out(left, rows, wanted, share, most * share):
                splits[name] = split


def _held_out(
    left: dict[int, int], rows: dict[int, int], wanted: int, share: float, most: float
) -> list[int]:
    """The groups of a class that a split gets of those that are left, in the order of their hash.

    A group that is larger than the whole share fits nowhere, so such groups are a stratum of their
    own, of which the split gets its share as nearly as whole groups allow. What is missing then
    comes out of the small ones.

    rows: of each group of the class; most: small groups that the split may have
    """
    large = {name: n for name, n in left.items() if n > wanted}
    small = {name: n for name, n in left.items() if n <= wanted}
    taken = _nearest(large, share * sum(n for n in rows.values() if n > wanted))
    of_small = round(share * sum(n for n in rows.values() if n <= wanted))
    room = max(of_small, wanted - sum(large[name] for name in taken))
    taken += _nearest(small, room)[: max(1, int(most))]
    return taken or [min(left, key=lambda name: left[name])]


def _nearest(rows: dict[int, int], wanted: float) -> list[int]:
    """In their order those groups that each bring the sum of rows nearer to what is wanted."""
    taken = []
    for name, size in rows.items():
        if size < 2 * wanted:
            taken.append(name)
            wanted -= size
    return taken


def _quota(rows: int, groups: int, share: float, least_groups: int) -> int:
    """Rows of a class for a split: its share, but one as soon as the class can spare it."""
    if share == 0 or groups < least_groups:
        return 0
    return max(1, round(rows * share))


def split_examples(records: Iterable[Record], splitter: Splitter) -> Iterator[Example]:
    """The usable records as examples with their split."""
    for record in records:
        split = splitter.split_of(record)
        if split is None or record.text is None or record.labels.values is None:
            continue
        yield Example(record.key, record.text, record.labels.values, split)
