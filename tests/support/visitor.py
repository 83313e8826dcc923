"""Somebody at the pages that classify rows."""

from __future__ import annotations

import html
import json
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from datasette.app import Datasette

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.store.jobs.job import Job
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.trainers.access import Access

MODERN = hasattr(Datasette, "allowed")


class Visitor:
    """Somebody at a Datasette; root unless it is said otherwise.

    granted: our actions, for everybody
    writes:  may write to tables besides (a question of Datasette 1.0 alone)
    """

    def __init__(
        self,
        path: Path,
        actor: str | None = "root",
        *,
        granted: tuple[str, ...] = (),
        writes: bool = True,
        immutable: bool = False,
        **settings: Any,
    ) -> None:
        ours = {**settings, "permissions": {f"ftclassify-{name}": True for name in granted}}
        config: dict[str, Any] = {"plugins": {"datasette-ftclassify": ours}}
        if MODERN and writes and actor != "root":
            config["permissions"] = {"update-row": True, "alter-table": True}
        files = {"immutables": [str(path)]} if immutable else {"files": [str(path)]}
        self.datasette = Datasette(**files, **{"config" if MODERN else "metadata": config})
        if MODERN:
            self.datasette.root_enabled = True
        self.path = path
        self.cookies = {}
        if actor:
            self.cookies["ds_actor"] = self.datasette.sign({"a": {"id": actor}}, "actor")

    def url(self, table: str = "messages", form: str = "", **query: Any) -> str:
        asked = urlencode({"table": table, **query}, doseq=True)
        return f"/{self.path.stem}/-/ftclassify/classify{form}?{asked}"

    async def get(self, table: str = "messages", **query: Any) -> Any:
        return await self.datasette.client.get(self.url(table, **query), cookies=self.cookies)

    async def choices(self, table: str = "messages", **query: Any) -> Any:
        response = await self.get(table, form=".json", **query)
        assert response.status_code == 200, response.text
        return response.json()

    async def _token(self, table: str) -> str:
        """The one against forged requests, which a page of Datasette 0.65 hands out."""
        if not MODERN and "ds_csrftoken" not in self.cookies:
            page = await self.get(table)
            self.cookies["ds_csrftoken"] = page.cookies.get("ds_csrftoken", "")
        return self.cookies.get("ds_csrftoken", "")

    async def _send(self, kind: str, content: str, token: str) -> Any:
        return await self.datasette.client.post(
            f"/{self.path.stem}/-/ftclassify/classify",
            content=content,
            headers={"content-type": kind, "x-csrftoken": token},
            cookies=self.cookies,
        )

    async def post(self, table: str = "messages", **fields: Any) -> Any:
        """As a form, with its token."""
        token = await self._token(table)
        fields |= {"table": table, "csrftoken": token}
        content = urlencode(fields, doseq=True)
        return await self._send("application/x-www-form-urlencoded", content, token)

    async def post_json(self, table: str = "messages", **fields: Any) -> Any:
        token = await self._token(table)
        return await self._send("application/json", json.dumps({"table": table, **fields}), token)

    def job(self, response: Any) -> Job:
        """The job that was queued, run to its end."""
        assert response.status_code == 302, html.unescape(response.text)
        number = int(response.headers["location"].rpartition("/")[2])
        return self.run(number)

    def run(self, number: int, access: Access | None = None) -> Job:
        with closing(connect(self.path)) as conn:
            assert get_job(conn, number).state == "queued"
            return run_job(conn, number, access=access or Access())
