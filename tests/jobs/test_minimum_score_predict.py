"""Predictions into columns obey the minimum score that is kept with a classifier, say so, and may
have another one of their own."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner
from commands import run
from sample_databases import rows, value

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.jobs.minimum_scores import MinimumChoice, choose_minimum, resolve
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.minimum_scores import MinimumScore, find_minimum, set_minimum


def median(conn) -> float:
    """Half of the rows have a score below it."""
    classifier = find_classifier(conn, "topics")
    predict_rows(conn, classifier, "messages")
    sql = "select topics_score from messages where topics_score is not null order by 1"
    scores = [row[0] for row in rows(conn, sql)]
    return scores[len(scores) // 2]


def test_a_row_below_it_gets_no_label_and_keeps_its_score(conn):
    classifier, score = find_classifier(conn, "topics"), median(conn)
    set_minimum(conn, classifier, MinimumScore("fixed", score))
    result = predict_rows(conn, classifier, "messages")
    below = value(conn, "select count(*) from messages where topics_score < ?", [score])
    assert below == result.abstained > 0
    sql = "select count(*) from messages where topics_score is not null and topics_label is null"
    assert value(conn, sql) == below
    again = predict_rows(conn, classifier, "messages", PredictRequest(threshold=0.0))
    assert again.abstained == 0
    assert value(conn, sql) == 0


def test_the_command_says_that_it_is_the_classifiers(conn, trained: Path):
    score = median(conn)
    set_minimum(conn, find_classifier(conn, "topics"), MinimumScore("fixed", score))
    arguments = ["predict", str(trained), "messages", "--classifier", "topics"]
    ran = run(*arguments)
    assert f"below {score:.3g}, the minimum score, and no label" in ran.output
    ran = CliRunner().invoke(ftclassify, [*arguments, "--min-score", "0"])
    assert "no label" not in ran.output


def train_again(conn) -> list[str]:
    """A new version of `topics` on the same rows; the events of its job."""
    before = find_classifier(conn, "topics")
    train_classifier(conn, before.task, TrainRequest(name="topics"))
    job = value(conn, "select max(id) from _ftclassify_jobs")
    sql = "select message from _ftclassify_job_events where job_id = ?"
    return [row[0] for row in rows(conn, sql, [job])]


def test_a_new_version_goes_on_with_what_was_chosen(conn):
    old = find_classifier(conn, "topics")
    chosen = choose_minimum(conn, old, MinimumChoice("likely", wrong=0.2), "ann")
    events = train_again(conn)
    new = find_classifier(conn, "topics")
    minimum = find_minimum(conn, new)
    assert new.version == old.version + 1
    assert (minimum.strength, minimum.wrong, minimum.set_by) == ("likely", 0.2, "ann")
    assert minimum.score == resolve(conn, new, MinimumChoice("likely", wrong=0.2)).score
    assert find_minimum(conn, old) == chosen
    assert any(event.startswith("As for topics@1: Only answers") for event in events)


def test_a_promise_that_cannot_be_made_any_more_leaves_its_score(conn):
    old = find_classifier(conn, "topics")
    set_minimum(conn, old, MinimumScore("guaranteed", 0.9, wrong=0.001))
    events = train_again(conn)
    minimum = find_minimum(conn, find_classifier(conn, "topics"))
    assert (minimum.strength, minimum.score, minimum.wrong) == ("fixed", 0.9, None)
    assert any("of topics@1 stays, 0.9, and promises nothing" in event for event in events)


def test_without_a_choice_a_new_version_has_none(conn):
    train_again(conn)
    assert find_minimum(conn, find_classifier(conn, "topics")) is None
