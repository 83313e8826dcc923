"""The versions of the software that runs here."""

from __future__ import annotations

import platform
import sqlite3
from importlib.metadata import PackageNotFoundError, version

from .distribution import WHOLE

_PACKAGES = (WHOLE, "numpy", "scikit-learn")


def software_versions() -> dict[str, str]:
    """{package: version} of those that a training depends on, where they are installed."""
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
