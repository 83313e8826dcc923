"""Draws the layers of docs/architecture.md from the code: `python docs/make_architecture.py`."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

TARGET = Path(__file__).with_name("architecture.md")
PACKAGE = Path(__file__).resolve().parent.parent / "datasette_ftclassify"
START, END = "<!-- layers: made by docs/make_architecture.py -->", "<!-- end of layers -->"


def rooms() -> dict[str, set[str]]:
    """{folder of the package: the other folders that its files import from}"""
    found: dict[str, set[str]] = defaultdict(set)
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    for path in sorted(PACKAGE.rglob("*.py")):
        here = path.relative_to(PACKAGE).parts
        if here[0] not in folders:
            continue
        found[here[0]] |= set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == len(here):
                module = (node.module or "").split(".")[0]
                names = [module] if module else [alias.name for alias in node.names]
                found[here[0]] |= folders & set(names) - {here[0]}
    return dict(found)


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Without the arrows that follow from others."""

    def reach(room: str) -> set[str]:
        return graph[room].union(*map(reach, graph[room]))

    return {
        room: needs - set().union(*map(reach, needs)) if needs else needs
        for room, needs in graph.items()
    }


def picture() -> str:
    """A Mermaid diagram: an arrow leads from a folder to one that it imports from."""
    graph = rooms()
    arrows = sorted((a, b) for a, needs in reduced(graph).items() for b in needs)
    lines = ["```mermaid", "graph TD", *(f"  {a} --> {b}" for a, b in arrows), "```"]
    return "\n".join(lines)


def render(text: str) -> str:
    """The document with the picture as the code has it now."""
    block = re.compile(f"{re.escape(START)}.*?{re.escape(END)}", re.DOTALL)
    return block.sub(lambda _: f"{START}\n{picture()}\n{END}", text)


if __name__ == "__main__":
    TARGET.write_text(render(TARGET.read_text(encoding="utf-8")), encoding="utf-8")
