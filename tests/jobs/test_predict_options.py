"""What a prediction may be told: a minimum of known leaves texts of other kinds without a label and
says why, the minimum score that is kept with a classifier is obeyed, and each label can have a
column of numbers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from commands import run
from sample_databases import rows, value
from sports import FOOTBALLERS, INSERT, ROWS
from stored import list_jobs
from visiting import ROOT, get, send, serve

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import JobError, LabelError, PredictError
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.jobs.columns import Columns, label_score_columns
from datasette_ftclassify.jobs.minimum_scores import MinimumChoice, choose_minimum, resolve
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.settings import PredictSettings, settings_of
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.present.jobs import Pace, progress_text
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.artifacts import load_parts
from datasette_ftclassify.store.classifiers import add_classifier, find_classifier
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.store.minimum_scores import MinimumScore, find_minimum, set_minimum

TRAINED = f"select count(*) from texts where id <= {ROWS} and "


@pytest.fixture
def sports(sports_db: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(sports_db)) as sports:
        with sports:
            sports.executemany(INSERT, [(text, None) for text in (*FOOTBALLERS, None)])
        yield sports


def test_a_footballer_is_no_hockey_player(sports):
    result = predict_rows(
        sports, find_classifier(sports, "sports"), "texts", PredictRequest(min_known=0.05)
    )
    unlike = rows(sports, f"select sports_label, sports_reason from texts where id > {ROWS}")
    assert [label for label, _ in unlike] == [None] * 4
    reasons = [reason for _, reason in unlike]
    assert all("unlike the training rows" in reason for reason in reasons[:3])
    assert reasons[3] is None  # it has no text
    assert value(sports, TRAINED + "sports_label = sport") > 0.85 * ROWS
    left_out = value(sports, TRAINED + "sports_label is null")
    assert left_out < 0.1 * ROWS
    assert result.to_dict()["unlike"] == left_out + 3
    job = max((job for job in list_jobs(sports) if job.kind == "predict"), key=lambda job: job.id)
    assert f"{left_out + 3} unlike the training rows" in progress_text(job, Pace())
    assert value(sports, TRAINED + "(sports_label is null) <> (sports_reason is not null)") == 0


def test_without_a_minimum_they_are(sports):
    result = predict_rows(sports, find_classifier(sports, "sports"), "texts")
    label = f"select sports_label from texts where id = {ROWS + 1}"
    assert value(sports, label) in ("hockey", "baseball")
    assert "unlike" not in result.to_dict()
    columns = {row[1] for row in sports.execute("pragma table_info(texts)")}
    assert not columns & {"sports_known", "sports_reason"}


def test_the_command_writes_known_and_takes_a_minimum(sports_db, sports):
    ran = run("predict", sports_db, "texts", "--known", "--min-known", "0.05")
    assert "less known than --min-known" in ran.output
    assert value(sports, f"select max(sports_known) from texts where id > {ROWS}") < 0.05
    assert value(sports, TRAINED + "sports_known between 0 and 1") == ROWS
    assert value(sports, TRAINED + "(sports_known < 0.05) <> (sports_label is null)") == 0


def test_a_reason_tells_the_score_from_the_text(sports):
    request = PredictRequest(min_known=0.05, threshold=0.9999)
    result = predict_rows(sports, find_classifier(sports, "sports"), "texts", request).to_dict()
    assert result["abstained"] > 0
    assert result["unlike"] >= 3
    sql = "select count(*) from texts where sports_reason like '{}%'"
    assert value(sports, sql.format("score below")) == result["abstained"]
    assert value(sports, sql.format("unlike the")) == result["unlike"]


def test_it_is_refused_where_nothing_was_measured(sports):
    with sports:
        sports.execute("update _ftclassify_classifiers set header = json_remove(header, '$.known')")
    classifier = find_classifier(sports, "sports")
    with pytest.raises(PredictError, match="Train a new version") as refused:
        predict_rows(sports, classifier, "texts", PredictRequest(min_known=0.05))
    assert refused.value.fields == ("min_known",)
    with pytest.raises(PredictError, match="0 to 1"):
        predict_rows(sports, classifier, "texts", PredictRequest(min_known=5))


def test_a_job_of_an_earlier_version_is_the_same_job(sports):
    """Its settings name no column for known, and no minimum."""
    predict_rows(sports, find_classifier(sports, "sports"), "texts")
    (job,) = list_jobs(sports, kind="predict")
    assert not {"min_known", "known"} & (set(job.settings) | set(job.settings["columns"]))


@pytest.mark.parametrize(
    ("older", "said"),
    [
        (False, "is unlike the training rows"),
        (True, "train a new version to see it"),
    ],
)
async def test_the_box_and_the_command_say_what_is_known_of_a_text(sports_db, sports, older, said):
    if older:
        with sports:
            sports.execute(
                "update _ftclassify_classifiers set header = json_remove(header, '$.known')"
            )
    address = "/sports/-/ftclassify/classifiers/sports/try"
    page = await get(serve(sports_db), f"{address}?text={quote(FOOTBALLERS[0])}")
    assert said in page.text
    ask = ["ask", str(sports_db), "sports", FOOTBALLERS[0]]
    assert said in run(*ask).output


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


def labels(*names: str) -> LabelSet:
    return LabelSet(names, "multiclass")


def test_each_label_has_a_column_of_its_probability(trained: Path):
    ran = run("predict", trained, "messages", "--classifier", "topics", "--label-scores", "--json")
    written = json.loads(ran.stdout)["columns"]["label_scores"]
    with closing(connect(trained)) as conn:
        register(conn)
        assert set(written) == set(find_classifier(conn, "topics").labels.names)
        for label, column in written.items():
            sql = (
                f"select max(abs(\"{column}\" - ft_score(message, 'topics', ?))),"
                f' min(typeof("{column}")) from messages where topics_score is not null'
            )
            ((far, kind),) = rows(conn, sql, [label])
            assert far < 1e-6
            assert kind == "real"
        sums = " + ".join(f'"{column}"' for column in written.values())
        assert value(conn, f"select max(abs(1 - ({sums}))) from messages") < 1e-6


async def test_a_box_on_the_page_writes_them_and_cells_are_drawn(trained: Path):
    datasette = serve(trained, writers=ROOT)
    address = "/town/-/ftclassify/classify"
    shown = await get(datasette, f"{address}?table=messages", ROOT)
    assert 'name="label_scores"' in shown.text
    fields = {"table": "messages", "classifier": "subjects", "rows": "all", "label_scores": "1"}
    answer = await send(datasette, address, fields, ROOT)
    assert answer.status_code == 200, answer.text
    with closing(connect(trained)) as conn:
        job = run_job(conn, answer.json()["job"])
        settings = settings_of(get_job(conn, job.id), PredictSettings)
        column = settings.columns.label_scores["street"]
        assert column == "subjects_score_street"
        assert 0 < value(conn, f"select max({column}) from messages") <= 1
    page = await get(datasette, f"/town/messages?{column}__gt=0.5", ROOT)
    assert 'class="ft-score"' in page.text


def test_names_are_letters_digits_and_underscores_and_each_is_there_once():
    found = label_score_columns(labels("a b", "a_b", "A-B", "!!", "Ärger", "x" * 300), "p")
    assert len({name.lower() for name in found.values()}) == 6
    assert found["a b"] == "p_score_a_b"
    assert found["Ärger"] == "p_score_Ärger"
    assert all(len(name) < 90 for name in found.values())
    with pytest.raises(PredictError, match="more than the 100"):
        label_score_columns(labels(*map(str, range(101))), "p")


def test_rows_that_are_classified_again_have_the_scores_of_the_labels_as_they_are_now(
    trained: Path,
) -> None:
    """Of a label that is gone none stays, which would look like one of the answer beside it."""
    run("predict", trained, "messages", "--classifier", "topics", "--label-scores")
    with closing(connect(trained)) as conn:
        first = find_classifier(conn, "topics")
        names = ("Noise!", *first.labels.names[1:])
        add_classifier(
            conn, name="topics", trainer="local", labels=LabelSet(names, first.labels.kind),
            task=first.task, split_id=first.split_id, seed=0, training_rows=first.training_rows,
            header=first.header, parts=load_parts(conn, first), report=first.report,
        )  # fmt: skip
        gone = first.labels.names[0]
        (column,) = label_score_columns(labels(gone), "topics").values()
        assert value(conn, f'select count("{column}") from messages') > 0
        again = run("predict", trained, "messages", "--classifier", "topics", "--stale", "--json")
        written = json.loads(again.stdout)["columns"]["label_scores"]
        assert value(conn, f'select count("{column}") from messages') == 0
        sums = " + ".join(f'"{written[name]}"' for name in names)
        assert len({*written.values()}) == len(names) + 1
        assert value(conn, f"select max(abs(1 - ({sums}))) from messages") < 1e-6


def test_a_label_that_is_none_is_refused(trained: Path):
    with closing(connect(trained)) as conn:
        columns = Columns.named("t", ["label"])
        given = Columns(**{**columns.to_dict(), "label_scores": {"gone": "t_gone"}})
        with pytest.raises(LabelError, match="no label gone"):
            predict_rows(
                conn, find_classifier(conn, "topics"), "messages", PredictRequest(columns=given)
            )


def test_settings_of_a_strangers_job_are_read_with_care(trained: Path):
    with closing(connect(trained)) as conn:
        predict_rows(conn, find_classifier(conn, "topics"), "messages")
        with conn:
            conn.execute(
                "update _ftclassify_jobs set settings ="
                " json_set(settings, '$.columns.label_scores', json('{\"a\": [1]}'))"
                " where kind = 'predict'"
            )
        job = value(conn, "select max(id) from _ftclassify_jobs where kind = 'predict'")
        with pytest.raises(JobError, match="not written by this software"):
            settings_of(get_job(conn, job), PredictSettings)
