"""Checks of the labelled rows, before anyone trains on them.

Most bad classifiers are bad tables: labels spelt two ways, rows that contradict each other, a word
that gives the answer away, a test split full of training rows. `run_checks` reads the table and
reports such findings, each with the rows it speaks of and what to do about them.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from .codes import CODES, Code, Severity
from .report import CheckReport, Finding
from .run import run_checks

__all__ = ["CODES", "CheckReport", "Code", "Finding", "Severity", "run_checks"]


def load_checks() -> None:
    """Imports the files of this folder: each check registers itself."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")


load_checks()
