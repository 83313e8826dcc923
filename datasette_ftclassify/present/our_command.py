"""What to type for one of our commands."""

from __future__ import annotations

import shlex


def our_command(*words: object) -> str:
    """`datasette ftclassify` and the words, quoted for a shell."""
    return shlex.join(["datasette", "ftclassify", *map(str, words)])
