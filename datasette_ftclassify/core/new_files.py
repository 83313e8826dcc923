"""Files and folders that are made beside others, where that may be forbidden."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import SourceError


@contextmanager
def writing_into(folder: Path) -> Iterator[None]:
    """For what makes something in the folder. Raises SourceError where there is none, or nothing
    can be written into it."""
    if not folder.is_dir():
        raise SourceError(f"There is no folder {folder}.")
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise SourceError(f"Nothing can be written into the folder {folder}: {why}.") from error
