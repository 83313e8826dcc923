"""An evaluation in one line, for a page, a terminal or a commit message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def headline(result: dict[str, Any]) -> str:
    """The doubt and the baseline stand beside the figure, whatever the kind of the classifier."""
    parts = _multilabel(result) if "subset_accuracy" in result else _single(result)
    if result["abstained"]:
        parts.append(f"{_rows(result['abstained'])} got no answer and count as wrong")
    parts.append(_calibration(result))
    return "; ".join(parts)


def _single(result: dict[str, Any]) -> list[str]:
    return [
        f"accuracy {result['accuracy']:.3f} ({_interval(result, 'accuracy')}) "
        f"on {test_rows(result)}",
        f"always answering “{result['majority_label']}” would score "
        f"{result['majority_accuracy']:.3f}",
        f"macro F1 {result['macro_f1']:.3f}",
    ]


def _multilabel(result: dict[str, Any]) -> list[str]:
    names = " + ".join(f"“{name}”" for name in result["majority_labels"])
    return [
        f"micro F1 {result['micro_f1']:.3f}, macro F1 {result['macro_f1']:.3f} "
        f"on {test_rows(result)}",
        f"all labels of a row right {result['subset_accuracy']:.3f} "
        f"({_interval(result, 'subset_accuracy')})",
        f"always answering {names or 'no label'} would score "
        f"{result['majority_subset_accuracy']:.3f}",
    ]


def _calibration(result: dict[str, Any]) -> str:
    if result["ece"] is None:
        return "no probabilities to check"
    text = f"expected calibration error {result['ece']:.3f}"
    if result["n_scored"] < result["n_test"]:
        text += f" on {_rows(result['n_scored'])} with probabilities"
    return text


def _interval(result: dict[str, Any], name: str) -> str:
    return f"95 % interval {result[f'{name}_low']:.3f}–{result[f'{name}_high']:.3f}"


def easier_test_rows(result: Mapping[str, Any] | None, report: Mapping[str, Any]) -> str | None:
    """A warning where the accuracy in cross-validation is below the whole interval of that on the
    test rows; None otherwise.

    report: of the training, as it stands in a file: it may hold anything
    """
    tried = report.get("recipes")
    if not result or "accuracy_low" not in result or report.get("metric") != "accuracy":
        return None
    found = [
        recipe.get("score")
        for recipe in (tried if isinstance(tried, list) else [])
        if isinstance(recipe, dict) and recipe.get("recipe") == report.get("recipe")
    ]
    score: Any = found[0] if found else None
    if type(score) not in (int, float) or not 0 <= score < result["accuracy_low"]:
        return None
    return (
        "The test rows seem easier than the others: in cross-validation on the rows that it was "
        f"trained on, the accuracy was {score:.3f}. Texts that are near copies of very many "
        "others, such as one form letter filled in, are always trained on and never tested."
    )


def test_rows(result: Mapping[str, Any]) -> str:
    """`60 test rows`, and of how many different texts where some are copies of each other."""
    rows = _rows(result["n_test"], "test ")
    # Evaluations of earlier versions do not say.
    distinct = result.get("n_distinct", result["n_test"])
    if distinct == result["n_test"]:
        return rows
    return f"{rows} ({distinct:,} different text{'' if distinct == 1 else 's'})"


def _rows(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}{'row' if count == 1 else 'rows'}"
