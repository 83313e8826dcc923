"""The server that stands for OpenAI in other tests: batches and decisions."""

from __future__ import annotations

import openai
import pytest
from openai_examples import HELD_OUT, batch_lines, create_batch, examples, lines_of
from openai_server import OpenAIServer


def test_a_batch_answers_like_single_requests(tuned):
    server, client, model = tuned
    texts = [text for text, _ in HELD_OUT]
    content = batch_lines(model, texts, logprobs=True, top_logprobs=5)
    content += batch_lines(model, ["x"], temperature=9).replace(b"row-0", b"row-bad")
    batch = create_batch(client, content, metadata={"tag": "b"})
    assert server.wait(batch.id) == "completed"
    batch = client.batches.retrieve(batch.id)
    assert batch.request_counts is not None
    assert batch.request_counts.model_dump() == {"total": 10, "completed": 9, "failed": 1}
    assert batch.usage is not None
    assert batch.usage.output_tokens == 9
    done = lines_of(client, batch.output_file_id)
    said = [done[f"row-{i}"]["response"]["body"]["choices"][0]["message"]["content"]
            for i in range(9)]  # fmt: skip
    assert said == [label for _, label in HELD_OUT]
    assert list(done) != [f"row-{i}" for i in range(9)]  # in no order
    failed = lines_of(client, batch.error_file_id)
    assert failed["row-bad"]["response"]["status_code"] == 400
    assert [b.id for b in client.batches.list(limit=1)] == [batch.id]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda c: c + c, "duplicate_custom_id"),
        (lambda c: c + b"{\n", "invalid_json_line"),
        (lambda c: c.replace(b"/v1/chat/completions", b"/v1/completions"), "mismatched_endpoint"),
        (lambda c: c.replace(b'"body"', b'"boddy"'), "missing_required_parameter"),
        (lambda c: c + batch_lines("gpt-4.1", ["b"]).replace(b"row-0", b"1"), "mismatched_model"),
    ],
)
def test_batches_that_fail_validation(openai_server: OpenAIServer, change, code: str):
    client = openai_server.client()
    batch = create_batch(client, change(batch_lines("gpt-4o", ["roads"])))
    assert openai_server.wait(batch.id) == "failed"
    errors = client.batches.retrieve(batch.id).errors
    assert errors is not None
    assert errors.data is not None
    assert errors.data[0].code == code


def test_a_cancelled_batch_keeps_what_is_done(openai_server: OpenAIServer):
    client = openai_server.client()
    openai_server.hold("in_progress")
    batch = create_batch(client, batch_lines("gpt-4o", ["roads"] * 3))
    openai_server.wait(batch.id, "in_progress")
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert openai_server.wait(batch.id) == "cancelled"
    left = lines_of(client, client.batches.retrieve(batch.id).error_file_id)
    assert {line["error"]["code"] for line in left.values()} == {"batch_cancelled"}


def test_a_queue_of_batches_has_its_limit(openai_server: OpenAIServer):
    client = openai_server.client()
    openai_server.settings.batch_tokens = 300
    openai_server.hold("in_progress")
    content = batch_lines("gpt-4o", ["roads", "parks"])
    first = create_batch(client, content)
    openai_server.wait(first.id, "in_progress")
    second = create_batch(client, content)
    assert openai_server.wait(second.id) == "failed"
    errors = client.batches.retrieve(second.id).errors
    assert errors is not None
    assert errors.data is not None
    assert errors.data[0].code == "token_limit_exceeded"
    openai_server.release()
    assert openai_server.wait(first.id) == "completed"


def test_decisions_answer_closed_questions(openai_server: OpenAIServer):
    client = openai_server.client()
    choices = [{"value": "Roads", "description": "potholes, kerbs"}, {"value": "Parks"}]
    decision = client.decisions.create(
        model="gpt-6-luna", input="A pothole opened on our roads",
        questions=[
            {"type": "choice", "name": "topic", "instructions": "Which?", "choices": choices},
            {"type": "predicate", "instructions": "It is about roads."},
            {"type": "score", "instructions": "How bad?",
             "levels": [{"label": "fine"}, {"label": "bad"}]},
        ],
    )  # fmt: skip
    topic, about_roads, score = decision.answers
    assert topic.type == "choice"
    assert (topic.name, topic.choice) == ("topic", "Roads")
    assert sum(p.probability for p in topic.probabilities) == pytest.approx(1)
    assert about_roads.type == "predicate"
    assert about_roads.probability > 0.4
    assert score.type == "score"
    assert score.score == pytest.approx(0.5)
    assert decision.usage.output_tokens == 3


def test_decisions_can_be_taught(openai_server: OpenAIServer):
    names = {"0": "Roads", "1": "Parks", "2": "Water"}
    rows = [(text, names[code]) for text, code in examples()]
    openai_server.teach([t for t, _ in rows], [label for _, label in rows])
    client = openai_server.client()
    for text, code in HELD_OUT:
        decision = client.decisions.create(
            model="gpt-6-luna", input=[{"role": "user", "content": text}],
            questions=[
                {"type": "choice", "instructions": "Which?",
                 "choices": [{"value": name} for name in names.values()]},
                {"type": "predicate", "instructions": f"The text is about {names[code]}."},
            ],
        )  # fmt: skip
        choice, predicate = decision.answers
        assert choice.type == "choice"
        assert choice.choice == names[code]
        assert predicate.type == "predicate"
        assert predicate.probability > 0.5


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ([], "expected 1 to 400"),
        ([{"type": "predicate", "instructions": "x"}] * 401, "expected 1 to 400"),
        ([{"type": "choice", "instructions": "x", "choices": [{"value": "a"}]}], "2 to 255"),
        ([{"type": "choice", "instructions": "x", "choices": [{"value": "a"}] * 2}], "unique"),
        ([{"type": "predicate", "instructions": "x", "zip": 1}], r"questions\[0\].zip"),
    ],
)
def test_decisions_that_are_refused(openai_server: OpenAIServer, questions: list, message: str):
    client = openai_server.client()
    with pytest.raises(openai.BadRequestError, match=message):
        client.decisions.create(model="gpt-6-luna", input="x", questions=questions)
