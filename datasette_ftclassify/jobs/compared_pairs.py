"""Classifiers on the same rows, each newer one told against each older one: the test rows in
`compare`, and here the rows that they were trained on, answered out of fold."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..core.database import Key, key_text
from ..core.errors import EvaluationError, FtclassifyError
from ..core.humanize import counted, rows_text
from ..metrics.registry import metrics_of
from ..store.classifiers import Classifier
from ..store.splits import hashes_of_rows
from .compared_rows import CommonRows, HeldBack, answered_out_of_fold, variants_of

if TYPE_CHECKING:
    from ..core.labels import LabelSet
    from ..metrics.comparison import Difference, Estimate
    from ..metrics.registry import Metric


@dataclass(frozen=True)
class Pairs:
    """Classifiers on the same rows.

    titles:      of the classifiers, the oldest first
    rows:        of so many different `texts`
    metrics:     that are compared, the most telling first
    differences: between each two, the newer against the older
    """

    titles: tuple[str, ...]
    rows: int
    texts: int
    metrics: tuple[Metric, ...]
    differences: tuple[Difference, ...]

    def title(self, place: int) -> str:
        return self.titles[place]

    def pairs_dict(self) -> list[dict[str, Any]]:
        return [self._pair(each) for each in self.differences]

    def _pair(self, difference: Difference) -> dict[str, Any]:
        return {
            "first": self.title(difference.first),
            "second": self.title(difference.second),
            **difference.pairs,
            "p_adjusted": difference.p_adjusted,
            "differences": flat(difference.figures),
            "labels": [asdict(change) for change in difference.labels],
            "sentence": self.sentence(difference),
        }

    def sentence(self, difference: Difference) -> str:
        """Which of two is better, if that is significant, for people."""
        from ..metrics.comparison import p_value_text

        pairs, titles = (
            difference.pairs,
            (self.title(difference.first), self.title(difference.second)),
        )
        if pairs["only_first"] == pairs["only_second"] == 0:
            return f"{' and '.join(titles)} are right on the same rows."
        better = titles[pairs["texts_second"] > pairs["texts_first"]]
        p = p_value_text({**pairs, "p_value": difference.p_adjusted}, "texts_first", "texts_second")
        counts = (
            f"{counted(pairs['only_first'], 'row is', 'rows are')} right by {titles[0]} alone,"
            f" {pairs['only_second']:,} by {titles[1]} alone"
        )
        if difference.significant:
            return f"{counts}: {better} is better ({p})."
        return f"{counts}: too little to tell which is better ({p})."


@dataclass(frozen=True)
class OutOfFoldPairs(Pairs):
    """Classifiers on rows that all were trained on, with the same labels, each row answered by
    models that had not seen it.

    figures:       of each, by key
    edited:        rows left out, since all answered them and not all with the same text
    relabelled:    other rows that all answered: their labels are not the same for all
    right:         of each, how many of those it answers as they are labelled for the newest
    left_out:      sentences on those that have no such answers
    """

    figures: tuple[dict[str, Estimate], ...]
    edited: int
    relabelled: int
    right: tuple[int, ...]
    left_out: tuple[str, ...]

    @property
    def about(self) -> str:
        """What rows these are, for people."""
        return (
            f"{rows_text(self.rows).capitalize()} of the training, with the same label for each "
            "classifier, answered by models that had not seen them (cross-validation). Recipes "
            "were chosen by these rows, so only the test rows say how good each is; the "
            "difference counts."
        )

    @property
    def relabelled_said(self) -> str | None:
        """What is right among the rows that have another label now, for people; None: there are
        none."""
        if not self.relabelled:
            return None
        have = counted(self.relabelled, "more row has another label", "more rows have other labels")
        pairs = zip(self.titles, self.right, strict=True)
        right = ", ".join(f"{title} is right on {count:,}" for title, count in pairs)
        return (
            f"{have} since {self.titles[0]} was trained. By the labels of {self.titles[-1]}, "
            f"{right}. They are counted apart: rows that a review chose by a model's answers say "
            "nothing about the others."
        )

    @property
    def notes(self) -> list[str]:
        """What else there is to say of the rows and classifiers, for people."""
        edited = counted(self.edited, "more row was", "more rows were")
        said = [f"{edited} edited between the trainings, and left out."] if self.edited else []
        return [*filter(None, [self.relabelled_said]), *said, *self.left_out]

    def to_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "texts": self.texts,
            "edited": self.edited,
            "classifiers": [
                {"title": title, **flat(figures)}
                for title, figures in zip(self.titles, self.figures, strict=True)
            ],
            "pairs": self.pairs_dict(),
            "relabelled": {
                "rows": self.relabelled,
                "right": dict(zip(self.titles, self.right, strict=True)),
            },
            "left_out": list(self.left_out),
        }


def flat(figures: Mapping[str, Estimate]) -> dict[str, float | None]:
    """KEY, KEY_low and KEY_high, as an evaluation has them."""
    found: dict[str, float | None] = {}
    for key, each in figures.items():
        found |= {key: each.value, f"{key}_low": each.low, f"{key}_high": each.high}
    return found


def compared_metrics(labels: LabelSet) -> tuple[Metric, ...]:
    """Those that are compared, the most telling first."""
    from ..metrics import figures as declared  # noqa: F401

    about = {"single" if labels.exclusive else "several", labels.kind}
    about |= {"two"} if labels.positive is not None else set()
    return tuple(sorted(
        (each for each in metrics_of(about) if each.compared),
        key=lambda metric: (metric.place(about) is None, metric.place(about)),
    ))  # fmt: skip


def compare_out_of_fold(
    conn: sqlite3.Connection, classifiers: Sequence[Classifier]
) -> OutOfFoldPairs:
    """Those of some classifiers that were answered out of fold, the oldest first, on the rows that
    all have in common. Raises EvaluationError where fewer than two have any, or none in common."""
    from ..metrics.comparison import compare_answers

    found, left_out = [], []
    for classifier in classifiers:
        try:
            found.append((classifier, answered_out_of_fold(conn, classifier)))
        except FtclassifyError as error:
            left_out.append(f"{classifier.title} has no answers out of fold: {error}".rstrip("."))
    if len(found) < 2:
        raise EvaluationError(f"{'. '.join(left_out)}.")
    having = tuple(classifier for classifier, _ in found)
    first = found[0][1]
    learnt = {
        key: [variants_of(classifier, rows[key].truth) for classifier, rows in found]
        for key in first
        if all(key in rows for _, rows in found)
    }
    edited = _edited(conn, having, learnt)
    learnt = {key: labels for key, labels in learnt.items() if key not in edited}
    same = [key for key, labels in learnt.items() if all(each == labels[-1] for each in labels)]
    others = learnt.keys() - same
    if not same:
        raise EvaluationError(
            f"{' and '.join(each.title for each in having)} have answered no row out of fold that "
            "has the same text and label for all."
        )
    held = [HeldBack(frozenset(same), {key: rows[key] for key in same}) for _, rows in found]
    common = CommonRows.of(having, held)
    answers, groups = common.answers(), common.groups()
    metrics = compared_metrics(having[0].labels)
    figures, differences = compare_answers(answers, metrics, groups, len(answers))
    return OutOfFoldPairs(
        titles=tuple(each.title for each in having),
        rows=len(same),
        texts=len(set(groups.tolist())),
        metrics=metrics,
        differences=tuple(differences),
        figures=tuple(figures),
        edited=len(edited),
        relabelled=len(others),
        right=tuple(
            sum(variants_of(each, rows[key].chosen or ()) == learnt[key][-1] for key in others)
            for each, rows in found
        ),
        left_out=tuple(f"{said}." for said in left_out),
    )


def _edited(
    conn: sqlite3.Connection, classifiers: Sequence[Classifier], keys: Collection[Key]
) -> set[Key]:
    """The rows that did not have the same text in the trainings of those that read it alike: to
    others, such as those that read another column, it is another one anyway."""
    alike: dict[Any, set[int]] = {}
    for each in classifiers:
        task = each.task
        reading = (task.text, task.template, task.text_form, task.markup)
        alike.setdefault(reading, set()).add(each.split_id)
    edited = set()
    for splits in alike.values():
        hashes = [hashes_of_rows(conn, split, keys) for split in splits if len(splits) > 1]
        edited |= {key for key in keys if len({of.get(key_text(key)) for of in hashes}) > 1}
    return edited
