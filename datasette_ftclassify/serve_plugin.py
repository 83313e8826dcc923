"""What the distribution `datasette-ftclassify-serve` gives Datasette: itself, unless the whole is
installed beside it."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from .core.distribution import WHOLE_PACKAGE

plugin = import_module(WHOLE_PACKAGE if find_spec(WHOLE_PACKAGE) else str(__package__))
