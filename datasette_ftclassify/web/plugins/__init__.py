"""What other plugins get from this one, a module each, which their hooks alone load: without them
nothing of it is there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OtherPlugin:
    """A plugin of Datasette that calls a hook of ours.

    package:    as it is installed
    datasette:  the lines of Datasette that it is for, and its version there
    hook:       the one that it calls
    gives:      what it gets
    """

    package: str
    datasette: str
    hook: str
    gives: str


PLUGINS = (
    OtherPlugin(
        "datasette-enrichments",
        "0.65 (0.5.1), 1.0 (0.6a0)",
        "register_enrichments",
        "The enrichment *Apply a classifier*: the labels of a classifier on this machine, in "
        "columns of the selected rows",
    ),
    OtherPlugin(
        "datasette-agent",
        "1.0 (0.4a0)",
        "register_agent_tools",
        "Tools for its language model: list classifiers, classify texts, check a table, compare "
        "classifiers, and train one once the user agrees",
    ),
    OtherPlugin(
        "datasette-cron",
        "1.0 (0.0.1a2)",
        "cron_register_handlers",
        "Tasks that train new versions of classifiers where there are new labels",
    ),
)
