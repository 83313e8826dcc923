"""Names and cells as bad as SQLite lets them be, on every page of ours: each opens, nothing in them
becomes HTML, and every link on it leads somewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import pytest
from datasette.utils import tilde_encode
from datasette.utils.asgi import Request
from visiting import ROOT, cookies, fault_of_the_oldest, get, is_065, send, serve

from datasette_ftclassify.core.database import connect, quote, quote_all
from datasette_ftclassify.core.errors import FtclassifyError
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import submit_predict
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.web.routing import _body

SCRIPT = "<script>alert(1)</script>"
PRODUCT = "{{ 77**11 }}{% raw %}"
EVALUATED = str(77**11)
"""What anybody who evaluates it writes, too long to stand in a fingerprint by chance."""

BRACKET = "" if is_065() else "]"  # Datasette 0.65 cannot show such a table at all
NAMES = [
    f"a.b {SCRIPT} '\"><img src=x onerror=alert(1)>",
    f"100% ~2F/{PRODUCT} #?&=+;-- [x{BRACKET} `t` \\",
    "\u202eשלום العربية 🦉\n\t,",
]
LABELS = [
    SCRIPT,
    "\" onmouseover=\"alert(1)' x='",
    f"{PRODUCT} & <b>",
    "שלום \u202e🙂",
    "W" * 3_000,
]
WORDS = ["drain flood pipe", "noise music night", "tree park bench", "road kerb lorry", "bin waste"]
CELLS = [SCRIPT, "'\"><svg onload=alert(1)>", "x" * 100_000, "nul\x00byte", "🦉" * 50,
         "\u202eالعربية שלום", PRODUCT, "</textarea></pre></title><script>alert(1)</script>",
         "&lt;b&gt; &#60;", "javascript:alert(1)", "]]>--><!--", "\r\n\x1b[31m"]  # fmt: skip
DATABASE = "to'wn & <b>{{ 77**11 }}"


class Page(HTMLParser):
    """What a browser would make of a page: its elements, links and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.links: list[str] = []
        self.scripts: list[str] = []
        self._inside: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._inside = tag
        found = dict(attrs)
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        if tag == "script":
            self.scripts.append(str(found.get("src") or ""))

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = None


def check_html(text: str, address: str, own: set[str]) -> Page:
    """Nothing on the page came from a name or a cell; `own` are Datasette's inline scripts."""
    assert EVALUATED not in text, address
    page = Page(text)
    assert not page.tags & {"img", "b", "iframe", "object"}, address
    for name, value in page.attributes:
        assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9:_.-]*", name), (address, name)
        assert not name.startswith("on"), (address, name, value)
        if name in ("href", "src", "action"):
            assert not value.lower().lstrip().startswith(("javascript:", "data:")), address
    for script in page.scripts:
        ours = script.startswith("/-/static") or not script.strip() or script in own
        assert ours, (address, script[:200])
    return page


@pytest.mark.parametrize(
    "text",
    [SCRIPT, "<p onclick='alert(1)'>", "<img src=x>", "<a href='javascript:alert(1)'>", EVALUATED,
     '<p title="" onmouseover="alert(1)\'">', '<p x"y>'],
)  # fmt: skip
def test_a_page_that_lets_them_through_is_found(text: str):
    with pytest.raises(AssertionError):
        check_html(f"<html>{text}</html>", "/", set())


def make(path: Path) -> None:
    """Tables of these names, each with a classifier, a check, an evaluation and predictions."""
    with closing(connect(path, must_exist=False)) as conn:
        for number, name in enumerate(NAMES):
            key, text, label = f"k {name}", f"t {name}", f"l {name}"
            with conn:
                conn.execute(
                    f"create table {quote(name)} ({quote(key)} text primary key, {quote(text)},"
                    f" {quote(label)})"
                )
                conn.executemany(
                    f"insert into {quote(name)} ({quote_all([key, text, label])}) values (?, ?, ?)",
                    _rows(),
                )
            task = define(conn, name, text=[text], labels=[label])
            made = train_classifier(
                conn, task, TrainRequest(name=_title(number), curve=number == 0)
            )
            classifier = find_classifier(conn, f"{_title(number)}@1")
            assert made is not None
            job = submit_predict(conn, classifier, name, PredictRequest())
            run_job(conn, job.id)
            submit_predict(conn, classifier, name, PredictRequest(unlabelled=True))


def _rows() -> Iterator[tuple[str, str, str | None]]:
    for i in range(120):
        cell = CELLS[i % len(CELLS)]
        text = f"{WORDS[i % 5]} {i} {cell}" if i % 2 else f"{cell} {WORDS[i % 5]} {i}"
        yield f"{i}/'\"<b>%,~ {cell[:20]}", text, LABELS[i % 5] if i < 110 else None


def _title(number: int) -> str:
    return ["plain", f"{SCRIPT}'\"{{{{ 77**11 }}}}/% .?#&", "שלום العربية 🦉 [x"][number]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / f"{DATABASE}.db"
    make(path)
    return path


@dataclass
class Walk:
    """A visitor who follows every link on our pages, and looks at where the others lead."""

    datasette: Any
    own: set[str] = field(default_factory=set)
    seen: dict[str, int] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)

    async def start(self, addresses: list[str]) -> None:
        plain = Page((await get(self.datasette, "/", ROOT)).text)
        self.own = {script for script in plain.scripts if not script.startswith("/")}
        left = list(addresses)
        while left:
            address = left.pop()
            if address in self.seen:
                continue
            left += [a for a in await self._visit(address) if self._is_worth_it(a)]

    async def _visit(self, address: str) -> list[str]:
        response = await get(self.datasette, address, ROOT, follow_redirects=True)
        self.seen[address] = response.status_code
        if "html" not in response.headers["content-type"] or "/-/ftclassify" not in address:
            return []
        page = check_html(response.text, address, self.own)
        assert len(response.text) < 1_500_000, address
        links = [urljoin(f"http://localhost{address}", link) for link in page.links]
        local = [link for link in links if urlsplit(link).netloc == "localhost"]
        return [link.removeprefix("http://localhost").partition("#")[0] for link in local]

    def _is_worth_it(self, address: str) -> bool:
        """Not all rows and cells of a matrix: some of each kind are as good."""
        kind = re.sub(r"=[^&]*", "=", address)
        kind = re.sub(r"/(\d+)(?=/|$|\?)", "/N", kind)
        if "/-/ftclassify" not in address:
            kind = "/".join(kind.split("/")[:3]).partition("?")[0] + str(kind.count("/"))
        alike = sum(1 for a in self.kinds if a == kind)
        self.kinds.append(kind)
        return address not in self.seen and alike < 6


@fault_of_the_oldest
@pytest.mark.parametrize("number", range(len(NAMES)))
async def test_every_page_opens_and_every_link_leads_somewhere(hostile: Path, number: int):
    datasette = serve(hostile, writers=ROOT)
    base = f"/{tilde_encode(hostile.stem)}/-/ftclassify"
    name = NAMES[number]
    columns = {"text": f"t {name}", "label": f"l {name}"}
    check = await send(
        datasette, f"{base}/train.json", {"table": name, "action": "check", **columns}, ROOT
    )
    assert check.status_code == 200, check.text
    job = check.json()["job"]["id"]
    with closing(connect(hostile)) as conn:
        run_job(conn, job)
    started = await send(
        datasette, f"{base}/train.json", {"table": name, "name": f"again {name}", **columns}, ROOT
    )
    assert started.status_code in (200, 400), started.text

    def at(page: str, **query: Any) -> str:
        return f"{base}/{page}?{urlencode(query, doseq=True)}"

    title = tilde_encode(f"{_title(number)}@1")
    walk = Walk(datasette)
    await walk.start([
        "/-/ftclassify", base, f"{base}?{urlencode({'table': name})}", f"{base}/jobs",
        at("train", table=name), at("train", table=name, check=job),
        at("train", table=name, **columns, **{f"l {name}__exact": LABELS[0]}),
        at("train", table=name, template="{{ row['t " + name + "'] }}", label=columns["label"]),
        at("classify", table=name, classifier=f"{_title(number)}@1", prefix=name),
        at("classify", table=name, **{f"t {name}__contains": SCRIPT}),
        at("export", table=name, **columns), f"{base}/classifiers/{title}",
        f"{base}/classifiers/{title}/rows",
        *(at(f"classifiers/{title}/rows", truth=label) for label in LABELS),
        *(at(f"classifiers/{title}/try", text=cell[:9000]) for cell in CELLS),
        *(f"{base}/jobs/{job}/finding/{n}" for n in range(3)),
    ])  # fmt: skip
    wrong = {a: status for a, status in walk.seen.items() if status != 200}
    assert wrong == {}
    ours = sum("/-/ftclassify" in address for address in walk.seen)
    assert ours > 50, ours
    assert len(walk.seen) - ours > 5, walk.seen


async def test_the_export_of_hostile_cells_is_whole(hostile: Path):
    datasette = serve(hostile)
    name = NAMES[0]
    query = {"table": name, "text": f"t {name}", "label": f"l {name}", "download": 1,
             "split": "train"}  # fmt: skip
    address = f"/{tilde_encode(hostile.stem)}/-/ftclassify/export?{urlencode(query)}"
    response = await get(datasette, address, ROOT)
    assert response.status_code == 200
    assert "\n" not in response.headers["content-disposition"]
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert any(SCRIPT in json.dumps(line) for line in lines)
    assert response.headers["x-content-type-options"] == "nosniff"


@fault_of_the_oldest
async def test_datasettes_pages_of_hostile_tables_with_our_columns(hostile: Path):
    datasette = serve(hostile, writers=ROOT)
    for name in NAMES:
        address = f"/{tilde_encode(hostile.stem)}/{tilde_encode(name)}?_size=50"
        response = await get(datasette, address, ROOT)
        assert response.status_code == 200
        assert EVALUATED not in response.text
        assert 'class="ft-score"' in response.text
        page = Page(response.text)
        assert not page.tags & {"img", "b", "iframe"}
        assert not [v for n, v in page.attributes if n.startswith("on") and "alert" in v]
        assert not [s for s in page.scripts if s.strip() == "alert(1)"]


@pytest.mark.parametrize("page", ["train", "classify"])
async def test_half_a_character_is_refused(trained: Path, page: str):
    """JSON can escape what is no text, and what neither SQLite nor a page can hold."""
    datasette = serve(trained, writers=ROOT)
    chosen = {"table": "messages", "text": "message", "label": "topic", "classifier": "topics"}
    sent = await datasette.client.post(
        f"/town/-/ftclassify/{page}",
        content=json.dumps({**chosen, "topic__exact": ["\ud800"]}),
        cookies=cookies(datasette, ROOT),
        headers={"content-type": "application/json", "sec-fetch-site": "same-origin",
                 "authorization": "Bearer none"},
    )  # fmt: skip
    assert sent.status_code == 400
    assert "half a character" in sent.json()["error"]


@pytest.mark.parametrize("page", ["train", "classify", "export"])
async def test_a_filter_with_a_number_beyond_sqlites_is_told(trained: Path, page: str):
    address = f"/town/-/ftclassify/{page}?table=messages&id__gt={'9' * 400}"
    response = await get(serve(trained, writers=ROOT), address, ROOT)
    assert response.status_code in (200, 400)
    assert page == "export" or "too large for a column" in response.text


async def test_a_body_without_end_is_not_read_to_its_end():
    asked = []

    async def receive() -> dict[str, Any]:
        asked.append(1)
        return {"type": "http.request", "body": b"x" * 100_000, "more_body": True}

    headers = [(b"content-type", b"application/json")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    with pytest.raises(FtclassifyError, match="more than 2,000,000 bytes"):
        await _body(request)
    assert len(asked) == 21
