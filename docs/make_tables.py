"""Writes the tables of the documents that say what the code declares: `python docs/make_tables.py`.

A table stands between a comment that names it and the next `<!-- end of table -->`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from datasette_ftclassify.sql import functions  # noqa: F401, which declares them
from datasette_ftclassify.sql.declaration import functions_table
from datasette_ftclassify.trainers.base import options_of
from datasette_ftclassify.trainers.builtin import register_trainers
from datasette_ftclassify.trainers.options import options_table

FOLDER = Path(__file__).parent


def trainers_table() -> str:
    trainers = sorted(register_trainers(), key=lambda trainer: trainer.name)
    return options_table({t.name: options_of(t).values() for t in trainers})


TABLES: dict[str, dict[str, Callable[[], str]]] = {
    "sql.md": {"SQL functions": functions_table},
    "trainers.md": {"options of trainers": trainers_table},
}
"""{document: {name of a table in it: what makes it}}"""


def render(document: str, text: str) -> str:
    """The document with its tables as the code has them now. Raises ValueError without a place for
    one of them."""
    for name, table in TABLES[document].items():
        start, end = f"<!-- {name}: made by docs/make_tables.py -->", "<!-- end of table -->"
        before, found, rest = text.partition(start)
        if not found or end not in rest:
            raise ValueError(f"{document} has no place for the table {name}.")
        text = f"{before}{start}\n{table()}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    for document in TABLES:
        path = FOLDER / document
        path.write_text(render(document, path.read_text(encoding="utf-8")), encoding="utf-8")
