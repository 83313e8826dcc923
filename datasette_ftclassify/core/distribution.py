"""The distribution that is installed: the whole, or the one that only answers.

`datasette-ftclassify-serve` is this package under another name, with what answering needs alone
(`.ci/serve_wheel.py`): a published copy of a database needs no more. Whether what training,
classifying rows and services need is there as well is found here.
"""

from __future__ import annotations

import platform
import sqlite3
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from .errors import FtclassifyError

WHOLE = "datasette-ftclassify"
WHOLE_PACKAGE = "datasette_ftclassify"
SERVE = f"{WHOLE}-serve"

PACKAGE = __name__.partition(".")[0]
DISTRIBUTION = PACKAGE.replace("_", "-")
"""The name to install what runs here by."""

_MODULES = "sklearn threadpoolctl rapidfuzz openai httpx2 httpcore2 genai_prices tiktoken"
NOT_FOR_ANSWERS = tuple(_MODULES.split())
"""Modules that nothing needs that only answers."""


NOT_HERE = (
    "Only the part that answers is installed here: to train, classify rows of a table or use "
    f"services, install {WHOLE}."
)


class NotInstalled(FtclassifyError):
    """What was asked for needs packages that are not installed here."""

    status = 501


@lru_cache(maxsize=1)
def only_answers() -> bool:
    """Whether some of those are not here: then no job is made or run, and no service asked."""
    return not all(map(find_spec, NOT_FOR_ANSWERS))


def require_whole() -> None:
    """Raises NotInstalled."""
    if only_answers():
        raise NotInstalled(NOT_HERE)


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
