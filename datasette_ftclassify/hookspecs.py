"""The hook by which other packages bring trainers.

A package registers through the entry point group `datasette_ftclassify`, and is then there on the
command line, in sqlite-utils and in Datasette alike. See docs/trainers.md.
"""

from __future__ import annotations

from pluggy import HookimplMarker, HookspecMarker

from .trainers.base import Trainer

hookspec = HookspecMarker("datasette_ftclassify")
hookimpl = HookimplMarker("datasette_ftclassify")


@hookspec
def register_trainers() -> list[Trainer]:  # type: ignore[empty-body]
    """The trainers of a package. Their names must not be taken by another."""
