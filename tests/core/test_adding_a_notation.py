"""A notation of labels is declared once: it is recognised, read, told, stored and documented."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator

import pytest
from checking import table
from folders import ROOT as FOLDER

from datasette_ftclassify.checks import run_checks
from datasette_ftclassify.core.errors import TaskError
from datasette_ftclassify.core.examples import read_records
from datasette_ftclassify.core.notations import NOTATIONS, notation
from datasette_ftclassify.core.task import Task, define

CELLS = ["<bill><login>", "<login>", "<bill>", "<parcel><bill>", "<parcel>", "<>"]


@pytest.fixture
def angles() -> Iterator[None]:
    """One declaration more."""

    @notation("angles", "labels in angle brackets", "`<a><b>`")
    def _angles(text: str) -> list[str] | None:
        found = re.fullmatch(r"(?:<[^<>]+>)+", text)
        return text.strip("<>").split("><") if found else None

    yield
    NOTATIONS.pop("angles", None)


def test_a_notation_of_one_declaration_is_everywhere(angles: None) -> None:
    conn = table([(f"text {n}", CELLS[n % 6]) for n in range(60)])
    task = define(conn, "t", text=["text"], labels=["label"])
    assert (task.kind, task.notation) == ("multilabel", "angles")
    read = [record.labels.values for record in read_records(conn, task)]
    assert read[:4] == [("bill", "login"), ("login",), ("bill",), ("parcel", "bill")]
    assert read[4:6] == [("parcel",), None]
    report = run_checks(conn, task, leaves_machine=False, deep=False)
    said = [f.message for f in report.findings if f.code == "label-notation"]
    assert said[0].startswith("The cells of label are read from labels in angle brackets: ")
    damaged = report.finding("invalid-label")
    assert damaged is not None
    assert "cells that cannot be read as labels in angle brackets: " in damaged.message
    assert Task.from_dict(task.to_dict()) == task
    made = runpy.run_path(str(FOLDER / "docs" / "make_tables.py"))["render"]
    text = (FOLDER / "docs" / "checks.md").read_text(encoding="utf-8")
    assert "| `<a><b>` | labels in angle brackets |" in made("checks.md", text)
    del NOTATIONS["angles"]  # a file from somebody who has more of them
    with pytest.raises(TaskError, match="damaged"):
        Task.from_dict(task.to_dict())
