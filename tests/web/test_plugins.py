"""What other plugins get: each declared once, and nothing of it loaded where they are not."""

from __future__ import annotations

import ast
from pathlib import Path

import datasette_ftclassify
from datasette_ftclassify.web.plugins import PLUGINS

PACKAGE = Path(datasette_ftclassify.__file__).parent
FOLDER = PACKAGE / "web" / "plugins"
OTHERS = {each.package.replace("-", "_") for each in PLUGINS}


def loaded_at_import(path: Path) -> set[str]:
    """The last parts of modules that a file imports as it is itself imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            found.update({(node.module or "").split(".")[0], f"{'.' * node.level}{node.module}"})
        elif isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
    return found


def test_each_hook_of_another_plugin_is_there():
    assert all(hasattr(datasette_ftclassify, each.hook) for each in PLUGINS)


def test_nothing_of_other_plugins_is_loaded_without_them():
    """Their packages are imported by the modules for them alone, and those by hooks alone."""
    for path in PACKAGE.rglob("*.py"):
        if FOLDER in path.parents:
            continue
        found = loaded_at_import(path)
        assert not found & OTHERS, path
        assert not [name for name in found if ".plugins." in name], path
