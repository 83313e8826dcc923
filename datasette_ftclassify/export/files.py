"""Writing examples to one file a split in a single pass, and reading them back.

Files appear complete or not at all: they are written under another name and then renamed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..core.errors import ExportError
from ..core.examples import SPLITS, Example
from ..core.labels import LabelSet, LabelValue, label_name
from ..core.splits import SplitPlan
from ..core.task import Task
from ..prompts.formats import Codec, ExportFormat
from ..prompts.tokenizer import Tokenizer
from .manifest import Manifest, TokenCounts

BOM = b"\xef\xbb\xbf"
PROGRESS_EVERY = 1_000
"""Rows between two calls of `progress`."""


@dataclass(frozen=True)
class ExportedFile:
    """One file: its size in bytes; tokens, and those of the longest example, None if not counted.

    separator_rows: rows whose text holds the separator (completion form). They read back rightly,
    since a prompt ends with it, but blur for the model where a text ends.
    """

    split: str
    path: Path
    manifest: Path
    rows: int
    size: int
    tokens: int | None
    longest: int | None
    separator_rows: int


@dataclass(frozen=True)
class ExportResult:
    """The files that were written; a split without rows has none."""

    written: tuple[ExportedFile, ...]

    @property
    def files(self) -> dict[str, Path]:
        """The file of each split that has one."""
        return {file.split: file.path for file in self.written}

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each split, 0 where there is no file."""
        return dict.fromkeys(SPLITS, 0) | {file.split: file.rows for file in self.written}

    @property
    def tokens(self) -> dict[str, int] | None:
        """Training tokens of each file; None when they were not counted."""
        counted = {f.split: f.tokens for f in self.written if f.tokens is not None}
        return counted or None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know, as sentences."""
        empty = [split for split, rows in self.rows.items() if not rows]
        notes = [f"No {split}.jsonl: no row is in that split." for split in empty]
        blurred = sum(file.separator_rows for file in self.written)
        if blurred:
            notes.append(f"{blurred:,} texts hold the separator: choose one that is in no text.")
        return tuple(notes)

    def to_dict(self) -> dict[str, Any]:
        files = [
            {**asdict(f), "path": str(f.path), "manifest": str(f.manifest)} for f in self.written
        ]
        return {"files": files, "rows": self.rows, "tokens": self.tokens, "notes": list(self.notes)}


def export(
    examples: Iterable[Example],
    labels: LabelSet,
    task: Task,
    fmt: ExportFormat,
    out_dir: str | Path,
    *,
    plan: SplitPlan,
    overwrite: bool = False,
    tokenizer: Tokenizer | None = None,
    progress: Callable[[int], None] | None = None,
) -> ExportResult:
    """Writes train.jsonl, validation.jsonl and test.jsonl, each with its manifest.

    One pass over `examples`, nothing of them held in memory. With `tokenizer` tokens are counted;
    `progress` is called with the rows written so far.
    Raises ExportError when files are there already (unless `overwrite`), cannot be written, or
    there is no example. Whatever is raised, no new file is left.
    """
    folder = Path(out_dir)
    codec = fmt.bind(labels)
    if not overwrite:
        _refuse_overwrite(folder)
    writers: dict[str, _Writer] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        rows = 0
        for example in examples:
            writer = writers.get(example.split)
            if writer is None:
                writer = writers[example.split] = _Writer(folder, example.split, codec, tokenizer)
            writer.write(example)
            rows += 1
            if progress is not None and rows % PROGRESS_EVERY == 0:
                progress(rows)
        if not rows:
            raise ExportError("There is nothing to export: no row has both a text and a label.")
        if progress is not None:
            progress(rows)
        return _publish(folder, writers, task, plan)
    except OSError as error:
        raise ExportError(f"Cannot write to {folder}: {error.strerror or error}.") from error
    finally:
        for writer in writers.values():
            writer.discard()


def read_back(manifest_path: str | Path) -> Iterator[tuple[str, tuple[LabelValue, ...]]]:
    """The texts and labels of an exported file, through its manifest alone.

    Labels have the type they had, and stand in the order of the label set.
    Raises ExportError at once when the manifest or the file is damaged or missing.
    """
    manifest = Manifest.load(manifest_path)
    path = Path(manifest_path).with_name(manifest.file)
    digest = sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise ExportError(f"Cannot read {path}: {error.strerror or error}.") from error
    if digest.hexdigest() != manifest.sha256:
        raise ExportError(f"{path} was changed since it was exported: export it again.")
    return _read_lines(path, manifest.format.bind(manifest.labels))


def _read_lines(path: Path, codec: Codec) -> Iterator[tuple[str, tuple[LabelValue, ...]]]:
    with path.open("rb") as file:
        if codec.format.bom:
            file.read(len(BOM))
        for line in file:
            yield codec.decode(line.decode("utf-8"))


class Lines:
    """The lines of one split as bytes, and what its manifest says of those that were written."""

    def __init__(self, split: str, codec: Codec, tokenizer: Tokenizer | None = None) -> None:
        self.split = split
        self.codec = codec
        self.rows = self.size = self.total = self.longest = self.separator_rows = 0
        self.counts: Counter[tuple[LabelValue, ...]] = Counter()
        self.tokenizer = tokenizer
        self._count = codec.token_counter(tokenizer) if tokenizer else None
        self._separator = codec.format.separator if codec.format.form == "completion" else None
        self._digest = sha256()

    def start(self) -> bytes:
        """What stands before the first line; often nothing."""
        return self._counted(BOM) if self.codec.format.bom else b""

    def line(self, example: Example) -> bytes:
        """Raises ExportError for an example that is not in the label set."""
        text, values = example.text, example.labels
        line = self.codec.encode(text, values) + "\n"
        self.rows += 1
        self.counts[values] += 1
        if self._separator is not None and self._separator in text:
            self.separator_rows += 1
        if self._count is not None:
            tokens = self._count(text, values)
            self.total += tokens
            self.longest = max(self.longest, tokens)
        # Half a surrogate pair is no UTF-8; its backslash form is the JSON escape.
        return self._counted(line.encode("utf-8", "backslashreplace"))

    def _counted(self, data: bytes) -> bytes:
        self._digest.update(data)
        self.size += len(data)
        return data

    def manifest(self, file: str, task: Task, plan: SplitPlan) -> Manifest:
        """Of a file with that name and all the lines so far."""
        counts: Counter[str] = Counter()
        for values, rows in self.counts.items():
            counts.update({label_name(value): rows for value in values})
        return Manifest(
            file=file,
            split=self.split,
            rows=self.rows,
            size=self.size,
            sha256=self._digest.hexdigest(),
            format=self.codec.resolved,
            labels=self.codec.labels,
            counts=dict(counts),
            plan=plan,
            task=task,
            tokens=self._token_report(),
        )

    def _token_report(self) -> TokenCounts | None:
        if self.tokenizer is None:
            return None
        return TokenCounts(self.total, self.longest, self.tokenizer.model, self.tokenizer.exact)


class _Writer:
    """One split's file on its way."""

    def __init__(self, folder: Path, split: str, codec: Codec, tokenizer: Tokenizer | None) -> None:
        self.path = folder / f"{split}.jsonl"
        self.manifest_path = folder / f"{split}.manifest.json"
        self.lines = Lines(split, codec, tokenizer)
        self._part = folder / f".{split}.{os.getpid()}.part"
        self._file = self._part.open("wb", buffering=1 << 18)
        self._file.write(self.lines.start())

    def write(self, example: Example) -> None:
        self._file.write(self.lines.line(example))

    def close(self) -> None:
        """Makes sure that the content is on disk before the name points to it."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def publish(self, task: Task, plan: SplitPlan) -> ExportedFile:
        lines = self.lines
        manifest = lines.manifest(self.path.name, task, plan)
        os.replace(self._part, self.path)
        _write_atomically(self.manifest_path, manifest.to_json())
        counted = lines.tokenizer is not None
        return ExportedFile(
            split=lines.split,
            path=self.path,
            manifest=self.manifest_path,
            rows=lines.rows,
            size=lines.size,
            tokens=lines.total if counted else None,
            longest=lines.longest if counted else None,
            separator_rows=lines.separator_rows,
        )

    def discard(self) -> None:
        self._file.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)


def _publish(
    folder: Path, writers: dict[str, _Writer], task: Task, plan: SplitPlan
) -> ExportResult:
    for writer in writers.values():
        writer.close()
    for split in SPLITS:
        if split not in writers:
            _remove_earlier(folder, split)
    return ExportResult(
        tuple(writers[split].publish(task, plan) for split in SPLITS if split in writers)
    )


def _remove_earlier(folder: Path, split: str) -> None:
    """A file of an earlier export would pass for a part of this one."""
    manifest = folder / f"{split}.manifest.json"
    if manifest.exists():
        manifest.unlink()
        (folder / f"{split}.jsonl").unlink(missing_ok=True)


def _refuse_overwrite(folder: Path) -> None:
    names = [f"{split}{ending}" for split in SPLITS for ending in (".jsonl", ".manifest.json")]
    there = [name for name in names if (folder / name).exists()]
    if there:
        raise ExportError(
            f"{folder} already holds {', '.join(there)}: choose another folder, or allow "
            "overwriting."
        )


def _write_atomically(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
