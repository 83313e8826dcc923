"""What one exported file holds, written beside it, so that it can be read without its database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ..core.errors import ExportError, FtclassifyError
from ..core.labels import LabelSet
from ..core.splits import SplitPlan
from ..core.task import Task
from ..core.typed_json import read_dataclass
from ..prompts.formats import ExportFormat

FORMAT_VERSION = 1


@dataclass(frozen=True)
class TokenCounts:
    """Training tokens of a file, and of its longest example, as a model counts them; not `exact`
    where its tokenizer is not known."""

    total: int
    longest: int
    model: str
    exact: bool


@dataclass(frozen=True)
class Manifest:
    """One exported file.

    file:    its name, in the manifest's own folder
    counts:  rows by label name; a row with several labels counts for each
    tokens:  None when they were not counted
    plan:    how rows were divided
    """

    file: str
    split: str
    rows: int
    size: int
    sha256: str
    format: ExportFormat
    labels: LabelSet
    counts: Mapping[str, int]
    plan: SplitPlan
    task: Task
    tokens: TokenCounts | None = None

    def to_json(self) -> str:
        """Pure ASCII, and the same for the same export."""
        codes = self.format.bind(self.labels).codes
        data = {
            "format_version": FORMAT_VERSION,
            **asdict(self),
            "labels": self.labels.to_dict(),
            "task": self.task.to_dict(),
            "codes": codes,
        }
        # Parameters of a condition may be of any type; they are there to be read by people.
        return json.dumps(data, indent=2, default=str) + "\n"

    @classmethod
    def load(cls, path: str | Path) -> Manifest:
        """Raises ExportError when the file is missing, damaged, or of a newer format."""
        try:
            # A label may hold half a surrogate pair, as an escape.
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            version = data["format_version"]
        except OSError as error:
            raise ExportError(f"Cannot read the manifest {path}: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ExportError(f"{path} is not the manifest of an export.") from error
        if version != FORMAT_VERSION:
            raise ExportError(
                f"{path} has format version {version}, and this software reads {FORMAT_VERSION}: "
                "update it."
            )
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        try:
            manifest = read_dataclass(cls, known)
            # It may come from anywhere, and must not name a file elsewhere on this machine.
            if Path(manifest.file).name != manifest.file or not manifest.file:
                raise ValueError(manifest.file)
        except (KeyError, TypeError, ValueError, AttributeError, FtclassifyError) as error:
            raise ExportError(f"The manifest {path} is damaged: export again.") from error
        return manifest
