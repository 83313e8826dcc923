"""One file a page (or two that belong together), which declares itself: `web/registry.py`.

What a page takes and answers with is in docs/api.md: its JSON has the fields of its form.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules


def load_pages() -> None:
    """Imports the files of this folder: each page registers itself."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
