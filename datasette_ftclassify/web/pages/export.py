"""Fine-tuning files as downloads: the rows of a split stream from the table to the browser, so that
neither this machine's memory nor its disk holds them."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from datasette.utils.asgi import Request, Response

from ...core.examples import SPLITS
from ...export import ExportFormat
from ...jobs.export import SplitExport
from ..background_reads import open_to_read, path_of
from ..column_suggestions import TablePreview, preview_table
from ..form_fields import FieldError
from ..page_request import PageRequest
from ..permissions import TRAIN
from ..registry import MenuItem, page
from ..responses import show
from ..train_form import Choices

T = TypeVar("T")


@page(
    "/export",
    MenuItem(
        "table",
        "Export for fine-tuning",
        "Write the labelled rows as files for fine-tuning",
        order=2,
        when=lambda subject: subject.on_disk,
    ),
    reads=TRAIN,
    writes=None,
)
async def export_page(ask: PageRequest) -> Response:
    choices = Choices.read(ask.table, ask.fields)
    chosen = {
        "form": ask.argument("form", "chat"),
        "labels": ask.argument("labels_as", "text"),
        "multilabel": ask.argument("multilabel_as", "array"),
        "bom": ask.argument("bom") in ("1", "on", "true"),
    }
    manifest, split = ask.argument("manifest"), ask.argument("split")
    if manifest or (ask.argument("download") and split):
        return await _download(ask, choices, chosen, manifest or split, manifest=bool(manifest))
    look = await ask.read(lambda conn: preview_table(conn, choices, closed=ask.closed))
    return await _choose(ask, look, chosen)


async def _choose(ask: PageRequest, look: TablePreview, chosen: dict[str, Any]) -> Response:
    choices = look.choices
    query = choices.query()
    data = {
        "database": ask.database,
        "table": look.source.name,
        "choices": query,
        "kind": look.reading.kind if look.reading else None,
        "format": chosen,
        "errors": look.errors,
    }
    # What the form itself has fields for.
    own = ["form", "labels_as", "multilabel_as", "bom", "split", "manifest", "download"]
    # The page that prepares a training has more to choose from; a published copy has no such page.
    prepares = ask.db.is_mutable
    if not prepares:
        own += ["text", "label"]
    more = {
        "choices": choices,
        "several_labels": look.reading is not None and not look.reading.exclusive,
        "fields": [(name, value) for name, value in choices.fields() if name not in own],
        "filters": look.filter.texts,
        "columns": look.source.columns,
        "splits": SPLITS,
        "links": {
            "self": ask.url("export"),
            "train": ask.url("train", **query) if prepares else None,
            "table": ask.table_url(look.source.name),
        },
    }
    return await show(ask, data, more=more)


async def _download(
    ask: PageRequest, choices: Choices, chosen: dict[str, Any], split: str, *, manifest: bool
) -> Response:
    """The file, once its first rows are there: until then what is wrong can still be said."""
    if split not in SPLITS:
        raise FieldError("split", f"The split must be one of {', '.join(SPLITS)}, not {split}.")
    fmt = ExportFormat(**chosen)
    plan = choices.plan()
    path_of(ask)
    name = f"{file_name(choices.table)}-{split}.jsonl"
    rows = _Aside()
    try:
        conn = await rows.run(lambda: open_to_read(ask))
        rows.at_end.append(conn.close)
        task = await rows.run(lambda: choices.task(conn))
        export = await rows.run(lambda: SplitExport(conn, task, fmt, plan, split))
        if manifest:
            await rows.run(lambda: deque(export.chunks(), maxlen=0))  # so that all is counted
            file = name.replace(".jsonl", ".manifest.json")
            headers = {"content-disposition": f'attachment; filename="{file}"'}
            text = export.manifest(name).to_json()
            return Response(text, headers=headers, content_type="application/json")
        chunks = export.chunks()
        rows.at_end.append(chunks.close)
        first = await rows.run(lambda: next(chunks, b""))
        response = Download(ask.request, name, rows, first, chunks)
        rows = _Aside()  # the other one is the response's now
        return response
    finally:
        await rows.close()


def file_name(table: str) -> str:
    """A table's name as a part of a file's: letters, digits, hyphens and underscores of ASCII."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", table).strip("-")[:60] or "table"


class _Aside:
    """One thread for what must stay in one, and what is to be closed in it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ftclassify-export")
        self.at_end: list[Callable[[], object]] = []

    async def run(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def close(self) -> None:
        for function in reversed(self.at_end):
            self._thread.submit(function)
        self._thread.shutdown(wait=False)


class Download(Response):  # type: ignore[misc]
    """A file that is made while it is sent, no faster than the browser takes it, and no longer than
    it wants it."""

    def __init__(
        self, request: Request, name: str, rows: _Aside, first: bytes, chunks: Iterator[bytes]
    ) -> None:
        super().__init__(
            headers={
                "content-disposition": f'attachment; filename="{name}"',
                "cache-control": "no-store",
                "x-content-type-options": "nosniff",
            },
            content_type="application/jsonl; charset=utf-8",
        )
        self._request, self._rows, self._first, self._chunks = request, rows, first, chunks

    async def asgi_send(self, send: Any) -> None:
        gone = asyncio.ensure_future(self._gone())
        try:
            headers = {**self.headers, "content-type": self.content_type}
            raw = [[k.encode("latin-1"), v.encode("latin-1")] for k, v in headers.items()]
            raw += [[b"set-cookie", c.encode("latin-1")] for c in self._set_cookie_headers]
            await send({"type": "http.response.start", "status": self.status, "headers": raw})
            chunk = b"" if self._request.method == "HEAD" else self._first
            while chunk and not gone.done():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                chunk = await self._rows.run(lambda: next(self._chunks, b""))
            if not gone.done():
                await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone
            await self._rows.close()

    async def _gone(self) -> None:
        """Returns when the browser has left."""
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
