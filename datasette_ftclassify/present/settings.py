"""The settings of a job in words, for pages and commands; for any content of a stranger's file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_NAMES = {
    "task.source": "table",
    "task.text": "text columns",
    "task.labels": "label columns",
    "uid": "classifier's uid",
}


def settings_list(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of what was chosen, without what was left open."""
    names = {**_NAMES, **_option_names()}
    return [(_named(path, names), text) for path, text in _flat(settings)]


def _option_names() -> dict[str, str]:
    """Of the options of all trainers, by where settings have them."""
    from ..trainers.options import DECLARED, stored_at
    from ..trainers.registry import list_own_options

    options = [*DECLARED, *(option for _, option in list_own_options())]
    return {stored_at(option): option.label[:1].lower() + option.label[1:] for option in options}


def _named(path: str, names: Mapping[str, str]) -> str:
    for at, name in names.items():
        if path == at or path.startswith(f"{at}."):
            return name + path[len(at) :].replace(".", ", ", 1)
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
        elif value not in (None, "", False):
            yield before + name, str(value)
