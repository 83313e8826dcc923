"""Writes the tables of docs/permissions.md from the code: `python docs/make_permissions.py`."""

from __future__ import annotations

import re
from pathlib import Path

from datasette_ftclassify.web.permissions import PERMISSIONS
from datasette_ftclassify.web.routes import routes

TARGET = Path(__file__).with_name("permissions.md")


def permissions() -> list[str]:
    lines = ["| action | what it allows | default |", "|---|---|---|"]
    for name, permission in PERMISSIONS.items():
        default = "who may see the table" if permission.open else "root"
        lines.append(f"| `{name}` | {permission.allows} | {default} |")
    return lines


def pages() -> list[str]:
    lines = ["| page | to see it | to send its form |", "|---|---|---|"]
    for route in routes():
        place = route.place.replace("{name}", "NAME").replace("{id}", "ID")
        place = place.replace("{number}", "N") + ("?table=T" if route.about == "table" else "")
        reads = f"`{route.reads}`" if route.reads else "–"
        if route.about in ("instance", "database"):
            reads = f"who may see the {route.about}"
        writes = f"`{route.writes}`" if route.writes else "–"
        lines.append(f"| `{place}` | {reads} | {writes} |")
    return lines


def render(text: str) -> str:
    """The document with its tables as the code has them now. Raises ValueError without a place
    for one."""
    for name, table in (("permissions", permissions()), ("pages", pages())):
        start, end = f"<!-- {name}: made by docs/make_permissions.py -->", f"<!-- end of {name} -->"
        block = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
        if not block.search(text):
            raise ValueError(f"docs/permissions.md has no place for the table of {name}")
        made = "\n".join([start, *table, end])
        text = block.sub(lambda _, made=made: made, text)
    return text


if __name__ == "__main__":
    TARGET.write_text(render(TARGET.read_text(encoding="utf-8")), encoding="utf-8")
