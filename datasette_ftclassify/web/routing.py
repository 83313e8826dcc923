"""Dispatches a request to its view, after the permission check.

A route says what it is about (a database, a table, a classifier, a job) and which action it takes.
The table behind that is found here, and the permission is asked here, before the view is called:
a view cannot forget it, and a route cannot be declared without it.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs

from datasette.app import Datasette
from datasette.utils import tilde_decode
from datasette.utils.asgi import Forbidden, NotFound, Request, Response

from ..core.database import relation
from ..core.distribution import require_whole
from ..core.errors import (
    ArtifactError,
    ClassifierNotFound,
    FtclassifyError,
    JobNotFound,
    SourceError,
)
from ..core.foreign_keys import find_lookup, naming_tables
from ..core.sqlite_errors import SQLITE_ERRORS
from ..core.task import Task
from ..store.classifiers import find_by_id, find_classifier
from ..store.jobs.job import Job
from ..store.jobs.queries import Find
from ..store.jobs.state import get_job
from .classifier_names import tables_revealed
from .form_fields import many
from .page_request import PageRequest, wants_json
from .permissions import (
    PERMISSIONS,
    VIEW,
    WORK,
    may_see_jobs,
    may_view_database,
    may_view_instance,
    tables_allowed,
)
from .refusals import NotAgreed, NotAllowed

_log = logging.getLogger(__name__)

INSTANCE = r"^/-/ftclassify"
BASE = r"^/(?P<database>[^/]+)/-/ftclassify"
PARTS = {
    "name": "(?P<name>[^/]+?)",
    "id": "(?P<id>[0-9]{1,15})",
    "number": "(?P<number>[0-9]{1,6})",
}
About = Literal["instance", "database", "table", "classifier", "job"]
CLASSIFIERS = "_ftclassify_classifiers"
RETRY_AFTER = "5"
"""Seconds after which a busy server is worth asking again."""
MAX_BODY = 2_000_000
"""Bytes of a form or of JSON: a text to try, never a table."""


class Unreadable(FtclassifyError):
    """SQLite could not do what a page asked of it."""

    def __init__(self, error: Exception) -> None:
        self.status = 503 if "locked" in str(error) else 400
        super().__init__(
            f"SQLite says: {error}. If the database is locked, try again. Else its tables "
            "_ftclassify_* may be damaged, or of another version of datasette-ftclassify: "
            "train again in a copy of the file without them."
        )


View = Callable[[PageRequest], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """A path below /DB/-/ftclassify (or /-/ftclassify), and who may ask it for what.

    path:     with `{name}` (a classifier), `{id}` (a job), which are looked up, or `{number}`.
              `.json` may follow it
    about:    what decides which table's permissions count. `database`: the view itself shows only
              what belongs to tables that the actor may see. `instance`: only databases, too
    template: of the page
    reads:    action for GET; None: there is no GET
    writes:   action for POST; None: there is no POST
    damaged:  whether the view is for classifiers that cannot be read as well
    Raises ValueError for an action that is none of ours.
    """

    path: str
    view: View
    about: About
    template: str
    reads: str | None
    writes: str | None
    damaged: bool = False

    def __post_init__(self) -> None:
        for action in (self.reads, self.writes):
            if action is not None and action not in PERMISSIONS:
                raise ValueError(f"{self.place} asks for {action}, which is no permission of ours")

    @property
    def pattern(self) -> str:
        base = INSTANCE if self.about == "instance" else BASE
        return base + self.path.format(**PARTS) + r"(?P<format>\.json)?$"

    @property
    def place(self) -> str:
        """Its address, for people."""
        return ("" if self.about == "instance" else "/DB") + "/-/ftclassify" + self.path

    async def __call__(self, request: Request, datasette: Datasette) -> Response:
        """Lets the request in, or says why not, in the form that was asked for."""
        try:
            action = {"GET": self.reads, "HEAD": self.reads, "POST": self.writes}.get(
                request.method
            )
            if action is None:
                return error_response("This page takes no such request.", 405)
            ask = await self._let_in(request, datasette, action)
            return await self.view(ask)
        except (Forbidden, NotFound) as error:
            if not wants_json(request):
                raise
            return error_response(str(error), _status(error))
        except FtclassifyError as error:
            return await error_answer(datasette, request, error)
        except SQLITE_ERRORS as error:  # a stranger's file may hold anything in our tables' place
            _log.exception("SQLite could not answer %s", request.path)
            return await error_answer(datasette, request, Unreadable(error))

    async def _let_in(self, request: Request, datasette: Datasette, action: str) -> PageRequest:
        if self.about == "instance":
            if not await may_view_instance(datasette, request.actor):
                raise Forbidden("You may not see this.")
            return PageRequest(datasette, request, "", template=self.template)
        name = tilde_decode(request.url_vars["database"])
        if name not in datasette.databases:
            raise NotFound(f"Database not found: {name}")
        if not await may_view_database(datasette, request.actor, name):
            raise Forbidden("You may not see this database.")
        given = await _body(request) if request.method == "POST" else {}
        ask = PageRequest(datasette, request, name, given, self.template)
        if self.about == "database":
            return ask
        await self._find(ask)
        if not all([await ask.may(VIEW, table) for table in (ask.table_or_none, *ask.behind)]):
            raise NotFound(_missing(self.about))
        if self.about == "job" and not await may_see_jobs(datasette, ask.actor, name, ask.table):
            raise NotFound(_missing(self.about))
        if action in WORK:
            require_whole()
        if not await ask.may(action):
            raise Forbidden(f"You may not do this: it needs the permission {action}.")
        if self.about == "table":
            await _close_columns(ask)
        return ask

    async def _find(self, ask: PageRequest) -> None:
        """Fills in the classifier or job, and the table. Raises NotFound."""
        variables = ask.request.url_vars
        try:
            if self.about == "classifier":
                title = tilde_decode(variables["name"])
                await self._find_classifier(ask, title)
            elif self.about == "job":
                number = int(variables["id"])
                found = await ask.read(lambda conn: _job_and_tables(conn, number))
                ask.job_or_none, ask.table_or_none, ask.behind = found
            else:
                wanted = ask.one("table") or ask.argument("table")
                ask.table_or_none = await ask.read(lambda conn: relation(conn, wanted).name)
        except (ClassifierNotFound, JobNotFound, SourceError) as error:
            # Not in the words of the error: it names what is there, also to who may not know.
            raise NotFound(_missing(self.about)) from error

    async def _find_classifier(self, ask: PageRequest, title: str) -> None:
        try:
            ask.classifier_or_none = await ask.read(lambda conn: find_classifier(conn, title))
            ask.table_or_none = ask.classifier.task.source
            ask.behind = tables_revealed(ask.classifier) - {ask.table}
        except ArtifactError as error:
            if not self.damaged:
                raise
            ask.damaged, ask.table_or_none = str(error), CLASSIFIERS


async def _close_columns(ask: PageRequest) -> None:
    """Raises NotAllowed where one of the `closed` columns is chosen for the labels."""
    naming = await ask.read(lambda conn: naming_tables(conn, ask.table))
    seen = await tables_allowed(ask.datasette, ask.actor, VIEW, ask.database, {*naming.values()})
    ask.closed = frozenset(column for column, table in naming.items() if table not in seen)
    for label in (*many(ask.given.get("label")), *ask.arguments("label")):
        if label.lower() in ask.closed:
            raise NotAllowed(
                f"{label} holds keys of a table that names them, and that you may not see: choose "
                "another column for the labels."
            )


def _missing(about: str) -> str:
    return f"There is no such {about} here, or you may not see it."


def _job_and_tables(
    conn: sqlite3.Connection, job_id: int
) -> tuple[Job, str | None, frozenset[str]]:
    """A job, the table that it reads or writes, and those behind it."""
    job = get_job(conn, job_id)
    return job, table_of(conn, job), tables_behind(conn, job)


def table_of(conn: sqlite3.Connection, job: Job, find: Find = find_by_id) -> str | None:
    """That a job reads or writes; None when its row does not say. Raises ClassifierNotFound when
    only a classifier that is gone could say it."""
    if job.table is not None:
        return job.table
    if job.classifier_id is None:
        return None
    return find(conn, job.classifier_id).task.source


def tables_behind(conn: sqlite3.Connection, job: Job, find: Find = find_by_id) -> frozenset[str]:
    """What the job's classifier learnt from: a prediction names it, and may be of another table."""
    if job.classifier_id is None:
        return _naming(conn, job)
    try:
        return tables_revealed(find(conn, job.classifier_id))
    except FtclassifyError:  # it is gone, and its name with it
        return frozenset()


def _naming(conn: sqlite3.Connection, job: Job) -> frozenset[str]:
    """The table that names the labels of the job's task."""
    try:
        lookup = find_lookup(conn, Task.from_dict(job.settings["task"]))
    except (KeyError, TypeError, FtclassifyError):  # there is none, or the table is gone
        return frozenset()
    return frozenset() if lookup is None else frozenset([lookup.table])


async def _body(request: Request) -> dict[str, Any]:
    """The fields of a form, or of a JSON object. Raises FtclassifyError for anything else."""
    raw = await _raw(request)
    if "application/json" in request.headers.get("content-type", ""):
        try:
            data = json.loads(raw or b"{}")
        except (ValueError, RecursionError) as error:
            raise FtclassifyError(f"The request is not JSON: {error}.") from error
        if not isinstance(data, dict):
            raise FtclassifyError("The request must be a JSON object.")
        if not _is_text(data):
            raise FtclassifyError(
                "The request has half a character: a surrogate without the other."
            )
        return data
    fields = parse_qs(raw.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values if len(values) > 1 else values[0] for name, values in fields.items()}


async def _raw(request: Request) -> bytes:
    """The body. Datasette 0.65 would read one of any size into memory."""
    raw = bytearray()
    more = True
    while more:
        message = await request.receive()
        if message["type"] != "http.request":
            raise FtclassifyError("The request broke off: send it again.")
        raw += message.get("body", b"")
        more = message.get("more_body", False)
        if len(raw) > MAX_BODY:
            raise FtclassifyError(f"The request has more than {MAX_BODY:,} bytes: send less.")
    return bytes(raw)


def _is_text(data: object) -> bool:
    """Whether all texts in it can be written down: JSON can escape what no text holds."""
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _status(error: Exception) -> int:
    if isinstance(error, Forbidden):
        return 403
    return 404 if isinstance(error, NotFound) else int(getattr(error, "status", 400))


def error_response(
    message: str, status: int, fields: Sequence[str] = (), data: Mapping[str, object] | None = None
) -> Response:
    """An error in the shape that Datasette's JSON API has; `fields` where it is about some."""
    body = {"ok": False, "error": message, "errors": [message], "status": status}
    about = {"fields": list(fields)} if fields else {}
    return Response.json({**body, **about, **(data or {})}, status=status)


async def error_answer(datasette: Datasette, request: Request, error: FtclassifyError) -> Response:
    """An error in the form that was asked for."""
    status = _status(error)
    if wants_json(request):
        more = error.data if isinstance(error, NotAgreed) else None
        response = error_response(str(error), status, error.fields, more)
    else:
        response = await error_page(datasette, request, error)
    if status == 503:
        response.headers["retry-after"] = RETRY_AFTER
    return response


async def error_page(datasette: Datasette, request: Request, error: Exception) -> Response:
    """An error for a person, on a page that leads back."""
    status = _status(error)
    html = await datasette.render_template(
        ["400.html", "error.html"],
        {"ok": False, "error": str(error), "status": status, "title": "This did not work"},
        request=request,
    )
    return Response.html(html, status=status)
