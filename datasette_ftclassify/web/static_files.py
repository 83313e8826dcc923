"""Where Datasette serves our scripts and styles."""

from __future__ import annotations

from ..core.distribution import PACKAGE


def static_name() -> str:
    """The part of their addresses that names us: the distribution that brought this package."""
    from datasette.plugins import pm

    for plugin, distribution in pm.list_plugin_distinfo():
        if getattr(plugin, "__name__", "") == PACKAGE:
            return str(distribution.metadata["name"]).replace("-", "_")
    return PACKAGE  # registered by hand
