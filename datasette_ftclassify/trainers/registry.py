"""Trainers by name: the ones that come with the plugin, and those that other packages bring."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import entry_points

import pluggy

from .. import hookspecs
from ..core.errors import TrainingError
from . import builtin
from .base import Trainer, options_of
from .options import DECLARED, Option
from .service import Service

ENTRY_POINTS = "datasette_ftclassify"

_SHARED = {option.name for option in DECLARED}

_log = logging.getLogger(__name__)


@lru_cache(maxsize=2)
def _registered(*, others: bool) -> dict[str, Trainer]:
    """The trainers by name, with or without those of other packages.

    Raises TrainingError when two packages claim one name.
    """
    found: dict[str, Trainer] = {}
    for trainer in [*_brought_by(builtin), *(_of_others() if others else [])]:
        if trainer.name in found:
            raise TrainingError(
                f"Two installed packages bring a trainer called {trainer.name}: "
                "uninstall one of them."
            )
        found[trainer.name] = trainer
    return found


def _brought_by(plugin: object) -> list[Trainer]:
    manager = pluggy.PluginManager(ENTRY_POINTS)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    return [trainer for trainers in manager.hook.register_trainers() for trainer in trainers]


def _of_others() -> list[Trainer]:
    """Of the packages that work: one that is broken must not take the others and our own along."""
    found: list[Trainer] = []
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            found += _brought_by(entry.load())
        except Exception as error:
            package = entry.dist.name if entry.dist else entry.value
            _log.warning("The trainers of %s cannot be used: %s", package, error)
    return found


def warn_of_unregistered(plugins: Iterable[object]) -> None:
    """Says of plugins of a host, such as Datasette's, that their trainers are never asked for.

    A job runs in a process of its own, and a classifier is used on the command line, too: neither
    knows the host's plugins, such as those of --plugins-dir.
    """
    known = {entry.module for entry in entry_points(group=ENTRY_POINTS)}
    for plugin in plugins:
        name = getattr(plugin, "__name__", "")
        if callable(getattr(plugin, "register_trainers", None)) and name not in known:
            _log.warning(
                "The trainers of the plugin %s are not used: install it as a package with an entry "
                "point in the group %s (docs/trainers.md).",
                name or plugin,
                ENTRY_POINTS,
            )


def list_trainers() -> list[Trainer]:
    """All trainers, by name."""
    return [trainer for _, trainer in sorted(_registered(others=True).items())]


def list_services() -> list[Service]:
    """Those of all trainers that are reached over a network, by name."""
    return [trainer for trainer in list_trainers() if isinstance(trainer, Service)]


def list_own_options() -> list[tuple[str, Option]]:
    """(trainer, option) of the options that are one trainer's own."""
    return [
        (trainer.name, option)
        for trainer in list_trainers()
        for name, option in options_of(trainer).items()
        if name not in _SHARED
    ]


def get_trainer(name: str) -> Trainer:
    """Raises TrainingError for a name that nothing registered.

    Looks for other packages only when it must: a query should not wait for that.
    """
    trainer = _registered(others=False).get(name) or _registered(others=True).get(name)
    if trainer is None:
        known = ", ".join(trainer.name for trainer in list_trainers())
        raise TrainingError(
            f"There is no trainer called {name}: there is {known}. Is the package that brings it "
            "installed?"
        )
    return trainer


def package_of(name: str) -> str | None:
    """The package that brings a trainer; None for those that come with the plugin, and for one that
    nothing registered."""
    if name in _registered(others=False):
        return None
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            brought = {trainer.name for trainer in _brought_by(entry.load())}
        except Exception:  # told of by `_of_others`
            continue
        if name in brought and entry.dist is not None:
            return entry.dist.name
    return None
