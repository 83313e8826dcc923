"""A visitor who follows every link of a Datasette."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import unescape
from urllib.parse import parse_qsl, urljoin, urlsplit

OF_A_KIND = 2
"""Pages that differ in numbers, or in how a table is sorted or shaped: so many are visited."""

_APART = ("/-/logout", "/-/patterns", ".db")
"""It ends the visit; examples, which link to what is not there; the file itself."""

_LINK = re.compile(r'(?:href|src)="([^"]+)"')


@dataclass(frozen=True)
class Visited:
    path: str
    status: int
    body: bytes


def walk(
    fetch: Callable[[str], tuple[int, bytes]], start: Sequence[str] = ("/",), most: int = 400
) -> Iterator[Visited]:
    """The pages, each once, until no link is left, or so many.

    fetch: the status and the body at a path, whose redirects were followed
    """
    waiting = deque(start)
    known = set(start)
    kinds: Counter[tuple[str, ...]] = Counter()
    for _ in range(most):
        if not waiting:
            return
        path = waiting.popleft()
        status, body = fetch(path)
        yield Visited(path, status, body)
        for link in _links(path, body):
            if link not in known and kinds[_kind(link)] < OF_A_KIND:
                known.add(link)
                kinds[_kind(link)] += 1
                waiting.append(link)


def _links(path: str, body: bytes) -> Iterator[str]:
    """Those to the same server, as paths with their queries."""
    for found in _LINK.findall(body.decode("utf-8", "replace")):
        link = urlsplit(urljoin(f"http://here{path}", unescape(found)))
        if link.netloc == "here" and link.scheme == "http" and not link.path.endswith(_APART):
            yield link.path + (f"?{link.query}" if link.query else "")


def _kind(path: str) -> tuple[str, ...]:
    link = urlsplit(path)
    names = {name for name, _ in parse_qsl(link.query, keep_blank_values=True)}
    if any(name.startswith(("_sort", "_shape")) for name in names):
        return ("sorted or shaped", link.path.rpartition(".")[2])
    return (re.sub(r"\d+", "0", link.path), *sorted(names))
