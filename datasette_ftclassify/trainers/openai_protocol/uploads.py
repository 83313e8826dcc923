"""Uploading the examples: each file once, even when a connection breaks or the process is killed.

A file's name holds the training's tag, so a file whose arrival was not confirmed is found again.
Large files go in parts, and those that arrived are not sent again.
"""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import openai

from ...core.errors import TrainingError
from ...core.job_events import LEFT_AT_SERVICE
from ..base import Limits
from ..service import TrainingSpec
from ..service_errors import RowRejected, ServiceProblem, ServiceRefused
from .errors import FAILURES, problem
from .training_requests import TrainingSession, Upload

FILE_BYTES = 512 * 1024**2
"""The most that goes as one request (OpenAI's Files API); larger files go as Uploads."""

PART_BYTES = 64 * 1024**2
"""Of an upload (OpenAI's Uploads API)."""

SECONDS = 600.0
"""For a request that carries a file."""

DELETES = 3
"""Times that a file is deleted before it is left to people."""

SPLITS = ("train", "validation")
PURPOSE: Final = "fine-tune"

# How often a file is asked about that has such a status. Some servers never say `processed`.
_MAX_POLLS = {"uploaded": 5, "pending": 40, "running": 40, "notrunning": 40, "importing": 40}


def file_name(tag: str, split: str) -> str:
    return f"ftclassify-{tag}-{split}.jsonl"


def send_files(
    session: TrainingSession,
    spec: TrainingSpec,
    limits: Limits,
    *,
    file_bytes: int = FILE_BYTES,
    part_bytes: int = PART_BYTES,
) -> dict[str, str | None]:
    """The service's ids of the files by split, None for a split without rows; sends what is not
    there yet, and waits until it is processed.

    Raises TrainingError, ServiceProblem or JobStopped.
    """
    training_log = session.training_log
    files = session.state.get("files", {})
    if not all(split in files for split in SPLITS):
        # Nothing of ours can be there before the first time.
        again = session.state.get("step") == "upload"
        training_log.save(step="upload")
        with tempfile.TemporaryDirectory(prefix="ftclassify-") as folder:
            for split in SPLITS:
                if split in files:
                    continue
                training_log.report_progress(f"writing the {split} examples", 0.0)
                path = spec.write(split, Path(folder))
                _check_file(path, split, limits)
                sent = path and _Sending(session, split, path, file_bytes, part_bytes).send(again)
                files[split] = sent or None
                training_log.save(files=dict(files))
                training_log.check()
    for id in filter(None, files.values()):
        _await_processed(session, id)
    return files


def delete_files(session: TrainingSession, ids: list[str]) -> list[str]:
    """Deletes files of ours, even when a stop is requested meanwhile; gives the ids of the deleted
    ones. Those that cannot be deleted are noted: there are people's texts in them."""
    session, gone = replace(session, ignore_stop=True), []
    for id in ids:
        try:
            session.retry(partial(was_deleted, session.client.files.delete, id), DELETES)
        except ServiceProblem as trouble:
            session.training_log.event(
                f"The file {id} could not be deleted at {session.host}: delete it there. {trouble}",
                key=f"left-{id}",
                kind=LEFT_AT_SERVICE,
            )
            continue
        gone.append(id)
    return gone


def _check_file(path: Path | None, split: str, limits: Limits) -> None:
    if path is None:
        if split == "train":
            raise TrainingError("There are no rows to train on.")
        return
    size = path.stat().st_size
    if limits.file_bytes is not None and size > limits.file_bytes:
        raise TrainingError(
            f"The {split} examples are {size:,} bytes, and a file may have {limits.file_bytes:,} "
            "there: train on fewer rows."
        )
    if split != "train":
        return
    with path.open("rb") as file:
        rows = sum(1 for _ in itertools.islice(file, limits.examples))
    if rows < limits.examples:
        raise TrainingError(
            f"There are {rows} examples to train on, and {limits.examples} is the least: label "
            "more rows."
        )


def _await_processed(session: TrainingSession, id: str) -> None:
    for attempt in itertools.count():
        file = session.request_with_retry(lambda: session.client.files.retrieve(id))
        status = str(file.status).lower()
        if status == "error":
            why = file.status_details or "it does not say why"
            raise TrainingError(f"{session.host} cannot read the file {id}: {why}.")
        if attempt >= _MAX_POLLS.get(status, 0):
            return
        session.training_log.report_progress(f"{session.host} is processing the examples", 0.0)
        session.wait(attempt)
        session.training_log.check()


class _Sending:
    """One file on its way."""

    def __init__(
        self, session: TrainingSession, split: str, path: Path, file_bytes: int, part_bytes: int
    ) -> None:
        self.session = session
        self.split = split
        self.path = path
        self.name = file_name(session.training_log.tag, split)
        self.size = path.stat().st_size
        self.in_parts = self.size > file_bytes
        self.part_bytes = part_bytes

    def send(self, again: bool) -> str:
        """The id of the file.

        again: whether it may be there already
        """
        looks = itertools.count(again)

        def act() -> str:
            id = self._find() if next(looks) else None
            return id or (self._send_parts() if self.in_parts else self._send_whole())

        return self.session.retry(act)

    def _find(self) -> str | None:
        """Of the newest file with our name and the same size. One of another size is from before
        the table was changed: it is deleted."""
        mine = [
            file
            for page in self.session.pages(lambda: self.session.client.files.list(purpose=PURPOSE))
            for file in page
            if getattr(file, "filename", None) == self.name
        ]
        fitting = [file.id for file in mine if file.bytes in (None, self.size)]
        delete_files(self.session, [file.id for file in mine if file.id not in fitting[:1]])
        return fitting[0] if fitting else None

    def _report_progress(self, sent: int) -> None:
        self.session.training_log.report_progress(
            f"uploading the {self.split} examples to {self.session.host}", sent / self.size
        )

    def _send_whole(self) -> str:
        self._report_progress(0)
        with self.path.open("rb") as file:
            made = self.session.call(
                lambda: self.session.client.files.create(
                    file=(self.name, file, "application/jsonl"), purpose=PURPOSE, timeout=SECONDS
                )
            )
        return str(made.id)

    def _send_parts(self) -> str:
        begun = self._known() is not None
        try:
            return self._go_on_sending()
        except (ServiceRefused, RowRejected):
            # An upload expires after an hour: then a new one is made in place of the one begun.
            if not begun:
                raise
            self._note(None)
            return self._go_on_sending()

    def _go_on_sending(self) -> str:
        client, digest = self.session.client, _md5(self.path)
        upload = self._known()
        if upload is None or (upload["md5"], upload["part_bytes"]) != (digest, self.part_bytes):
            made = self.session.call(
                lambda: client.uploads.create(
                    bytes=self.size, filename=self.name, mime_type="text/jsonl", purpose=PURPOSE
                )
            )
            upload = {"id": str(made.id), "md5": digest, "part_bytes": self.part_bytes, "parts": []}
            self._note(upload)
        parts = upload["parts"]
        with self.path.open("rb") as file:
            file.seek(len(parts) * self.part_bytes)
            while data := file.read(self.part_bytes):
                self._report_progress(len(parts) * self.part_bytes)
                parts.append(self._send_part(upload["id"], data))
                self._note({**upload, "parts": list(parts)})
                self.session.training_log.check()
        done = self.session.call(
            lambda: client.uploads.complete(
                upload["id"], part_ids=parts, md5=digest, timeout=SECONDS
            ),
            need="file",
        )
        return str(done.file.id)

    def _send_part(self, upload: str, data: bytes) -> str:
        # A part that arrived twice does no harm: the last request names those that count.
        return str(
            self.session.request_with_retry(
                lambda: self.session.client.uploads.parts.create(upload, data=data, timeout=SECONDS)
            ).id
        )

    def _known(self) -> Upload | None:
        return self.session.state.get("uploads", {}).get(self.split)

    def _note(self, upload: Upload | None) -> None:
        uploads = self.session.state.get("uploads", {})
        self.session.training_log.save(uploads={**uploads, self.split: upload})


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def was_deleted(delete: Callable[[str], object], name: str) -> bool:
    """Deletes a file or a model of that name; whether it was there. Raises ServiceProblem."""
    try:
        delete(name)
    except openai.NotFoundError:
        return False
    except FAILURES as error:
        raise problem(error) from None
    return True
