"""Sending the examples: each file once, whatever happens on the way.

A file's name holds the training's tag, so one that arrived without our learning of it is found
again. Large files go in parts, and those that arrived are not sent again.
"""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import openai

from ...errors import TrainingError
from ..base import Limits
from ..service import Order, RowRejected, ServiceProblem, ServiceRefused
from .conversation import Conversation
from .problems import FAILURES, problem

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
_PATIENCE = {"uploaded": 5, "pending": 40, "running": 40, "notrunning": 40, "importing": 40}


def file_name(tag: str, split: str) -> str:
    return f"ftclassify-{tag}-{split}.jsonl"


def send_files(
    talk: Conversation,
    order: Order,
    limits: Limits,
    *,
    file_bytes: int = FILE_BYTES,
    part_bytes: int = PART_BYTES,
) -> dict[str, str | None]:
    """The service's ids of the files by split, None for a split without rows; sends what is not
    there yet, and waits until it is processed.

    Raises TrainingError, ServiceProblem or JobStopped.
    """
    diary = talk.diary
    files: dict[str, str | None] = dict(diary.state.get("files") or {})
    if not all(split in files for split in SPLITS):
        # Nothing of ours can be there before the first time.
        again = diary.state.get("step") == "upload"
        diary.save(step="upload")
        with tempfile.TemporaryDirectory(prefix="ftclassify-") as folder:
            for split in SPLITS:
                if split in files:
                    continue
                diary.tell(f"writing the {split} examples", 0.0)
                path = order.write(split, Path(folder))
                _check_file(path, split, limits)
                sent = path and _Sending(talk, split, path, file_bytes, part_bytes).send(again)
                files[split] = sent or None
                diary.save(files=dict(files))
                diary.check()
    for id in filter(None, files.values()):
        _await_processed(talk, id)
    return files


def delete_files(talk: Conversation, ids: list[str]) -> list[str]:
    """Deletes files of ours, whatever is wanted meanwhile; gives the ids of those that are gone.
    Those that cannot be deleted are noted: there are people's texts in them."""
    talk, gone = replace(talk, deaf=True), []
    for id in ids:
        try:
            talk.retry(partial(forget_file, talk.client, id), DELETES)
        except ServiceProblem as trouble:
            talk.diary.event(
                f"The file {id} could not be deleted at {talk.host}: delete it there. {trouble}",
                key=f"left-{id}",
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


def _await_processed(talk: Conversation, id: str) -> None:
    for attempt in itertools.count():
        file = talk.insist(lambda: talk.client.files.retrieve(id))
        status = str(file.status).lower()
        if status == "error":
            why = file.status_details or "it does not say why"
            raise TrainingError(f"{talk.host} cannot read the file {id}: {why}.")
        if attempt >= _PATIENCE.get(status, 0):
            return
        talk.diary.tell(f"{talk.host} is processing the examples", 0.0)
        talk.wait(attempt)
        talk.diary.check()


class _Sending:
    """One file on its way."""

    def __init__(
        self, talk: Conversation, split: str, path: Path, file_bytes: int, part_bytes: int
    ) -> None:
        self.talk = talk
        self.split = split
        self.path = path
        self.name = file_name(talk.diary.tag, split)
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

        return self.talk.retry(act)

    def _find(self) -> str | None:
        """Of the newest file with our name and the same size. One of another size is from before
        the table was changed: it is deleted."""
        mine = [
            file
            for page in self.talk.pages(lambda: self.talk.client.files.list(purpose=PURPOSE))
            for file in page
            if getattr(file, "filename", None) == self.name
        ]
        fitting = [file.id for file in mine if file.bytes in (None, self.size)]
        delete_files(self.talk, [file.id for file in mine if file.id not in fitting[:1]])
        return fitting[0] if fitting else None

    def _tell(self, sent: int) -> None:
        self.talk.diary.tell(
            f"uploading the {self.split} examples to {self.talk.host}", sent / self.size
        )

    def _send_whole(self) -> str:
        self._tell(0)
        with self.path.open("rb") as file:
            made = self.talk.call(
                lambda: self.talk.client.files.create(
                    file=(self.name, file, "application/jsonl"), purpose=PURPOSE, timeout=SECONDS
                )
            )
        return str(made.id)

    def _send_parts(self) -> str:
        begun = bool(self._known())
        try:
            return self._go_on_sending()
        except (ServiceRefused, RowRejected):
            # An upload expires after an hour: then a new one is made in place of the one begun.
            if not begun:
                raise
            self._note(None)
            return self._go_on_sending()

    def _go_on_sending(self) -> str:
        client, digest = self.talk.client, _md5(self.path)
        upload = self._known()
        if upload.get("md5") != digest or upload.get("part_bytes") != self.part_bytes:
            made = self.talk.call(
                lambda: client.uploads.create(
                    bytes=self.size, filename=self.name, mime_type="text/jsonl", purpose=PURPOSE
                )
            )
            upload = {"id": made.id, "md5": digest, "part_bytes": self.part_bytes, "parts": []}
            self._note(upload)
        parts: list[str] = list(upload["parts"])
        with self.path.open("rb") as file:
            file.seek(len(parts) * self.part_bytes)
            while data := file.read(self.part_bytes):
                self._tell(len(parts) * self.part_bytes)
                parts.append(self._send_part(upload["id"], data))
                self._note({**upload, "parts": list(parts)})
                self.talk.diary.check()
        done = self.talk.call(
            lambda: client.uploads.complete(
                upload["id"], part_ids=parts, md5=digest, timeout=SECONDS
            ),
            need="file",
        )
        return str(done.file.id)

    def _send_part(self, upload: str, data: bytes) -> str:
        # A part that arrived twice does no harm: the last request names those that count.
        return str(
            self.talk.insist(
                lambda: self.talk.client.uploads.parts.create(upload, data=data, timeout=SECONDS)
            ).id
        )

    def _known(self) -> dict[str, Any]:
        uploads = self.talk.diary.state.get("uploads") or {}
        return dict(uploads.get(self.split) or {})

    def _note(self, upload: dict[str, Any] | None) -> None:
        uploads = dict(self.talk.diary.state.get("uploads") or {})
        self.talk.diary.save(uploads={**uploads, self.split: upload})


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def forget_file(client: openai.OpenAI, id: str) -> bool:
    """Deletes a file; whether it was there. Raises ServiceProblem."""
    try:
        client.files.delete(id)
    except openai.NotFoundError:
        return False
    except FAILURES as error:
        raise problem(error) from None
    return True
