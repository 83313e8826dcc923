"""A service that answers what no service should: for ever, or far too much. Knows no protocol."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator

MIB = 1024**2
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

Answer = Callable[["Talk"], None]


class Talk:
    """One request and the way to answer it. `sent` counts what left, `path` is what was asked."""

    def __init__(self, service: HostileService, connection: socket.socket, path: str) -> None:
        self.service, self.path = service, path
        self._connection = connection

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)
        self.service.sent += len(data)

    @property
    def is_over(self) -> bool:
        return self.service.stopping.is_set()


def large(size: int) -> Answer:
    """A body of so many bytes, which says so."""

    def answer(talk: Talk) -> None:
        talk.send(HEAD + b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(size // MIB):
            talk.send(b" " * MIB)

    return answer


def endless(talk: Talk) -> None:
    """Chunks without an end."""
    talk.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while not talk.is_over:
        talk.send(b"100000\r\n" + b"[" * MIB + b"\r\n")


def bomb(size: int) -> Answer:
    """A small body that unpacks to so many bytes."""
    packed = b"".join(gzip_pieces(size))

    def answer(talk: Talk) -> None:
        talk.send(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed))
        talk.send(packed)

    return answer


def gzip_pieces(size: int) -> Iterator[bytes]:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for _ in range(size // MIB):
        yield packer.compress(b" " * MIB)
    yield packer.flush()


def trickle(talk: Talk) -> None:
    """A byte of the body now and then."""
    talk.send(HEAD + b"Content-Length: 1000000\r\n\r\n")
    drip(talk, b" ")


def trickled_headers(talk: Talk) -> None:
    talk.send(HEAD + b"X-Long: ")
    drip(talk, b"a")


def drip(talk: Talk, byte: bytes) -> None:
    while not talk.is_over:
        talk.send(byte)
        time.sleep(0.05)


def large_headers(talk: Talk) -> None:
    talk.send(HEAD)
    while not talk.is_over:
        talk.send(b"X-Long: " + b"a" * MIB)


def deep(depth: int) -> Answer:
    def answer(talk: Talk) -> None:
        body = b'{"data": ' + b"[" * depth + b"]" * depth + b"}"
        talk.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    return answer


def refused_at_length(talk: Talk) -> None:
    """An error whose body does not end."""
    talk.send(b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not talk.is_over:
        talk.send(b"100000\r\n" + b"a" * MIB + b"\r\n")


def pages_without_end(talk: Talk) -> None:
    """A page of a list with another one after it, each time."""
    number = len(talk.service.asked)
    item = {"id": f"it-{number}", "object": "x", "created_at": 1, "status": "failed"}
    body = json.dumps({"object": "list", "data": [item], "has_more": True}).encode()
    talk.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)


class HostileService:
    """Answers every request on a port of its own in the one way that is set. Use with `with`."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.sent = 0
        self.stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> HostileService:
        self._threads[0].start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=[connection], daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as incoming, contextlib.suppress(OSError):
            connection.settimeout(30)
            while line := incoming.readline():
                length = 0
                while (header := incoming.readline().strip()) != b"":
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                incoming.read(length)
                path = line.split()[1].decode()
                self.asked.append(path)
                self.answer(Talk(self, connection, path))
