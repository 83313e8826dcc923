"""The documentation as a site, for Sphinx: `uv run --group docs sphinx-build -W docs site`."""

from importlib.metadata import version as installed
from typing import Any

project = "datasette-ftclassify"
author = "The contributors to datasette-ftclassify"
copyright = author
version = release = installed(project)

extensions = ["myst_parser", "sphinxcontrib.mermaid"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["screenshots"]
myst_heading_anchors = 3
# A fence of mermaid is a picture on GitHub, too.
myst_fence_as_directive = ["mermaid"]

html_theme = "furo"
html_title = project


def setup(app: Any) -> None:
    app.connect("include-read", _link_to_pages)


def _link_to_pages(app: Any, path: Any, docname: str, content: list[str]) -> None:
    """What the README links to at the top of the repository has a page of its own here."""
    content[0] = content[0].replace("](CONTRIBUTING.md)", "](docs/contributing.md)")
    content[0] = content[0].replace("](LICENSE)", "](https://spdx.org/licenses/Apache-2.0.html)")
