"""The decisions trainer: what it asks, and how it reads what it is told."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import pytest
from openai_server import OpenAIServer
from served import SEVERAL, TOPICS, WORDS, TrainingLog, endpoint_of, order, teach, tuned

from datasette_ftclassify.core.errors import AccessError, ArtifactError, TrainingError
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.prompts.prices import estimate_inference, load_prices
from datasette_ftclassify.trainers.access import Endpoint
from datasette_ftclassify.trainers.configuration import read_access
from datasette_ftclassify.trainers.decisions.inference import read_answers
from datasette_ftclassify.trainers.decisions.trainer import DecisionsTrainer
from datasette_ftclassify.trainers.registry import get_trainer
from datasette_ftclassify.trainers.service import InferenceResponse, Service
from datasette_ftclassify.trainers.service_errors import RowRejected, ServiceRefused, TryAgain


def ask(
    server: OpenAIServer,
    *texts: str,
    labels: LabelSet = TOPICS,
    header: Any = None,
    endpoint: Endpoint | None = None,
    **options: Any,
) -> list[InferenceResponse]:
    """The replies of a fresh asker to all of the texts at once."""
    header = header or tuned(server, labels, **options).header

    async def run() -> list[InferenceResponse]:
        inference_client = DecisionsTrainer().inference_client(
            header, labels, endpoint or endpoint_of(server)
        )
        try:
            return await asyncio.gather(*map(inference_client.ask, texts))
        finally:
            await inference_client.close()

    return asyncio.run(run())


def test_it_is_a_service_that_needs_no_examples():
    trainer = get_trainer("decisions")
    assert isinstance(trainer, Service)
    assert not trainer.capabilities.trains
    assert not trainer.capabilities.needs_examples
    assert trainer.capabilities.leaves_machine


def test_training_asks_nobody(openai_server: OpenAIServer):
    made = tuned(openai_server, descriptions={"Roads": "holes in them"})
    assert made.header["model"] == "gpt-6-luna"
    assert made.header["host"] == openai_server.origin.removeprefix("http://")
    assert made.header["descriptions"] == {"Roads": "holes in them"}
    assert "without training" in made.report["why"]
    assert openai_server.log == []
    assert openai_server.api_key not in json.dumps([made.header, made.report])


def test_a_text_gets_a_label_and_the_probability_of_each(openai_server: OpenAIServer):
    teach(openai_server)
    texts = {label: f"a {words.split()[0]}, seen today" for label, words in WORDS.items()}
    replies = ask(openai_server, *texts.values())
    assert [r.answer.labels for r in replies] == [(label,) for label in texts]
    for reply in replies:
        assert reply.answer.how == "exact"
        assert reply.scores is not None
        assert reply.scores.exact
        assert sum(map(math.exp, reply.scores.logprobs)) == pytest.approx(1)
        best = TOPICS.index(reply.answer.labels[0])
        assert max(reply.scores.logprobs) == reply.scores.logprobs[best]
        assert reply.usage.input_tokens > 10


def test_one_question_with_the_labels_as_choices(openai_server: OpenAIServer):
    ask(openai_server, "a „drain“\ud800", descriptions={"Water": "pipes, and what leaks"})
    body = json.loads(openai_server.log[-1].body)
    assert body["model"] == "gpt-6-luna"
    assert body["input"] == "a „drain“\ud800"
    (question,) = body["questions"]
    assert question["choices"] == [
        {"value": "Parks"}, {"value": "Roads"},
        {"value": "Water", "description": "pipes, and what leaks"},
    ]  # fmt: skip


def test_numbers_come_back_as_numbers(openai_server: OpenAIServer):
    (reply,) = ask(openai_server, "x", labels=LabelSet((0, 1), "binary"))
    assert reply.answer.labels in ((0,), (1,))


def test_multilabel_asks_about_each_label(openai_server: OpenAIServer):
    teach(openai_server)
    (reply,) = ask(
        openai_server, "a drain and a flood", labels=SEVERAL, descriptions={"Water": "leaks"}
    )
    questions = json.loads(openai_server.log[-1].body)["questions"]
    assert [q["type"] for q in questions] == ["predicate"] * 3
    assert '"Water"' in questions[2]["instructions"]
    assert "leaks" in questions[2]["instructions"]
    assert reply.answer.labels == ("Water",)
    assert reply.scores is not None
    given = [math.exp(x) >= 0.5 for x in reply.scores.logprobs]
    assert given == [False, False, True]


@pytest.mark.parametrize("labels", [TOPICS, SEVERAL], ids=lambda labels: labels.kind)
def test_a_refusal_is_an_abstention(openai_server: OpenAIServer, labels: LabelSet):
    openai_server.faults.add("/decisions", "refusal")
    (reply,) = ask(openai_server, "something awful", labels=labels)
    assert (reply.answer.labels, reply.answer.reason) == (None, "refused")
    assert reply.scores is None
    assert reply.usage.input_tokens > 0


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("rate_limit", TryAgain), ("server_error", TryAgain), ("drop", TryAgain),
        ("html", TryAgain), ("malformed_json", TryAgain), ("unauthorized", ServiceRefused),
        ("insufficient_quota", ServiceRefused), ("redirect", ServiceRefused),
        ("content_policy", RowRejected),
    ],
)  # fmt: skip
def test_failures_are_of_the_row_of_a_while_or_of_all(
    openai_server: OpenAIServer, fault: str, problem: type[Exception]
):
    openai_server.faults.add("/decisions", fault)
    with pytest.raises(problem) as told:
        ask(openai_server, "x")
    assert openai_server.api_key not in str(told.value)
    assert openai_server.count("POST /decisions") == 1


def test_fields_of_the_operators_go_along(openai_server: OpenAIServer):
    openai_server.settings.extra_body = {"tier"}
    endpoint = Endpoint(openai_server.api_key, openai_server.base_url, extra_body={
        "tier": "x", "legacy_hyperparameters": True,
    })  # fmt: skip
    ask(openai_server, "x", endpoint=endpoint)
    body = json.loads(openai_server.log[-1].body)
    assert body["tier"] == "x"
    assert "legacy_hyperparameters" not in body  # which is about trainings


def test_what_is_expected_is_at_least_what_is_used(openai_server: OpenAIServer):
    header = tuned(openai_server).header
    text = "The drain on Mill Lane is blocked and the road floods. " * 40

    async def run() -> None:
        inference_client = DecisionsTrainer().inference_client(
            header, TOPICS, endpoint_of(openai_server)
        )
        expected = inference_client.expected(text)
        used = (await inference_client.ask(text)).usage
        await inference_client.close()
        assert used.input_tokens <= expected.input_tokens < 2 * used.input_tokens
        assert used.output_tokens <= expected.output_tokens
        price = estimate_inference(load_prices(), inference_client.model, input_tokens=1_000_000,
                                   output_tokens=1)  # fmt: skip
        assert price.usd == pytest.approx(0.1)

    asyncio.run(run())


MANY = [f"label {i}" for i in range(401)]


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        (LabelSet(tuple(MANY[:256]), "multiclass"), {}, "255 choices"),
        (LabelSet(tuple(MANY), "multilabel"), {}, "400 questions"),
        (LabelSet(("Roads",), "multiclass"), {}, "nothing to choose from"),
        (TOPICS, {"descriptions": {"Road": "x"}}, "did you mean Roads?"),
        (TOPICS, {"epochs": 3}, "epochs"),
        (TOPICS, {"embeddings": "x"}, "embeddings"),
        (TOPICS, {"extra": {"a": 1}}, "extra"),
    ],
)
def test_what_cannot_be_asked_is_said_at_once(
    openai_server: OpenAIServer, labels: LabelSet, options: dict, words: str
):
    with pytest.raises(TrainingError, match=words):
        tuned(openai_server, labels, **options)


@pytest.mark.parametrize("count", [255, 2])
def test_as_many_choices_as_the_service_takes(openai_server: OpenAIServer, count: int):
    (reply,) = ask(openai_server, "x", labels=LabelSet(tuple(MANY[:count]), "multiclass"))
    assert reply.answer.labels is not None


def test_as_many_questions_as_the_service_takes(openai_server: OpenAIServer):
    (reply,) = ask(openai_server, "x", labels=LabelSet(tuple(MANY[:400]), "multilabel"))
    assert reply.answer.labels is not None


def test_without_a_key_it_says_which():
    with pytest.raises(AccessError, match="OPENAI_API_KEY"):
        DecisionsTrainer().check(order(TOPICS), Endpoint())
    endpoint = read_access({}, {"OPENAI_API_KEY": "sk-x"}).endpoint("decisions")
    DecisionsTrainer().check(order(TOPICS), endpoint)


def test_a_file_does_not_choose_where_the_key_goes(openai_server: OpenAIServer):
    header = {**tuned(openai_server).header, "host": "evil.example"}
    with pytest.raises(AccessError, match=r"evil\.example"):
        ask(openai_server, "x", header=header)
    assert openai_server.log == []


@pytest.mark.parametrize(
    "damage",
    [
        {"model": 3}, {"model": ""}, {"model": "a\nb"}, {"host": None}, {"descriptions": []},
        {"descriptions": {"Roads": 1}}, {"descriptions": {"Sewers": "x"}},
    ],
)  # fmt: skip
def test_a_damaged_header(openai_server: OpenAIServer, damage: dict):
    header = {**tuned(openai_server).header, **damage}
    with pytest.raises(ArtifactError):
        ask(openai_server, "x", header=header)


def choice(**changes: Any) -> dict[str, Any]:
    listed = [
        {"value": v, "probability": p} for v, p in zip(TOPICS.names, (0.2, 0.5, 0.1), strict=True)
    ]
    return {"type": "choice", "choice": "Roads", "probabilities": listed, **changes}


def test_probabilities_are_shared_out_among_the_labels():
    answer, scores = read_answers([choice()], TOPICS)
    assert answer.labels == ("Roads",)
    assert scores is not None
    assert [math.exp(x) for x in scores.logprobs] == pytest.approx([0.25, 0.625, 0.125])
    assert scores.other == pytest.approx(0.2)


def test_a_choice_without_probabilities_has_no_scores():
    answer, scores = read_answers([choice(probabilities=[])], TOPICS)
    assert (answer.labels, scores) == (("Roads",), None)


def test_a_choice_that_was_not_offered_is_an_abstention():
    answer, scores = read_answers([choice(choice="Sewers")], TOPICS)
    assert (answer.labels, answer.reason, scores) == (None, "outside the label set", None)


@pytest.mark.parametrize(
    "answers",
    [
        None, [], {}, [{}], [{"type": "choice"}], [choice(), choice()], [None],
        [choice(probabilities=[{"value": "Roads", "probability": math.nan}])],
        [choice(probabilities=[{"value": "Roads", "probability": 7}])],
        [choice(probabilities=[{"value": "Roads", "probability": "1"}])],
        [choice(choice=["Roads"], probabilities=3)],
    ],
)  # fmt: skip
def test_nonsense_is_no_answer(answers: Any):
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        read_answers(answers, TOPICS)


def test_an_interrupted_training_stops():
    class Stopped(TrainingLog):
        def check(self) -> None:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        DecisionsTrainer().train(order(TOPICS), Stopped(), Endpoint("sk-x"))
