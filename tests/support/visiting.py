"""Visitors of a Datasette: who they are, what they may, and how they send forms."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from datasette.version import __version__

ROOT = "root"


fault_of_the_oldest = pytest.mark.skipif(
    __version__ in ("0.65.1", "1.0a37"),
    reason="this version of Datasette fails here by itself: a later one does not",
)


def is_065(datasette: Any = Datasette) -> bool:
    return not hasattr(datasette, "allowed")


def serve(
    *paths: Path | str,
    tables: dict[str, Any] | None = None,
    grants: dict[str, Any] | None = None,
    immutables: tuple[Path, ...] = (),
    writers: str | None = None,
    sql_time_limit_ms: int | None = None,
) -> Datasette:
    """A Datasette with configuration in the place where its line looks for it.

    tables:  configuration of tables of `town`, such as {"messages": {"allow": {"id": "ann"}}}
    grants:  our own permissions, such as {"ftclassify-train": {"id": "ann"}}
    writers: id of who may write, where Datasette asks for that (1.0)
    sql_time_limit_ms: for tests of that; None: as `conftest.long_time_limit` says
    """
    config: dict[str, Any] = {"databases": {"town": {"tables": tables or {}}}}
    config["plugins"] = {"datasette-ftclassify": {"permissions": grants or {}}}
    if writers and not is_065():
        rule = {"id": writers}
        config["permissions"] = {"update-row": rule, "alter-table": rule}
    where = "metadata" if is_065() else "config"
    limits = {} if sql_time_limit_ms is None else {"sql_time_limit_ms": sql_time_limit_ms}
    datasette = Datasette([str(p) for p in paths], immutables=[str(p) for p in immutables],
                          settings=limits, **{where: config})  # fmt: skip
    if not is_065():
        datasette.root_enabled = True
    return datasette


def cookies(datasette: Datasette, who: str | None) -> dict[str, str]:
    return {} if who is None else {"ds_actor": datasette.sign({"a": {"id": who}}, "actor")}


async def get(datasette: Datasette, path: str, who: str | None = None, **more: Any) -> Any:
    return await datasette.client.get(path, cookies=cookies(datasette, who), **more)


async def submit(datasette: Datasette, page: str, who: str | None = None, **fields: Any) -> Any:
    """Sends a form to the page, as a browser does that was there before."""
    jar = cookies(datasette, who)
    before = await datasette.client.get(page, cookies=jar)
    headers = {}
    if is_065(datasette):
        token = before.cookies.get("ds_csrftoken")
        if token is None:  # no form that this visitor may send, who nevertheless tries
            other = await datasette.client.get("/-/permissions", cookies=cookies(datasette, ROOT))
            token = other.cookies.get("ds_csrftoken", "")
        jar = {**jar, "ds_csrftoken": token}
        found = re.search(r'name="csrftoken" value="([^"]+)"', before.text)
        fields["csrftoken"] = found[1] if found else token
    else:
        headers = {"sec-fetch-site": "same-origin"}
    return await datasette.client.post(page, data=fields, cookies=jar, headers=headers)


async def send(
    datasette: Datasette, path: str, body: dict[str, Any], who: str | None = None
) -> Any:
    """Sends JSON, as a program does."""
    jar = cookies(datasette, who)
    headers = {}
    if is_065(datasette):
        before = await datasette.client.get("/-/permissions", cookies=cookies(datasette, ROOT))
        token = before.cookies.get("ds_csrftoken", "")
        jar = {**jar, "ds_csrftoken": token}
        headers = {"x-csrftoken": token}
    return await datasette.client.post(path, json=body, cookies=jar, headers=headers)


def seen(html: str) -> str:
    """The text of a page, in one line."""
    return " ".join(unescape(re.sub(r"<script.*?</script>|<[^>]+>", " ", html, flags=re.S)).split())
