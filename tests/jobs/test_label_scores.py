"""A prediction can write one column of numbers for each label."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from commands import run
from sample_databases import rows, value
from visiting import ROOT, get, send, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import JobError, LabelError, PredictError
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.jobs.columns import Columns, label_score_columns
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.settings import PredictSettings, settings_of
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.artifacts import load_parts
from datasette_ftclassify.store.classifiers import add_classifier, find_classifier
from datasette_ftclassify.store.jobs.state import get_job


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
