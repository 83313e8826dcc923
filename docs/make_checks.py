"""Writes the tables of docs/checks.md from the checks' own codes: `python docs/make_checks.py`."""

from __future__ import annotations

import re
from pathlib import Path

from datasette_ftclassify import checks  # noqa: F401  (its files register their checks)
from datasette_ftclassify.checks.codes import Section
from datasette_ftclassify.checks.registry import registered

TARGET = Path(__file__).with_name("checks.md")
_TABLE = re.compile(r"(^### (.+)\n\n)\| code \|.*\n(?:\|.*\n)+", re.MULTILINE)


def table(section: Section) -> str:
    """The codes of a section, a line each, in the order in which their checks run."""
    lines = ["| code | severity | meaning | what to do |", "|---|---|---|---|"]
    for check in registered():
        for code in check.codes if check.section is section else ():
            cells = (f"`{code.name}`", ", ".join(code.severities), code.meaning, code.advice)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def render(text: str) -> str:
    """The document with the table below each section's heading as the code has it now. Raises
    ValueError when a section has no table there."""
    sections = {section.value: section for section in Section}
    found = {match[2] for match in _TABLE.finditer(text)}
    if missing := sections.keys() - found:
        raise ValueError(f"docs/checks.md has no table of {', '.join(sorted(missing))}")
    return _TABLE.sub(lambda m: m[1] + table(sections[m[2]]) if m[2] in sections else m[0], text)


if __name__ == "__main__":
    TARGET.write_text(render(TARGET.read_text(encoding="utf-8")), encoding="utf-8")
