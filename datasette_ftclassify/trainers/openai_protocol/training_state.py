"""What a training has noted of what it began, so that after a kill nothing is done twice."""

from __future__ import annotations

from typing import Literal, TypedDict

from ...core.typed_json import read_stored
from ..service import TrainingLog


class Upload(TypedDict):
    """A file on its way in parts: the upload's id, the file's MD5, bytes of a part, and the ids of
    the parts that have arrived."""

    id: str
    md5: str
    part_bytes: int
    parts: list[str]


class TrainingState(TypedDict, total=False):
    """step:       what was begun last, see `fine_tuning`
    files:      the service's ids by split; None: the split has no rows
    uploads:    of large files, by split
    without:    fields that the service refused
    unheard:    a job may be there that nobody has told us of
    last_event: id of the newest event that was noted
    share, shown: how far it is, 0-1, as the service's events and as our steps say it
    paused:     we have paused it there
    """

    step: Literal["upload", "create", "follow", "over"]
    files: dict[str, str | None]
    uploads: dict[str, Upload | None]
    without: list[str]
    unheard: bool
    job_id: str | None
    last_event: str
    share: float
    shown: float
    paused: bool
    why: str


def state_of(training_log: TrainingLog) -> TrainingState:
    """Raises ArtifactError for what was not noted by this software."""
    return read_stored(
        TrainingState,
        training_log.state,
        "What was noted of the training was",
        "cancel it at the service if it goes on there, and start a new one",
    )
