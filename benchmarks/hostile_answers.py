"""What a service that answers too much, or for ever, costs: peak memory and seconds of one request.

    python benchmarks/hostile_answers.py

Each line is a process of its own: the answer, who reads it, the peak of resident memory above that
of the same process before the request, and the time until it was given up. The patience is 10 s.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

import temporary_ledger  # noqa: F401
from hostile_service import MIB, HostileService, bomb, deep, endless, large, trickle
from hostile_service import trickled_headers as slow_headers
from memory import peak

GIB = 1024 * MIB
PATIENCE = 10.0
ANSWERS = {
    "1 GB body": lambda: large(GIB),
    "1 GB gzip bomb": lambda: bomb(GIB),
    "endless chunks": lambda: endless,
    "a million levels of JSON": lambda: deep(1_000_000),
    "trickled body": lambda: trickle,
    "trickled headers": lambda: slow_headers,
}
READERS = ("list", "question", "result file")


def read(reader: str, base_url: str) -> None:
    from datasette_ftclassify.core.labels import LabelSet
    from datasette_ftclassify.export import ExportFormat
    from datasette_ftclassify.trainers.access import Endpoint
    from datasette_ftclassify.trainers.openai_protocol.batch import OpenAIBatchClient
    from datasette_ftclassify.trainers.openai_protocol.client import open_client
    from datasette_ftclassify.trainers.openai_protocol.dialect import OPENAI
    from datasette_ftclassify.trainers.openai_protocol.inference import OpenAIInferenceClient

    endpoint, labels = Endpoint("sk-none", base_url), LabelSet(("a", "b"), "binary")
    format = ExportFormat().bind(labels).resolved.to_dict()
    header = {"model": "gpt-4.1-mini", "format": format, "host": OPENAI.host(endpoint)}
    inference_client = OpenAIInferenceClient(header, labels, endpoint, timeout=PATIENCE)
    batch_client = OpenAIBatchClient(header, labels, endpoint)
    before, start, outcome = peak(), time.monotonic(), "read"
    try:
        if reader == "list":
            with open_client(endpoint, timeout=PATIENCE) as client:
                list(client.models.list())
        elif reader == "question":
            asyncio.run(inference_client.ask("a kerb"))
        else:
            for _ in batch_client.read("file-1"):
                pass
    except Exception as error:
        outcome = type(error).__name__
    took = time.monotonic() - start
    print(f"{(peak() - before) / MIB:8,.0f} MB {took:8.1f} s  {outcome}")


def main() -> None:
    if len(sys.argv) == 3:
        read(sys.argv[1], sys.argv[2])
        return
    for name, make in ANSWERS.items():
        for reader in READERS:
            if reader == "result file" and name.startswith("trickled"):
                continue  # which has an hour
            with HostileService(make()) as service:
                command = [sys.executable, __file__, reader, service.base_url]
                try:
                    said = subprocess.run(
                        command, capture_output=True, text=True, timeout=90, check=True
                    ).stdout.strip()
                except subprocess.TimeoutExpired:
                    said = "goes on after 90 s"
                except subprocess.CalledProcessError as error:
                    said = f"ended by {error.returncode}"
            print(f"{name:26}{reader:13}{said}", flush=True)


if __name__ == "__main__":
    main()
