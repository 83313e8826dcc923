"""The Postroom itself: a tiny service that learns which words go with which label.

PUT    /trainings/TAG   {"base", "examples": [{"text", "label"}], "smoothing"}; said twice, it is
                        the same one
GET    /trainings/TAG   {"state": learning | done | failed, "share", "model", "words", "why"}
DELETE /trainings/TAG
POST   /models/NAME     {"text"} -> {"chances": {label: probability}, "words"}
DELETE /models/NAME
"""

from __future__ import annotations

import json
import math
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "postroom-canary"


class Postroom:
    """Use it as a context manager: it serves on loopback meanwhile.

    polls:   looks at a training until it is done
    refuse:  (method, path) -> (status, headers, error) of a request that goes wrong, else None;
             called before anything is done
    log:     (method, path, body) of every request, oldest first
    """

    def __init__(self) -> None:
        self.polls = 2
        self.refuse: Callable[[str, str], tuple[int, dict[str, str], str] | None] = (
            lambda method, path: None
        )
        self.log: list[tuple[str, str, Any]] = []
        self.trainings: dict[str, dict[str, Any]] = {}
        self.models: dict[str, Model] = {}
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Postroom:
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def said(self, method: str, start: str) -> list[Any]:
        """Bodies of the requests by a method to paths that begin so."""
        return [body for how, path, body in self.log if how == method and path.startswith(start)]

    def answer(self, method: str, path: str, key: str | None, body: Any) -> tuple[int, dict, Any]:
        with self._lock:
            self.log.append((method, path, body))
            if key != KEY:
                return 401, {}, {"error": "no such key"}
            if (refused := self.refuse(method, path)) is not None:
                status, headers, words = refused
                return status, headers, {"error": words}
            _, room, name = path.split("/")
            acts = {
                ("PUT", "trainings"): self._order, ("GET", "trainings"): self._look,
                ("DELETE", "trainings"): lambda name, _: self.trainings.pop(name, None),
                ("POST", "models"): self._ask,
                ("DELETE", "models"): lambda name, _: self.models.pop(name, None) and {},
            }  # fmt: skip
            found = acts[method, room](name, body)
            return (404, {}, {"error": f"no {path}"}) if found is None else (200, {}, found)

    def _order(self, tag: str, body: Any) -> dict[str, Any]:
        if tag not in self.trainings:
            words = sum(len(example["text"].split()) for example in body["examples"])
            self.trainings[tag] = {
                "state": "learning", "share": 0.0, "words": words, "model": f"pr{tag[:12]}",
            }  # fmt: skip
            self.models[f"pr{tag[:12]}"] = Model(body["examples"], body.get("smoothing", 1))
        return self.trainings[tag]

    def _look(self, tag: str, _: Any) -> dict[str, Any] | None:
        training = self.trainings.get(tag)
        if training is not None and training["state"] == "learning":
            training["share"] = min(training["share"] + 1 / self.polls, 1.0)
            training["state"] = "done" if training["share"] >= 1 else "learning"
        return training

    def _ask(self, name: str, body: Any) -> dict[str, Any] | None:
        model = self.models.get(name)
        words = body["text"].split()
        return model and {"chances": model.chances(words), "words": len(words)}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        room = self

        class Handler(BaseHTTPRequestHandler):
            def _do(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                key = self.headers.get("X-Postroom-Key")
                status, headers, said = room.answer(self.command, self.path, key, body)
                content = json.dumps(said).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = _do

            def log_message(self, *_: object) -> None:
                pass

        return Handler


class Model:
    """Naive Bayes over words."""

    def __init__(self, examples: list[dict[str, str]], smoothing: float) -> None:
        self._smoothing = smoothing
        self._labels = Counter(example["label"] for example in examples)
        self._words: dict[str, Counter[str]] = defaultdict(Counter)
        for example in examples:
            self._words[example["label"]].update(example["text"].lower().split())
        self._known = {word for counts in self._words.values() for word in counts}

    def chances(self, words: list[str]) -> dict[str, float]:
        logs = {label: self._log_chance(label, words) for label in self._labels}
        top = max(logs.values())
        weights = {label: math.exp(log - top) for label, log in logs.items()}
        return {label: weight / sum(weights.values()) for label, weight in weights.items()}

    def _log_chance(self, label: str, words: list[str]) -> float:
        counts, more = self._words[label], self._smoothing
        total = counts.total() + more * len(self._known)
        known = (word.lower() for word in words if word.lower() in self._known)
        return math.log(self._labels[label]) + sum(
            math.log((counts[w] + more) / total) for w in known
        )
