"""The rows of a training: read once, each with its split, and the record of the splits."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..checks.label_notation import is_placeholder, placeholders
from ..checks.missing_values import LABELS, TEXTS, invalid_words
from ..core.database import relation
from ..core.distribution import software_versions
from ..core.errors import TrainingError
from ..core.examples import Example, Record, Split, read_records
from ..core.foreign_keys import all_keys, find_lookup, with_names
from ..core.humanize import counted, one_or_more, rows_have, rows_text
from ..core.label_notations import torn
from ..core.labels import LabelSet, LabelValue, label_name, named, variant_groups
from ..core.markup import is_html
from ..core.splits import SplitPlan, SplitReport, Splitter, split_examples
from ..core.task import Task, unnamed_vectors
from ..core.text import text_hash
from ..core.training_report import AboutRows
from ..store.classifiers import Classifier
from ..store.columns import label_column
from ..store.label_changes import NO_ROWS, ChosenRows, chosen_rows
from ..store.splits import Member, Membership, StoredPlan, split_plan
from ..trainers.base import TrainingSet

_MOST_SAID = 20


@dataclass(frozen=True)
class SplitData:
    """The examples of a task with their splits.

    plan:    how they were divided, as it is stored
    notes:   what else the classifier's report says of its rows, by name
    records: the usable rows, as they were read; none where the split was made before
    chosen:  see `chosen_rows`; none of them is tested with
    """

    examples: list[Example]
    members: list[Member]
    labels: LabelSet
    report: SplitReport
    plan: StoredPlan
    notes: AboutRows = field(default_factory=AboutRows)
    records: Sequence[Record] = ()
    chosen: ChosenRows = NO_ROWS

    def of(self, *splits: Split) -> list[Example]:
        return [example for example in self.examples if example.split in splits]


def read_split(
    conn: sqlite3.Connection,
    task: Task,
    plan: SplitPlan,
    descriptions: Mapping[str, str] | None = None,
    see: Callable[[Record], None] | None = None,
) -> SplitData:
    """Reads all examples of the task and divides them.

    see:          called with each row, usable or not, for who would read the table again otherwise
    descriptions: of labels, for a trainer that can do without examples; a label that no row has
                  counts as well
    Raises TrainingError when there are no examples, nor descriptions.
    """
    splitter = Splitter(plan, split_column=task.split_column is not None)
    records, unread = [], 0
    for record in read_records(conn, task):
        if see is not None:
            see(record)
        if record.usable:
            records.append(record)
            splitter.add(record)
        unread += is_unread(record)
    report = SplitReport(left_out=splitter.left_out)
    chosen = chosen_rows(conn, task.source)
    usable = list(split_examples(records, splitter))
    if task.split_column:  # which does not say that they are to be learnt from
        examples = [e for e in usable if e.split == "train" or not chosen.has(e.key, e.text)]
    else:
        examples = _without_chosen(usable, records, splitter, chosen)
    for example in examples:
        report.count(example.split, example.labels)
    if not examples and not descriptions:
        raise TrainingError(_no_examples(conn, task))
    report.shared = sum(map(splitter.shares_train, records))
    described = StoredPlan(seed=plan.seed, validation=plan.validation, test=plan.test)
    if task.split_column:
        described["split_column"] = task.split_column
    seen = dict.fromkeys(label for example in examples for label in example.labels)
    described_names = list(descriptions or ())
    lookup = find_lookup(conn, task) if described_names else None
    if lookup is not None:  # they are described by name, and stand in the rows as keys
        keys = all_keys(conn, task, lookup, seen)
        more: list[LabelValue] = [keys[name] for name in described_names if name in keys]
    else:
        names = set(map(label_name, seen))
        more = [name for name in described_names if name not in names]
    labels = with_names(conn, task, task.label_set([*seen, *more]))
    notes = how_read(task, labels, records, examples, unread)
    notes["chosen_left_out"] = len(usable) - len(examples)
    return SplitData(
        examples, members_of(examples), labels, report, described, notes, records, chosen
    )


def _without_chosen(
    examples: list[Example], records: Sequence[Record], splitter: Splitter, chosen: ChosenRows
) -> list[Example]:
    """The examples, of which those that have a label because a model chose them are trained on, or
    left out where they are copies of a row that is tested with."""
    if not chosen:
        return examples
    group_of = {record.key: id(splitter.near_copies(record)) for record in records}
    by_chance = {group_of[e.key] for e in examples if not chosen.has(e.key, e.text)}
    kept = []
    for example in examples:
        if example.split != "train" and chosen.has(example.key, example.text):
            if group_of[example.key] in by_chance:
                continue
            example = replace(example, split="train")
        kept.append(example)
    return kept


def is_unread(record: Record) -> bool:
    """Whether a row has labels that cannot be read. Not labelled is something else: such rows are
    left for the classifier."""
    return record.labels.problem not in (None, "empty") and record.labels.values is None


def how_read(
    task: Task,
    labels: LabelSet,
    records: Sequence[Record],
    examples: Sequence[Example],
    unread: int,
) -> AboutRows:
    """What is to be said of how the rows were read. records: the usable ones; unread: how many
    `is_unread`"""
    counts = Counter(label for example in examples for label in example.labels)
    groups = [list(map(label_name, g)) for g in variant_groups(counts) if len(g) > 1]
    said = _said(labels, task)
    if unread:
        said.append(
            f"warning: the labels of {rows_text(unread)} cannot be read, so these rows were "
            "left out. See the findings of a check."
        )
    if labels.lookup:
        said.append(
            f"The labels are keys of {labels.lookup}, and go by the names that it has for them."
        )
    return {
        "labels_said": said,
        "label_variants": [list(group) for group in groups[:_MOST_SAID]],
        "texts_said": _texts_said(records, task),
    }


def _texts_said(records: Sequence[Record], task: Task) -> list[str]:
    """What its texts are besides plain ones, which a classifier reads all the same."""
    html = 0 if task.markup else sum(is_html(record.text or "") for record in records)
    torn_up = sum(record.rendered.not_utf8 for record in records)
    said = []
    if html:
        texts = counted(html, "text is", "texts are")
        said.append(f"{texts} in HTML, whose tags were read as words")
    if torn_up:
        texts = counted(torn_up, "text is", "texts are")
        said.append(f"{texts} not valid UTF-8, with signs in place of what is wrong")
    return said


def members_of(examples: list[Example]) -> list[Member]:
    """As the store keeps them."""
    return [(e.key, text_hash(e.text), e.split) for e in examples]


def _no_examples(conn: sqlite3.Connection, task: Task) -> str:
    if problem := unnamed_vectors(conn, task):
        return " ".join(problem)
    why: Counter[str] = Counter()
    for record in read_records(conn, task):
        text, labels = record.rendered.problem, record.labels
        if labels.problem == "invalid":
            why[invalid_words(task)] += 1
        elif labels.values is None:
            why[LABELS.get(labels.problem or "", "no label")] += 1
        elif text is not None:
            why[TEXTS[text]] += 1
    split = f" and train, validation or test in {task.split_column}" if task.split_column else ""
    advice = "Choose other columns, or fix the cells."
    if invalid_words(task) in why and len(task.labels) == 1:
        advice = "Several labels in one cell need a delimiter, one label a cell another kind."
    reasons = ", ".join(f"{rows_have(rows)} {what}" for what, rows in why.most_common(3))
    return (
        f"{task.source} has no row with both a text and a label{split}"
        f"{f': {reasons}' if reasons else ''}. {advice}"
    )


def read_as_split_before(
    conn: sqlite3.Connection, first: Classifier, *, on_predictions: bool = False
) -> SplitData:
    """The examples of a classifier's task, each in the split it was in when that was trained.

    Rows that have come since, and rows with a label that the classifier does not know, are left
    out, so that a second classifier learns from the same and is judged by the same.
    on_predictions: rows without a label get the one that the first classifier wrote into its
    column, and are trained on; the test keeps to the true labels
    Raises TrainingError when no row is left, or no column holds the predictions.
    """
    source = relation(conn, first.task.source)
    before = Membership(conn, first.split_id, source)
    chosen = chosen_rows(conn, source.name)
    examples: list[Example] = []
    report = SplitReport()
    left_out = left_out_chosen = 0
    for record in _known(read_records(conn, first.task), first.labels):
        text = record.text or ""
        split = before.split_of(record.key, text_hash(text))
        if split is None:
            left_out += 1
            continue
        if split == "test" and chosen.has(record.key, text):
            left_out_chosen += 1
            continue
        examples.append(Example(record.key, text, record.labels.values or (), split))
        report.count(split, record.labels.values or ())
    notes: AboutRows = {"left_out_new": left_out, "chosen_left_out": left_out_chosen}
    if on_predictions:
        predicted = list(_predicted(conn, first, before))
        notes["predicted_labels"] = len(predicted)
        for example in predicted:
            report.count("train", example.labels)
        examples += predicted
    if not examples:
        raise TrainingError(
            f"None of the rows that {first.title} was trained on is in {source.name} any more: "
            "train a new classifier."
        )
    plan = split_plan(conn, first.split_id)
    if on_predictions:
        plan["predictions_of"] = first.uid
    return SplitData(
        examples, members_of(examples), first.labels, report, plan, notes, chosen=chosen
    )


def _known(records: Iterator[Record], labels: LabelSet) -> Iterator[Record]:
    for record in records:
        values = record.labels.values or ()
        if record.usable and all(labels.index(value) is not None for value in values):
            yield record


def _predicted(
    conn: sqlite3.Connection, first: Classifier, before: Membership
) -> Iterator[Example]:
    """The rows without a label, with the label that the first classifier gave them."""
    source = relation(conn, first.task.source).name
    column = label_column(conn, source, first.name)
    if column is None:
        raise TrainingError(
            f"{first.title} has written no labels into {source}: classify the rows without a label "
            "first."
        )
    task = replace(
        first.task,
        labels=(column,),
        delimiter=None,
        notation=None,
        label_names=(),
        split_column=None,
    )
    unlabelled = {r.key for r in read_records(conn, first.task) if r.labels.values is None}
    for record in _known(read_records(conn, task), first.labels):
        text = record.text or ""
        # A text that is tested must not be trained on, whoever labelled it.
        if record.key in unlabelled and not before.is_tested(text_hash(text)):
            yield Example(record.key, text, record.labels.values or (), "train")


class TextSample:
    """Some texts of a table, labelled or not, each as likely as any other."""

    def __init__(self, seed: int, most: int = 500) -> None:
        self.texts: list[str] = []
        self._most, self._seen = most, 0
        self._chooser = random.Random(seed)

    def see(self, record: Record) -> None:
        if record.text:
            self.add(record.text)

    def add(self, text: str) -> None:
        self._seen += 1
        place = self._chooser.randrange(self._seen)
        if len(self.texts) < self._most:
            self.texts.append(text)
        elif place < self._most:
            self.texts[place] = text


def as_training_set(
    examples: list[Example],
    labels: LabelSet,
    sample: TextSample | None = None,
    chosen: ChosenRows = NO_ROWS,
) -> TrainingSet:
    """sample: for a trainer that needs no examples. Without one raises TrainingError when fewer
    than two labels are left to tell apart."""
    import numpy as np

    if sample is None:
        require_labels(examples, labels)
    positions = [labels.positions(example.labels) for example in examples]
    targets = labels.label_kind.as_array(positions, len(labels))
    texts = [example.text for example in examples]
    some = np.array([chosen.has(one.key, one.text) for one in examples], dtype=np.bool_)
    validation = np.array([example.split == "validation" for example in examples], dtype=np.bool_)
    return TrainingSet(
        texts,
        targets,
        labels,
        sample.texts if sample else (),
        some if some.any() else None,
        validation=validation,
    )


def require_labels(examples: list[Example], labels: LabelSet) -> None:
    """Raises TrainingError when fewer than two labels are left to tell apart."""
    seen = {label for example in examples for label in example.labels}
    fewest = labels.label_kind.fewest
    if len(labels) < fewest:
        raise TrainingError(
            "All rows with a text and a readable label have "
            f"{named(labels.names[0], always=True)}: a classifier needs at least two labels."
        )
    if len(seen) < fewest:
        raise TrainingError("The training rows have fewer than two labels: look at the split.")


def about_rows(training: list[Example], data: SplitData) -> AboutRows:
    """What a classifier's report says of the rows it was trained on."""
    counts = Counter(label for example in training for label in example.labels)
    majority = max(range(len(data.labels)), key=lambda i: counts[data.labels.values[i]])
    return {
        "rows": dict(data.report.rows),
        "left_out": dict(data.report.left_out),
        "shared_with_train": data.report.shared,
        "majority": majority,
        "label_counts": [counts[value] for value in data.labels.values],
        "chosen_rows": sum(data.chosen.has(one.key, one.text) for one in training),
        "software": software_versions(),
        **data.notes,
    }


def _said(labels: LabelSet, task: Task) -> list[str]:
    """How the labels were read, where that was a guess, and what looks wrong about them."""
    words = task.label_reading.words
    lines = [f"The cells of {task.labels[0]} were{words[1:]}."] if words else []
    if task.merged:
        some = ", ".join(map(label_name, task.merged[:5])) + ", …" * (len(task.merged) > 5)
        lines.append(f"All variants of {some} count as one label each.")
    odd = torn(labels.names) if labels.lookup is None else ()  # names of keys are no notation
    if odd:
        lines.append(
            f"warning: {len(odd):,} of {len(labels):,} labels have brackets or quotes, as pieces "
            f"of another notation: {', '.join(odd[:3])}. See the findings of a check."
        )
    missing = [name for name in labels.names if is_placeholder(name, labels.names)]
    if missing:
        lines.append(
            f"warning: {placeholders(missing)} and {one_or_more(len(missing), 'was', 'were')} "
            "trained on. See the findings of a check."
        )
    return lines
