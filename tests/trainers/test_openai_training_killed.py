"""A training killed between any two lines, and gone on with: it is paid for once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from fine_tuning_runs import ROWS, Killed, Setting, TrainingLog, in_parts, is_whole
from openai_server import OpenAIServer

import datasette_ftclassify.trainers.openai_protocol as package
from datasette_ftclassify.core.errors import JobStopped

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
        setting, training_log = Setting(server, rows=ROWS, held_out=6), TrainingLog()
        training_log.dies_at = at
        try:
            setting.train(training_log)
            break  # it was over before it could be killed
        except Killed:
            is_whole(setting, setting.train(training_log), training_log)
    assert at > 30


@pytest.mark.parametrize(("what", "status"), [("pause", "paused"), ("cancel", "cancelled")])
def test_killed_while_it_is_paused_or_cancelled(server: OpenAIServer, what: str, status: str):
    for at in range(14, 60):
        anew(server)
        server.hold("running")
        setting, training_log = whole(server), TrainingLog()

        def ask(waits: int, training_log: TrainingLog = training_log) -> None:
            id = training_log.saved.get("job_id")
            if id and server.jobs[id].record["status"] == "running":
                training_log.wish = what

        training_log.on_wait, training_log.dies_at = ask, at
        with pytest.raises((Killed, JobStopped)) as end:
            setting.train(training_log)
        if end.type is JobStopped:
            break  # it was over before it could be killed
        with pytest.raises(JobStopped):
            setting.train(training_log)
        assert server.jobs_created == 1
        job = list(server.jobs.values())[-1]
        assert job.record["status"] == status
        if what == "pause":
            training_log.wish, training_log.on_wait = None, lambda waits: None
            server.release()
            is_whole(setting, setting.train(training_log), training_log)
    assert at > 20


class KillAtLine:
    """Kills when a line of one of our modules is about to run for the first time; without a line,
    remembers which are run."""

    def __init__(self, module: str, line: int | None = None) -> None:
        import_module(f"{package.__name__}.{module}")  # or its import would be seen, and only once
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
    ("module", "make"), [("create_job", whole), ("fine_tuning", whole), ("uploads", in_parts)]
)
def test_killed_between_any_two_lines_it_trains_once(
    server: OpenAIServer, module: str, make: Callable[[OpenAIServer], Setting]
):
    with KillAtLine(module) as watched:
        make(server).train(TrainingLog())
    assert len(watched.seen) > 15
    for line in watched.seen:
        anew(server)
        setting, training_log = make(server), TrainingLog()
        with pytest.raises(Killed), KillAtLine(module, line):
            setting.train(training_log)
        is_whole(setting, setting.train(training_log), training_log)
        assert len(server.state.uploads) <= 2
