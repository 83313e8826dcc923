"""The server in a process of its own, for benchmarks and for a look at it by hand.

    PYTHONPATH=tests python -m openai_server --latency 0.2 --no-log

Prints its base URL and key as one line of JSON, and runs until its input ends. Each line of its
input is an order in JSON, answered with a line of counts:

    {"settings": {"latency": 0.2}}
    {"fault": {"pattern": "/chat/completions", "kind": 429, "seconds": 60}}
    {"deploy": {"model": "MODEL", "name": "NAME"}}
    {}
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .server import OpenAIServer


def obey(server: OpenAIServer, order: dict[str, Any]) -> None:
    for name, value in order.get("settings", {}).items():
        if not hasattr(server.settings, name):
            raise ValueError(f"There is no setting {name!r}.")
        setattr(server.settings, name, value)
    if "fault" in order:
        server.faults.add(**order["fault"])
    if "deploy" in order:
        server.deploy(**order["deploy"])


def counts(server: OpenAIServer) -> dict[str, int]:
    return {
        "requests": server.app.requests,
        "answered": server.app.answered,
        "requests_in_flight_max": server.requests_in_flight_max,
        "jobs_created": server.jobs_created,
        "batches_created": server.batches_created,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m openai_server",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keep the state here, and go on with it")
    parser.add_argument("--dialect", choices=["openai", "azure", "compatible"], default="openai")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds an answer takes")
    parser.add_argument("--pace", type=float, default=0.005, help="seconds a job is in each state")
    parser.add_argument("--no-log", action="store_true", help="keep no requests in memory")
    given = parser.parse_args()
    with OpenAIServer(
        folder=given.folder, port=given.port, dialect=given.dialect, latency=given.latency,
        pace=given.pace, keep_log=not given.no_log,
    ) as server:  # fmt: skip
        print(json.dumps({"base_url": server.base_url, "api_key": server.api_key}), flush=True)
        for line in sys.stdin:
            obey(server, json.loads(line))
            print(json.dumps(counts(server)), flush=True)
        print(json.dumps(counts(server)))


if __name__ == "__main__":
    main()
