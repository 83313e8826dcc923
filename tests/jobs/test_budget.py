"""Money: what a job may spend, what it is expected to, and what the commands say about it."""

from __future__ import annotations

import json
import math
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from openai_server import OpenAIServer
from remote_classifier import ASK, access_to, add_asked, estimate_predict, report_table
from sample_databases import value
from stored import list_jobs

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import JobError, JobPaused, LimitReached
from datasette_ftclassify.jobs import estimates as estimates_module
from datasette_ftclassify.jobs.agreements import agree, key_of
from datasette_ftclassify.jobs.agreements import ask as ask_for
from datasette_ftclassify.jobs.estimates import JobEstimate, agreed
from datasette_ftclassify.jobs.lease import leased
from datasette_ftclassify.jobs.new_rows import queue_new_rows
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows, submit_predict
from datasette_ftclassify.jobs.remote.budget import Budget, Reservations
from datasette_ftclassify.jobs.runner import run_job, work
from datasette_ftclassify.ledger import Ledger
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.job import Job
from datasette_ftclassify.store.jobs.state import add_job, get_job
from datasette_ftclassify.store.spending import Spent, add_spending, spent_by_job
from datasette_ftclassify.trainers.access import Access
from datasette_ftclassify.trainers.service_errors import TryAgain
from datasette_ftclassify.trainers.usage import Usage


@pytest.fixture
def path(running: tuple[OpenAIServer, str], tmp_path: Path) -> Path:
    with closing(report_table(tmp_path / "town.db", 120)) as conn:
        add_asked(conn, *running)
    return tmp_path / "town.db"


def dollar_a_thousand(usage: Usage) -> float:
    return (usage.input_tokens + usage.output_tokens) / 1000


THOUSAND = Usage(900, 0, 100)


def agreed_job(
    conn: Any, limit: float | None = None, *, kind: str = "predict", **settings: Any
) -> Job:
    """A job that a person has agreed to."""
    job = add_job(conn, kind, settings)
    agree(conn, job, Access(), limit)
    return job


def test_what_is_under_way_counts_until_it_is_settled(conn: Any) -> None:
    budget = Budget(conn, agreed_job(conn, 3), Access(), dollar_a_thousand)
    assert budget.reserve([THOUSAND] * 4) == [1.0, 1.0, 1.0]
    budget.settle(1.0, Usage(400, 0, 100))  # it was less
    assert budget.reserve([Usage(500)]) == [0.5]
    assert budget.failed(1.0, TryAgain("Too many.", rate_limited=True)) == Spent()
    assert budget.reserve([THOUSAND, Usage(1)]) == [1.0]
    budget.account.close()


def test_once_an_answer_was_dearer_than_expected_so_are_all_others(conn: Any) -> None:
    budget = Budget(conn, agreed_job(conn, 10), Access(), dollar_a_thousand)
    assert budget.reserve([THOUSAND] * 2) == [1.0, 1.0]
    budget.settle(1.0, Usage(2700, 0, 300))  # three times as much
    # 3 are spent, 1 is under way and may cost 3: one more fits into 10, and no second one.
    assert budget.reserve([THOUSAND] * 2) == [1.0]
    budget.account.close()


def test_what_has_become_dearer_counts_so_for_other_jobs(conn: Any) -> None:
    one, other = (Budget(conn, agreed_job(conn, n=n), day(10), dollar_a_thousand) for n in range(2))
    assert one.reserve([THOUSAND] * 2) == [1.0, 1.0]
    one.settle(1.0, Usage(2700, 0, 300))  # three times as much
    one.account.save()
    # 3 are spent, and 1 is under way that may cost 3.
    assert other.reserve([THOUSAND] * 5) == [1.0] * 4
    one.account.close()
    other.account.close()


@pytest.mark.parametrize(
    ("agreed_limit", "operator", "limit"),
    [(5, None, 5), (5, 2, 2), (2, 5, 2), (None, 5, 5), (None, None, None)],
)
def test_an_agreement_can_only_lower_what_the_operator_allows(
    conn: Any, agreed_limit: float | None, operator: float | None, limit: float | None
) -> None:
    job = agreed_job(conn, agreed_limit)
    access = Access(usd_per_job=operator)
    assert Budget(conn, job, access, dollar_a_thousand).limits.job == limit


@pytest.mark.parametrize("planted", ['"9"', "[]", "true", "1e9", "-5"])
def test_what_a_job_says_of_its_own_limit_counts_for_nothing(conn: Any, planted: str) -> None:
    job = agreed_job(conn, 1)
    with conn:
        conn.execute("update _ftclassify_jobs set estimate = ?", [f'{{"limit_usd": {planted}}}'])
    assert Budget(conn, get_job(conn, job.id), Access(), dollar_a_thousand).limits.job == 1


@pytest.mark.parametrize("limit", [math.nan, math.inf, -1.0])
def test_a_limit_that_is_no_amount_is_refused(conn: Any, limit: float) -> None:
    with pytest.raises(LimitReached, match="amount in USD"):
        agreed_job(conn, limit)


def test_a_limit_without_a_price_cannot_be_kept(conn: Any) -> None:
    with pytest.raises(LimitReached, match="FTCLASSIFY_PRICES"):
        Budget(conn, agreed_job(conn, 3), Access(), lambda usage: None)
    free = Budget(conn, agreed_job(conn, n=2), Access(), lambda usage: None)
    assert free.reserve([THOUSAND]) == [0.0]
    free.account.close()


def test_other_jobs_count_for_the_day_and_not_for_the_job(conn: Any) -> None:
    other, job = (agreed_job(conn, n=n) for n in (1, 2))
    spend(conn, other, 2.0)
    access = Access(usd_per_day=3, usd_per_job=3)
    budget = Budget(conn, job, access, dollar_a_thousand)
    assert budget.reserve([THOUSAND] * 2) == [1.0]
    assert "for a day" in str(budget.reached(budget.account.room))
    budget.account.close()


def spend(conn: Any, job: Job, usd: float) -> None:
    Ledger().settle(key_of(conn, job), "", Spent(usd, 1))


def test_jobs_of_two_databases_keep_to_the_limit_of_a_day_together(
    path: Path, conn: Any, tmp_path: Path
) -> None:
    with closing(connect(shutil.copy(path, tmp_path / "copy.db"))) as other:
        budgets = [
            Budget(c, agreed_job(c, n=n), day(10), dollar_a_thousand)
            for n, c in enumerate((conn, other))
        ]
        under_way: list[list[float]] = [[], []]
        for turn in range(60):
            mine, budget = under_way[turn % 2], budgets[turn % 2]
            mine += budget.reserve([THOUSAND])
            if mine and turn % 3 == 0:
                budget.settle(mine.pop(0), THOUSAND)
                budget.account.save()
            assert Ledger().spent_today().usd + sum(map(sum, under_way)) <= 10
        assert Ledger().spent_today().usd + sum(map(sum, under_way)) > 8
        assert [budget.account.close().usd for budget in budgets] == [
            sum(mine) for mine in under_way
        ]
        assert Ledger().spent_today().usd == 10  # what was sent and not answered counts


def day(usd: float) -> Access:
    return Access(usd_per_day=usd)


def test_what_a_batch_or_a_training_may_cost_is_no_other_jobs(conn: Any) -> None:
    batched, trained, job = (agreed_job(conn, kind=kind) for kind in ("predict", "train", "check"))
    Reservations(conn, batched, day(10)).hold("batch", 4.0, 2)
    training = Reservations(conn, trained, day(10))
    training.hold("training", 3.0, 0)
    with pytest.raises(LimitReached, match="for a day"):
        Reservations(conn, job, day(10)).hold("more", 3.1, 1)
    Reservations(conn, job, day(10)).hold("more", 2.9, 1)
    training.settle("training", Spent(), 1.0)
    training.end("training")
    assert Reservations(conn, job, day(10)).renew("more")
    Reservations(conn, job, day(10)).hold("more", 4.9, 1)
    assert Ledger().spent_today().usd == 1.0


def test_a_copy_of_the_file_neither_frees_nor_uses_what_is_set_aside(path, tmp_path) -> None:
    """As a training, whose name at the service is in the job's row."""
    with closing(connect(path)) as conn:
        job = agreed_job(conn)
        mine = Reservations(conn, job, day(10))
        conn.execute("vacuum into ?", [copy := str(tmp_path / "copy.db")])
        with closing(connect(copy)) as other:
            agree(other, get_job(other, job.id), Access())
            theirs = Reservations(other, get_job(other, job.id), day(10))
            mine.hold("training", 6.0, 0)
            with pytest.raises(LimitReached, match="for a day"):
                theirs.hold("training", 5.0, 0)
            theirs.hold("training", 4.0, 0)
            assert theirs.settle("training", Spent(), None).usd == 4.0
            theirs.end("training")
            theirs.end("training")
            assert (Ledger().under_way(), Ledger().spent_today().usd) == (6.0, 4.0)


def test_who_was_replaced_may_ask_no_more(conn: Any) -> None:
    job = agreed_job(conn, 10)
    budget = Budget(conn, job, Access(), dollar_a_thousand)
    budget.reserve([THOUSAND])
    assert Ledger().take_over(key_of(conn, job)) == Spent(1.0, 1)
    with pytest.raises(JobError, match="taken over"):
        budget.reserve([THOUSAND])


def test_the_file_says_of_a_job_that_was_taken_over_what_the_ledger_says(conn: Any) -> None:
    """Also where an answer was stored whose cost the ledger had not heard of yet."""
    job = agreed_job(conn, 10)
    Budget(conn, job, Access(), dollar_a_thousand).reserve([THOUSAND] * 3)
    with conn:
        add_spending(conn, job.id, Spent(0.5, 1, 450, 0, 50))
    with leased(conn, job.id, Access()):
        assert spent_by_job(conn, job.id) == Spent(3.0, 3, 450, 0, 50)
    assert Ledger().spent(key_of(conn, job)) == Spent(3.0, 3)


def test_what_a_process_has_under_way_is_no_batch_that_is_gone(conn: Any) -> None:
    job = agreed_job(conn, 10)
    budget, holds = (
        Budget(conn, job, Access(), dollar_a_thousand),
        Reservations(conn, job, Access()),
    )
    budget.reserve([THOUSAND])
    holds.hold("batch", 2.0, 1)
    holds.keep([])
    assert Ledger().under_way() == 1.0
    budget.account.close()


def test_what_a_part_of_a_batch_cost_is_put_in_the_place_of_its_share(conn: Any) -> None:
    job = agreed_job(conn)
    holds = Reservations(conn, job, day(10))
    holds.hold("batch", 4.0, 8)
    assert holds.settle("batch", Spent(0.0, 2), None).usd == 1.0  # as expected
    assert Ledger().held(key_of(conn, job), "batch") == (3.0, 6)
    holds.settle("batch", Spent(0.0, 6), 0.5)
    assert Ledger().held(key_of(conn, job), "batch") == (0.0, 0)
    assert Ledger().spent_today().usd == 1.5


def test_a_service_that_does_not_say_what_it_used_has_used_what_was_expected(conn: Any) -> None:
    budget = Budget(conn, agreed_job(conn), day(10), dollar_a_thousand)
    (reserved,) = budget.reserve([THOUSAND])
    assert reserved == 1.0
    assert budget.settle(reserved, Usage()).usd == 1.0
    budget.account.close()


@pytest.mark.parametrize("planted", [-1e9, "-9", b"-9", float("-inf"), 1e9, None])
def test_nothing_in_a_file_makes_room_for_more(conn: Any, planted: object) -> None:
    job = agreed_job(conn)
    spend(conn, job, 1.0)
    spend(conn, agreed_job(conn, kind="train"), 1.0)
    with conn:
        add_spending(conn, job.id, Spent(usd=1.0))
        conn.execute("update _ftclassify_spending set usd = ?", [planted or 0])
        conn.execute("update _ftclassify_jobs set reserved = ?, estimate = ?, remote = ?",
                     [planted or 0, '{"limit_usd": 1e9, "usd": 0}',
                      '{"preparation": {"usd": -5}}'])  # fmt: skip
        conn.execute("delete from _ftclassify_spending where ? is null", [planted])
    access = Access(usd_per_day=3, usd_per_job=1.5)
    budget = Budget(conn, get_job(conn, job.id), access, dollar_a_thousand)
    assert budget.reserve([Usage(600)]) == []
    assert budget.reserve([Usage(400)]) == [0.4]
    budget.account.close()
    wide = Budget(conn, get_job(conn, job.id), day(3), dollar_a_thousand)
    assert wide.reserve([Usage(700)]) == []
    wide.account.close()


def test_agreed_is_the_estimate_and_half_as_much_beside_what_was_spent() -> None:
    estimate = JobEstimate(2.0, 10, 100, 10, "")
    assert agreed(estimate, None, 1.0)["limit_usd"] == 4.01
    assert agreed(estimate, None, 1.0)["usd"] == 3.0  # of the whole job
    assert agreed(estimate, 0.5, 1.0)["limit_usd"] == 0.5
    assert agreed(None, None, 0)["limit_usd"] is None


def test_an_estimate_is_of_the_questions_that_were_never_answered(
    conn: Any, topics: Any, server: OpenAIServer
) -> None:
    access = access_to(server)
    first = estimate_predict(conn, topics, access)
    assert first.requests == 120
    predict_rows(conn, topics, "reports", PredictRequest(where="id <= 70"), access=access)
    second = estimate_predict(conn, topics, access)
    assert second.requests == 50
    assert first.usd is not None
    assert second.usd is not None
    assert 0 < second.usd < first.usd
    batch = estimate_predict(conn, topics, access, batch=True)
    assert batch.usd == pytest.approx(second.usd / 2)


def test_an_estimate_is_near_to_what_is_spent(
    conn: Any, topics: Any, server: OpenAIServer, vocabularies: Path
) -> None:
    access = access_to(server)
    estimate = estimate_predict(conn, topics, access)
    result = predict_rows(conn, topics, "reports", access=access)
    assert estimate is not None
    assert result.spent is not None
    assert estimate.input_tokens == result.spent.input_tokens
    assert estimate.output_tokens >= result.spent.output_tokens


def test_many_rows_are_sampled(
    conn: Any, topics: Any, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates_module, "SAMPLED_ROWS", 30)
    estimate = estimate_predict(conn, topics, access_to(server))
    assert estimate is not None
    assert estimate.requests == 120
    assert "Scaled from 30 rows" in estimate.note


def test_half_way_at_the_limit_and_on_with_a_larger_one(
    conn: Any, topics: Any, server: OpenAIServer
) -> None:
    access = access_to(server)
    with pytest.raises(JobPaused, match=r"might exceed the limit of \$0.002 for this job"):
        predict_rows(conn, topics, "reports", PredictRequest(limit_usd=0.002), access=access)
    job = get_job(conn, 1)
    assert job.state == "paused"
    assert "with a larger limit" in str(job.error)
    spent = spent_by_job(conn, 1)
    assert 0.001 < spent.usd <= 0.0021  # without the vocabulary, tokens are an estimate
    assert server.count(ASK) == spent.requests
    result = predict_rows(conn, topics, "reports", PredictRequest(limit_usd=1), access=access)
    assert result.written == 120
    assert [job.id for job in list_jobs(conn)] == [1]
    assert server.count(ASK) == 120


def test_a_day_has_a_limit_for_all_jobs(conn: Any, topics: Any, server: OpenAIServer) -> None:
    access = access_to(server, usd_per_day=0.002)
    with pytest.raises(JobPaused, match=r"for a day \(UTC\).*FTCLASSIFY_USD_PER_DAY"):
        predict_rows(conn, topics, "reports", access=access)
    asked = server.count(ASK)
    with pytest.raises(JobPaused, match="for a day"):
        predict_rows(conn, topics, "reports", PredictRequest(where="id > 60"), access=access)
    assert server.count(ASK) <= asked + 1
    assert Ledger().spent_today().usd <= 0.0021


def test_resumed_after_the_operator_raised_the_limit(
    conn: Any, topics: Any, server: OpenAIServer
) -> None:
    submit_predict(conn, topics, "reports")
    assert work(conn, access=access_to(server, usd_per_job=0.001)) == 1
    job = get_job(conn, 1)
    assert job.state == "paused"
    assert "Resume the job with a larger FTCLASSIFY_USD_PER_JOB" in str(job.error)
    assert work(conn, access=access_to(server, usd_per_job=1)) == 0
    ask_for(conn, 1, "resume", Access())
    assert work(conn, access=access_to(server, usd_per_job=1)) == 1
    assert get_job(conn, 1).state == "finished"
    assert server.count(ASK) == 120


def test_a_strangers_queue_spends_nothing_before_somebody_agrees(
    path: Path, server: OpenAIServer, tmp_path: Path
) -> None:
    with closing(connect(path)) as conn:
        topics = find_classifier(conn, "topics")
        for n in range(20):
            request = PredictRequest(where=f"id > {n}", limit_usd=1e6)
            submit_predict(conn, topics, "reports", request)
        terms = json.dumps({"usd": 0, "limit_usd": 1e9})
        with conn:
            conn.execute("update _ftclassify_jobs set estimate = ?", [terms])
            conn.execute("update _ftclassify_spending set usd = -1e9")
    access = access_to(server, usd_per_day=1.0, usd_per_job=1.0)
    with closing(connect(shutil.copy(path, tmp_path / "theirs.db"))) as conn:
        held: list[str] = []
        assert work(conn, access=access, held=lambda job, why: held.append(why)) == 0
        assert len(held) == 20
        assert "Nobody on this machine has agreed" in held[0]
        with pytest.raises(JobPaused, match="Nobody on this machine"):
            run_job(conn, 1, access=access)
        assert queue_new_rows(conn, access) == []
        assert server.count(ASK) == 0
        ask_for(conn, 1, "run", access, limit_usd=0.002)
        assert work(conn, access=access) == 1
        assert get_job(conn, 1).state == "paused"
    assert 0 < server.count(ASK) <= Ledger().spent_today().requests
    assert Ledger().spent_today().usd <= 0.0021


@pytest.mark.parametrize(
    ("fault", "booked"),
    [("server_error", True), ("drop", True), ("rate_limit", False), ("unavailable", False)],
)
def test_an_answer_that_was_lost_counts_and_a_refusal_does_not(
    conn: Any, topics: Any, server: OpenAIServer, fault: str, booked: bool
) -> None:
    server.faults.add(ASK, fault, 3)
    predict_rows(conn, topics, "reports", PredictRequest(where="id <= 9"), access=access_to(server))
    assert Ledger().spent_today().requests == 9 + 3 * booked
    assert spent_by_job(conn, 1).requests == 9 + 3 * booked


def test_on_a_full_disk_nothing_is_asked(conn: Any, topics: Any, server: OpenAIServer) -> None:
    submit_predict(conn, topics, "reports")
    pages = value(conn, "pragma page_count")
    conn.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(JobPaused, match="no room on the disk"):
        run_job(conn, 1, access=access_to(server))
    assert server.count(ASK) == 0
    conn.execute("pragma max_page_count = 1000000")
    ask_for(conn, 1, "resume", Access())
    assert run_job(conn, 1, access=access_to(server)).state == "finished"


# The commands


@pytest.fixture
def environ(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", server.api_key)
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(ftclassify, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_nothing_is_sent_before_somebody_agrees(
    path: Path, server: OpenAIServer, environ: None
) -> None:
    said = run("predict", path, "reports", code=1)
    assert "120 requests" in said
    assert "$0.00" in said
    assert "--yes" in said
    assert server.count(ASK) == 0
    assert "120 requests" in run("predict", path, "reports", "--queue", code=1)
    assert "10 requests" in run("evaluate", path, "topics", code=1)
    with closing(connect(path)) as conn:
        assert list_jobs(conn) == []


def test_the_whole_way_by_command(path: Path, server: OpenAIServer, environ: None) -> None:
    paused = run("predict", path, "reports", "--limit-usd", 0.002, "--yes", code=1)
    assert "with a larger limit (--limit-usd)" in paused
    assert "Traceback" not in paused
    said = run("predict", path, "reports", "--yes", "--concurrency", 4)
    assert "classified 120 of 120 rows" in said
    assert "Spent $" in said
    evaluated = run("evaluate", path, "topics", "--json")
    assert json.loads(evaluated)["accuracy"] == 1.0  # no question is left to pay for
    assert server.count(ASK) == 120
    with closing(connect(path)) as conn:
        limit = value(conn, "select json_extract(estimate, '$.limit_usd') from _ftclassify_jobs")
        assert 0.002 < float(str(limit)) < 0.03


def test_an_unknown_price_is_said(
    path: Path, server: OpenAIServer, environ: None, tmp_path: Path, monkeypatch: Any
) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text('{"date": "2026-11-21", "models": {"gpt-4.1-mini": {}}}')
    monkeypatch.setenv("FTCLASSIFY_PRICES", str(prices))
    said = run("predict", path, "reports", code=1)
    assert "an unknown amount" in said
    assert "FTCLASSIFY_PRICES" in said
    limited = run("predict", path, "reports", "--yes", "--limit-usd", 1, code=1)
    assert "no price of the model is known" in limited
    said = run("predict", path, "reports", "--yes", "--where", "1")
    assert "classified 120" in said
    assert "Sent 120 requests (" in said
    assert "Spent" not in said  # as if it had cost nothing


def test_a_deployment_is_kept_with_the_classifier(
    path: Path, server: OpenAIServer, environ: None, monkeypatch: Any
) -> None:
    said = run("predict", path, "reports", "--deployment", "my-topics", code=1)
    assert "openai, which has no deployments" in said
    with closing(connect(path)) as conn, conn:
        assert "deployment" not in find_classifier(conn, "topics").header
        conn.execute("update _ftclassify_classifiers set trainer = 'azure'")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", server.api_key)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.base_url)
    assert "120 requests" in run(
        "predict", path, "reports", "--deployment", "my-topics", code=1
    )  # it asks whether to go on
    with closing(connect(path)) as conn:
        assert find_classifier(conn, "topics").header["deployment"] == "my-topics"


def test_another_base_url_is_not_asked_for_a_model_that_is_elsewhere(
    path: Path, server: OpenAIServer, environ: None
) -> None:
    said = run("predict", path, "reports", "--base-url", "http://127.0.0.1:9/v1", code=1)
    assert "127.0.0.1:9" in said
