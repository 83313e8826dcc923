"""kill -9 of a paid prediction at a server that somebody else wrote, which counts what it gets.

FTCLASSIFY_KILLS says how often the job is killed: 8 times unless told otherwise.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from judges import Judge, aimock
from killing import (
    IN_FLIGHT,
    MOST_BETWEEN,
    Moments,
    check_paid_rows,
    killed_often,
    number_of_kills,
    rows_for,
)
from openai_examples import WORDS
from paid_rows import check_books, make_watched, predict_command, predict_key
from programs import Program, datasette
from service_workflow import access_to

pytestmark = pytest.mark.contract

KILLS = number_of_kills(8)


class Journal:
    """What the server has noted of requests to models, whatever became of their answers."""

    def __init__(self, judge: Judge) -> None:
        self._url = f"{judge.url}/__aimock"

    def forget(self) -> None:
        urlopen(Request(f"{self._url}/reset/journal", method="POST")).close()

    def _read(self, limit: int) -> tuple[int, list[dict[str, Any]]]:
        url = f"{self._url}/journal?method=POST&path=/chat/completions&limit={limit}"
        with urlopen(url) as response:
            return int(response.headers["X-Total-Count"]), json.load(response)

    def count(self) -> int:
        return self._read(0)[0]

    def questions(self) -> Counter[str]:
        """How often each came; those that were cut off in the midst have no body."""
        _, entries = self._read(10_000_000)
        bodies = (entry["body"] for entry in entries if entry["body"] is not None)
        return Counter(json.dumps(body, sort_keys=True) for body in bodies)


def test_a_prediction_killed_again_and_again_at_another_server(tmp_path: Path, vocabularies: Path):
    # Labels are coded in alphabetical order: parks, roads, water.
    coded = {"0": "1", "1": "0", "2": "2"}
    answers = {word: coded[code] for code, words in WORDS.items() for word in words.split()}
    folder, path = tmp_path / "fixtures", tmp_path / "town.db"
    folder.mkdir()
    with aimock(folder, answers, "--journal-max", "0") as judge:
        journal, access = Journal(judge), access_to(f"{judge.url}/v1")
        make_watched(path, access, rows_for(KILLS))
        journal.forget()
        endpoint = access.endpoints["openai"]
        environ = {"OPENAI_API_KEY": endpoint.api_key, "OPENAI_BASE_URL": endpoint.base_url}

        def check() -> None:
            if sent := journal.count():
                check_books(sent, predict_key(path))

        command = predict_command(path, IN_FLIGHT)
        hits = killed_often(
            lambda: Program(datasette, "ftclassify", *command, environ=environ),
            KILLS, Moments(journal.count, 4, MOST_BETWEEN), check,
        )  # fmt: skip
        sent, asked = journal.count(), journal.questions()
    check_paid_rows(path, KILLS, hits, sent, asked)
