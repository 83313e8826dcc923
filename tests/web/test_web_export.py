"""Downloads of fine-tuning files: what they hold, who gets them, and what they cost the server."""

from __future__ import annotations

import asyncio
import hashlib
import html
import json
import os
import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sample_databases import town_database
from visiting import cookies, get, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.export import ExportFormat, Manifest
from datasette_ftclassify.jobs.export import export_task

TRAIN = {"ftclassify-train": {"id": "ann"}}
PAGE = "/town/-/ftclassify/export"


@pytest.fixture
def town(tmp_path: Path) -> Path:
    town_database(tmp_path / "town.db").close()
    return tmp_path / "town.db"


def page(**query: object) -> str:
    chosen = {"table": "messages", "text": "message", "label": "topic", **query}
    return f"{PAGE}?{urlencode(chosen, doseq=True)}"


def download(split: str = "train", **query: object) -> str:
    return page(split=split, download=1, **query)


async def test_the_page_offers_each_split_in_each_format(town: Path):
    response = await get(serve(town, grants=TRAIN), page(), "ann")
    assert response.status_code == 200
    for value in ("chat", "completion", "code", "train", "validation", "test"):
        assert f'value="{value}"' in response.text
    assert 'value="flags"' not in response.text  # a row has one label
    several = await get(serve(town, grants=TRAIN), page(kind="multilabel"), "ann")
    assert 'value="flags"' in several.text
    # A form that is sent by GET must not put the token into an address.
    assert "csrftoken" not in response.text.partition('class="ft-form')[2].partition("</form>")[0]


@pytest.mark.parametrize(
    ("query", "fmt"),
    [
        ({}, ExportFormat()),
        ({"form": "completion", "labels_as": "code"}, ExportFormat("completion", "code")),
        ({"bom": "1", "seed": "3", "test": "0.3"}, ExportFormat(bom=True)),
        ({"multilabel_as": "flags", "kind": "multilabel", "label": ["a", "b"]},
         ExportFormat(multilabel="flags")),
    ],
)  # fmt: skip
async def test_downloads_are_what_the_command_writes(
    town: Path, tmp_path: Path, query: dict[str, Any], fmt: ExportFormat
):
    with closing(connect(town)) as conn, conn:
        conn.execute("alter table messages add column a")
        conn.execute("alter table messages add column b")
        conn.execute("update messages set a = id % 2, b = id % 3 = 0")
    datasette = serve(town, grants=TRAIN)
    labels = query.get("label", ["topic"])
    with closing(connect(town)) as conn:
        task = define(conn, "messages", text=["message"], labels=labels)
        plan = SplitPlan(seed=int(query.get("seed", 0)), test=float(query.get("test", 0.1)))
        written = export_task(conn, task, fmt, tmp_path / "out", plan=plan)
    for split, path in written.files.items():
        response = await get(datasette, download(split, **query), "ann")
        assert response.status_code == 200, response.text
        assert response.content == path.read_bytes()
        sent = await get(datasette, page(manifest=split, **query), "ann")
        (tmp_path / "m.json").write_text(sent.text)
        manifest = Manifest.load(tmp_path / "m.json")
        assert manifest.sha256 == hashlib.sha256(response.content).hexdigest()
        assert manifest.rows == written.rows[split]
        name = f'filename="{manifest.file}"'
        assert name in response.headers["content-disposition"]


async def test_filters_leave_rows_out(town: Path):
    datasette = serve(town, grants=TRAIN)
    every = await get(datasette, download(), "ann")
    some = await get(datasette, download(ward__exact="Northgate"), "ann")
    assert 0 < some.text.count("\n") < every.text.count("\n") / 2


async def test_who_asks_for_the_head_alone_gets_no_rows(town: Path):
    datasette = serve(town, grants=TRAIN)
    jar = cookies(datasette, "ann")
    head = await datasette.client.request("HEAD", download(), cookies=jar)
    assert head.status_code == 200
    assert "messages-train.jsonl" in head.headers["content-disposition"]
    assert head.content == b""


async def test_columns_of_an_immutable_file_are_chosen_on_the_page_itself(town: Path):
    """It has no page that prepares a training."""
    shown = (await get(serve(immutables=(town,), grants=TRAIN), page(text="ward"), "ann")).text
    assert "/-/ftclassify/train" not in shown
    assert 'type="hidden" name="text"' not in shown
    chosen = re.findall(r'<select id="ft-(text|label)".*?<option value="(\w+)" selected', shown)
    assert chosen == [("text", "ward"), ("label", "topic")]
    several = page(text=["ward", "message"])
    shown = (await get(serve(immutables=(town,), grants=TRAIN), several, "ann")).text
    assert len(re.findall(r'<select id="ft-text" name="text" multiple', shown)) == 1


async def test_an_immutable_file_can_be_exported(town: Path):
    datasette = serve(immutables=(town,), grants=TRAIN)
    assert (await get(datasette, download(), "ann")).status_code == 200


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"split": "all"}, "train, validation, test"),
        ({"form": "poem"}, "chat"),
        ({"label": "nix"}, "nix"),
        ({"split": "test", "test": "0"}, "No row is in the split test"),
        ({"ward__exact": "Nowhere"}, "no row"),
        ({"template": "{{ nix }}"}, "nix"),
        ({"ward__or__1=1": "x"}, "filter"),
    ],
)
async def test_what_is_wrong_is_said_before_the_first_byte(
    town: Path, query: dict[str, Any], said: str
):
    response = await get(serve(town, grants=TRAIN), download(**{"split": "train", **query}), "ann")
    assert response.status_code == 400
    assert said in html.unescape(response.text)
    assert "content-disposition" not in response.headers


async def test_a_file_name_is_safe_whatever_the_table_is_called(town: Path):
    table = 'a"; filename=evil.sh\r\n../../é <b>'
    quoted = table.replace('"', '""')
    with closing(connect(town)) as conn, conn:
        conn.execute(f'create table "{quoted}" ("te]xt" text, "la bel" text) ')
        conn.executemany(f'insert into "{quoted}" values (?, ?)',
                         [(f"<b>{i}</b> \ud800 \u2028".encode("utf-8", "replace").decode(), i % 2)
                          for i in range(40)])  # fmt: skip
    datasette = serve(town, grants=TRAIN)
    response = await get(datasette, download(table=table, text="te]xt", label="la bel"), "ann")
    assert response.status_code == 200, response.text
    found = re.fullmatch(r'attachment; filename="([A-Za-z0-9_-]+-train\.jsonl)"',
                         response.headers["content-disposition"])  # fmt: skip
    assert found is not None
    assert all(json.loads(line)["messages"] for line in response.text.splitlines())
    shown = await get(datasette, page(table=table, text="te]xt", label="la bel"), "ann")
    assert shown.status_code == 200
    assert "<b>" not in shown.text.partition("<body")[2].replace("&lt;b&gt;", "")


async def test_views_and_tables_without_a_rowid(town: Path):
    with closing(connect(town)) as conn, conn:
        conn.execute("create view v as select message, topic from messages")
        conn.execute("create table w (message text, topic text, primary key (message, topic))"
                     " without rowid")  # fmt: skip
        conn.execute("insert or ignore into w select message, topic from messages where topic > ''")
    datasette = serve(town, grants=TRAIN)
    for table in ("v", "w"):
        response = await get(datasette, download(table=table), "ann")
        assert response.text.count("\n") > 300


def many(path: Path, rows: int) -> Path:
    """Few different texts, so that only the lines themselves could fill the memory."""
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("create table messages (id integer primary key, message text, topic text)")
        conn.execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?)"
            " insert into messages select i, 'text ' || (i % 500) || printf('%80s', '.'),"
            " 'topic ' || (i % 5) from n",
            [rows],
        )
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return many(tmp_path_factory.mktemp("large") / "town.db", 10_000)


class Reader:
    """Asks the application directly, as a server does, and takes the answer in its own time."""

    def __init__(self, datasette: Any, path: str) -> None:
        cookie = f"ds_actor={datasette.sign({'a': {'id': 'ann'}}, 'actor')}".encode()
        path, _, query = path.partition("?")
        self.scope = {
            "type": "http", "http_version": "1.1", "method": "GET", "path": path,
            "raw_path": path.encode(), "query_string": query.encode(), "scheme": "http",
            "headers": [(b"host", b"localhost"), (b"cookie", cookie)], "server": ("localhost", 80),
            "client": ("127.0.0.1", 1),
        }  # fmt: skip
        self.app = datasette.app()
        self.leave = asyncio.Event()
        self.sent = self.size = 0
        self.complete = False
        self.largest = 0
        self._asked = False

    async def receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self.sent += 1
        self.size += len(message["body"])
        self.largest = max(self.largest, len(message["body"]))
        self.complete = not message.get("more_body")
        await self.took()

    async def took(self) -> None: ...


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
async def test_a_large_file_streams_in_little_memory(tmp_path: Path):
    reader = Reader(serve(many(tmp_path / "town.db", 200_000), grants=TRAIN), download())
    before = resident()
    peak = [before]

    async def measure() -> None:
        peak[0] = max(peak[0], resident())

    reader.took = measure  # type: ignore[method-assign]
    await reader.app(reader.scope, reader.receive, reader.send)
    assert reader.status == 200
    assert reader.complete
    assert reader.size > 30_000_000
    assert reader.largest < 100_000
    assert peak[0] - before < 30_000_000


def resident() -> int:
    """Bytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def test_whoever_leaves_stops_the_work(large: Path):
    reader = Reader(serve(large, grants=TRAIN), download())

    async def leaves() -> None:
        reader.leave.set()
        await asyncio.sleep(0)

    reader.took = leaves  # type: ignore[method-assign]
    await reader.app(reader.scope, reader.receive, reader.send)
    assert reader.sent < 5
    assert not reader.complete
    assert _export_threads() == []


async def test_a_slow_reader_is_waited_for(large: Path):
    """Nothing is read ahead of what was taken."""
    reader = Reader(serve(large, grants=TRAIN), download())
    go_on = asyncio.Event()

    async def slow() -> None:
        if reader.sent == 3:
            await go_on.wait()

    reader.took = slow  # type: ignore[method-assign]
    task = asyncio.create_task(reader.app(reader.scope, reader.receive, reader.send))
    while reader.sent < 3:
        await asyncio.sleep(0.01)
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert reader.sent == 3
    reader.leave.set()
    go_on.set()
    await task


def _export_threads() -> list[str]:
    for thread in threading.enumerate():
        if thread.name.startswith("ftclassify-export"):
            thread.join(10)
    return [t.name for t in threading.enumerate() if t.name.startswith("ftclassify-export")]
