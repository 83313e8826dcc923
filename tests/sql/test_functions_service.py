"""SQL functions for a classifier whose model is at a service: stored answers, and a budget."""

from __future__ import annotations

import asyncio
import json
import math
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import programs
import pytest
import sqlite_utils
from datasette.app import Datasette
from openai_server import OpenAIServer
from programs import output_of
from remote_classifier import count_answers
from running_jobs import PATIENCE, agreed_job, wait_for
from sample_databases import answer, rows, value
from served import SEVERAL, access_to, endpoint_of, keep, serve, teach

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import AccessError
from datasette_ftclassify.jobs.remote.budget import Reservations
from datasette_ftclassify.ledger import JobKey, Ledger, functions_of
from datasette_ftclassify.sql import remote_inference
from datasette_ftclassify.sql.functions import FUNCTIONS, register
from datasette_ftclassify.store.answers import CachedAnswer
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.spending import SQL_FUNCTIONS, Spent, spent_by_job
from datasette_ftclassify.trainers.access import Access

DRAIN, BENCH, NEW = "a drain, seen today", "a bench, seen today", "a kerb, seen today"
LOGPROBS = tuple(map(math.log, (0.2, 0.1, 0.7)))
WATER = CachedAnswer(("Water",), "exact", None, "Water", LOGPROBS, 0.0)
CALLS = [name for name in FUNCTIONS if name not in ("ft_classify_many", "ft_tokens")]


@pytest.fixture(autouse=True)
def fresh_desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is true of a process just started: nothing spent, no service known to be down."""
    desk = remote_inference.SqlInference()
    monkeypatch.setattr(remote_inference, "INFERENCE", desk)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "FTCLASSIFY_SQL_USD_PER_DAY"):
        monkeypatch.delenv(name, raising=False)
    yield
    desk.close()


@pytest.fixture
def path(tmp_path: Path, openai_server: OpenAIServer) -> Path:
    """A database whose default classifier is asked at the server, with one kept answer."""
    path = tmp_path / "reports.db"
    keep(path, serve(path, openai_server), {DRAIN: WATER})
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.executemany("insert into reports (text) values (?)", [[DRAIN], [BENCH], [NEW], [None]])
    teach(openai_server)
    return path


@pytest.fixture
def conn(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(path)) as conn:
        register(conn)
        yield conn


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds for which each of those who waited for an answer was ready to do so."""
    seen: list[float] = []
    wait = remote_inference.ResponseTimeout.wait

    def noted(timeout: remote_inference.ResponseTimeout, future: Any) -> Any:
        seen.append(timeout._seconds)
        return wait(timeout, future)

    monkeypatch.setattr(remote_inference.ResponseTimeout, "wait", noted)
    return seen


def asking(path: Path, server: OpenAIServer, usd: float = 1.0, **options: Any) -> Any:
    """A connection whose functions may ask."""
    conn = connect(path)
    register(conn, access=lambda: access_to(server, sql_usd_per_day=usd), **options)
    return closing(conn)


def asked(server: OpenAIServer) -> int:
    return server.count("POST /decisions")


def told(conn: sqlite3.Connection, text: str = NEW) -> dict[str, Any]:
    return answer(conn, "select ft_classify_json(?)", [text])


def spent(path: Path) -> Spent:
    with closing(connect(path)) as conn:
        return spent_by_job(conn, SQL_FUNCTIONS)


# Kept answers


def test_a_kept_answer_is_all_that_is_needed(conn, openai_server):
    assert value(conn, "select ft_classify(?)", [DRAIN]) == "Water"
    assert value(conn, "select ft_labels(?)", [DRAIN]) == '["Water"]'
    assert value(conn, "select ft_score(?)", [DRAIN]) == pytest.approx(0.7)
    assert value(conn, "select ft_logprob(?)", [DRAIN]) == pytest.approx(math.log(0.7))
    full = told(conn, DRAIN)
    assert full["label"] == "Water"
    assert full["logprobs"]["Parks"] == pytest.approx(math.log(0.2), abs=1e-5)
    assert (full["classifier"], full["version"]) == ("topics", 1)
    assert openai_server.log == []


def test_without_a_budget_nobody_is_asked(path, openai_server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", openai_server.api_key)
    monkeypatch.setenv("OPENAI_BASE_URL", openai_server.base_url)
    with closing(connect(path)) as conn:
        register(conn)
        for call in ("ft_classify", "ft_labels", "ft_score", "ft_logprob"):
            assert value(conn, f"select {call}(?)", [NEW]) is None
        error = told(conn)
        assert "no stored answer" in error["error"]
        assert "budget" in error["error"]
        assert (error["classifier"], error["version"]) == ("topics", 1)
    assert openai_server.log == []


def test_many_gives_null_for_what_is_not_known(conn):
    texts = json.dumps([DRAIN, None, NEW, "", DRAIN])
    many = json.loads(value(conn, "select ft_classify_many(?)", [texts]))
    assert many == ["Water", None, None, None, "Water"]


def test_many_looks_up_thousands(path, conn):
    texts = [f"text {i}" for i in range(2_000)]
    keep(path, find_classifier(conn), dict.fromkeys(texts, WATER))
    assert json.loads(value(conn, "select ft_classify_many(?)", [json.dumps(texts)])) == (
        ["Water"] * 2_000
    )


def test_nothing_can_be_explained(conn):
    assert "at a service (decisions)" in answer(conn, "select ft_explain(?)", [DRAIN])["error"]


def test_an_abstention_is_no_label_and_says_why(path, conn):
    keep(path, find_classifier(conn), {NEW: CachedAnswer(None, None, "refused", "I cannot say.")})
    assert value(conn, "select ft_classify(?)", [NEW]) is None
    assert value(conn, "select ft_score(?)", [NEW]) is None
    full = told(conn)
    assert full["label"] is None
    assert (full["reason"], full["raw"]) == ("refused", "I cannot say.")
    assert "error" not in full


def test_an_answer_without_scores_has_none(path, conn):
    keep(path, find_classifier(conn), {NEW: CachedAnswer(("Roads",), "folded", None, "roads")})
    assert value(conn, "select ft_classify(?)", [NEW]) == "Roads"
    assert rows(conn, "select ft_score(?1), ft_logprob(?1)", [NEW]) == [(None, None)]
    full = told(conn)
    assert (full["label"], full["score"], full["logprobs"]) == ("Roads", None, None)


def test_multilabel(path, openai_server):
    classifier = serve(path, openai_server, SEVERAL, "subjects")
    kept = CachedAnswer(
        ("Parks", "Water"), "exact", None, "", tuple(map(math.log, (0.8, 0.1, 0.9)))
    )
    keep(path, classifier, {NEW: kept, BENCH: CachedAnswer((), "exact", None, "[]")})
    with closing(connect(path)) as conn:
        register(conn)
        assert value(conn, "select ft_classify(?, 'subjects')", [NEW]) == '["Parks", "Water"]'
        assert value(conn, "select ft_labels(?, 'subjects')", [BENCH]) == "[]"
        score = value(conn, "select ft_score(?, 'subjects')", [NEW])
        assert score == pytest.approx(0.8 * 0.9 * 0.9)
        full = answer(conn, "select ft_classify_json(?, 'subjects')", [NEW])
        assert full["labels"] == ["Parks", "Water"]
        many = value(conn, "select ft_classify_many(?, 'subjects')", [json.dumps([NEW, BENCH])])
        assert json.loads(many) == [["Parks", "Water"], []]


def test_a_damaged_answer_counts_as_unknown(path, openai_server):
    for damage in (
        "labels = '[\"Sewers\"]'", "labels = '[\"Water\", \"Roads\"]'", "labels = '[]'",
        "labels = '{}'", "labels = 'x'", "labels = '[[1]]'", "logprobs = '[0]'",
        "logprobs = '[3, 3, 3]'", "logprobs = '[null, 1, 2]'", "labels = x'00'",
    ):  # fmt: skip
        keep(path, serve(path, openai_server), {DRAIN: WATER})
        with closing(sqlite3.connect(path)) as other, other:
            other.execute(f"update _ftclassify_answers set {damage}")
        with closing(connect(path)) as conn:
            register(conn)
            assert value(conn, "select ft_classify(?)", [DRAIN]) is None, damage
            assert "no stored answer" in told(conn, DRAIN)["error"]


def test_a_logarithm_of_nothing_is_still_json(path, conn):
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("update _ftclassify_answers set logprobs = '[-Infinity, 0, -Infinity]'")
    full = told(conn, DRAIN)
    assert (full["score"], full["logprob"]) == (0, None)
    assert full["logprobs"] == {"Parks": None, "Roads": 0, "Water": None}


def test_a_logarithm_of_nothing_is_kept_as_json(path, openai_server):
    answered = CachedAnswer(("Roads",), "exact", None, "Roads", (-math.inf, 0.0, -math.inf), 0.0)
    keep(path, serve(path, openai_server), {BENCH: answered})
    with closing(connect(path)) as conn:
        kept = rows(conn, "select logprobs from _ftclassify_answers where json_valid(logprobs)")
        assert ("[null, 0.0, null]",) in kept
        register(conn)
        assert told(conn, BENCH)["logprobs"] == {"Parks": None, "Roads": 0, "Water": None}


@pytest.mark.parametrize("statement", [
    "drop table _ftclassify_answers",
    "alter table _ftclassify_answers rename column input to something",
])  # fmt: skip
def test_a_file_without_our_table_of_answers(path, statement):
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(statement)
    with closing(connect(path)) as conn:
        register(conn)
        assert value(conn, "select ft_classify(?)", [DRAIN]) is None
        assert "error" in told(conn, DRAIN)
        assert value(conn, "select ft_classify_many(?)", [json.dumps([DRAIN])]) in (None, "[null]")


def test_nothing_makes_them_raise(conn):
    for call in CALLS:
        for cell in (None, "", "  ", b"\x00", 3, 1.5, "\x00", "x" * 100_000):
            got = value(conn, f"select {call}(?)", [cell])
            if cell is None or (call not in ("ft_classify_json", "ft_explain")):
                assert got is None


def test_a_published_file_answers(path, openai_server):
    path.chmod(0o444)
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as conn:
        register(conn)
        assert value(conn, "select ft_classify(?)", [DRAIN]) == "Water"


def test_attached_databases(path, openai_server, tmp_path):
    other = tmp_path / "other.db"
    keep(other, serve(other, openai_server, name="themes"), {DRAIN: WATER})
    with closing(sqlite3.connect(":memory:")) as conn:
        register(conn)
        conn.execute("attach ? as one", [str(path)])
        conn.execute('attach ? as [the "other"]', [str(other)])
        assert value(conn, "select ft_classify(?, 'topics')", [DRAIN]) == "Water"
        assert value(conn, "select ft_classify(?, 'themes')", [DRAIN]) == "Water"
        assert value(conn, "select ft_classify(?, 'themes')", [NEW]) is None


def test_an_answer_that_is_kept_meanwhile_is_seen_by_the_next_query(path, conn):
    assert value(conn, "select ft_classify(?)", [NEW]) is None
    keep(path, find_classifier(conn), {NEW: WATER})
    wait_for(lambda: value(conn, "select ft_classify(?)", [NEW]) == "Water", "the answer")


def test_sqlite_utils_has_them(path):
    db = sqlite_utils.Database(path)
    assert next(iter(db.query("select ft_classify(?) as l", [DRAIN])))["l"] == "Water"
    db.close()


# With a budget


def test_an_unknown_text_is_asked_about_once(path, openai_server):
    with asking(path, openai_server) as conn:
        assert value(conn, "select ft_classify(?)", [NEW]) == "Roads"
        assert value(conn, "select ft_score(?)", [NEW]) > 0.5
        assert told(conn)["label"] == "Roads"
    assert asked(openai_server) == 1
    used = spent(path)
    assert (used.requests, used.output_tokens) == (1, 1)
    assert used.usd == pytest.approx(used.input_tokens * 0.1e-6)
    with closing(connect(path)) as conn:
        assert count_answers(conn, find_classifier(conn).id) == 2


def test_another_process_reads_what_this_one_asked(path, openai_server):
    with asking(path, openai_server) as conn:
        assert value(conn, "select ft_classify(?)", [NEW]) == "Roads"
    openai_server.stop()
    said = output_of(
        programs.sqlite_utils, "query", path, "select ft_classify(:t) as l", "-p", "t", NEW
    )
    assert json.loads(said) == [{"l": "Roads"}]


def test_sqlite_utils_asks_when_the_environment_says_so(path, openai_server):
    said = output_of(
        programs.sqlite_utils, "query", path, "select ft_classify(text) as l from reports",
        OPENAI_API_KEY=openai_server.api_key, OPENAI_BASE_URL=openai_server.base_url,
        FTCLASSIFY_SQL_USD_PER_DAY="0.5",
    )  # fmt: skip
    assert [row["l"] for row in json.loads(said)] == ["Water", "Parks", "Roads", None]
    assert asked(openai_server) == 2
    assert spent(path).requests == 2


def test_an_update_asks_and_its_answers_are_kept_after_it(path, openai_server):
    with asking(path, openai_server) as conn:
        with conn:
            conn.execute("update reports set label = ft_classify(text)")
        assert rows(conn, "select label from reports") == [
            ("Water",), ("Parks",), ("Roads",), (None,),
        ]  # fmt: skip
    assert asked(openai_server) == 2
    wait_for(lambda: spent(path).requests == 2, "what was spent")


def test_many_asks_for_what_is_missing(path, openai_server):
    with asking(path, openai_server) as conn:
        texts = json.dumps([DRAIN, NEW, None, BENCH, NEW])
        many = json.loads(value(conn, "select ft_classify_many(?)", [texts]))
    assert many == ["Water", "Roads", None, "Parks", "Roads"]
    assert asked(openai_server) == 2


def test_refusals_are_kept_as_abstentions(path, openai_server):
    openai_server.faults.add("/decisions", "refusal")
    with asking(path, openai_server) as conn:
        assert told(conn)["reason"] == "refused"
        assert told(conn)["reason"] == "refused"
    assert asked(openai_server) == 1


def test_the_budget_is_never_exceeded(path, openai_server):
    with asking(path, openai_server) as conn:
        value(conn, "select ft_classify(?)", [BENCH])
    first = spent(path).usd
    with asking(path, openai_server, usd=first * 1.01) as conn:
        assert value(conn, "select ft_classify(?)", [NEW]) is None
        assert "have spent" in told(conn)["error"]
        assert value(conn, "select ft_classify(?)", [BENCH]) == "Parks"
    assert asked(openai_server) == 1
    assert spent(path).usd == first


def test_a_budget_of_nothing_asks_nothing(path, openai_server):
    with asking(path, openai_server, usd=0) as conn:
        assert "have spent $0 today" in told(conn)["error"]
    assert openai_server.log == []


def test_what_others_spent_counts(path, openai_server):
    Ledger().settle(functions_of("elsewhere.db"), "", Spent(usd=1.0))
    with asking(path, openai_server) as conn:
        assert "have spent $1.00 today" in told(conn)["error"]


def test_what_the_file_says_was_spent_counts_for_nothing(path, openai_server):
    with asking(path, openai_server) as conn:
        assert value(conn, "select ft_classify(?)", [NEW]) == "Roads"
    first = Ledger().spent_today().usd
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute(
            "create trigger forget after update on _ftclassify_spending begin"
            " delete from _ftclassify_spending; end"
        )
        conn.execute("delete from _ftclassify_spending")
        conn.execute("delete from _ftclassify_answers")
    with asking(path, openai_server, usd=first * 1.5) as conn:
        assert "have spent" in told(conn, BENCH)["error"]
    assert asked(openai_server) == 1


def test_what_jobs_have_under_way_counts_for_the_day(path, openai_server):
    with closing(connect(path)) as conn:
        job = agreed_job(conn, "predict", {})
        Reservations(conn, job, Access()).hold("batch", 2.0, 10)
    access = access_to(openai_server, sql_usd_per_day=1.0, usd_per_day=2.0)
    with closing(connect(path)) as conn:
        register(conn, access=lambda: access)
        assert "limit of $2.00 for a day" in told(conn)["error"]
    assert asked(openai_server) == 0


def test_the_limit_of_a_day_holds_for_functions_too(path, openai_server):
    Ledger().settle(JobKey("elsewhere.db", 7, "n"), "", Spent(usd=2.0))
    access = access_to(openai_server, sql_usd_per_day=1.0, usd_per_day=2.0)
    with closing(connect(path)) as conn:
        register(conn, access=lambda: access)
        assert "limit of $2.00 for a day" in told(conn)["error"]
    assert openai_server.log == []


def test_without_a_ledger_nobody_is_asked(path, openai_server, tmp_path, monkeypatch):
    monkeypatch.setenv("FTCLASSIFY_LEDGER", str(tmp_path))  # a folder
    with asking(path, openai_server) as conn:
        assert "ledger" in told(conn)["error"]
        assert value(conn, "select ft_classify(?)", [DRAIN]) == "Water"  # kept
    assert asked(openai_server) == 0


def test_files_share_one_budget(path, openai_server, tmp_path):
    other = tmp_path / "other.db"
    serve(other, openai_server)
    with asking(path, openai_server) as conn:
        value(conn, "select ft_classify(?)", [NEW])
    with asking(other, openai_server, usd=spent(path).usd * 1.5) as conn:
        assert "have spent" in told(conn, BENCH)["error"]


def test_no_price_no_question(path, openai_server, tmp_path, monkeypatch):
    table = tmp_path / "prices.json"
    table.write_text('{"date": "2026-11-21", "models": {"gpt-6-luna-decisions": {}}}')
    monkeypatch.setenv("FTCLASSIFY_PRICES", str(table))
    with asking(path, openai_server) as conn:
        assert "FTCLASSIFY_PRICES" in told(conn)["error"]
    assert openai_server.log == []
    assert spent(path) == Spent()


def test_no_key_no_question(path, openai_server):
    with closing(connect(path)) as conn:
        register(conn, access=lambda: Access(sql_usd_per_day=1.0))
        assert "key" in told(conn)["error"]
        assert value(conn, "select ft_classify(?)", [NEW]) is None
        assert value(conn, "select ft_classify(?)", [DRAIN]) == "Water"


def test_settings_that_make_no_sense_are_no_access(path, openai_server):
    def access() -> Access:
        raise AccessError("sql_usd_per_day must be an amount in USD, such as 5 or 0.50.")

    with closing(connect(path)) as conn:
        register(conn, access=access)
        assert "must be an amount" in told(conn)["error"]
        assert value(conn, "select ft_classify(?)", [DRAIN]) == "Water"


def test_a_strangers_file_does_not_choose_who_is_asked(path, openai_server):
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute(
            "update _ftclassify_classifiers set header = json_set(header, '$.host', 'evil.example')"
        )
    with asking(path, openai_server) as conn:
        assert "evil.example" in told(conn)["error"]
    assert openai_server.log == []


# Failures


def test_a_service_that_hangs_holds_nobody_up_twice(path, openai_server, waits):
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.executemany("insert into reports (text) values (?)", [[f"t {i}"] for i in range(500)])
    openai_server.faults.add("/decisions", "hang", None)
    with asking(path, openai_server, time_limit=1.0) as conn:
        sql = "select count(ft_classify(text)), count(ft_score(text)) from reports"
        assert rows(conn, sql) == [(1, 1)]
        assert len(waits) == 1
        assert "did not answer in time" in told(conn)["error"]
        assert asked(openai_server) == 1


def test_a_late_answer_is_there_for_the_next_query(path, openai_server, monkeypatch):
    monkeypatch.setattr(remote_inference, "COOLDOWN_SECONDS", 3600.0)
    openai_server.settings.silent = True
    with asking(path, openai_server, time_limit=0.1) as conn:
        assert value(conn, "select ft_classify(?)", [NEW]) is None
        openai_server.settings.silent = False
        wait_for(lambda: value(conn, "select ft_classify(?)", [NEW]) == "Roads", "the answer")
        assert asked(openai_server) == 1
        wait_for(lambda: value(conn, "select ft_classify(?)", [BENCH]) == "Parks", "the answer")


def test_what_is_given_up_at_the_end_counts_as_spent(path, openai_server):
    openai_server.faults.add("/decisions", "hang")
    with asking(path, openai_server, time_limit=0.2) as conn:
        assert value(conn, "select ft_classify(?)", [NEW]) is None
    assert spent(path).usd == 0
    remote_inference.INFERENCE.close()
    assert spent(path).usd > 0


def test_a_query_waits_for_its_time_limit_in_all(path, openai_server, monkeypatch, waits):
    def wait(timeout: remote_inference.ResponseTimeout, future: Any) -> Any:
        """An answer that takes twelve seconds, as far as the query knows."""
        waits.append(timeout._seconds)
        timeout._note(12.0)
        return future.result(PATIENCE)

    monkeypatch.setattr(remote_inference.ResponseTimeout, "wait", wait)
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.executemany("insert into reports (text) values (?)", [[f"t {i}"] for i in range(50)])
    with asking(path, openai_server, time_limit=30.0) as conn:
        assert value(conn, "select count(ft_classify(text)) from reports") == 4  # one is kept
    assert waits == [remote_inference.ASK_SECONDS, remote_inference.ASK_SECONDS, pytest.approx(6)]
    assert asked(openai_server) == 3


@pytest.mark.parametrize(
    ("fault", "options"),
    [("rate_limit", {"retry_after": 30}), ("unauthorized", {}), ("insufficient_quota", {}),
     ("server_error", {}), ("drop", {})],
)  # fmt: skip
def test_after_a_failure_nobody_asks_for_a_while(path, openai_server, fault, options):
    openai_server.faults.add("/decisions", fault, **options)
    with asking(path, openai_server) as conn:
        assert "error" in told(conn)
        assert "No requests are sent for the moment" in told(conn, BENCH)["error"]
        assert value(conn, "select ft_classify(?)", [DRAIN]) == "Water"
    assert asked(openai_server) == 1
    remote_inference.INFERENCE.close()
    if fault in ("server_error", "drop"):
        assert spent(path).usd > 0  # it may have been billed, so what was set aside stays
    else:
        assert spent(path).usd == pytest.approx(0)


def test_after_the_time_a_service_asked_for_it_is_asked_again(path, openai_server):
    openai_server.faults.add("/decisions", "rate_limit", retry_after=0.2)
    with asking(path, openai_server) as conn:
        assert value(conn, "select ft_classify(?)", [NEW]) is None
        wait_for(lambda: value(conn, "select ft_classify(?)", [NEW]) == "Roads", "the answer")


def test_a_text_that_is_rejected_is_not_sent_again(path, openai_server):
    openai_server.faults.add(
        "/decisions", "content_policy", None, where=lambda r: b"kerb" in r.body
    )
    with asking(path, openai_server) as conn:
        assert "policy" in told(conn)["error"]
        assert "policy" in told(conn)["error"]
        assert value(conn, "select ft_classify(?)", [BENCH]) == "Parks"
    assert asked(openai_server) == 2


def test_threads_that_want_the_same_answer_share_it(path, openai_server):
    openai_server.settings.latency = 0.2
    got: list[Any] = []

    def query() -> None:
        with asking(path, openai_server) as conn:
            got.append(value(conn, "select ft_classify(?)", [NEW]))

    threads = [threading.Thread(target=query) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == ["Roads"] * 6
    assert asked(openai_server) == 1


def test_not_too_many_questions_are_under_way(path, openai_server, monkeypatch):
    monkeypatch.setattr(remote_inference, "MOST_IN_FLIGHT", 2)
    openai_server.settings.latency = 0.4
    got: list[Any] = []

    def query(i: int) -> None:
        with asking(path, openai_server) as conn:
            got.append(value(conn, "select ft_classify(?)", [f"a drain {i}"]))

    threads = [threading.Thread(target=query, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert openai_server.requests_in_flight_max <= 2
    assert 2 <= len([label for label in got if label]) < 6


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write any file")
def test_a_file_without_permission_to_write(path, openai_server):
    path.chmod(0o444)
    with asking(path, openai_server) as conn:
        assert value(conn, "select ft_classify(?)", [NEW]) == "Roads"


def test_a_file_that_must_not_be_written_stays_as_it_is(path, openai_server):
    before = path.read_bytes()
    options = {"writable": lambda path: False}
    with asking(path, openai_server, **options) as conn:
        assert value(conn, "select ft_classify(?)", [NEW]) == "Roads"
    with asking(path, openai_server, **options) as conn:  # another connection of the process
        assert value(conn, "select ft_classify(?)", [NEW]) == "Roads"
    assert asked(openai_server) == 1
    with asking(path, openai_server, usd=1e-5, **options) as conn:
        assert "have spent" in told(conn, BENCH)["error"]
    assert path.read_bytes() == before


def test_a_locked_file_does_not_lose_the_count(path, openai_server):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        with asking(path, openai_server) as conn:
            assert value(conn, "select ft_classify(?)", [NEW]) == "Roads"
        with asking(path, openai_server, usd=1e-5) as conn:
            assert value(conn, "select ft_classify(?)", [NEW]) == "Roads"
            assert "have spent" in told(conn, BENCH)["error"]


def test_what_a_locked_file_did_not_take_is_written_later(path, openai_server):
    with asking(path, openai_server) as conn:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("begin immediate")
            assert value(conn, "select ft_classify(?)", [NEW]) == "Roads"
            assert value(conn, "select ft_classify(?)", [BENCH]) == "Parks"
            assert spent(path) == Spent()
        wait_for(lambda: spent(path).requests == 2, "what was spent")
        assert count_answers(conn, find_classifier(conn).id) == 3


def test_a_query_over_a_table_keeps_what_it_asked(path, openai_server):
    """While it reads, nobody can commit; so its answers are written behind it."""
    with asking(path, openai_server) as conn:
        got = rows(conn, "select ft_classify(text) from reports")
        assert got == [("Water",), ("Parks",), ("Roads",), (None,)]
        wait_for(lambda: spent(path).requests == 2, "what was spent")
        assert count_answers(conn, find_classifier(conn).id) == 3


def test_an_answer_that_comes_while_another_is_about_to_ask_is_not_paid_twice(path, openai_server):
    """Between its look at what is remembered and its question, another asks and is answered."""
    meanwhile = iter([lambda: value(other, "select ft_classify(?)", [NEW])])

    class Interrupted(Access):
        def endpoint(self, trainer: str) -> Any:
            next(meanwhile, lambda: None)()
            return super().endpoint(trainer)

    allowed = access_to(openai_server, sql_usd_per_day=1.0)
    with asking(path, openai_server) as other, closing(connect(path)) as conn:
        register(conn, access=lambda: Interrupted(allowed.endpoints, sql_usd_per_day=1.0))
        assert value(conn, "select ft_classify(?)", [NEW]) == "Roads"
    assert next(meanwhile, None) is None
    assert asked(openai_server) == 1


def test_a_database_in_memory_can_ask(path, openai_server):
    with closing(connect(path)) as source, closing(sqlite3.connect(":memory:")) as conn:
        source.backup(conn)
        register(conn, access=lambda: access_to(openai_server, sql_usd_per_day=1.0))
        assert value(conn, "select ft_classify(?)", [NEW]) == "Roads"
        assert value(conn, "select ft_classify(?)", [NEW]) == "Roads"
    assert asked(openai_server) == 1


def test_the_key_is_nowhere(path, openai_server, monkeypatch):
    errors = []
    with asking(path, openai_server) as conn:
        openai_server.faults.add("/decisions", "unauthorized", message=openai_server.api_key)
        errors.append(json.dumps(told(conn)))
        errors.append(json.dumps(told(conn, BENCH)))
    monkeypatch.setattr(remote_inference, "INFERENCE", remote_inference.SqlInference())
    with asking(path, openai_server) as conn:
        assert value(conn, "select ft_classify(?)", [NEW]) == "Roads"
    assert not any(openai_server.api_key in error for error in errors)
    for file in path.parent.iterdir():
        assert openai_server.api_key.encode() not in file.read_bytes()
    assert openai_server.requests_with(openai_server.api_key, headers=True)


def test_openai_is_not_loaded_for_kept_answers(path):
    code = (
        "import sqlite3, sys; from datasette_ftclassify.sql.functions import register;"
        "c = sqlite3.connect(sys.argv[1]); register(c);"
        "print(c.execute('select ft_classify(?), ft_score(?)', [sys.argv[2]] * 2).fetchone()[0],"
        "'openai' in sys.modules, 'sklearn' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(path), DRAIN], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["Water", "False", "False"]


# Datasette


def settings_for(server: OpenAIServer, **limits: Any) -> dict[str, Any]:
    endpoint = endpoint_of(server)
    openai = {"api_key": endpoint.api_key, "base_url": endpoint.base_url}
    plugins = {"plugins": {"datasette-ftclassify": {"openai": openai, **limits}}}
    return {"config" if hasattr(Datasette, "allowed") else "metadata": plugins}


async def query(datasette: Datasette, sql: str, database: str = "reports", **params: str) -> Any:
    response = await datasette.client.get(
        f"/{database}.json", params={"sql": sql, "_shape": "arrays", **params},
        follow_redirects=True,
    )  # fmt: skip
    assert response.status_code == 200, response.text
    return response.json()["rows"]


async def test_datasette_without_a_budget(path, openai_server):
    datasette = Datasette([str(path)], **settings_for(openai_server))
    sql = "select ft_classify(text), ft_score(text) from reports"
    got = await query(datasette, sql)
    assert [row[0] for row in got] == ["Water", None, None, None]
    assert openai_server.log == []


async def test_datasette_with_a_budget(path, openai_server):
    patient = {"settings": {"sql_time_limit_ms": 10_000}}
    datasette = Datasette(
        [str(path)], **patient, **settings_for(openai_server, sql_usd_per_day=0.5)
    )
    sql = "select ft_classify(text) from reports"
    answers = await asyncio.gather(*(query(datasette, sql) for _ in range(6)))
    assert answers[0] == [["Water"], ["Parks"], ["Roads"], [None]]
    assert all(found == answers[0] for found in answers)
    assert asked(openai_server) == 2
    wait_for(lambda: spent(path).requests == 2, "what was spent")
    found = await query(datasette, "select count(*) from _ftclassify_answers")
    assert found == [[3]]


async def test_the_box_to_try_a_text_spends_for_those_alone_who_may(path, openai_server):
    patient = {"settings": {"sql_time_limit_ms": 10_000}}
    datasette = Datasette(
        [str(path)], **patient, **settings_for(openai_server, sql_usd_per_day=0.5, usd_per_job=1)
    )
    if hasattr(datasette, "allowed"):
        datasette.root_enabled = True
    box = "/reports/-/ftclassify/classifiers/topics/try.json"
    for who in (None, "ann"):
        jar = {"ds_actor": datasette.sign({"a": {"id": who}}, "actor")} if who else {}
        kept = (await datasette.client.get(box, params={"text": DRAIN}, cookies=jar)).json()
        assert kept["answer"]["label"] == "Water"
        assert kept["scores"][0] == {"name": "Water", "score": pytest.approx(0.7, abs=1e-4)}
        new = (await datasette.client.get(box, params={"text": NEW}, cookies=jar)).json()
        assert "ftclassify-spend" in new["answer"]["error"]
    assert openai_server.log == []
    root = {"ds_actor": datasette.sign({"a": {"id": "root"}}, "actor")}
    shown = (await datasette.client.get(box, params={"text": NEW}, cookies=root)).json()
    assert shown["estimate"]["usd"] > 0
    assert asked(openai_server) == 0, "to look at a page costs nothing"


async def test_datasette_never_writes_an_immutable_file(path, openai_server):
    before = path.read_bytes()
    datasette = Datasette(
        [], immutables=[str(path)], **settings_for(openai_server, sql_usd_per_day=0.5)
    )
    for _ in range(2):
        assert await query(datasette, "select ft_classify(:t)", t=NEW) == [["Roads"]]
    assert asked(openai_server) == 1
    assert path.read_bytes() == before


async def test_datasette_across_databases(path, openai_server):
    datasette = Datasette(
        [str(path)], crossdb=True, **settings_for(openai_server, sql_usd_per_day=0.5)
    )
    assert await query(datasette, "select ft_classify(:t)", "_memory", t=NEW) == [["Roads"]]
    assert spent(path).requests == 1


async def test_datasette_starts_with_settings_that_make_no_sense(path, openai_server):
    datasette = Datasette([str(path)], **settings_for(openai_server, sql_usd_per_day="a lot"))
    assert await query(datasette, "select ft_classify(:t)", t=DRAIN) == [["Water"]]
    (((error,),)) = await query(datasette, "select ft_classify_json(:t)", t=NEW)
    assert "must be an amount" in error


async def test_datasette_with_a_service_that_hangs(path, openai_server, waits):
    settings = {"sql_time_limit_ms": 300}
    datasette = Datasette(
        [str(path)], settings=settings, **settings_for(openai_server, sql_usd_per_day=0.5)
    )
    with openai_server.faults.during("/decisions", "hang"):
        got = await query(datasette, "select ft_classify(text) from reports")
        assert [row[0] for row in got] == ["Water", None, None, None]
        assert len(waits) == 1
        assert (await datasette.client.get("/-/versions.json")).status_code == 200
