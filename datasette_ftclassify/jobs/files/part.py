"""One part of the files: read, answered, and written as one file that is whole or not there."""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from ...core.database import Cell
from ...core.errors import FtclassifyError, PredictError
from ...core.labels import LabelSet, label_name
from ...core.typed_json import read_dataclass
from ...core.untrusted_json import JsonObject
from ...trainers.configuration import read_access
from ...trainers.encoders.allowed import allow_encoders
from ..answer_cells import AnswerCells, Withheld
from ..columns import LABEL_SCORE, Columns
from ..model_files import MODEL, load_model
from .formats import Added, Span, format_of

UNFINISHED = ".unfinished"
"""What the name of a file ends with that is being written; it begins with a dot."""

_NUMBERS = ("score", "logprob", "known")


@dataclass(frozen=True)
class FileSettings:
    """What makes two predictions into the same folder one.

    text: the columns of the files that are read, in the order of the task's
    threshold, min_known: as in `plan.PredictRequest`
    """

    columns: Columns
    text: tuple[str, ...]
    threshold: float | None = None
    min_known: float | None = None


def added_columns(settings: FileSettings, labels: LabelSet) -> Added:
    """The columns with their types: labels have their own where all have one."""
    names, types = [], []
    for role, name in settings.columns.items():
        kind: type = str
        if role in _NUMBERS or role.startswith(LABEL_SCORE):
            kind = float
        elif role == "label":
            kind = {"INTEGER": int, "REAL": float}.get(labels.sqlite_type, str)
        names.append(name)
        types.append(kind)
    return Added(tuple(names), tuple(types))


@dataclass(frozen=True)
class Part:
    """Rows of a file, and the file that they become. size, changed: of the former, in bytes and
    nanoseconds; folder: of the model, whose model.json has the digest."""

    folder: str
    digest: str
    settings: JsonObject
    source: str
    size: int
    changed: int
    span: Span
    target: str

    def to_line(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> Part:
        return read_dataclass(cls, json.loads(line))


@dataclass(frozen=True)
class PartCounts:
    """Rows of a part: in all, with a text, and those that got no label for want of a score, or
    since their text is too unlike the training rows. error: why the part could not be answered"""

    rows: int = 0
    predicted: int = 0
    abstained: int = 0
    unlike: int = 0
    error: str | None = None

    def __add__(self, other: PartCounts) -> PartCounts:
        return PartCounts(
            self.rows + other.rows, self.predicted + other.predicted,
            self.abstained + other.abstained, self.unlike + other.unlike,
            self.error or other.error,
        )  # fmt: skip


def fingerprint(path: Path) -> tuple[int, int]:
    """Bytes, and nanoseconds of the last change."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def answer_part(part: Part, progress: Callable[[int], None]) -> PartCounts:
    """Writes the part's file. progress: called with the rows of each batch

    Raises FtclassifyError, OSError.
    """
    answer = _Answers(part, progress)
    source, target = Path(part.source), Path(part.target)
    _check_source(part)
    unfinished = target.with_name(
        f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}{UNFINISHED}"
    )
    try:
        rows = format_of(source).rewrite(
            source, part.span, unfinished, answer.settings.text, answer.added, answer
        )
        if rows != (rows if part.span.rows is None else part.span.rows):
            raise PredictError(f"{source} has {part.span.rows:,} rows there, and {rows:,} came.")
        _check_source(part)
        _sync(unfinished)
        unfinished.replace(target)
        _sync(target.parent)
    finally:
        unfinished.unlink(missing_ok=True)
    return answer.counts


def answer_line(line: str, progress: Callable[[int], None] = lambda rows: None) -> PartCounts:
    """The same for a worker, which may be elsewhere: what is raised is the error of the counts."""
    try:
        return answer_part(Part.from_line(line), progress)
    except (FtclassifyError, OSError, MemoryError) as error:
        return PartCounts(error=str(error) or type(error).__name__)


class _Answers:
    """See `formats.Answer`; counts what it answers."""

    def __init__(self, part: Part, progress: Callable[[int], None]) -> None:
        settings = json.dumps(part.settings, sort_keys=True)
        self.settings, self.added, self._answer = _load(part.folder, part.digest, settings)
        self._progress = progress
        self.counts = PartCounts()

    def __call__(self, rows: Sequence[tuple[Cell, ...]]) -> list[list[Any]]:
        cells, counts = self._answer(rows)
        self.counts += counts
        self._progress(len(rows))
        return cells


_AnswerRows = Callable[[Sequence[tuple[Cell, ...]]], tuple[list[list[Any]], PartCounts]]


@lru_cache(maxsize=1)
def _load(folder: str, digest: str, settings_json: str) -> tuple[FileSettings, Added, _AnswerRows]:
    """Once for all parts that a process answers."""
    settings = read_dataclass(FileSettings, json.loads(settings_json))
    allow_encoders(read_access().encoder)
    if model_digest(folder) != digest:
        raise PredictError(f"{folder} is another model by now: start again.")
    model, answerer = load_model(folder)
    render = model.task.renderer()
    added = added_columns(settings, model.labels)
    cells = AnswerCells(
        model.labels, settings.columns, settings.threshold, settings.min_known,
        model.minimum if settings.columns.group else None,
    )  # fmt: skip
    roles = [role for role, _ in settings.columns.items()]
    named = roles.index("label") if "label" in roles else None
    as_text = named is not None and added.types[named] is str and model.labels.exclusive

    def answer(rows: Sequence[tuple[Cell, ...]]) -> tuple[list[list[Any]], PartCounts]:
        # NaN is what SQLite stores as NULL.
        texts = [render([None if cell != cell else cell for cell in row]).text for row in rows]
        answers, withheld = cells.of(answerer, texts)
        if as_text and named is not None:
            for row in answers:
                row[named] = None if row[named] is None else label_name(row[named])
        return answers, _counts(texts, withheld)

    return settings, added, answer


def _counts(texts: Sequence[str | None], withheld: Counter[Withheld | None]) -> PartCounts:
    predicted = sum(text is not None for text in texts)
    return PartCounts(len(texts), predicted, withheld["score"], withheld["known"])


def model_digest(folder: str) -> str:
    """SHA-256 of model.json, which has those of all arrays. Raises OSError."""
    return sha256((Path(folder) / MODEL).read_bytes()).hexdigest()


def _check_source(part: Part) -> None:
    if fingerprint(Path(part.source)) != (part.size, part.changed):
        raise PredictError(f"{part.source} was changed meanwhile: start again.")


def _sync(path: Path) -> None:
    """What is renamed must be on the disk first, and the new name after that."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
