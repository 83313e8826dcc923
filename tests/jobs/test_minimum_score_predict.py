"""Predictions into columns obey the minimum score that is kept with a classifier, say so, and may
have another one of their own."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from sample_databases import rows, value

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.minimum_scores import MinimumScore, set_minimum


@pytest.fixture
def conn(trained: Path):
    with closing(connect(trained)) as conn:
        yield conn


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
    run = CliRunner().invoke(ftclassify, arguments)
    assert run.exit_code == 0, run.output
    assert f"below {score:.3g}, the minimum score, and no label" in run.output
    run = CliRunner().invoke(ftclassify, [*arguments, "--min-score", "0"])
    assert "no label" not in run.output
