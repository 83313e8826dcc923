"""A classifier's name is shared by its versions, which may have learnt from different tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..store.classifiers import list_classifiers

if TYPE_CHECKING:
    from .routing import Ask


async def tables_behind(ask: Ask, name: str) -> set[str]:
    """The tables that the versions of this name were trained on."""
    every = await ask.read(lambda conn: list_classifiers(conn, name=name))
    return {one.task.source for one in every}


async def may_all(ask: Ask, action: str, name: str) -> bool:
    """Whether the visitor may do that with the tables of all versions of the name."""
    return all([await ask.may(action, table) for table in await tables_behind(ask, name)])
