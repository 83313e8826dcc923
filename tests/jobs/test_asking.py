"""Asking about many texts: the pace, the engine, and what becomes of each question."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from remote_classifier import LABELS, count_answers, quick, report_table, reports
from running_jobs import agreed_job
from sample_databases import value

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import JobError
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.answer_cells import AnswerCells
from datasette_ftclassify.jobs.columns import ROLES, Columns
from datasette_ftclassify.jobs.lease import leased
from datasette_ftclassify.jobs.plan import Plan, PredictRequest
from datasette_ftclassify.jobs.remote.answer_cache import (
    ClassifierAnswers,
    is_sound,
    kept_from,
    storable,
)
from datasette_ftclassify.jobs.remote.budget import Budget
from datasette_ftclassify.jobs.remote.concurrency import ConcurrencyLimit, RetryPolicy
from datasette_ftclassify.jobs.remote.inference_loop import InferenceLoop
from datasette_ftclassify.jobs.remote.network import Engine, InferenceRequest
from datasette_ftclassify.jobs.remote.row_window import Pages
from datasette_ftclassify.prompts.answer_parser import Answer
from datasette_ftclassify.prompts.token_scores import LabelScores
from datasette_ftclassify.store.answers import CachedAnswer
from datasette_ftclassify.store.classifiers import Classifier, add_classifier
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.store.splits import add_split
from datasette_ftclassify.trainers.access import Access
from datasette_ftclassify.trainers.service import InferenceResponse
from datasette_ftclassify.trainers.service_errors import RowRejected, TryAgain
from datasette_ftclassify.trainers.usage import Usage

# The pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def answer_round(pace: ConcurrencyLimit) -> None:
    for _ in range(pace.allowed):
        pace.answered()


def test_the_pace_doubles_until_the_most() -> None:
    pace, seen = ConcurrencyLimit(300), []
    for _ in range(6):
        seen.append(pace.allowed)
        answer_round(pace)
    assert seen == [32, 64, 128, 256, 300, 300]
    assert ConcurrencyLimit(3).allowed == 3


def test_a_round_of_refusals_halves_it_once_and_then_it_grows_slowly() -> None:
    pace = ConcurrencyLimit(64)
    for _ in range(3):
        answer_round(pace)
    for _ in range(20):
        pace.refused(0, 0.0)  # all sent in the same round
    assert pace.allowed == 32
    answer_round(pace)
    assert pace.allowed == 36
    pace.refused(1, 0.0)
    assert pace.allowed == 18


def test_it_never_falls_below_one() -> None:
    pace = ConcurrencyLimit(8)
    for number in range(10):
        pace.refused(number, 0.0)
    assert pace.allowed == 1


def test_a_hold_is_for_everybody_and_the_longest_counts() -> None:
    clock = Clock()
    pace = ConcurrencyLimit(8, clock=clock)
    pace.refused(0, 30.0)
    pace.hold(5.0)
    assert pace.held_for == 30.0
    clock.now += 31
    assert pace.held_for == 0
    pace.hold(1e12)
    assert pace.held_for == 7 * 24 * 3600


def test_a_refusal_that_says_nothing_is_waited_for_longer_each_time() -> None:
    pace = ConcurrencyLimit(8, base=0.5, cap=30.0)
    assert all(0 <= pace.backoff(1) <= 0.5 for _ in range(50))
    assert any(pace.backoff(6) > 8 for _ in range(50))
    assert all(pace.backoff(10_000) <= 30 for _ in range(50))


# The engine


def reply(label: str, **options: Any) -> InferenceResponse:
    return InferenceResponse(
        Answer((label,), "exact", None, label), None, Usage(10, 0, 1), **options
    )


class PlainAsker:
    """Answers here, as a function says."""

    model = "my-model"

    def __init__(self, answer: Callable[[str], Any] = lambda text: reply("Roads")) -> None:
        self.answer = answer
        self.asked: Counter[str] = Counter()
        self.under_way = 0
        self.most_under_way = 0
        self.closed_in: threading.Thread | None = None

    async def ask(self, text: str) -> InferenceResponse:
        self.asked[text] += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0)
            result = self.answer(text)
            if asyncio.iscoroutine(result):
                result = await result
            if isinstance(result, Exception):
                raise result
            return result  # type: ignore[no-any-return]
        finally:
            self.under_way -= 1

    def expected(self, text: str) -> Usage:
        return Usage(10, 0, 1)

    async def close(self) -> None:
        self.closed_in = threading.current_thread()


def test_the_engine_gives_back_what_comes_and_ends_what_does_not() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    inference_client = PlainAsker(lambda text: never() if text == "hangs" else reply("Parks"))
    engine = Engine(inference_client)
    questions = [InferenceRequest(b"%d" % i, f"text {i}") for i in range(50)]
    engine.send([InferenceRequest(b"x", "hangs"), *questions])
    found: list[Any] = []
    while len(found) < 50:
        found += engine.collect(5.0, 51 - len(found))
    assert {question.text for question, _ in found} == {q.text for q in questions}
    assert engine.collect(0.01, 1) == []
    engine.close()
    assert inference_client.closed_in is not None
    assert inference_client.closed_in.name.startswith("asking")
    assert inference_client.under_way == 0


# Conversations


@pytest.fixture
def path(tmp_path: Path) -> Path:
    report_table(tmp_path / "town.db", 500).close()
    return tmp_path / "town.db"


@pytest.fixture
def topics(conn: Any) -> Classifier:
    task = define(conn, "reports", text=["body"], labels=["topic"], kind="multiclass")
    return add_classifier(
        conn,
        name="topics",
        trainer="openai",
        labels=LABELS,
        task=task,
        split_id=add_split(conn, task, {}, []),
        seed=0,
        training_rows=1,
        header={},
        parts={},
        report={},
    )


def ask_all(
    conn: Any, topics: Classifier, inference_client: PlainAsker, texts: list[str], **options: Any
) -> list[InferenceRequest]:
    job = agreed_job(conn, "evaluate", {"n": len(texts)})
    retry_policy = options.pop("retry_policy", quick())
    with leased(conn, job.id) as lease:
        budget = Budget(conn, lease.job, Access(), lambda usage: 0.001)
        answers = ClassifierAnswers(conn, topics)
        with InferenceLoop(
            lease, answers, inference_client, budget, retry_policy=retry_policy, **options
        ) as conversation:
            requests = conversation.requests(texts)
            while conversation.unanswered:
                conversation.turn()
                if conversation.has_uncommitted:
                    conversation.commit()
    return requests


def test_no_more_questions_are_under_way_than_were_allowed(conn: Any, topics: Classifier) -> None:
    inference_client = PlainAsker()
    requests = ask_all(conn, topics, inference_client, [t for t, _ in reports(300)], concurrency=20)
    assert all(q.kept for q in requests)
    assert 8 <= inference_client.most_under_way <= 20
    assert set(inference_client.asked.values()) == {1}
    assert count_answers(conn, topics.id) == 300


def test_equal_texts_are_one_question(conn: Any, topics: Classifier) -> None:
    inference_client = PlainAsker(
        lambda text: RowRejected("too long.") if text == "long" else reply("Parks")
    )
    questions = ask_all(conn, topics, inference_client, ["a", "b", "long", "a", "long", "b"] * 5)
    assert len({id(q) for q in questions}) == 3
    assert inference_client.asked == {"a": 1, "b": 1, "long": 1}
    assert [q.answer.reason for q in questions[:3] if q.answer] == [None, None, "too long."]
    assert count_answers(conn, topics.id) == 2


def test_a_text_is_tried_six_times_and_others_go_on(conn: Any, topics: Classifier) -> None:
    inference_client = PlainAsker(
        lambda text: TryAgain("busy.") if text == "bad" else reply("Parks")
    )
    questions = ask_all(conn, topics, inference_client, ["bad", *(f"text {i}" for i in range(30))])
    assert inference_client.asked["bad"] == 6
    assert questions[0].exhausted
    assert questions[0].answer is not None
    assert questions[0].answer.reason == "no answer after 6 tries: busy."
    assert sum(q.kept for q in questions) == 30


def test_what_no_one_foresaw_ends_the_job_and_keeps_what_came(
    conn: Any, topics: Classifier
) -> None:
    inference_client = PlainAsker(
        lambda text: ZeroDivisionError("oh") if text == "30" else reply("Parks")
    )
    with pytest.raises(ZeroDivisionError):
        ask_all(conn, topics, inference_client, [str(i) for i in range(60)], concurrency=8)
    assert count_answers(conn, topics.id) == sum(inference_client.asked.values()) - 1
    assert get_job(conn, 1).state == "failed"


def test_what_hangs_does_not_keep_a_job_from_pausing(conn: Any, topics: Classifier) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    def answer(text: str) -> Any:
        if text == "hangs":
            return never()
        return ZeroDivisionError("oh") if text == "5" else reply("Parks")

    inference_client = PlainAsker(answer)
    retry_policy = RetryPolicy(base=0.001, leave=0.1)
    with pytest.raises(ZeroDivisionError):
        ask_all(
            conn,
            topics,
            inference_client,
            ["hangs", *map(str, range(6))],
            retry_policy=retry_policy,
        )
    assert count_answers(conn, topics.id) == 5


def predict(
    conn: Any, topics: Classifier, inference_client: PlainAsker, *, interrupt_at: int | None = None
) -> Any:
    """Goes through the rows as a prediction does; interrupted by hand in the n-th transaction."""
    request = PredictRequest(columns=Columns.named("topics", ROLES[:6]))
    settings = request.settings(conn, topics, "reports")
    job = agreed_job(conn, "predict", settings.to_dict())
    plan = Plan(conn, topics, settings)
    commits = 0
    with leased(conn, job.id) as lease:
        plan.begin(conn, lease.job)
        budget = Budget(conn, lease.job, Access(), lambda usage: 0.001)
        answers = ClassifierAnswers(conn, topics)
        with InferenceLoop(
            lease, answers, inference_client, budget, retry_policy=quick()
        ) as conversation:
            pages = Pages(plan, lease.job, conversation, 0.2)

            def write() -> None:
                nonlocal commits
                pages.write()
                commits += 1
                if commits == interrupt_at:
                    raise KeyboardInterrupt

            while True:
                pages.fill()
                if pages.ready or conversation.has_uncommitted:
                    pages.prepare()
                    conversation.commit(write)
                    pages.check()
                elif pages.done:
                    return lease.job
                else:
                    conversation.turn()


def test_one_slow_answer_does_not_hold_up_other_pages(conn: Any, topics: Classifier) -> None:
    inference_client = PlainAsker()
    (slow, _) = reports(1)[0]

    async def after_the_others() -> InferenceResponse:
        while len(inference_client.asked) < 450:  # for ever, if the first page were waited for
            await asyncio.sleep(0.001)
        return reply("Roads")

    inference_client.answer = lambda text: after_the_others() if text == slow else reply("Parks")
    assert predict(conn, topics, inference_client).done == 500
    assert value(conn, "select topics_label from reports where id = 1") == "Roads"


@pytest.mark.parametrize("moment", [1, 2, 5, 9])
def test_interrupted_within_a_transaction_no_row_is_lost(
    conn: Any, topics: Classifier, moment: int
) -> None:
    inference_client = PlainAsker()
    try:
        predict(conn, topics, inference_client, interrupt_at=moment)
    except KeyboardInterrupt:
        job = get_job(conn, 1)
        assert job.state == "paused"
        columns = [row[1] for row in conn.execute("pragma table_info(reports)")]
        assert ("topics_label" in columns) == (job.done > 0)  # they come with the first rows
        if job.done:
            written = "select count(*) from reports where topics_label is not null"
            assert value(conn, written) == job.done
    predict(conn, topics, inference_client)
    assert get_job(conn, 1).done == 500
    assert value(conn, "select count(*) from reports where topics_label is null") == 0
    assert sum(inference_client.asked.values()) == 500
    assert value(conn, "select sum(requests) from _ftclassify_spending") == 500


def test_a_job_that_was_taken_over_writes_nothing_more(
    conn: Any, topics: Classifier, path: Path
) -> None:
    def taken(text: str) -> Any:
        with closing(connect(path)) as other, other:
            other.execute("update _ftclassify_jobs set owner = 'another:1:x'")
        return reply("Parks")

    with pytest.raises(JobError, match="taken over"):
        ask_all(conn, topics, PlainAsker(taken), ["a"])
    assert count_answers(conn, topics.id) == 0


# Answers


def test_scores_are_of_the_label_that_was_answered() -> None:
    scores = LabelScores((-3.0, -0.1, -2.5), 0.01, True)
    said = InferenceResponse(Answer(("Parks",), "exact", None, "0"), scores, Usage())
    columns = Columns("l", "s", "p", None, "raw", "why")
    label, score, logprob, raw, reason = AnswerCells(LABELS, columns).of_stored(kept_from(said))[0]
    assert (label, logprob, raw, reason) == ("Parks", -3.0, "0", None)
    assert score == pytest.approx(0.0498, abs=1e-4)


def test_the_score_of_several_labels_is_of_just_these() -> None:
    labels = LabelSet(("a", "b"), "multilabel")
    answer = CachedAnswer(("b",), "exact", None, "b", (-1.0, -0.5))
    label, score = AnswerCells(labels, Columns("l", "s", None, None)).of_stored(answer)[0]
    assert label == '["b"]'
    assert score == pytest.approx((1 - 0.36788) * 0.60653, abs=1e-4)
    none = AnswerCells(labels, Columns("l", "s", None, None)).of_stored(CachedAnswer((), "exact"))
    assert none == (["[]", None], False)


@pytest.mark.parametrize(
    "answer",
    [
        CachedAnswer(("Zoo",)),
        CachedAnswer(()),
        CachedAnswer(("Parks", "Roads")),
        CachedAnswer(([1],)),  # type: ignore[arg-type]
        CachedAnswer(("Parks",), logprobs=(-1.0,)),
        CachedAnswer(("Parks",), logprobs=(-1.0, -2.0, float("nan"))),
        CachedAnswer(("Parks",), logprobs=(1.0, -2.0, -3.0)),
    ],
)
def test_an_answer_from_a_strange_file_is_looked_at(answer: CachedAnswer) -> None:
    assert not is_sound(answer, LABELS)


def test_what_a_model_says_can_be_stored(conn: Any) -> None:
    said = storable("half a pair \ud800 and \x00")
    assert value(conn, "select ?", [said]) == said
