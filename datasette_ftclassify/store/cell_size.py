"""Cells of our tables, of which a file may hold any size."""

from __future__ import annotations

from ..core.untrusted_json import MOST_BYTES

LONGEST_NAME = 200
"""Characters of a name, an id, a word or a time that is read. A classifier's name has at most 100,
and a version. To look for one like a longer text takes long, and much memory."""

NAME_BYTES = 5 * LONGEST_NAME
"""The same in UTF-8, with what stands before a name in a key."""


def at_most(column: str, most: int = MOST_BYTES) -> str:
    """SQL for the cell, or for just as much of it as shows that it is too long."""
    return f"substr({column}, 1, {most + 1})"


def cut(column: str, most: int = 2_000) -> str:
    """SQL for the text, cut where it is longer than any that we write."""
    return f"substr({column}, 1, {most})"


def fits(column: str, most: int = NAME_BYTES) -> str:
    """SQL for whether the cell has that many bytes at most. `length` of a text ends at its first
    NUL, behind which there may be any number of characters."""
    return f"length(cast({column} as blob)) <= {most}"
