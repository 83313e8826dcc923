"""The sentence encoders that were fine-tuned on this machine: where their files are, and when they
go.

A folder for each beside the file of vectors, named by the hash of its files. A classifier has that
hash alone, so its database is a small file, and one from a stranger can name no other file of this
machine. Beside the model stands which databases have a classifier of it: what a database says of an
encoder that it did not make deletes nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from .vector_store import VectorStoreError, opened_store, store_path

_DIGEST = re.compile(r"[0-9a-f]{64}")
_USED_BY = "databases.json"
_OLD = 7 * 86_400
"""Seconds after which what a training left that did not end is deleted."""


def models_folder() -> Path:
    return store_path().parent / "encoders"


def trainings_folder() -> Path:
    """What a training keeps until its classifier is stored, a folder each."""
    return store_path().parent / "trainings"


def place_of(digest: str) -> Path:
    """The folder of an encoder. Raises ValueError for what is no hash, as of a file that lies."""
    if not _DIGEST.fullmatch(digest):
        raise ValueError("an encoder is named by a SHA-256")
    return models_folder() / digest


def is_made_here(digest: str) -> bool:
    return bool(_DIGEST.fullmatch(digest)) and place_of(digest).is_dir()


def add(folder: Path, digest: str) -> Path:
    """Moves a folder with the files of an encoder to its place, where the same may be already."""
    place = place_of(digest)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        folder.replace(place)
    except OSError:
        if not place.is_dir():
            raise
        shutil.rmtree(folder)
    return place


def note_use(digest: str, database: str) -> None:
    """That a database will have a classifier with the encoder: noted before, since what is noted
    too much deletes nothing. database: its path; "": it has none"""
    if database and is_made_here(digest):
        _write_users(place_of(digest), {*_users(place_of(digest)), _real(database)})


def release(digests: Collection[str], database: str) -> None:
    """The database has no classifier with these encoders any more. Those that were noted for it and
    for no other are deleted."""
    for digest in digests:
        if not _DIGEST.fullmatch(digest):
            continue
        place = place_of(digest)
        used = _users(place)
        if _real(database) not in used:
            continue
        if left := used - {_real(database)}:
            _write_users(place, left)
        else:
            remove(digest)
            with suppress(FileNotFoundError, VectorStoreError), opened_store(create=False) as store:
                store.forget(digest, shrink=False)


def remove(digest: str) -> int:
    """Deletes an encoder that was made here; the bytes that it had, 0 where there is none."""
    if not is_made_here(digest):
        return 0
    place = place_of(digest)
    size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    shutil.rmtree(place, ignore_errors=True)
    return size


def sweep(now: float | None = None) -> None:
    """Deletes what trainings left that nobody went on with, and encoders that no classifier was
    stored with. now: seconds since 1970"""
    before = (time.time() if now is None else now) - _OLD
    unused = (place for place in models_folder().glob("*") if not (place / _USED_BY).exists())
    for folder in (*trainings_folder().glob("*"), *unused):
        try:
            if max(path.stat().st_mtime for path in (folder, *folder.rglob("*"))) < before:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # another process was faster, or it is no folder of ours
            continue


def _real(database: str) -> str:
    return os.path.realpath(database)


def _users(place: Path) -> set[str]:
    try:
        found = json.loads((place / _USED_BY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    return {str(path) for path in found} if isinstance(found, list) else set()


def _write_users(place: Path, paths: Collection[str]) -> None:
    new = place / f"{_USED_BY}.{os.getpid()}"
    new.write_text(json.dumps(sorted(paths)), encoding="utf-8")
    new.replace(place / _USED_BY)
