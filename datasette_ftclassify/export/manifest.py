"""What one exported file holds, written beside it, so that it can be read without its database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.errors import ExportError, FtclassifyError
from ..core.labels import LabelSet
from ..prompts.formats import ExportFormat

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """One exported file.

    file:    its name, in the manifest's own folder
    counts:  rows by label name; a row with several labels counts for each
    tokens:  {"total", "longest", "model", "exact"}, None when they were not counted
    plan:    {"seed", "validation", "test"}: how rows were divided
    """

    file: str
    split: str
    rows: int
    size: int
    sha256: str
    format: ExportFormat
    labels: LabelSet
    counts: Mapping[str, int]
    plan: Mapping[str, Any]
    task: Mapping[str, Any]
    tokens: Mapping[str, Any] | None = None

    def to_json(self) -> str:
        """Pure ASCII, and the same for the same export."""
        codes = self.format.bind(self.labels).codes
        data = {
            "format_version": FORMAT_VERSION,
            **asdict(self),
            "labels": self.labels.to_dict(),
            "codes": codes,
        }
        # Parameters of a condition may be of any type; they are there to be read by people.
        return json.dumps(data, indent=2, default=str) + "\n"

    @classmethod
    def load(cls, path: str | Path) -> Manifest:
        """Raises ExportError when the file is missing, damaged, or of a newer format."""
        try:
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
        try:
            return cls._from_dict(data)
        except (KeyError, TypeError, ValueError, AttributeError, FtclassifyError) as error:
            raise ExportError(f"The manifest {path} is damaged: export again.") from error

    @classmethod
    def _from_dict(cls, data: Mapping[str, Any]) -> Manifest:
        fields = {name: data[name] for name in cls.__dataclass_fields__}
        # A manifest may come from anywhere, and must not name a file elsewhere on this machine.
        if Path(fields["file"]).name != fields["file"] or not fields["file"]:
            raise ValueError(fields["file"])
        return cls(
            **{
                **fields,
                "format": ExportFormat.from_dict(fields["format"]),
                "labels": LabelSet.from_dict(fields["labels"]),
            }
        )
