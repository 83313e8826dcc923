"""Where things are, for the tests."""

from __future__ import annotations

from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
"""What tests share: servers, browsers, tables, files made to do harm."""
TESTS = SUPPORT.parent
ROOT = TESTS.parent
