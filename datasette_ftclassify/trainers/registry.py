"""Trainers by name: the ones that come with the plugin, and those that other packages bring."""

from __future__ import annotations

from functools import lru_cache

import pluggy

from .. import hookspecs
from ..errors import TrainingError
from .base import Trainer
from .local.trainer import LocalTrainer

ENTRY_POINTS = "datasette_ftclassify"

_BUILT_IN: dict[str, Trainer] = {"local": LocalTrainer()}


@lru_cache(maxsize=1)
def _registered() -> dict[str, Trainer]:
    """All trainers. Raises TrainingError when two packages claim one name."""
    manager = pluggy.PluginManager("datasette_ftclassify")
    manager.add_hookspecs(hookspecs)
    manager.load_setuptools_entrypoints(ENTRY_POINTS)
    found = dict(_BUILT_IN)
    for trainers in manager.hook.register_trainers():
        for trainer in trainers:
            if trainer.name in found:
                raise TrainingError(
                    f"Two installed packages bring a trainer called {trainer.name}: "
                    "uninstall one of them."
                )
            found[trainer.name] = trainer
    return found


def list_trainers() -> list[Trainer]:
    """All trainers, by name."""
    return [trainer for _, trainer in sorted(_registered().items())]


def get_trainer(name: str) -> Trainer:
    """Raises TrainingError for a name that nothing registered.

    Looks for other packages only when it must: a query should not wait for that.
    """
    trainer = _BUILT_IN.get(name) or _registered().get(name)
    if trainer is None:
        known = ", ".join(trainer.name for trainer in list_trainers())
        raise TrainingError(
            f"There is no trainer called {name}: there is {known}. Is the package that brings it "
            "installed?"
        )
    return trainer
