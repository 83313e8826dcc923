"""Examples as files that any fine-tuning service reads, and back again."""

from __future__ import annotations

from ..prompts.formats import Codec, ExportFormat
from .files import ExportedFile, ExportResult, Lines, export, read_back
from .manifest import Manifest

__all__ = [
    "Codec",
    "ExportFormat",
    "ExportResult",
    "ExportedFile",
    "Lines",
    "Manifest",
    "export",
    "read_back",
]
