"""A comparison of classifiers as lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ..core.humanize import key_list, rows_text
from ..present import comparison as words
from .output import echo

if TYPE_CHECKING:
    from ..jobs.compare import Comparison
    from ..jobs.compared_pairs import Pairs
    from ..metrics.comparison import Estimate
    from ..metrics.registry import Metric


def describe_comparison(comparison: Comparison) -> None:
    if comparison.no_test_rows:
        echo(comparison.no_test_rows)
        _describe_out_of_fold(comparison)
        return
    different = ""
    if comparison.texts != comparison.rows:
        different = f" ({comparison.texts:,} different texts)"
    echo(f"On the same {comparison.rows:,} test rows{different}, with 95% intervals:")
    always = words.baseline(comparison.always)
    width = max([len(always), *(len(each.classifier.title) for each in comparison.compared)])
    for each in comparison.compared:
        known = f"{words.cost(each.usd_per_1000)} for 1,000 answers, "
        known += words.where(each.local, each.until)
        known += f", {words.size(each.bytes)}" if each.bytes is not None else ""
        known += " (the newest of the task that runs on this machine)" if each.added else ""
        told = _figures_line(comparison.metrics, each.figures)
        echo(f"  {each.classifier.title:{width}}  {each.classifier.trainer:9}  {told}")
        echo(f"  {'':{width}}  {'':9}  {known}")
    told = _figures_line(comparison.metrics, comparison.baseline)
    echo(f"  {always:{width}}  {'':9}  {told}")
    _describe_pairs(comparison)
    if comparison.disagreed:
        keys = key_list([row.key for row in comparison.disagreements], comparison.disagreed)
        echo(f"\n  Different answers to {rows_text(comparison.disagreed)}: {keys}")
    if comparison.left_out:
        echo(f"  {comparison.left_out}")
    if comparison.unanswered:
        echo(f"  {comparison.unanswered:,} more test rows have no answers.")
    _describe_out_of_fold(comparison)


def _describe_out_of_fold(comparison: Comparison) -> None:
    found = comparison.out_of_fold
    echo(f"\nOut of fold: {comparison.no_out_of_fold if found is None else found.about}")
    if found is None:
        return
    width = max(map(len, found.titles))
    for title, figures in zip(found.titles, found.figures, strict=True):
        echo(f"  {title:{width}}  {_figures_line(found.metrics, figures)}")
    _describe_pairs(found)
    for said in found.notes:
        echo(f"  {said}")


def _describe_pairs(pairs: Pairs) -> None:
    for difference in pairs.differences:
        echo(f"\n  {pairs.sentence(difference)}")
        first, second = pairs.title(difference.first), pairs.title(difference.second)
        gains = (
            f"{metric.name} {words.gain(difference.figures[metric.key])}"
            for metric in pairs.metrics
        )
        echo(f"  {second} against {first}: {', '.join(gains)}")
        for change in words.changes(difference):
            echo(
                f"    {change.label}: of {rows_text(change.rows)} {second} found {change.second:,},"
                f" {first} {change.first:,} ({change.gained:,} gained, {change.lost:,} lost)"
            )


def _figures_line(metrics: Iterable[Metric], figures: Mapping[str, Estimate]) -> str:
    shown = []
    for metric in metrics:
        each = figures[metric.key]
        ends = words.interval(each)
        shown.append(f"{metric.name} {words.figure(each)}" + (f" ({ends})" if ends else ""))
    return ", ".join(shown)
