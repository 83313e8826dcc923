"""Every case of tests/cases comes out as its expected.txt says. See run_cases.py."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from folders import TESTS
from run_cases import commands, problems, run_case

CASES = TESTS / "cases"


@pytest.mark.parametrize("name", sorted(path.parent.name for path in CASES.glob("*/run.txt")))
def test_case(name: str, tmp_path: Path):
    case = run_case(CASES / name, tmp_path)
    assert case.unread == []
    assert problems(case) == []


def test_it_is_a_script():
    """By itself, without what pytest puts on the path."""
    script = [sys.executable, str(TESTS / "run_cases.py"), "--help"]
    assert "folder" in subprocess.run(script, capture_output=True, text=True, check=True).stdout


def test_a_case_that_goes_wrong_is_seen(tmp_path: Path):
    """A trigger's work undone, behind the prediction's back."""
    case = run_case(CASES / "triggers-usual", tmp_path)
    with closing(sqlite3.connect(case.runs[-1].after["a.db"])) as conn, conn:
        conn.execute("update counted set n = 7 where id = 7")
    wrong = "counted -> counted: 1 of 90 rows (90 now) are not as after a plain UPDATE"
    assert problems(case) == [wrong]


def test_what_is_run_is_read_from_sentences():
    text = """python make.py a.db (writes more); check and train a.db t and u --label topic; for t
        in a b: predict a.db $t --classifier c; sqlite-utils a.db "select count(*) from t"; look"""
    steps = [" ".join(step[1:]) if isinstance(step, list) else step for step in commands(text)]
    task = "--text text --label topic"
    assert steps == [
        "make.py a.db",
        f"ftclassify check a.db t {task} --local",
        f"ftclassify train a.db t {task}",
        f"ftclassify check a.db u {task} --local",
        f"ftclassify train a.db u {task}",
        "ftclassify predict a.db a --classifier c",
        "ftclassify predict a.db b --classifier c",
        "a.db select count(*) from t",
        "look",
    ]
