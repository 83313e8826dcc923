"""Whether labels were read as they were meant: what was guessed, and what looks odd about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence, Set
from itertools import islice

from ..core.database import condition, quote
from ..core.flags import flag
from ..core.humanize import counted, one_or_more
from ..core.label_notations import DELIMITERS, delimiter_words, torn
from ..core.labels import folded, label_name, named, unlabelled_sql
from ..core.literals import in_list
from ..core.task import unnamed_vectors
from .codes import ANY, GRAVE, WARNING, Code, Section
from .registry import check
from .report import Finding, listing, names_listing, together
from .scan import Facts

_LEAST_ROWS = 20
_SHOWN = 3


@check(
    Section.LABELS,
    Code(
        "label-notation",
        ANY,
        "How several labels in a cell were read; labels that look like parts of another notation; "
        "vectors of 0 and 1 without label names.",
        "Choose the right delimiter or kind, or name the labels of a vector in order.",
    ),
    Code(
        "label-on-every-row",
        GRAVE,
        "A label that every row has (multilabel).",
        "If the cells are vectors of 0 and 1, give the label names in order; else leave this label "
        "out, since it distinguishes nothing.",
    ),
    Code(
        "placeholder-labels",
        WARNING,
        "Labels such as `n/a`, `NULL`, `nan` and `-`, which often mean a missing label.",
        "Set the cells to NULL if they mean that a row is not labelled, or leave such rows out "
        "with a condition.",
    ),
)
def notation_findings(facts: Facts) -> Iterator[Finding]:
    yield from _unnamed(facts)
    if not facts.usable or facts.too_many_labels:
        return
    yield from _read_as(facts)
    yield from _torn(facts)
    yield from _lists(facts)
    yield from _bits(facts)
    yield from _everywhere(facts)
    yield from _placeholders(facts)


def _unnamed(facts: Facts) -> Iterator[Finding]:
    seen = facts.label_problems.get("vector")
    if seen:
        problem, advice = unnamed_vectors(facts.conn, facts.task) or ("", "")
        yield facts.finding("label-notation", problem, advice, severity="error", seen=seen)


def _cells(facts: Facts) -> Iterator[str]:
    """Different label cells, in no order."""
    column = quote(facts.task.labels[0])
    sql = (
        f"select distinct {column} from {quote(facts.source.name)} where"
        f" {condition(facts.task.where)} and not ({unlabelled_sql(facts.task.labels)}) limit 50"
    )
    cells = facts.conn.execute(sql, dict(facts.task.params)).fetchall()
    return (str(cell) for (cell,) in cells if not isinstance(cell, bytes))


def _read_as(facts: Facts) -> Iterator[Finding]:
    """What the cells were taken for, with some of them."""
    task = facts.task
    if not task.label_reading.words:
        return
    read = ((cell, facts.read_labels((cell,)).values) for cell in _cells(facts))
    several = ((c, v) for c, v in read if v is not None and len(v) > 1)
    shown = [
        f"{named(cell, always=True)} as {together(list(map(label_name, labels)), ' + ')}"
        for cell, labels in islice(several, _SHOWN)
    ]
    yield facts.finding(
        "label-notation",
        f"The cells of {task.labels[0]} are {task.label_reading.words.removeprefix(', ')}"
        f"{': ' if shown else ''}{', '.join(shown)}.",
        "Nothing to do if that is right; otherwise choose another delimiter or kind.",
        count=facts.usable,
        severity="info",
        notation=task.notation,
        delimiter=task.delimiter,
    )


def _written(facts: Facts) -> list[str]:
    """Labels as the cells have them. Names that another table has for keys are no notation."""
    there = (v for v, rows in facts.counts.items() if rows and facts.name_of(v) == label_name(v))
    return list(dict.fromkeys(map(label_name, there)))


def _torn(facts: Facts) -> Iterator[Finding]:
    names = _written(facts)
    odd = torn(names)
    if odd:
        yield facts.finding(
            "label-notation",
            f"{len(odd):,} {one_or_more(len(odd), 'label looks', 'labels look')} like a piece of "
            f"another notation, with brackets or quotes: {names_listing(odd)}.",
            "Choose the right delimiter or kind, or write several labels as a JSON array.",
            count=len(odd),
            severity="error" if len(odd) * 2 > len(names) else "warning",
            labels=odd[:50],
        )


def _lists(facts: Facts) -> Iterator[Finding]:
    """Labels that look like lists, with a delimiter that also stands in names, or another one than
    the rest has."""
    names = _written(facts)
    alone = {name.strip() for name in names}
    if not facts.task.exclusive:
        delimiters = (*DELIMITERS, *_DOUBTFUL)
        lists = [name for name in names if any(_lists_by(d, [name], alone) for d in delimiters)]
        if len(lists) > 1 and facts.task.delimiter:
            yield facts.finding(
                "label-notation",
                f"{len(lists):,} labels look like several labels with something else than "
                f"{delimiter_words(facts.task.delimiter)} between them: {names_listing(lists, 3)}.",
                f"Write {delimiter_words(facts.task.delimiter)} between all labels; otherwise each "
                "of these is one label.",
                count=len(lists),
                severity="warning",
            )
        return
    found = ((d, _lists_by(d, names, alone)) for d in (*DELIMITERS, *_DOUBTFUL))
    least = dict.fromkeys(DELIMITERS, 1)
    delimiter, lists = next(((d, ls) for d, ls in found if len(ls) >= least.get(d, 2)), ("", []))
    if lists:
        yield facts.finding(
            "label-notation",
            f"{len(lists):,} labels look like several labels with {delimiter_words(delimiter)} "
            f"between them: {names_listing(lists, 3)}.",
            f"If they are, choose {delimiter_words(delimiter)} as the delimiter; otherwise each is "
            "one label.",
            count=len(lists),
            severity="warning",
            delimiter=delimiter,
            set={"delimiter": delimiter},
        )


_DOUBTFUL = (
    "/", "+", "&", "::", "·", "•", "\t", "、", "，", "；", "،", "؛", " - ", " and ", "<br>",
    "~", ":", ">", " ",
)  # fmt: skip
"""Delimiters that stand in names as well, so that people are asked."""


def _lists_by(delimiter: str, names: Sequence[str], alone: Set[str]) -> list[str]:
    """Those of `names` with the delimiter, where every part of them is one of `alone`, or, for a
    usual delimiter, comes back in another one."""
    lists = [name for name in names if delimiter in name]
    parts = Counter(part for name in lists for part in {p.strip() for p in name.split(delimiter)})
    again = alone | {part for part, n in parts.items() if n > 1 and delimiter in DELIMITERS}
    return lists if len(parts) > 1 and parts.keys() <= again else []


def _bits(facts: Facts) -> Iterator[Finding]:
    names = _written(facts)
    if facts.task.exclusive and (length := _bits_of(names)):
        yield facts.finding(
            "label-notation",
            f"The labels look like vectors of 0 and 1 for {length} labels: "
            f"{names_listing(names, 3)}.",
            "If they are, give the label names in the order of the 0s and 1s; otherwise each is "
            "one label.",
            count=len(names),
            severity="warning",
        )


def _bits_of(names: Sequence[str]) -> int:
    """Of how many flags, such as 0 and 1, T and F or 1 and -1, each label may be a vector, with
    nothing or one sign between them, as codes may, too; 0 where they are none."""
    names = [name.replace("-1", "0").lower() for name in names]
    if len(names) < 3 or len(set(map(len, names))) > 1:
        return 0
    between = {sign for name in names for sign in name[1::2]}
    apart = len(between) == 1 and not min(between).isalnum()
    vectors = [name[::2] for name in names] if apart else names
    signs = set().union(*vectors)
    codes = signs == {"0", "1"} and not any(v.startswith(("00", "01")) for v in vectors)
    both = len(signs) == 2 and set(map(flag, signs)) == {True, False}
    return len(vectors[0]) if both and not codes and len(vectors[0]) >= 3 else 0


def _placeholders(facts: Facts) -> Iterator[Finding]:
    missing = [
        v for v, n in facts.counts.items() if n and is_placeholder(facts.name_of(v), facts.names)
    ]
    if missing and not facts.task.named_labels:
        where = in_list(facts.task.labels[0], missing) if facts.task.exclusive else None
        yield facts.finding(
            "placeholder-labels",
            f"{placeholders(list(map(facts.name_of, missing)))}.",
            where
            and "Set the cells to NULL if they mean that a row is not labelled, or leave such rows "
            f"out with the condition not ifnull({where}, 0), which keeps those that are NULL.",
            count=sum(facts.counts[value] for value in missing),
            where=where,
        )


def is_placeholder(name: str, names: Collection[str]) -> bool:
    """Whether a label is what people or programs write where there is none.

    names: of all labels: beside a plus a minus is a label
    """
    word = folded(name)
    signs = bool(word) and not set(word) - set("-–—?.…") and "+" not in names
    return name == "None" or signs or word.strip("()[]<>#.") in _PLACEHOLDERS


_PLACEHOLDERS = frozenset(
    {"null", "nil", "nan", "nat", "na", "n/a", "n.a", "n/k", "tbd", "undefined", "no label",
     "unlabelled", "unlabeled", "not labelled", "not labeled", "\\n"}
)  # fmt: skip


def placeholders(names: Sequence[str]) -> str:
    """What is said of such labels."""
    return (
        f"{counted(len(names), 'label')} {one_or_more(len(names), 'looks', 'look')} like a word "
        f"for a missing one: {names_listing(names)}"
    )


def _everywhere(facts: Facts) -> Iterator[Finding]:
    if facts.task.exclusive or facts.usable < _LEAST_ROWS:
        return
    every = [name for name, rows in facts.names.items() if rows == facts.usable]
    if every:
        digits = {"0", "1", "-1", "true", "false"} >= {name.lower() for name in every}
        yield facts.finding(
            "label-on-every-row",
            f"Every row has {one_or_more(len(every), 'the label', 'the labels')} "
            f"{listing([named(name) for name in every])}.",
            count=len(every),
            severity="error" if digits else "warning",
            labels=every[:50],
        )
