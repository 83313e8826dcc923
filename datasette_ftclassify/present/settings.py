"""The settings of a job in words, for pages and commands; for any content of a stranger's file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

NAMES = {
    "task.source": "table",
    "task.text": "text columns",
    "task.labels": "label columns",
    "task.where": "condition on the rows",
    "task.params": "values in the condition",
    "task.split_column": "split column",
    "task.delimiter": "label delimiter",
    "task.notation": "label notation",
    "task.label_names": "label names",
    "task.other.label": "label of the other rows",
    "task.other.where": "condition on the other rows",
    "task.merged": "labels that stand for all their variants",
    "where": "condition on the rows",
    "params": "values in the condition",
    "name": "name of the classifier",
    "curve": "learning curve",
    "on_predictions": "trains on predictions",
    "continue_from": "continues from",
    "host": "service",
    "plan.seed": "seed of the split",
    "plan.validation": "share for validation",
    "plan.test": "share for the test",
    "options.seed": "random seed",
    "columns.label": "column for the label",
    "columns.score": "column for the score",
    "columns.logprob": "column for the log-probability",
    "columns.logprobs": "column for the log-probabilities of all labels",
    "columns.raw": "column for the raw answer",
    "columns.reason": "column for the reason",
    "columns.label_scores": "column for the probability of",
    "columns.fingerprint": "column for what an answer was made from",
    "columns.group": "column for the group of labels",
    "columns.known": "column for how much a text is like the training rows",
    "unlabelled": "unlabelled rows only",
    "stale": "stale answers only",
    "own_minimum": "minimum score of the classifier",
    "overwrite": "overwrites columns",
    "threshold": "minimum score",
    "wrong": "share of wrong answers asked for",
    "strength": "strength of that promise",
    "min_known": "minimum of known",
    "on_error": "without a valid answer",
    "leaves_machine": "texts leave this machine",
    "limit_usd": "spending limit (USD)",
    "concurrency": "requests at once",
    "max_errors": "most rows without an answer",
    "batch": "in batches",
}
"""What settings are called, by where a job has them; others go by their own plain names."""

HIDDEN = (
    "uid", "like", "teacher", "version_of", "once", "sweep", "classifier_id", "fields",
    "task.text_form",
)  # fmt: skip
"""Marks of the software's own, and the form of a page."""


def settings_list(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of what was chosen, without what was left open."""
    names = {**NAMES, **_option_names()}
    return [
        (_named(path, names), text)
        for path, text in _flat(settings)
        if not any(path == hidden or path.startswith(f"{hidden}.") for hidden in HIDDEN)
    ]


def _option_names() -> dict[str, str]:
    """Of the options of all trainers, by where settings have them."""
    from ..trainers.options import DECLARED, stored_at
    from ..trainers.registry import list_own_options

    options = [*DECLARED, *(option for _, option in list_own_options())]
    return {stored_at(option): option.label[:1].lower() + option.label[1:] for option in options}


def _named(path: str, names: Mapping[str, str]) -> str:
    for at, name in names.items():
        if path == at or path.startswith(f"{at}."):
            more = path[len(at) :]
            return name + more.replace(".", " " if name.endswith(" of") else ", ", 1)
    return path.removeprefix("task.").replace("_", " ").replace(".", ", ")


def _flat(data: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        elif isinstance(value, list):
            if value:
                yield before + name, ", ".join(map(str, value))
        elif value is True:
            yield before + name, "yes"
        elif isinstance(value, float) and abs(value) < 1:
            yield before + name, f"{value:.4g}"  # nobody reads sixteen digits of a score
        elif value not in (None, "", False):
            yield before + name, str(value)
