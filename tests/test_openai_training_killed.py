"""A training killed between any two lines, and gone on with: it is paid for once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from openai_server import OpenAIServer
from training_diary import ROWS, Diary, Killed, Setting, in_parts, is_whole

import datasette_ftclassify.trainers.openai as package
from datasette_ftclassify.errors import JobStopped

_FOLDER = Path(package.__file__).parent


@pytest.fixture
def server(vocabularies: Path, no_certificates: None) -> Iterator[OpenAIServer]:
    with OpenAIServer(pace=0.0, metrics=2) as server:
        yield server


def anew(server: OpenAIServer) -> None:
    server.state.files.clear()
    server.state.uploads.clear()
    server.state.jobs_created = 0


def test_killed_at_any_word_to_the_diary_it_trains_once(server: OpenAIServer):
    at = 0
    while True:
        at += 1
        anew(server)
        setting, diary = Setting(server, rows=ROWS, held_out=6), Diary()
        diary.dies_at = at
        try:
            setting.train(diary)
            break  # it was over before it could be killed
        except Killed:
            is_whole(setting, setting.train(diary), diary)
    assert at > 30


@pytest.mark.parametrize(("what", "status"), [("pause", "paused"), ("cancel", "cancelled")])
def test_killed_while_it_is_paused_or_cancelled(server: OpenAIServer, what: str, status: str):
    for at in range(14, 60):
        anew(server)
        server.hold("running")
        setting, diary = whole(server), Diary()

        def ask(waits: int, diary: Diary = diary) -> None:
            id = diary.saved.get("job_id")
            if id and server.jobs[id].record["status"] == "running":
                diary.wish = what

        diary.on_wait, diary.dies_at = ask, at
        with pytest.raises((Killed, JobStopped)) as end:
            setting.train(diary)
        if end.type is JobStopped:
            break  # it was over before it could be killed
        with pytest.raises(JobStopped):
            setting.train(diary)
        assert server.jobs_created == 1
        job = list(server.jobs.values())[-1]
        assert job.record["status"] == status
        if what == "pause":
            diary.wish, diary.on_wait = None, lambda waits: None
            server.release()
            is_whole(setting, setting.train(diary), diary)
    assert at > 20


class KillAtLine:
    """Kills when a line of one of our modules is about to run for the first time; without a line,
    remembers which are run."""

    def __init__(self, module: str, line: int | None = None) -> None:
        self.file = str(_FOLDER / f"{module}.py")
        self.line = line
        self.seen: dict[int, None] = {}

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != self.file:
            return None
        if event == "line":
            self.seen[frame.f_lineno] = None
            if frame.f_lineno == self.line:
                raise Killed
        return self._trace

    def __enter__(self) -> KillAtLine:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)


def whole(server: OpenAIServer) -> Setting:
    return Setting(server, rows=ROWS, held_out=0)


@pytest.mark.parametrize(
    ("module", "make"), [("creating", whole), ("training", whole), ("uploads", in_parts)]
)
def test_killed_between_any_two_lines_it_trains_once(
    server: OpenAIServer, module: str, make: Callable[[OpenAIServer], Setting]
):
    with KillAtLine(module) as watched:
        make(server).train(Diary())
    assert len(watched.seen) > 15
    for line in watched.seen:
        anew(server)
        setting, diary = make(server), Diary()
        with pytest.raises(Killed), KillAtLine(module, line):
            setting.train(diary)
        is_whole(setting, setting.train(diary), diary)
        assert len(server.state.uploads) <= 2
