"""Train, validation and test: who is in which, decided once and written down.

A split is seeded and stratified. Rows with the same normalised text always share one, since a
test row that was also trained on measures memory, not skill. Membership follows from a keyed hash
of the text, so a table that grows keeps nearly all of its rows where they were.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from .errors import TaskError
from .examples import SPLITS, Example, Record, Split
from .labels import LabelValue, label_name

SEEDS = 2**31
"""As many seeds as services take (OpenAI's fine-tuning API); scikit-learn takes twice as many."""


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
                "The shares for validation and test are between 0 and 0.9 together, "
                f"not {self.validation} and {self.test}."
            )


def normalise(text: str) -> str:
    """The form in which two texts count as the same: NFKC, case folded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def text_hash(text: str) -> int:
    """64 signed bits that name the normalised text (BLAKE2b)."""
    digest = blake2b(normalise(text).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


@dataclass
class SplitReport:
    """Rows by split and label name, and what had to give way.

    counts:     {split: {label name: rows}}; a row with several labels counts for each
    rows:       {split: rows}
    left_out:   {value of the split column: rows} that is none of train, validation, test
    shared:     rows of validation or test whose text also stands in train (given splits only)
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

    Holds some 100 bytes a distinct text, nothing of the texts themselves.
    """

    def __init__(self, plan: SplitPlan, *, split_column: bool = False) -> None:
        self.plan = plan
        self._given = split_column
        self._groups: dict[int, _Group] = {}
        self._label_tuples: dict[tuple[LabelValue, ...], tuple[LabelValue, ...]] = {}
        self._splits: dict[int, Split] | None = None
        self._has_validation = False
        self.left_out: Counter[str] = Counter()

    def add(self, record: Record) -> None:
        """Takes note of a record; those that cannot be trained on are passed over."""
        if not record.usable or record.text is None:
            return
        if self._given and not self._note_given(record.split):
            return
        name = text_hash(record.text)
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group()
        labels = record.labels.values or ()
        labels = self._label_tuples.setdefault(labels, labels)
        group.add(labels, record.split if self._given else None)

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
        if self._splits is None:
            self._splits = self._decide()
        name = text_hash(record.text)
        if not self._given:
            return self._splits.get(name)
        given = next((s for s in SPLITS if s == record.split), None)
        if given == "train" and not self._has_validation:
            return self._splits.get(name, "train")
        return given

    def shares_train(self, record: Record) -> bool:
        """Whether the row was given to validation or test, and its text to train as well."""
        if not (self._given and record.usable and record.split in ("validation", "test")):
            return False
        return "train" in self._groups[text_hash(record.text or "")].given

    def _decide(self) -> dict[int, Split]:
        if not self._given:
            return _stratify(self._groups, self.plan)
        if self._has_validation:
            return {}
        # Only train and test were given: validation comes out of the train rows.
        train = {n: g for n, g in self._groups.items() if g.given == {"train"}}
        return _stratify(train, SplitPlan(self.plan.seed, self.plan.validation, 0.0))


class _Group:
    """The examples that share one normalised text."""

    __slots__ = ("given", "labels", "rows")

    def __init__(self) -> None:
        self.rows = 0
        self.labels: tuple[LabelValue, ...] = ()
        self.given: set[str] | frozenset[str] = _NOTHING

    def add(self, labels: tuple[LabelValue, ...], given: str | None) -> None:
        # The first row's labels stand for the group: where rows disagree, no choice is right.
        if not self.rows:
            self.labels = labels
        self.rows += 1
        if given is not None and given not in self.given:
            self.given = self.given | {given}


_NOTHING: frozenset[str] = frozenset()
_HELD_OUT: tuple[Split, ...] = ("test", "validation")


def _stratify(groups: dict[int, _Group], plan: SplitPlan) -> dict[int, Split]:
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
    groups: dict[int, _Group], plan: SplitPlan, splits: dict[int, Split]
) -> None:
    """Moves what it takes so that no label is missing from train, where large shares took all
    of a small class, or where a label only stands beside rarer ones."""
    taught = {v for name, group in groups.items() if splits[name] == "train" for v in group.labels}
    untaught = {v for group in groups.values() for v in group.labels} - taught
    if not untaught:
        return
    spare = [n for n, group in groups.items() if untaught.intersection(group.labels)]
    for name in sorted(spare, key=lambda n: _order(n, plan.seed), reverse=True):
        if untaught.intersection(groups[name].labels):
            splits[name] = "train"
            untaught.difference_update(groups[name].labels)


def _order(name: int, seed: int) -> bytes:
    return blake2b(
        name.to_bytes(8, "big", signed=True), digest_size=8, key=str(seed).encode()[:64]
    ).digest()


def _divide(
    names: Sequence[int], groups: dict[int, _Group], plan: SplitPlan, splits: dict[int, Split]
) -> None:
    rows = sum(groups[name].rows for name in names)
    wanted: dict[Split, int] = {
        "test": _quota(rows, len(names), plan.test, 2),
        "validation": _quota(rows, len(names), plan.validation, 4 if plan.test else 2),
    }
    filled: Counter[Split] = Counter()
    for name in names:
        size = groups[name].rows
        splits[name] = "train"
        for split in _HELD_OUT:
            if filled[split] + size <= wanted[split]:
                splits[name] = split
                filled[split] += size
                break
    for split in _HELD_OUT:
        # A text that stands in many rows may be larger than the whole share: the smallest, then.
        left = [name for name in names if splits[name] == "train"]
        if wanted[split] and not filled[split] and len(left) > 1:
            smallest = min(left, key=lambda n: groups[n].rows)
            splits[smallest] = split
            filled[split] += groups[smallest].rows


def _quota(rows: int, groups: int, share: float, least_groups: int) -> int:
    """Rows of a class for a split: its share, but one as soon as the class can spare it."""
    if share == 0 or groups < least_groups:
        return 0
    return max(1, round(rows * share))


def split_examples(
    records: Iterable[Record], splitter: Splitter, report: SplitReport | None = None
) -> Iterator[Example]:
    """The usable records as examples with their split, counted into `report` on the way."""
    for record in records:
        split = splitter.split_of(record)
        if split is None or record.text is None or record.labels.values is None:
            continue
        if report is not None:
            report.count(split, record.labels.values)
        yield Example(record.key, record.text, record.labels.values, split)
