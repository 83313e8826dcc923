"""The pages: each declares itself in its file in `pages/`, with its address, who may, and menus.

Routes, menu items, the tables of docs/permissions.md and the test that tries every page as every
kind of visitor follow from it. A page without permissions cannot be declared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from .routing import About, Route, View


@dataclass(frozen=True)
class Subject:
    """The table (or view) whose menu is shown, as far as items depend on it.

    on_disk:      whether its database is a file
    mutable:      whether its database can be written
    classifiers:  whether its database has classifiers
    own:          whether one of them learnt from this table
    takes_labels: whether there is one whose labels the visitor may write into its columns
    """

    on_disk: bool
    mutable: bool
    classifiers: bool
    own: bool
    takes_labels: bool


@dataclass(frozen=True)
class MenuItem:
    """An item in one of Datasette's menus, for whoever may see the page.

    menu:     of all databases, a database, a table or view, or a row
    order:    among those of the same menu, the smallest first
    when:     whether the page has something to show there
    filtered: whether the filters of the table's page go along
    """

    menu: Literal["main", "database", "table", "row"]
    label: str
    description: str
    order: int = 0
    when: Callable[[Subject], bool] = lambda subject: True
    filtered: bool = True


@dataclass(frozen=True)
class Page:
    route: Route
    menu: tuple[MenuItem, ...]
    module: str


_PAGES: list[Page] = []


def page(
    path: str,
    *menu: MenuItem,
    reads: str | None,
    writes: str | None,
    about: About | None = None,
    template: str | None = None,
    damaged: bool = False,
) -> Callable[[View], View]:
    """Registers a view; all but `menu` as `routing.Route` says.

    about:    None: a classifier or a job where the path has one, else a table
    template: None: ftclassify_WORD.html, after the last word of the path
    Raises ValueError for an action that is none of ours and for an address that is taken.
    """
    of: About = about or (
        "classifier" if "{name}" in path else "job" if "{id}" in path else "table"
    )
    words = [part.replace("-", "_") for part in path.split("/") if "{" not in part]
    file = template or f"ftclassify_{words[-1]}.html"

    def register(view: View) -> View:
        route = Route(path, view, of, file, reads, writes, damaged)
        if any(known.route.pattern == route.pattern for known in _PAGES):
            raise ValueError(f"Two pages have the address {route.place}")
        _PAGES.append(Page(route, menu, view.__module__))
        return view

    return register


def pages() -> Sequence[Page]:
    """By their addresses."""
    return sorted(_PAGES, key=lambda page: (page.route.about != "instance", page.route.path))
