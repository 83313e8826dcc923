"""Prediction by a service: how near it comes to what the service's own latency allows.

    python benchmarks/service_speed.py [--parts speed memory recovery] [--seconds 15]

The service is the test server, in a process of its own on the same machine.
Speed: rows a second of `predict` at 8, 32 and 128 requests in flight and 200 ms an answer, next to
a bare HTTP client that sends the same requests and keeps nothing. The ideal is in flight / latency.
Both have loaded what they need when the clock starts. The steady rate leaves out a quarter of the
rows at the beginning, and the last tenth; of `predict` it counts answers that are committed.
Memory: the peak of a fresh process, over tables of 10,000 to 1,000,000 rows with 1,000 different
texts (each of which is asked about once), and with nothing but different ones.
Recovery: the service refuses everything with 429 for a minute in the midst of a prediction.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import temporary_ledger  # noqa: F401
from measured import peak_mb
from predict_speed import made_up
from service_server import Server, use_vocabularies

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.trainers.access import Access, Endpoint
from datasette_ftclassify.trainers.base import TrainerOptions

LABELS = 20
LATENCY = 0.2
IN_FLIGHT = (8, 32, 128)
TARGETS = {8: 0.9, 32: 0.9, 128: 0.8}


def access_to(url: str, key: str) -> Access:
    return Access({"openai": Endpoint(key, url)})


def make(path: Path, server: Server) -> None:
    """A database with a classifier whose model is at the server."""
    texts, names = made_up(600, LABELS, 60, seed=1)
    with closing(connect(path, must_exist=False)) as conn:
        with conn:
            conn.execute("create table taught (id integer primary key, text, label)")
            rows = zip(texts, names, strict=True)
            conn.executemany("insert into taught (text, label) values (?, ?)", rows)
        task = define(conn, "taught", text=["text"], labels=["label"])
        request = TrainRequest(
            trainer="openai", curve=False, options=TrainerOptions(model="gpt-4.1-mini", epochs=2)
        )
        train_classifier(conn, task, request, access=access_to(server.base_url, server.api_key))


def fill(path: Path, rows: int, distinct: int | None = None) -> None:
    """The table `big`, anew; distinct: so many different texts. None: all are."""
    texts, _ = made_up(5_000, LABELS, 60, seed=3)
    with closing(connect(path)) as conn, conn:
        conn.execute("drop table if exists big")
        conn.execute("create table big (id integer primary key, text)")
        # The number that makes texts different also makes them new to earlier runs.
        salt = time.monotonic_ns()
        made = ((f"{texts[n % 5_000]} {salt + n % (distinct or rows)}",) for n in range(rows))
        conn.executemany("insert into big (text) values (?)", made)


def predict(given: dict[str, Any]) -> dict[str, Any]:
    """Seconds, of the clock and of the CPU; how many answers were kept when, in seconds; and rows
    left without a label."""
    from datasette_ftclassify.jobs.remote import inference_loop
    from datasette_ftclassify.jobs.remote import predict as predicting
    from datasette_ftclassify.trainers.openai_protocol import inference

    assert predicting
    assert inference
    done = [(0.0, 0)]
    commit = inference_loop.InferenceLoop.commit

    def timed(self: Any, *also: Any) -> None:
        commit(self, *also)
        done.append((time.perf_counter() - start, self.spent.requests))

    inference_loop.InferenceLoop.commit = timed  # type: ignore[method-assign]
    with closing(connect(given["path"])) as conn:
        start, used = time.perf_counter(), time.process_time()
        predict_rows(
            conn,
            find_classifier(conn),
            "big",
            PredictRequest(concurrency=given["in_flight"], overwrite=True),
            access=access_to(given["url"], given["key"]),
        )
        seconds, used = time.perf_counter() - start, time.process_time() - used
        left = conn.execute("select count(*) from big where taught_label is null").fetchone()[0]
    steps = max(1, len(done) // 1_000)
    done = [*done[::steps], done[-1]]
    return {"seconds": seconds, "cpu": used, "done": done, "left": left}


def bare(given: dict[str, Any]) -> dict[str, Any]:
    """The same requests, made ready beforehand, by HTTP/1.1 and nothing more."""
    from datasette_ftclassify.trainers.openai_protocol.requests import RequestBuilder

    with closing(connect(given["path"])) as conn:
        classifier = find_classifier(conn)
        texts = [text for (text,) in conn.execute("select text from big")]
    endpoint = Endpoint(given["key"], given["url"])
    questions = RequestBuilder(classifier.header, classifier.labels, endpoint)
    bodies = [json.dumps(questions.body(text)).encode() for text in texts]

    async def run() -> list[tuple[float, int]]:
        most = given["in_flight"]
        limits = httpx2.Limits(max_connections=most, max_keepalive_connections=most)
        headers = {
            "authorization": f"Bearer {given['key']}", "content-type": "application/json",
        }  # fmt: skip
        done = [(0.0, 0)]
        waiting = iter(bodies)
        async with httpx2.AsyncClient(limits=limits, headers=headers, timeout=60) as client:

            async def work() -> None:
                for body in waiting:
                    url = f"{given['url']}/chat/completions"
                    response = await client.post(url, content=body)
                    response.raise_for_status()
                    json.loads(response.content)
                    done.append((time.perf_counter() - start, done[-1][1] + 1))

            start = time.perf_counter()
            await asyncio.gather(*(work() for _ in range(most)))
        return done

    used = time.process_time()
    done = asyncio.run(run())
    used = time.process_time() - used
    return {"seconds": done[-1][0], "cpu": used, "done": done[::50], "left": 0}


RUNS = {"predict": predict, "bare": bare}


def start(what: str, path: Path, server: Server, in_flight: int) -> subprocess.Popen[str]:
    """In a fresh process, whose peak of memory is its own."""
    given = {
        "path": str(path), "url": server.base_url, "key": server.api_key, "in_flight": in_flight,
    }  # fmt: skip
    command = [sys.executable, __file__, "--run", what, json.dumps(given)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit("The process that predicts has failed.")
    outcome: dict[str, Any] = json.loads(out)
    return outcome


def steady(done: list[list[float]]) -> float:
    """Rows a second between a quarter and nine tenths of the rows."""
    total = done[-1][1]
    part = [(t, n) for t, n in done if total * 0.25 <= n <= total * 0.9]
    return (part[-1][1] - part[0][1]) / (part[-1][0] - part[0][0])


def speed(path: Path, server: Server, seconds: float) -> None:
    server.order(settings={"latency": LATENCY})
    print(
        f"{LATENCY * 1000:.0f} ms an answer; shares of the ideal: overall, and when under way\n"
        "in flight  ideal/s |           rows/s  overall  steady  target   CPU/row  server CPU/row",
        flush=True,
    )
    for in_flight in IN_FLIGHT:
        ideal = in_flight / LATENCY
        rows = round(ideal * seconds)
        fill(path, rows)
        for what, target in (("predict", f"{TARGETS[in_flight]:.1f}"), ("bare", "")):
            before = server.cpu_seconds()
            found = finish(start(what, path, server, in_flight))
            spent = (server.cpu_seconds() - before) / rows * 1000
            rate = rows / found["seconds"]
            print(
                f"{in_flight:9d}  {ideal:7.0f} | {what:8s} {rate:7.1f}  {rate / ideal:7.3f}"
                f"  {steady(found['done']) / ideal:6.3f}  {target:6s}"
                f"  {found['cpu'] / rows * 1000:5.2f} ms  {spent:13.2f} ms",
                flush=True,
            )


def memory(path: Path, server: Server, most: int) -> None:
    server.order(settings={"latency": 0.0})
    print(
        "\nno latency, 32 in flight\n     rows  different texts     seconds   rows/s   peak memory"
    )
    # The first run also loads what the others find loaded by the system.
    sizes: list[tuple[int, int | None]] = [
        (10_000, 1_000), (100_000, 1_000), (most, 1_000), (10_000, None), (50_000, None),
    ]  # fmt: skip
    for rows, distinct in sizes:
        fill(path, rows, distinct)
        found = finish(start("predict", path, server, 32))
        print(
            f"{rows:9,d}  {distinct or rows:15,d}  {found['seconds']:10.1f}"
            f"  {rows / found['seconds']:7,.0f}  {found['peak']:9.0f} MB",
            flush=True,
        )


def recovery(path: Path, server: Server, refusing: float) -> None:
    """How long after the last refusal the rate of answers is what it was."""
    in_flight = 32
    server.order(settings={"latency": LATENCY})
    usual = in_flight / LATENCY
    rows = round(usual * 60)
    fill(path, rows)
    process = start("predict", path, server, in_flight)
    begun = server.order()["answered"]
    while server.order()["answered"] - begun < usual * 10:
        time.sleep(0.1)
    before = rate(server, 3.0)
    # It strikes for so long from the first request on, which comes within milliseconds.
    fault = {"pattern": "/chat/completions", "kind": 429, "seconds": refusing}
    counts = server.order(fault=fault)
    time.sleep(refusing)
    refused = server.order()["requests"] - counts["requests"]
    over = time.monotonic()
    while process.poll() is None and rate(server, 1.0) < 0.9 * before:
        pass
    took = time.monotonic() - over
    found = finish(process)
    print(
        f"\n{refusing:.0f} s of 429 without Retry-After at {before:.0f} rows/s: {refused} requests"
        f" meanwhile, back at 90 % of the rate {took:.1f} s after its end; of {rows:,} rows"
        f" {found['left']} have no label"
    )


def rate(server: Server, seconds: float) -> float:
    """Answers a second, measured over so long."""
    first, start = server.order()["answered"], time.monotonic()
    time.sleep(seconds)
    return (server.order()["answered"] - first) / (time.monotonic() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parts = ["speed", "memory", "recovery"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--seconds", type=float, default=15, help="of each run for speed")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the largest table")
    parser.add_argument("--refusing", type=float, default=60, help="seconds of 429")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        outcome = RUNS[options.run[0]](json.loads(options.run[1]))
        outcome["peak"] = peak_mb()
        print(json.dumps(outcome))
        return
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        use_vocabularies(Path(folder) / "vocabularies")
        path = Path(folder) / "bench.db"
        make(path, server)
        if "speed" in options.parts:
            speed(path, server, options.seconds)
        if "memory" in options.parts:
            memory(path, server, options.rows)
        if "recovery" in options.parts:
            recovery(path, server, options.refusing)


if __name__ == "__main__":
    main()
