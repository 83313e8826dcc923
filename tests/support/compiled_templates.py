"""A plugin of Datasette: templates are compiled once for all Datasettes of a run of the tests.

Every Datasette has a Jinja environment of its own, and compiling the templates of a page takes it
longer than everything else that a test of the page does. Import it to have it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from datasette import hookimpl
from datasette.plugins import pm
from jinja2 import FileSystemBytecodeCache

FOLDER = "FTCLASSIFY_COMPILED_TEMPLATES"
"""The variable of the environment that names the folder; tests/conftest.py makes it."""


@hookimpl
def prepare_jinja2_environment(env: Any) -> None:
    # Jinja compares a checksum of the source: a changed template is compiled anew. Benchmarks and
    # docs/make_screenshots.py, which use some of what tests share, have no such folder.
    if folder := os.environ.get(FOLDER):
        env.bytecode_cache = FileSystemBytecodeCache(folder)


pm.register(sys.modules[__name__], __name__)
