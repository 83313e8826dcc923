"""A request for one of our pages."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

from datasette.app import Datasette
from datasette.database import Database
from datasette.utils import tilde_encode
from datasette.utils.asgi import Request

from ..core.errors import FtclassifyError
from ..core.numbers import WHOLE
from ..store.classifiers import Classifier
from ..store.jobs.job import Job
from .datasette_reads import page_seconds, read, write
from .form_fields import many, one, ticked
from .permissions import may
from .refusals import NotAgreed

T = TypeVar("T")


@dataclass
class PageRequest:
    """A request that was let in, and what it is about.

    given: the fields of a form or a JSON body; a list where a field came several times
    table_or_none: the table (or view) whose permissions count; None for a route about a database
    behind: other tables that it reveals something of, which the visitor must see as well
    template: of the page
    damaged: why the classifier cannot be read; `table` is then our own of all classifiers, because
            nothing says what it was trained on
    refused: why the form was refused that is shown again; see `responses.form_page`
    closed: columns of the table, in small letters, with keys of tables that the visitor may not
            see: they are chosen for no labels, which go by their names there
    """

    datasette: Datasette
    request: Request
    database: str
    given: dict[str, Any] = field(default_factory=dict)
    template: str = ""
    table_or_none: str | None = None
    classifier_or_none: Classifier | None = None
    job_or_none: Job | None = None
    behind: frozenset[str] = frozenset()
    damaged: str | None = None
    refused: FtclassifyError | None = None
    closed: frozenset[str] = frozenset()

    @property
    def table(self) -> str:
        """Of a route about a table, a classifier or a job."""
        assert self.table_or_none is not None
        return self.table_or_none

    @property
    def classifier(self) -> Classifier:
        """Of a route about one; not where `damaged` says why it cannot be read."""
        assert self.classifier_or_none is not None
        return self.classifier_or_none

    @property
    def job(self) -> Job:
        """Of a route about one."""
        assert self.job_or_none is not None
        return self.job_or_none

    @property
    def refusal(self) -> str | None:
        """Why the form was refused, as the page says it."""
        if isinstance(self.refused, NotAgreed):
            return self.refused.on_page
        return None if self.refused is None else str(self.refused)

    @property
    def status(self) -> int:
        """Of the page: it is an error where it says why something was refused."""
        return 200 if self.refusal is None else int(getattr(self.refused, "status", 400))

    def to_agree(self, kind: type[T]) -> T | None:
        """What the page asks the visitor to agree to, if it is of this kind."""
        found = self.refused.found if isinstance(self.refused, NotAgreed) else None
        return found if isinstance(found, kind) else None

    @property
    def actor(self) -> Any:
        return self.request.actor

    @property
    def db(self) -> Database:
        return self.datasette.get_database(self.database)

    @property
    def method(self) -> str:
        return str(self.request.method)

    @property
    def wants_json(self) -> bool:
        return wants_json(self.request)

    @property
    def visitor(self) -> tuple[Datasette, Any, str]:
        """Who asks, and where: the first arguments of the functions of `permissions`."""
        return self.datasette, self.actor, self.database

    def table_url(self, table: str | None = None) -> str:
        """Of a table's own page; None: the one that this is about."""
        return str(self.datasette.urls.table(self.database, self.table if table is None else table))

    def url(self, *parts: object, **query: object) -> str:
        """Of one of our pages of this database: url("jobs", 3)."""
        return page_url(self.datasette, self.database, *parts, **query)

    def argument(self, name: str, default: str = "") -> str:
        """One value of the query string."""
        return str(self.request.args.get(name) or default)

    def arguments(self, name: str) -> list[str]:
        """All values of the query string with that name."""
        return [str(value) for value in self.request.args.getlist(name)]

    def one(self, name: str, default: str = "") -> str:
        """One value of the form or JSON body, as text."""
        return one(self.given.get(name, default), default)

    def many(self, name: str) -> tuple[str, ...]:
        """All values of that field, without empty ones."""
        return many(self.given.get(name))

    def action(self, *allowed: str, usual: str = "") -> str:
        """What the form's button says: one of those. Raises FtclassifyError for anything else."""
        found = self.one("action") or usual
        if found not in allowed:
            named = ", ".join(allowed)
            raise FtclassifyError(f"The action must be one of {named}, not {found or 'nothing'}.")
        return found

    def checked(self, name: str) -> bool:
        """Whether a box is ticked, or a JSON field true."""
        return ticked(self.given.get(name))

    @property
    def fields(self) -> Mapping[str, Any]:
        """Of the form or JSON body; of a GET those of the address."""
        if self.method == "POST":
            return self.given
        return {name: self.arguments(name) for name in self.request.args}

    def number(self, name: str) -> int | None:
        """A whole number from 0 of the query string; None where it has none."""
        found = WHOLE.read(self.argument(name))
        return int(found) if found is not None and 0 <= found < 10**15 else None

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """What a function finds with one of Datasette's connections for reading."""
        return await read(self.db, function, page_seconds(self.datasette), time.monotonic)

    async def write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """What a function does with Datasette's connection for writing; it commits by itself."""
        return await write(self.db, function)

    async def edit(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """The same, of rows of the user's own, on behalf of this request."""
        return await write(self.db, function, self.request)

    async def may(self, action: str, table: str | None = None) -> bool:
        about = self.table_or_none if table is None else table
        return about is not None and await may(
            self.datasette, self.actor, action, self.database, about
        )


def page_url(datasette: Datasette, database: str, *parts: object, **query: object) -> str:
    """The address of one of our pages."""
    path = "/".join([str(datasette.urls.database(database)) + "/-/ftclassify"]
                    + [tilde_encode(str(part)) for part in parts])  # fmt: skip
    shown = {name: value for name, value in query.items() if value not in (None, "")}
    return path + ("?" + urlencode(shown, doseq=True) if shown else "")


def wants_json(request: Request) -> bool:
    """Whether the answer is for a program."""
    if request.url_vars.get("format"):
        return True
    kind = request.headers.get("content-type", "") + request.headers.get("accept", "")
    return "application/json" in kind and "text/html" not in kind
