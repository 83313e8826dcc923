"""The sentence encoders that were fine-tuned on this machine: where their files are, and when they
go.

A folder for each beside the file of vectors, named by the hash of its files. A classifier has that
hash alone, so its database is a small file, and one from a stranger can name no other file of this
machine. Nobody knows of every copy of a database, so deleting a classifier deletes no encoder: a
person does. For them stands beside the model which databases were given a classifier of it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...core.training_report import Header, NeededEncoder
from ...core.typed_json import read_dataclass
from .files import EncoderFiles
from .vector_store import store_path

_DIGEST = re.compile(r"[0-9a-f]{64}")
_USED_BY = "databases.json"
_MADE_FROM = "made_from.json"
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


@dataclass(frozen=True)
class MadeFrom:
    """The encoder that was fine-tuned: its title, and what was said of it; None: nothing."""

    name: str
    licence: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.name, self.revision, self.licence)))


def add(folder: Path, digest: str, base: EncoderFiles) -> Path:
    """Moves a folder with the files of an encoder to its place, where the same may be already.

    base: that it was made from
    """
    made_from = MadeFrom(base.title, base.licence, base.revision)
    (folder / _MADE_FROM).write_text(json.dumps(asdict(made_from)), encoding="utf-8")
    place = place_of(digest)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        folder.replace(place)
    except OSError:
        if not place.is_dir():
            raise
        shutil.rmtree(folder)
    return place


def all_places() -> list[Path]:
    return [place for place in sorted(models_folder().glob("*")) if is_made_here(place.name)]


def note_use(header: Header, database: str) -> None:
    """That a database is given a classifier, which may need an encoder that was made here: noted
    before, for what no classifier was stored with is swept away. database: its path; "": it has
    none"""
    needed = NeededEncoder.read(header)
    if needed is None or not database or not is_made_here(needed.digest):
        return
    place = place_of(needed.digest)
    new = place / f"{_USED_BY}.{os.getpid()}"
    users = {*databases_of(needed.digest), os.path.realpath(database)}
    new.write_text(json.dumps(sorted(users)), encoding="utf-8")
    new.replace(place / _USED_BY)


def databases_of(digest: str) -> list[str]:
    """Paths of databases that were given a classifier with the encoder. Some may be gone, and of
    copies nothing is known."""
    found = _read(digest, _USED_BY)
    return [path for path in found if isinstance(path, str)] if isinstance(found, list) else []


def made_from(digest: str) -> MadeFrom | None:
    """None where nobody noted it, as an earlier version did not."""
    try:
        return read_dataclass(MadeFrom, _read(digest, _MADE_FROM))
    except (TypeError, ValueError, AttributeError, KeyError):
        return None


def _read(digest: str, name: str) -> Any:
    try:
        return json.loads((place_of(digest) / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def size_of(digest: str) -> int:
    """Bytes of its files; 0 where there is none that was made here."""
    if not is_made_here(digest):
        return 0
    return sum(path.stat().st_size for path in place_of(digest).rglob("*") if path.is_file())


def remove(digest: str) -> None:
    """Deletes an encoder that was made here."""
    if is_made_here(digest):
        shutil.rmtree(place_of(digest), ignore_errors=True)


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
