"""A service's trainer from another package, from a table to columns: the protocol is enough for it,
and neither commands nor pages need know it."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from commands import says
from example_packages import install
from example_service.postroom import KEY, Postroom
from sample_databases import town_database
from stored import list_jobs
from visiting import get, send, serve

import datasette_ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.jobs.state import ask_job
from datasette_ftclassify.trainers import registry

TASK = ["messages", "--text", "message", "--label", "topic", "--name", "post"]
WORDS_USD, ASKED_USD = 50 / 1e6, 20 / 1e6


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install("example_service", tmp_path_factory.mktemp("packages"))


@pytest.fixture
def room(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Postroom]:
    """The service, and its package at hand, as where it is installed."""
    monkeypatch.syspath_prepend(str(package))
    registry._registered.cache_clear()
    with Postroom() as service:
        monkeypatch.setenv("POSTROOM_API_KEY", KEY)
        monkeypatch.setenv("POSTROOM_BASE_URL", service.url)
        yield service
    sys.modules.pop("ftclassify_postroom", None)
    registry._registered.cache_clear()


@pytest.fixture
def town(tmp_path: Path) -> Path:
    town_database(tmp_path / "town.db").close()
    return tmp_path / "town.db"


def train(town: Path, *more: object, code: int = 0) -> str:
    return says("train", town, *TASK, "--trainer", "postroom", *more, code=code)


def words(room: Postroom) -> int:
    """Of all questions."""
    return sum(len(body["text"].split()) for body in room.said("POST", "/models/"))


def test_from_a_table_to_columns_within_limits(
    room: Postroom, town: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = {t["name"]: t for t in json.loads(says("trainers", "--json"))["trainers"]}
    assert listed["postroom"]["costs_money"]
    told = train(town, code=1)
    assert f"rows will leave this machine, to {room.url.partition('//')[2]}." in told
    assert "Training postroom-1: " in told
    assert "$50 for a million tokens, by the price table of 2026-11-01." in told
    assert "add --yes" in told
    assert "more than the limit" in train(town, "--yes", "--limit-usd", "0.001", code=1)
    assert "epochs means nothing" in train(town, "--yes", "--epochs", 2, code=1)
    assert room.log == []

    made = json.loads(train(town, "--yes", "--limit-usd", 5, "--json"))
    assert made["metrics"]["accuracy"] > made["metrics"]["majority_accuracy"] + 0.2
    (training,) = room.trainings.values()
    asked = words(room)
    assert made["usd"] == pytest.approx(training["words"] * WORDS_USD + asked * ASKED_USD)
    assert len(room.said("PUT", "/trainings/")) == 1

    limit = 40 * ASKED_USD
    stopped = says("predict", town, "messages", "--yes", "--limit-usd", limit, code=1)
    assert "with a larger limit (--limit-usd)" in stopped
    assert 0 < words(room) - asked <= 40
    done = json.loads(says("predict", town, "messages", "--yes", "--json"))
    texts = [body["text"] for body in room.said("POST", "/models/")]
    assert len(texts) == len(set(texts))  # nothing was paid for twice, by any of the three jobs
    assert done["spent"]["usd"] == pytest.approx((words(room) - asked) * ASKED_USD)
    with closing(connect(town)) as conn:
        rows = conn.execute("select topic, post_label, post_score from messages").fetchall()
    assert all(0 <= score <= 1 for _, _, score in rows)
    assert sum(a == b for a, b, _ in rows) > 0.6 * sum(a is not None for a, _, _ in rows)
    assert KEY.encode() not in town.read_bytes()

    monkeypatch.setenv("FTCLASSIFY_SQL_USD_PER_DAY", "1")
    with closing(connect(town)) as conn:
        register(conn)
        lamp = "the lamp outside our house flickers all night"
        ask = "select ft_classify(?1, 'post'), ft_score(?1, 'post')"
        label, score = conn.execute(ask, [lamp]).fetchone()
    assert label == "Street lighting"
    assert 0.2 < score < 1
    assert room.said("POST", "/models/")[-1] == {"text": lamp}

    assert f"model {training['model']}" in says(
        "classifiers", "delete", town, "post", "--at-service", "--yes"
    )
    assert room.models == {}


def test_what_goes_wrong_at_the_service_is_waited_for(room: Postroom, town: Path) -> None:
    troubles = {
        "PUT": [(503, {}, "opening hours"), (429, {"Retry-After": "0.01"}, "busy")],
        "GET": [(500, {}, "ink is spilt")],
        "POST": [(429, {"Retry-After": "0.01"}, "busy"), (422, {}, "illegible")],
    }
    room.refuse = lambda method, path: troubles[method].pop(0) if troubles[method] else None
    made = json.loads(train(town, "--yes", "--json"))
    assert len(room.trainings) == 1
    assert made["metrics"]["abstained"] == 1  # the one that was illegible


def test_a_training_is_cancelled_at_the_service(room: Postroom, town: Path) -> None:
    def cancel(method: str, path: str) -> None:
        if method == "GET":
            with closing(connect(town)) as conn:
                ask_job(conn, list_jobs(conn)[0].id, "cancel")

    room.refuse, room.polls = cancel, 10_000
    train(town, "--yes", code=1)
    assert room.trainings == {}
    with closing(connect(town)) as conn:
        (job,) = list_jobs(conn)
        assert job.state == "cancelled"
        room.refuse, room.polls = (lambda method, path: None), 1
        ask_job(conn, job.id, "retry")
        assert run_job(conn, job.id).state == "finished"
    assert len(room.trainings) == 1


async def test_a_page_trains_by_it(
    room: Postroom, town: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTCLASSIFY_USD_PER_JOB", "5")
    ann = {"id": "ann"}
    datasette = serve(town, grants={"ftclassify-train": ann, "ftclassify-spend": ann})
    page = "/town/-/ftclassify/train"

    async def offer() -> dict[str, Any]:
        data = (await get(datasette, f"{page}.json?table=messages", "ann")).json()
        return next(t for t in data["trainers"] if t["name"] == "postroom")

    shown = await offer()
    assert shown["missing"] is None
    assert room.url.partition("//")[2] in shown["leaves"]
    assert [f["name"] for f in shown["settings"]] == ["postroom-model", "postroom-smoothing"]
    assert shown["settings"][0]["usual"] == "postroom-1"
    fields = {"table": "messages", "text": "message", "label": "topic", "trainer": "postroom"}
    asked = await send(datasette, page, fields, "ann")
    estimate = asked.json()["estimate"]
    assert estimate["usd"] > 0
    assert room.log == []
    agreed = await send(datasette, page, {**fields, "confirm_usd": estimate["usd"]}, "ann")
    assert agreed.status_code == 200, agreed.text
    with closing(connect(town)) as conn:
        job = run_job(conn, agreed.json()["job"]["id"])
        assert job.state == "finished"
    card = (await get(datasette, "/town/-/ftclassify/classifiers/messages.json", "ann")).json()
    assert "postroom" in json.dumps(card)
    monkeypatch.delenv("POSTROOM_API_KEY")
    assert "POSTROOM_API_KEY" in (await offer())["missing"]


def test_an_option_of_its_own_is_on_the_command_line(room: Postroom, town: Path) -> None:
    asked = says("train", "--help")
    assert "--smoothing FLOAT" in asked
    assert "Added to the count of each word. [1] (postroom)" in " ".join(asked.split())
    assert "--smoothing" in says("move", "--help")
    assert "must be a number from 0.01 to 100" in train(town, "--yes", "--smoothing", 0, code=1)
    local = says("train", town, *TASK, "--smoothing", 2, code=1)
    assert "The option smoothing means nothing to the trainer local" in local
    train(town, "--yes", "--smoothing", 2.5)
    (body,) = room.said("PUT", "/trainings/")
    assert body["smoothing"] == 2.5
    shown = says("jobs", "show", town, 1)
    assert "smoothing 2.5" in shown
    listed = {t["name"]: t["options"] for t in json.loads(says("trainers", "--json"))["trainers"]}
    assert [o["name"] for o in listed["postroom"]] == ["model", "smoothing"]


@pytest.mark.parametrize("field", ["smoothing", "postroom-smoothing"])
async def test_an_option_of_its_own_is_on_the_page_and_in_json(
    room: Postroom, town: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    monkeypatch.setenv("FTCLASSIFY_USD_PER_JOB", "5")
    ann = {"id": "ann"}
    datasette = serve(town, grants={"ftclassify-train": ann, "ftclassify-spend": ann})
    page = "/town/-/ftclassify/train"
    form = await get(datasette, f"{page}?table=messages&{field}=7.5", "ann")
    (tag,) = re.findall(r'<input([^>]*name="postroom-smoothing"[^>]*)>', form.text)
    assert {'value="7.5"', 'min="0.01"', 'max="100"', 'type="number"'} <= set(tag.split())
    assert "Added to the count of each word. Empty: 1" in form.text
    fields = {"table": "messages", "text": "message", "label": "topic", "trainer": "postroom"}
    for wrong, why in (("much", "Smoothing must be a number"), (1000, "from 0.01 to 100")):
        refused = await send(datasette, page, {**fields, field: wrong, "confirm_usd": 5}, "ann")
        assert why in refused.json()["error"]
    agreed = await send(datasette, page, {**fields, field: 7.5, "confirm_usd": 5}, "ann")
    job = agreed.json()["job"]
    assert job["settings"]["options"]["own"] == {"smoothing": 7.5}
    shown = await get(datasette, f"/town/-/ftclassify/jobs/{job['id']}", "ann")
    assert re.search(r">smoothing<.*>\s*7\.5\s*<", shown.text)


BROKEN = {
    "import no_such_module": "No module named 'no_such_module'",
    """
from datasette_ftclassify.hookspecs import hookimpl
from datasette_ftclassify.trainers.service import Service
class Half(Service):
    name = "half"
@hookimpl
def register_trainers():
    return [Half()]
""": "abstract",
}


@pytest.mark.parametrize(("code", "why"), BROKEN.items(), ids=["import", "half a service"])
def test_a_broken_package_takes_no_other_along(
    room: Postroom,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: Any,
    code: str,
    why: str,
) -> None:
    info = tmp_path / "ftclassify_broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ftclassify-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[datasette_ftclassify]\nb = ftclassify_broken\n")
    (tmp_path / "ftclassify_broken.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "ftclassify_broken", raising=False)
    names = {trainer.name for trainer in registry.list_trainers()}
    assert names >= {"azure", "decisions", "local", "openai", "postroom"}
    assert "The trainers of ftclassify-broken cannot be used: " in caplog.text
    assert why in caplog.text


def test_no_face_and_no_job_knows_a_service_by_name() -> None:
    package = Path(datasette_ftclassify.__file__).parent
    services = {t.name for t in registry.list_services()}
    found = []
    for path in package.rglob("*.py"):
        if path.relative_to(package).parts[0] in ("trainers", "templates", "static"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in services:
                found.append((path.name, node.lineno, node.value))
    assert services >= {"azure", "decisions", "openai"}
    assert found == []
