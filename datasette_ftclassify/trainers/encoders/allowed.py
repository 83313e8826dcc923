"""The encoders that the operator's settings name. Imported at every start of Datasette."""

from __future__ import annotations

import os

from ...core.settings import ENCODER

_names: str | None = None


def allow_encoders(names: str | None) -> None:
    """For this process; None: what the environment says."""
    global _names
    _names = names


def allowed_encoders() -> list[str]:
    names = _names or ENCODER.of({}, os.environ) or ""
    return [name.strip() for name in names.split(",") if name.strip()]
