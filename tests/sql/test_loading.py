"""Classifiers are loaded beside the queries that ask them: each once, one of a file at a time."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait

import pytest

from datasette_ftclassify.core.errors import ArtifactError
from datasette_ftclassify.sql import loading
from datasette_ftclassify.sql.loading import loaded, noting_loads
from datasette_ftclassify.sql.query_limit import QueryStopped


class Work:
    """What makes classifiers, each of which is just a text, when it is let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go = threading.Event()

    def ask(self, path: str, uid: str, check=lambda: None) -> object:
        def make() -> object:
            self.begun.append(uid)
            self.go.wait(60)
            if uid == "damaged":
                raise ArtifactError("It is damaged.")
            return f"{path} {uid}"

        return loaded((path, uid), lambda: (make, 1), check)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loading, "_answerers", type(loading._answerers)())
    monkeypatch.setattr(loading, "_loading", {})
    work = Work()
    yield work
    work.go.set()
    wait([load for _, load in list(loading._loading.values())], 60)


def stop() -> None:
    raise QueryStopped


def test_a_query_whose_time_is_up_ends_and_the_next_one_finds_the_classifier(work: Work):
    for _ in range(2):
        with pytest.raises(QueryStopped):
            work.ask("town", "one", stop)
    work.go.set()
    assert work.ask("town", "one") == work.ask("town", "one", stop) == "town one"
    assert work.begun == ["one"]


def test_one_of_a_file_is_loaded_at_a_time_and_few_in_all(work: Work):
    for path, uid in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("c", "c1"), ("d", "d1")]:
        with pytest.raises(QueryStopped):
            work.ask(path, uid, stop)
    assert sorted(uid for uid, _ in loading._loading.values()) == ["a1", "b1", "c1"]
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(work.ask, *key) for key in [("a", "a2"), ("d", "d1")] * 2]
        work.go.set()
        assert [one.result(30) for one in asked] == ["a a2", "d d1"] * 2
    assert sorted(work.begun) == ["a1", "a2", "b1", "c1", "d1"]


def test_who_waits_and_who_comes_next_is_told_why_it_failed(work: Work):
    with pytest.raises(QueryStopped):
        work.ask("town", "damaged", stop)
    work.go.set()
    _, load = loading._loading["town"]
    assert isinstance(load.exception(30), ArtifactError)
    with pytest.raises(ArtifactError):
        work.ask("town", "damaged", stop)
    assert work.begun == ["damaged"]
    assert not loading._loading  # the file may be good by the next time
    assert work.ask("town", "good") == "town good"


def test_what_cannot_be_read_holds_up_nobody(work: Work):
    def read():
        raise sqlite3.OperationalError("interrupted")

    with pytest.raises(sqlite3.OperationalError):
        loaded(("town", "one"), read, stop)
    work.go.set()
    assert work.ask("town", "one") == "town one"


def test_who_asks_again_is_told_soon_that_it_has_to_wait(work: Work):
    with noting_loads() as loads, pytest.raises(QueryStopped):
        work.ask("town", "one")
    (load,) = loads
    assert isinstance(load, Future)
    assert not load.done()
    work.go.set()
    assert load.result(30) == "town one"
    with noting_loads() as loads:
        assert work.ask("town", "one") == "town one"
    assert not loads
