"""Import it before anything is spent: what a benchmark spends at its own server is in no ledger of
the person who runs it, and no limit of theirs stops it."""

from __future__ import annotations

import os
import tempfile

_PREFIX = "ftclassify-benchmark-"

if _PREFIX not in os.environ.get("FTCLASSIFY_LEDGER", ""):  # else a benchmark started this one
    _folder = tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
    os.environ["FTCLASSIFY_LEDGER"] = os.path.join(_folder.name, "ledger.db")
