"""Every route, tried as every kind of visitor; and what nobody is told of a table they may not see.

What should happen follows from what a page declares, and from ASKS_MORE where a view asks for more
than its route can know. Addresses follow as well, so a new page is tried without a line here.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from visiting import ROOT, cookies, fault_of_the_oldest, is_065, serve

import datasette_ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.job_events import SERVICE
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.check import submit_check
from datasette_ftclassify.jobs.columns import Columns
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows, submit_predict
from datasette_ftclassify.jobs.review.build import submit_review
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.settings import ReviewSettings
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.classifiers import find_classifier, set_default
from datasette_ftclassify.store.jobs.state import add_event, add_job, claim_job
from datasette_ftclassify.store.schema import TABLES
from datasette_ftclassify.web import column_suggestions
from datasette_ftclassify.web.permissions import (
    DELETE,
    PERMISSIONS,
    PREDICT,
    REVIEW,
    SPEND,
    TRAIN,
    VIEW,
    may_view_table,
    may_write,
    old_permission,
)
from datasette_ftclassify.web.routes import routes
from datasette_ftclassify.web.routing import Route

OURS = "/town/-/ftclassify"
ROUTES = routes()
HIDDEN = "xyzzy"
"""In the name, columns, texts, labels, classifier, jobs, events and ids of a table that only root
may see."""

ABSENT = "qwert"

VISITORS: dict[str, tuple[str | None, set[str]]] = {
    "anonymous": (None, {VIEW}),
    "sees only": ("vic", {VIEW}),
    "trains, spends not": ("tom", {VIEW, TRAIN}),
    "predicts": ("pat", {VIEW, PREDICT}),
    "deletes": ("dora", {VIEW, DELETE}),
    "reviews": ("rita", {VIEW, REVIEW}),
    "all, another table": ("olga", {VIEW}),
    "all, sees it not": ("ned", set()),
    "root": (ROOT, set(PERMISSIONS)),
}
"""Who they are, and what they may do with the table `messages`."""

WORKERS = {TRAIN, PREDICT, REVIEW, DELETE}
"""Who has one of these is shown jobs."""


@dataclass(frozen=True)
class Address:
    """One of each route. {train} and {check} are numbers of jobs.

    body: of a POST that succeeds for who may
    """

    path: str
    body: dict[str, Any] = field(default_factory=dict)


LABEL = {"text": "message", "label": "topic"}
BODIES: dict[str, dict[str, Any]] = {
    "/classifiers/{name}": {"action": "default"},
    "/classifiers/{name}/evaluate": {},
    "/classifiers/{name}/try": {},
    "/classify": {"table": "messages", "classifier": "topics@1"},
    "/train": {"table": "messages", "action": "check", **LABEL},
    "/jobs/{id}": {"action": "pause"},
    "/jobs/{id}/review": {"action": "next"},
    "/jobs/{id}/agreement": {"action": "decide"},
    "/review": {"table": "messages", "queue": "audit", **LABEL},
}
"""Of POSTs that succeed for who may; that of a page which is not here may be refused as incomplete,
but only to who may."""

CLASSIFIERS = {"/classifiers/{name}": "urgent", "/classifiers/{name}/retrain": "urgent"}
"""Whose versions are all of one table; elsewhere the newest version that all may see."""

JOBS = {"/jobs/{id}": "train", "/jobs/{id}/review": "queue", "/jobs/{id}/agreement": "queue"}
"""A job that may be paused, one that has made a queue; elsewhere a check."""

NEED_A_FILE_TO_WRITE = {
    "/train",
    "/review",
    "/jobs/{id}/review",
    "/classifiers/{name}/retrain",
    "/classifiers/{name}/student",
    "/classifiers/{name}/other",
    "/jobs/{id}/agreement",
    "/merge-labels",
    "/sweep",
}  # fmt: skip
"""Pages that are of no use where nothing can be written."""

QUERIES = {"/classifiers/{name}/rows": "?wrong=1", "/classifiers/{name}/try": "?text=noise"}

ASKS_MORE = {"/jobs/{id}": {TRAIN}}
"""What a POST needs besides, which depends on the object: here it is a job that trains."""


def address_of(route: Route) -> Address:
    path = route.path.format(
        name=CLASSIFIERS.get(route.path, "topics~401"),
        id=f"{{{JOBS.get(route.path, 'check')}}}",
        number=0,
    )
    query = "?table=messages" if route.about == "table" else QUERIES.get(route.path, "")
    base = "/-/ftclassify" if route.about == "instance" else OURS
    return Address(f"{base}{path}{query}", BODIES.get(route.path, {}))


PAID = {
    "a paid training": Address(
        f"{OURS}/train?table=messages", {"table": "messages", "trainer": "openai", **LABEL}
    ),
    "a job that costs money": Address(f"{OURS}/jobs/{{paid}}", {"action": "pause"}),
}
"""What needs ftclassify-spend besides ftclassify-train."""


def expected(route: Route, method: str, may: set[str]) -> set[int]:
    """The statuses that are right for a visitor with these permissions."""
    action = route.writes if method == "POST" else route.reads
    if action is None:
        return {405}
    if route.about in ("instance", "database"):
        return {200}
    if VIEW not in may or (route.about == "job" and not may & WORKERS):
        return {404}
    needed = {action} | (ASKS_MORE.get(route.path, set()) if method == "POST" else set())
    done = {200, 302} if method != "POST" or route.path in BODIES else {200, 302, 400}
    return done if needed <= may else {403}


# --- the town ------------------------------------------------------------------------------------


def fill(path: Path) -> dict[str, int]:
    """Adds to the trained town everything that there may be, for the open table and for the hidden
    one; gives numbers of jobs."""
    with closing(connect(path)) as conn:
        with conn:
            conn.execute("create table other as select * from messages")
            conn.execute(f"create table {HIDDEN} (id integer primary key, {HIDDEN}_t, {HIDDEN}_l)")
            conn.executemany(
                f"insert into {HIDDEN} values (?, ?, ?)",
                ((i, f"{HIDDEN} {i} {'abc'[i % 3] * 3}", f"{HIDDEN}_{i % 3}") for i in range(90)),
            )
        hidden = define(conn, HIDDEN, text=[f"{HIDDEN}_t"], labels=[f"{HIDDEN}_l"])
        for name in (f"{HIDDEN}_one", "topics"):  # the latter is a second version
            train_classifier(conn, hidden, TrainRequest(name=name, curve=False))
        predict_rows(conn, find_classifier(conn, "topics@1"), "messages", PredictRequest())
        predict_rows(conn, find_classifier(conn, f"{HIDDEN}_one"), HIDDEN, PredictRequest())
        set_default(conn, f"{HIDDEN}_one")
        with conn:  # a column of the open classifier in the hidden table
            conn.execute(
                "insert into _ftclassify_columns values (?, ?, 'topics', 'label')",
                (HIDDEN, f"{HIDDEN}_c"),
            )
        task = define(conn, "messages", text=["message"], labels=["topic"])
        words = {"task": task.to_dict(), "name": "new", "trainer": "local"}
        train = add_job(conn, "train", words)
        paid = add_job(conn, "train", {**words, "trainer": "openai"})
        check = submit_check(conn, task, SplitPlan())
        run_job(conn, check.id)
        hidden_check = submit_check(conn, hidden, SplitPlan())
        run_job(conn, hidden_check.id)
        queue = submit_review(conn, ReviewSettings(task, "audit", rows=5, people=2))
        hidden_queue = submit_review(conn, ReviewSettings(hidden, "audit", rows=5))
        for job in (queue, hidden_queue):
            run_job(conn, job.id)
        hidden_words = {"task": hidden.to_dict(), "name": HIDDEN, "trainer": "openai"}
        unseen = add_job(conn, "train", hidden_words, estimate={"usd": 1.0})
        add_event(
            conn, claim_job(conn, unseen.id, "elsewhere:1:token"), SERVICE, f"{HIDDEN} happened"
        )
        with conn:
            conn.execute(
                "update _ftclassify_jobs set remote = ?, step = ? where id = ?",
                (f'{{"job_id": "{HIDDEN}"}}', HIDDEN, unseen.id),
            )
        classifier = find_classifier(conn, f"{HIDDEN}_one")
        queued = submit_predict(conn, classifier, HIDDEN, PredictRequest(where="id < 50"))
        # Of the open table, with a classifier that learnt from the hidden one.
        elsewhere = replace(classifier, task=replace(classifier.task, text=("message",)))
        guess = PredictRequest(columns=Columns.named("guess"))
        mixed = submit_predict(conn, elsewhere, "messages", guess)
    return {
        "train": train.id, "paid": paid.id, "check": check.id, "unseen": unseen.id,
        "unseen_check": hidden_check.id, "unseen_predict": queued.id, "unseen_mixed": mixed.id,
        "queue": queue.id, "unseen_queue": hidden_queue.id,
    }  # fmt: skip


def configuration() -> dict[str, Any]:
    """Who may what; root is named, since who is not named in a rule is shut out by it."""

    def only(*names: str) -> dict[str, Any]:
        return {"id": [*names, ROOT]}

    ours = {TRAIN: only("tom", "ned"), PREDICT: only("pat", "ned"), DELETE: only("dora", "ned"),
            REVIEW: only("rita", "ned"), SPEND: only("ned")}  # fmt: skip
    everything = {action: only("olga") for action in PERMISSIONS if action != VIEW}
    sees = {"id": ["vic", "tom", "pat", "dora", "olga", "rita", ROOT], "unauthenticated": True}
    tables = {
        "messages": {"allow": sees},
        "other": {"plugins": {"datasette-ftclassify": {"permissions": everything}}},
        HIDDEN: {"allow": {"id": ROOT}},
    }
    config: dict[str, Any] = {"databases": {"town": {"tables": tables}}}
    config["plugins"] = {"datasette-ftclassify": {"permissions": ours, "usd_per_job": 5}}
    if not is_065():
        config["permissions"] = dict.fromkeys(
            ("update-row", "alter-table"), only("pat", "ned", "olga", "rita")
        )
    return config


class Town:
    """A Datasette that serves a town, and a file to look into."""

    def __init__(self, path: Path, jobs: dict[str, int], *, immutable: bool = False) -> None:
        self.path, self.jobs = path, jobs
        where = {"metadata" if is_065() else "config": configuration()}
        files, fixed = ([], [str(path)]) if immutable else ([str(path)], [])
        # Who may write SQL is told the columns of all tables by Datasette 1.0 itself.
        settings = {"default_allow_sql": False}
        self.datasette = Datasette(files, immutables=fixed, settings=settings, **where)
        if not is_065():
            self.datasette.root_enabled = True
        self._token = ""

    async def ask(
        self, method: str, address: Address, who: str | None, *, json: bool, token: bool = True
    ) -> Any:
        """As a browser sends it, or a program."""
        path, _, query = address.path.format(**self.jobs).partition("?")
        path = path + (".json" if json else "") + (f"?{query}" if query else "")
        jar, headers, client = cookies(self.datasette, who), {}, self.datasette.client
        if method != "POST":
            return await client.request(method, path, cookies=jar)
        body = dict(address.body)
        if not is_065():
            headers = {"sec-fetch-site": "same-origin" if token else "cross-site"}
        elif token:
            headers = {"x-csrftoken": await self._csrf()}
            jar["ds_csrftoken"] = headers["x-csrftoken"]
        sent = {"json": body} if json else {"data": body}
        return await client.post(path, cookies=jar, headers=headers, **sent)

    async def _csrf(self) -> str:
        if not self._token:
            page = await self.datasette.client.get(
                "/-/permissions", cookies=cookies(self.datasette, ROOT)
            )
            self._token = page.cookies["ds_csrftoken"]
        return self._token

    def as_before(self) -> None:
        """The jobs wait again, so that the next visitor may pause them."""
        with closing(connect(self.path)) as conn, conn:
            conn.execute(
                "update _ftclassify_jobs set state = 'queued', wanted = null where id in (?, ?)",
                (self.jobs["train"], self.jobs["paid"]),
            )

    def digest(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def original(
    trained_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, int]]:
    path = Path(shutil.copy(trained_file, tmp_path_factory.mktemp("seen") / "town.db"))
    return path, fill(path)


@pytest.fixture
def town(original: tuple[Path, dict[str, int]], tmp_path: Path) -> Town:
    path, jobs = original
    return Town(Path(shutil.copy(path, tmp_path / "town.db")), jobs)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page says the same on a busy machine, where it would see fewer rows in its moment."""
    monkeypatch.setattr(column_suggestions, "_LOOK_MS", 60_000)


# --- every route, every visitor ------------------------------------------------------------------


def test_what_is_said_here_is_of_pages():
    paths = {route.path for route in ROUTES}
    assert {*CLASSIFIERS, *JOBS, *QUERIES, *ASKS_MORE} | {*BODIES} <= paths
    assert {route.path for route in ROUTES if route.writes} >= set(BODIES)


def test_nothing_is_registered_beside_the_routes():
    patterns = [pattern for pattern, _ in datasette_ftclassify.register_routes()]
    assert patterns == [route.pattern for route in ROUTES]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.about}{route.path}")
async def test_who_may_what(town: Town, route: Route):
    wrong = []
    for method in ("GET", "HEAD", "POST"):
        for name, (who, may) in VISITORS.items():
            for json in (False, True):
                if method == "POST":
                    town.as_before()
                response = await town.ask(method, address_of(route), who, json=json)
                if response.status_code not in expected(route, method, may):
                    wrong.append((method, name, json, response.status_code))
    assert not wrong


@pytest.mark.parametrize("what", PAID)
async def test_what_costs_money_needs_a_permission_of_its_own(town: Town, what: str, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for name, (who, may) in VISITORS.items():
        town.as_before()
        response = await town.ask("POST", PAID[what], who, json=True)
        if VIEW not in may or ("job" in what and not may & WORKERS):
            assert response.status_code == 404, name
        elif {TRAIN, SPEND} <= may:  # root gets as far as the missing key
            assert response.status_code in (200, 400), name
        else:
            assert response.status_code == 403, name


async def test_a_grant_is_of_its_table(town: Town):
    body = {"table": "other", "action": "check", **LABEL}
    other = Address(f"{OURS}/train?table=other", body)
    for who, status in (("olga", 200), ("tom", 403), (None, 403), (ROOT, 200)):
        for method in ("GET", "POST"):
            response = await town.ask(method, other, who, json=True)
            assert response.status_code == status, (who, method)


async def test_a_name_is_changed_by_who_may_change_all_its_versions(town: Town):
    for action, status in (("rename", 403), ("default", 403), ("delete", 200)):
        body = {"action": action, "new_name": "mine"}
        response = await town.ask(
            "POST", Address(f"{OURS}/classifiers/topics~401", body), "dora", json=True
        )
        assert response.status_code == status, action
        assert HIDDEN not in response.text


async def test_a_name_is_taken_by_nobody_who_may_not_train_all_its_versions(town: Town):
    fields = {"table": "messages", "text": ["message"], "label": ["topic"], "action": "train"}
    for name, status in (("topics", 403), ("mine", 200)):
        body = {**fields, "name": name}
        response = await town.ask(
            "POST", Address(f"{OURS}/train?table=messages", body), "tom", json=True
        )
        assert response.status_code == status, name
        assert HIDDEN not in response.text


async def test_requests_of_other_sites_are_refused(town: Town):
    before = town.digest()
    for route in ROUTES:
        if route.writes is None:
            continue
        for json in (False, True):
            response = await town.ask("POST", address_of(route), ROOT, json=json, token=False)
            assert response.status_code == 403, route
    assert town.digest() == before


async def test_an_immutable_file_is_read_and_never_written(original, tmp_path: Path):
    path, jobs = original
    town = Town(Path(shutil.copy(path, tmp_path / "town.db")), jobs, immutable=True)
    before = town.digest()
    await town.datasette.invoke_startup()
    assert not await may_write(town.datasette, {"id": ROOT}, "town", "messages")
    for route in ROUTES:
        for json in (False, True):
            response = await town.ask("POST", address_of(route), ROOT, json=json)
            assert response.status_code in (400, 403, 404, 405), route
            response = await town.ask("GET", address_of(route), ROOT, json=json)
            right = 404 if route.path in NEED_A_FILE_TO_WRITE else 200
            assert response.status_code == right, route
    assert town.digest() == before


# --- what nobody is told -------------------------------------------------------------------------


async def test_no_page_tells_of_a_hidden_table(town: Town):
    own = ["/", "/town", "/town/messages", "/town/messages/1", f"{OURS}?table=messages",
           f"{OURS}/jobs?active=1", f"{OURS}/train?table=messages&check={{check}}",
           f"{OURS}/train?table=messages&check={{unseen_check}}", "/town/messages?_facet=topic",
           f"{OURS}/jobs/{{train}}?since=1", f"{OURS}/classifiers/topics~401"]  # fmt: skip
    addresses = [*map(address_of, ROUTES), *map(Address, own)]
    for who in (None, "tom", "pat", "olga", "ned"):
        for address in addresses:
            for json in (False, True):
                if json and address.path == "/":
                    continue
                text = (await town.ask("GET", address, who, json=json)).text
                assert HIDDEN not in text.lower(), (who, address.path, json)


def about(name: str, number: str) -> list[tuple[str, Address]]:
    """Requests about a table, a classifier and a job of that name."""
    of_tables = ("train", "classify", "export", "review")
    paths = [f"{OURS}/{page}?table={name}" for page in (*of_tables, "jobs")]
    paths += [f"{OURS}/{page}?table={name.upper()}" for page in of_tables]
    paths += [f"{OURS}?table={name}"]
    paths += [f"{OURS}/classifiers/{name}_one{end}" for end in ("", "/rows", "/try?text=a")]
    paths += [f"{OURS}/jobs/{number}{end}" for end in ("", "/finding/0", "/review?place=1")]
    paths += [f"{OURS}/train?table=messages&check={number}"]
    paths += [f"{OURS}/classify?table=messages&classifier={name}_one"]
    found = [("GET", Address(path)) for path in paths]
    bodies = [
        ("train", {"table": name, "action": "check"}),
        ("classify", {"table": "messages", "classifier": f"{name}_one"}),
        ("classify", {"table": name, "classifier": "topics"}),
        (f"classifiers/{name}_one", {"action": "delete"}),
        (f"jobs/{number}", {"action": "cancel"}),
        ("review", {"table": name, "queue": "audit"}),
        ("review", {"table": "messages", "queue": "audit", "classifier": f"{name}_one"}),
        (f"jobs/{number}/review", {"action": "next"}),
    ]
    return found + [("POST", Address(f"{OURS}/{page}", body)) for page, body in bodies]


def told(response: Any, name: str, numbers: str) -> tuple[int, str]:
    """The answer, without what was asked for and what differs every time."""
    text = re.sub(r'name="csrftoken" value="[^"]*"', "", response.text)
    text = re.sub(rf"{name}|{name.upper()}", "NAME", text)
    return response.status_code, re.sub(rf"\b({numbers})\b", "NUMBER", text)


@pytest.mark.parametrize("who", [who for who, _ in VISITORS.values() if who != ROOT])
async def test_what_is_hidden_is_as_if_it_were_not_there(town: Town, who: str | None):
    for job in ("unseen", "unseen_check", "unseen_predict", "unseen_mixed", "unseen_queue"):
        number = str(town.jobs[job])
        pairs = zip(about(HIDDEN, number), about(ABSENT, "987654"), strict=True)
        for (method, hidden), (_, absent) in pairs:
            if job != "unseen" and number not in hidden.path:
                continue
            for json in (False, True):
                one = await town.ask(method, hidden, who, json=json)
                other = await town.ask(method, absent, who, json=json)
                numbers = f"{number}|987654"
                assert told(one, HIDDEN, numbers) == told(other, ABSENT, numbers), hidden


async def test_what_was_learnt_from_a_table_that_is_gone_is_listed(trained: Path):
    with closing(connect(trained)) as conn, conn:
        conn.execute("drop table messages")
    closed = {"messages": {"allow": {"id": ROOT}}}
    for tables, count in ((None, 3), (closed, 0)):
        datasette = serve(trained, tables=tables)
        data = (await datasette.client.get(f"{OURS}.json")).json()
        assert len(data["classifiers"]) == count


# --- our own tables ------------------------------------------------------------------------------


@fault_of_the_oldest
async def test_our_tables_are_for_root(town: Town):
    get = town.datasette.client.get
    for table in TABLES:
        for who, _ in VISITORS.values():
            response = await get(f"/town/{table}.json", cookies=cookies(town.datasette, who))
            assert response.status_code == (200 if who == ROOT else 403), (table, who)
        other = await get(f"/town/{table.upper()}.json", follow_redirects=True)
        assert other.status_code in (403, 404), table
    for path in ("/town/_ftclassify_jobs", "/town/_ftclassify_jobs.csv", "/town/_ftclassify_jobs/1",
                 "/town/_ftclassify_jobs/1.json"):  # fmt: skip
        for who, _ in VISITORS.values():
            response = await get(path, cookies=cookies(town.datasette, who))
            assert response.status_code == (200 if who == ROOT else 403), (path, who)
    listed = (await get("/town.json")).json()["tables"]
    assert not [table["name"] for table in listed if table["name"] in TABLES]


@fault_of_the_oldest
async def test_our_tables_are_closed_however_their_names_are_written(town: Town):
    """SQLite finds a table by its name in any case. Before 0.65.5 the hook was asked for the name
    as the visitor had written it."""
    await town.datasette.invoke_startup()
    for table in TABLES:
        for name in (table, table.upper(), table.title()):
            for who in ("vic", None, ROOT):
                actor = {"id": who} if who else None
                right = who == ROOT
                assert await may_view_table(town.datasette, actor, "town", name) == right
                said = old_permission(town.datasette, actor, "view-table", ("town", name))
                assert said is (None if right else False), (name, who)


async def test_the_configuration_can_open_one_of_them(original):
    path, _ = original
    tables = {"_ftclassify_jobs": {"allow": {"id": "vic"}}}
    where = "metadata" if is_065() else "config"
    datasette = Datasette([str(path)], **{where: {"databases": {"town": {"tables": tables}}}})
    for who, table, status in (
        ("vic", "_ftclassify_jobs", 200),
        ("vic", "_ftclassify_batches", 403),
        (None, "_ftclassify_jobs", 403),
    ):
        response = await datasette.client.get(f"/town/{table}", cookies=cookies(datasette, who))
        assert response.status_code == status, (who, table)
