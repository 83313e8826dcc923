"""Our client before a validator of OpenAI's published description, and at a server that somebody
else wrote, from the upload to columns.

The validator does not look at the contents of files, which the description has under another media
type. The server is no copy of ours: it moves a job on with every question, names result files that
are not there, knows neither checkpoints nor tuned models, and gives no log-probabilities.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import openai
import pytest
from judges import Judge, aimock, prism
from openai_examples import HELD_OUT, WORDS
from openai_server import OpenAIServer
from running_jobs import wait_for
from service_workflow import access_to, predict_at, reports, right, train_at

from datasette_ftclassify.core.errors import PredictError

pytestmark = pytest.mark.contract


@pytest.fixture
def server(openai_server: OpenAIServer) -> OpenAIServer:
    return openai_server


@pytest.mark.parametrize("model", ["gpt-4.1-mini", "davinci-002"])
def test_training_and_asking(server: OpenAIServer, tmp_path: Path, vocabularies: Path, model: str):
    with closing(reports(tmp_path / "town.db")) as conn, prism(server.base_url) as judge:
        access = access_to(judge.url)
        result = train_at(conn, access, model=model, suffix="mail")
        predict_at(conn, result, access)
        assert right(conn) == len(HELD_OUT)
        assert conn.execute("select min(reports_score) from fresh").fetchone()[0] > 0.3
        assert judge.violations() == []


def test_batches(server: OpenAIServer, tmp_path: Path, vocabularies: Path):
    with closing(reports(tmp_path / "town.db")) as conn, prism(server.base_url) as judge:
        access = access_to(judge.url)
        result = train_at(conn, access)
        predict_at(conn, result, access, batch=True)
        assert server.batches_created == 1
        assert right(conn) == len(HELD_OUT)
        assert judge.violations() == []


def test_the_judge_sees_what_is_wrong(server: OpenAIServer):
    with prism(server.base_url) as judge:
        client = server.client(base_url=judge.url)
        client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "a"}], temperature=0
        )
        assert judge.violations() == []
        with pytest.raises(Exception, match="Invalid 'temperature'"):
            client.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": "a"}], temperature=9
            )
        wait_for(judge.violations, "what the judge noticed")


CODES = {word: code for code, words in WORDS.items() for word in words.split()}


@pytest.fixture
def judge(tmp_path: Path) -> Iterator[Judge]:
    folder = tmp_path / "fixtures"
    folder.mkdir()
    # Labels are coded in alphabetical order: parks, roads, water.
    coded = {"0": "1", "1": "0", "2": "2"}
    with aimock(folder, {word: coded[code] for word, code in CODES.items()}) as judge:
        yield judge


def test_from_the_upload_to_columns(judge: Judge, tmp_path: Path, vocabularies: Path):
    access = access_to(f"{judge.url}/v1")
    client = openai.OpenAI(base_url=f"{judge.url}/v1", api_key="sk-test-canary", max_retries=0)
    with closing(reports(tmp_path / "town.db")) as conn:
        result = train_at(conn, access, suffix="mail")
        [job] = client.fine_tuning.jobs.list().data
        assert (job.status, job.fine_tuned_model) == (
            "succeeded", result.classifier.header["model"],
        )  # fmt: skip
        sent = client.files.content(job.training_file).read()
        rows = result.classifier.report["rows"]
        assert sent.count(b"\n") == rows["train"]
        predict_at(conn, result, access)
        assert right(conn) == len(HELD_OUT)
        scores = conn.execute("select distinct reports_score, reports_logprobs from fresh")
        assert scores.fetchall() == [(None, None)]


def test_a_batch_whose_answers_are_no_labels(judge: Judge, tmp_path: Path, vocabularies: Path):
    """All its batches say is `Mock batch completion`: no row gets a label for that."""
    access = access_to(f"{judge.url}/v1")
    with closing(reports(tmp_path / "town.db")) as conn:
        result = train_at(conn, access)
        with pytest.raises(PredictError, match="9 x outside the label set"):
            predict_at(conn, result, access, batch=True)
        said = conn.execute("select distinct reports_label, reports_raw from fresh").fetchall()
        assert said == [(None, "Mock batch completion")]
