"""Our client before a validator of OpenAI's published description, from the upload to columns.

What is not looked at: the contents of files, which the description has under another media type.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from judges import prism
from openai_examples import HELD_OUT
from openai_server import OpenAIServer
from running_jobs import wait_for
from service_workflow import access_to, predict_at, reports, right, train_at

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
