"""Builds `datasette-ftclassify-serve`: the same package under another name, with what answering
needs alone. What it requires is chosen in pyproject.toml, among what the whole requires.

    hatchling build -t wheel -t custom -d dist
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hatchling.builders.wheel import WheelBuilder
from hatchling.metadata.core import ProjectMetadata
from packaging.requirements import Requirement


def get_builder() -> type[WheelBuilder]:
    return ServeWheel


class ServeWheel(WheelBuilder):
    def __init__(
        self,
        root: str,
        plugin_manager: Any = None,
        config: Any = None,
        metadata: Any = None,
        app: Any = None,
    ) -> None:
        found = serving(ProjectMetadata(root, plugin_manager, config).config)
        super().__init__(
            root,
            plugin_manager=plugin_manager,
            config=found,
            metadata=ProjectMetadata(root, plugin_manager, found),
            app=app,
        )


def serving(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of the other distribution, from that of the whole.

    Raises KeyError for a requirement that the whole has not.
    """
    found: dict[str, Any] = deepcopy(config)
    targets = found["tool"]["hatch"]["build"]["targets"]
    told, wheel = targets["custom"], targets["wheel"]
    project = found["project"]
    extras = project["optional-dependencies"]
    known = {
        Requirement(line).name: line
        for lines in (project["dependencies"], *extras.values())
        for line in lines
    }
    (whole,) = wheel["packages"]
    package = str(told["name"]).replace("-", "_")
    put = {source: to.replace(whole, package, 1) for source, to in wheel["force-include"].items()}
    targets["custom"] = {**wheel, **told, "sources": {whole: package}, "force-include": put}
    project["name"] = told["name"]
    project["description"] = told["description"]
    project["dependencies"] = [known[name] for name in told["requires"]]
    project["optional-dependencies"] = {
        extra: [known[name] for name in names] for extra, names in told["extras"].items()
    }
    project["entry-points"] = {"datasette": {"ftclassify": f"{package}.serve_plugin:plugin"}}
    return found
