"""Which files become which, what of that is done, and a record of it in the folder of the answers.

`OUT/_ftclassify.json` names the model, the settings and every file that is read, with its size and
the time of its last change. It is there before the first answer. A part whose file is there is
done: such a file appears when it is whole, and goes when its source has changed.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from glob import escape, glob, has_magic
from pathlib import Path
from typing import Annotated, Any, TypedDict

from ...core.errors import PredictError, SourceError
from ...core.humanize import counted
from ...core.new_files import writing_into
from ...core.typed_json import as_json, read_stored
from ...core.untrusted_json import JsonObject, read_object
from ..columns import Columns
from ..model_files import PortableModel, load_model
from ..plan import check_min_known, check_roles, check_threshold
from . import formats
from .formats import format_of
from .part import UNFINISHED, FileSettings, Part, added_columns, fingerprint, model_digest

RECORD = "_ftclassify.json"
LOCK = "_ftclassify.lock"
FORMAT = 1
"""Of the record."""
MOST_RECORD = 256_000_000
"""Bytes of it: of about a million files."""


@dataclass(frozen=True)
class FilesRequest:
    """What to classify, and how.

    patterns: names of files, with wildcards; `**` is any folders
    text:     the files' columns, where they have other names than those that were trained on
    threshold, min_known: as in `plan.PredictRequest`
    """

    folder: str
    patterns: tuple[str, ...]
    out: Path
    columns: Columns
    text: tuple[str, ...] = ()
    threshold: float | None = None
    min_known: float | None = None


@dataclass(frozen=True)
class FilesPlan:
    """model: that answers; parts: all; waiting: those that are not done, and their rows, about;
    gone: files that were answered and are not there any more"""

    model: PortableModel
    settings: FileSettings
    sources: int
    parts: tuple[Part, ...]
    waiting: tuple[Part, ...]
    waiting_rows: int
    gone: tuple[str, ...]


def read_model_folder(folder: str) -> PortableModel:
    """Raises SourceError for what is no folder of a model, ArtifactError for a damaged one, or for
    one whose model is at a service."""
    if Path(folder).is_file():
        raise SourceError(
            f"{folder} is a file, and the model is a folder: export a classifier into one first."
        )
    return load_model(folder)[0]


@contextmanager
def files_plan(model: PortableModel, request: FilesRequest) -> Iterator[FilesPlan]:
    """Nobody else writes into the folder meanwhile. Raises SourceError, PredictError."""
    settings = _settings(model, request)
    found = find_files(request.patterns, request.out)
    added = added_columns(settings, model.labels)
    for path in found.values():
        format_of(path).check(path, settings.text, added)
    with writing_into(request.out.resolve().parent):
        request.out.mkdir(exist_ok=True)
    with _locked(request.out):
        yield _plan(model, request, settings, found)


def _settings(model: PortableModel, request: FilesRequest) -> FileSettings:
    text = request.text or model.task.text
    if len(text) != len(model.task.text):
        raise PredictError(
            f"{model.title} reads {counted(len(model.task.text), 'column')} "
            f"({', '.join(model.task.text)}): name as many.",
            fields=("text",),
        )
    kept = model.minimum if request.threshold is None else None
    wanted = request.threshold if kept is None else kept.score
    threshold, known = check_threshold(model, wanted), check_min_known(model, request.min_known)
    if request.columns.fingerprint is not None:
        raise PredictError("Files have no fingerprints of answers: leave out that column.")
    columns = request.columns.with_group(kept is not None and kept.tree is not None)
    check_roles(model, columns, threshold, known)
    return FileSettings(columns, tuple(text), threshold, known)


def find_files(patterns: Sequence[str], out: Path) -> dict[str, Path]:
    """The files by the names that they get below OUT: as below the folder in which a pattern's
    wildcards begin. Raises SourceError, PredictError."""
    found: dict[str, Path] = {}
    away = out.resolve()
    for pattern in patterns:
        # A file or folder may be called so: "mails [2024].csv".
        wild, root = has_magic(pattern) and not Path(pattern).exists(), _root(pattern)
        below = Path(pattern).relative_to(root)
        # Without those of other programs: _SUCCESS, _metadata.
        named = glob(str(Path(escape(str(root))) / below), recursive=True) if wild else [pattern]
        paths = [Path(n) for n in sorted(named) if not wild or Path(n).name[0] != "_"]
        paths = [path for path in paths if not (wild and path.is_dir())]
        if not paths:
            raise SourceError(f"There is no file {pattern}.")
        for path in paths:
            if not path.is_file():
                hint = f": give {path}/*.parquet" if path.is_dir() else ""
                raise SourceError(f"{path} is no file{hint}.")
            format_of(path)
            if path.resolve().is_relative_to(away):
                raise PredictError(f"{path} is in {out}, where the answers go: choose another one.")
            name = path.relative_to(root).as_posix()
            if found.setdefault(name, path) != path:
                raise PredictError(
                    f"{found[name]} and {path} would both become {out / name}: classify them into "
                    "two folders."
                )
    return found


def _root(pattern: str) -> Path:
    """The folders in front of the first piece that has wildcards and is no folder's name."""
    root = Path()
    for piece in Path(pattern).parts[:-1]:
        if has_magic(piece) and not (root / piece).is_dir():
            break
        root /= piece
    return root


def _plan(
    model: PortableModel, request: FilesRequest, settings: FileSettings, found: dict[str, Path]
) -> FilesPlan:
    out, digest = request.out, model_digest(request.folder)
    about: dict[str, Any] = {
        "format": FORMAT, "model": digest, "classifier": model.name, "part_rows": formats.PART_ROWS,
        "settings": as_json(settings),
    }  # fmt: skip
    before = _read_record(out, about)
    parts: dict[str, list[Part]] = {}
    for name, path in found.items():
        size, changed = fingerprint(path)
        spans = format_of(path).spans(path)
        first = Part(
            str(Path(request.folder).resolve()), digest, about["settings"], str(path.resolve()),
            size, changed, spans[0], str((out / name).resolve()),
        )  # fmt: skip
        parts[name] = [
            replace(first, span=span, target=_numbered(first.target, number, len(spans)))
            for number, span in enumerate(spans, 1)
        ]
    _check_targets(parts)
    _forget_changed(out, before, parts)
    files = {name: _recorded(out, of) for name, of in parts.items()}
    gone = tuple(sorted(name for name in before if name not in files))
    _write_record(out, {**about, "files": {**before, **files}})
    every = [part for of in parts.values() for part in of]
    for folder in {Path(part.target).parent for part in every}:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f".*{UNFINISHED}"):
            left.unlink(missing_ok=True)
    waiting = tuple(part for part in every if not is_done(part))
    rows = sum(_about_rows(part) for part in waiting)
    return FilesPlan(model, settings, len(found), tuple(every), waiting, rows, gone)


def _about_rows(part: Part) -> int:
    path = Path(part.source)
    return format_of(path).count(path) if part.span.rows is None else part.span.rows


def is_done(part: Part) -> bool:
    """Whether its file is there with all its rows."""
    path = Path(part.target)
    if not path.exists():
        return False
    return part.span.rows is None or format_of(path).count(path) == part.span.rows


def _numbered(target: str, number: int, of: int) -> str:
    """Of a file in several parts: `mails-00001.parquet`."""
    if of == 1:
        return target
    path = Path(target)
    return str(path.with_name(f"{path.stem}-{number:05d}{path.suffix}"))


def _check_targets(parts: dict[str, list[Part]]) -> None:
    seen: dict[str, str] = {}
    for of in parts.values():
        for part in of:
            other = seen.setdefault(part.target, part.source)
            if other != part.source:
                raise PredictError(
                    f"{other} and a part of {part.source} would both become {part.target}: rename "
                    "one of them."
                )


def _is_below(place: str) -> bool:
    """Whether it is in the folder of the answers."""
    return not Path(place).is_absolute() and ".." not in Path(place).parts


class Recorded(TypedDict):
    """Of a file that was read: its size and last change, as of `Part`, and what it has become."""

    bytes: int
    changed: int
    parts: list[Annotated[str, _is_below]]


class _Record(TypedDict):
    files: dict[str, Recorded]


def _recorded(out: Path, parts: Sequence[Part]) -> Recorded:
    places = [Path(part.target).relative_to(out.resolve()).as_posix() for part in parts]
    return {"bytes": parts[0].size, "changed": parts[0].changed, "parts": places}


def _forget_changed(out: Path, before: dict[str, Recorded], parts: dict[str, list[Part]]) -> None:
    """Takes away the answers about files that were changed since: before the record says so, so
    that it is done again where this ends between the two."""
    for name, of in parts.items():
        was = before.get(name)
        if was is not None and was != _recorded(out, of):
            for place in was["parts"]:
                (out / place).unlink(missing_ok=True)


def _read_record(out: Path, about: JsonObject) -> dict[str, Recorded]:
    """The files that are in it; none where there is no record. Raises PredictError for a folder
    with something else."""
    path = out / RECORD
    if not path.exists():
        others = [p.name for p in out.iterdir() if p.name != LOCK]
        if others:
            raise PredictError(f"{out} has other files ({min(others)}): choose an empty folder.")
        return {}
    with path.open("rb") as file:
        text = file.read(MOST_RECORD + 1).decode("utf-8", "replace")
    record = read_object(text, RECORD, most_bytes=MOST_RECORD, most_items=MOST_RECORD // 20)
    kept = read_stored(_Record, record, f"{path} was", "choose another folder")
    for name, what in (("model", "another model"), ("settings", "other columns or minimums")):
        if record.get(name) != about[name]:
            raise PredictError(f"{out} has the answers of {what}: choose another folder.")
    if (record.get("format"), record.get("part_rows")) != (FORMAT, formats.PART_ROWS):
        raise PredictError(f"{out} was written by another version: choose another folder.")
    return kept["files"]


def _write_record(out: Path, record: JsonObject) -> None:
    made = out / f".{RECORD}.{secrets.token_hex(4)}{UNFINISHED}"
    with made.open("w", encoding="utf-8") as file:
        json.dump(record, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    made.replace(out / RECORD)


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Raises PredictError while another process writes into the folder."""
    with (out / LOCK).open("w") as file:
        try:
            import fcntl
        except ImportError:  # Windows: two at once do the same work twice, and into the same files
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PredictError(
                f"Another process is writing into {out}: wait until it has finished."
            ) from error
        yield


def check_all_done(plan: FilesPlan) -> None:
    """Raises PredictError where a file is missing that was written."""
    missing = [part.target for part in plan.parts if not is_done(part)]
    if missing:
        raise PredictError(
            f"{counted(len(missing), 'file')} that was written is not there, such as {missing[0]}: "
            "was it taken away, or do the workers see other folders?"
        )
