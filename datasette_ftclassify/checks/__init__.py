"""Checks of the labelled rows, before anyone trains on them.

Most bad classifiers are bad tables: labels spelt two ways, rows that contradict each other, a word
that gives the answer away, a test split full of training rows. `run_checks` reads the table and
reports such findings, each with the rows it speaks of and what to do about them.
"""

from __future__ import annotations

from .registry import CODES, Code, Severity
from .report import CheckReport, Finding
from .run import run_checks

__all__ = ["CODES", "CheckReport", "Code", "Finding", "Severity", "run_checks"]
