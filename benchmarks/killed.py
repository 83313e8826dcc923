"""Kill -9 in the midst of a table: how many rows are paid for twice, here and by the nearest peer.

    pip install 'datasette>=1.0a41' datasette-enrichments==0.6a0
    python benchmarks/killed.py [--rows 1000] [--kills 10]

Both ask the test server about every row, 8 at a time and 20 ms an answer, and are killed at the
same random moments: after so many requests that the kills are spread over the table. Both are then
started again, until it is done. The peer is an enrichment as its documentation shows it: each batch
of 100 rows is asked about, and then written.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import temporary_ledger  # noqa: F401
from service_server import Server, use_vocabularies
from service_speed import access_to, fill, make

from datasette_ftclassify.core.database import connect

IN_FLIGHT = 8
LATENCY = 0.02
TAUGHT = "taught_label"


def run_ours(given: dict[str, Any]) -> None:
    from datasette_ftclassify.jobs.plan import PredictRequest
    from datasette_ftclassify.jobs.predict import predict_rows
    from datasette_ftclassify.store.classifiers import find_classifier

    with closing(connect(given["path"])) as conn:
        predict_rows(
            conn,
            find_classifier(conn),
            "big",
            PredictRequest(concurrency=IN_FLIGHT, overwrite=True),
            access=access_to(given["url"], given["key"]),
        )


def run_peer(given: dict[str, Any]) -> None:
    asyncio.run(enrich(given))


async def enrich(given: dict[str, Any]) -> None:
    import httpx
    from datasette import hookimpl
    from datasette.app import Datasette
    from datasette.plugins import pm
    from datasette_enrichments import Enrichment

    headers = {"authorization": f"Bearer {given['key']}"}
    client = httpx.AsyncClient(headers=headers, timeout=60)
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def answer(text: str) -> str:
        messages = [{"role": "user", "content": text}]
        body = {"model": "gpt-4.1-mini", "messages": messages}
        async with gate:
            response = await client.post(f"{given['url']}/chat/completions", json=body)
        response.raise_for_status()
        return str(response.json()["choices"][0]["message"]["content"])

    class PageRequest(Enrichment):  # type: ignore[misc, unused-ignore]
        name, slug, description = "PageRequest", "ask", "Asks a service about each row"

        async def enrich_batch(self, db: Any, table: str, rows: list[Any], pks: list[str]) -> None:
            answers = await asyncio.gather(*(answer(row["text"]) for row in rows))
            pairs = [(said, row["id"]) for said, row in zip(answers, rows, strict=True)]
            await db.execute_write_many(f"update {table} set {TAUGHT} = ? where id = ?", pairs)

    class Plugin:
        __name__ = "Plugin"

        @hookimpl
        def register_enrichments(self) -> list[Enrichment]:
            return [PageRequest()]

    pm.register(Plugin(), name="ask")
    datasette = Datasette([given["path"]])
    await datasette.invoke_startup()
    db = datasette.get_database(Path(given["path"]).stem)
    begun = await db.table_exists("_enrichment_jobs")
    if begun and (await db.execute("select 1 from _enrichment_jobs")).first():
        await datasette.client.get("/-/versions.json")  # the first visit has it go on
    else:
        await PageRequest().enqueue(datasette, db, "big", "", {})
    sql = "select status from _enrichment_jobs"
    while (await db.execute(sql)).single_value() != "finished":
        await asyncio.sleep(0.01)
    os._exit(0)  # its threads have nothing left to do


RUNS = {"ours": run_ours, "peer": run_peer}


def killed_often(what: str, path: Path, server: Server, kills: int, apart: int) -> tuple[int, int]:
    """(kills that hit, requests). apart: requests between two kills, on average"""
    chance = random.Random(1)
    given = json.dumps({"path": str(path), "url": server.base_url, "key": server.api_key})
    first, hits = server.order()["requests"], 0
    while True:
        process = subprocess.Popen([sys.executable, __file__, "--run", what, given])
        if hits < kills:
            until = server.order()["requests"] + chance.randint(1, 2 * apart)
            while process.poll() is None and server.order()["requests"] < until:
                time.sleep(0.002)
            process.kill()
        code = process.wait()
        if code == 0:
            return hits, server.order()["requests"] - first
        if code != -9:
            raise SystemExit(f"{what} has failed")
        hits += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        RUNS[options.run[0]](json.loads(options.run[1]))
        return
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        use_vocabularies(Path(folder) / "vocabularies")
        server.order(settings={"latency": LATENCY})
        for what in ("ours", "peer"):
            path = Path(folder) / f"{what}.db"
            make(path, server)
            fill(path, options.rows)
            with closing(connect(path)) as conn:
                conn.execute(f"alter table big add column {TAUGHT}")
            apart = options.rows // options.kills
            hits, asked = killed_often(what, path, server, options.kills, apart)
            with closing(connect(path)) as conn:
                sql = f"select count(*) from big where {TAUGHT} is null"
                left = conn.execute(sql).fetchone()[0]
            print(
                f"{what}: {hits} kills, {asked - options.rows} of {options.rows} rows asked about "
                f"again, {left} without an answer",
                flush=True,
            )


if __name__ == "__main__":
    main()
