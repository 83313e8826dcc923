"""Events for other plugins (Datasette 1.0): what happened to jobs and classifiers of this server.

Datasette 0.65 has no events: nothing is told there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from datasette.app import Datasette

from ..store.classifiers import Classifier
from ..store.jobs.job import Job

try:
    from datasette.events import Event
except ImportError:  # Datasette 0.65

    class Event:  # type: ignore[no-redef]
        """Nobody makes one there."""


@dataclass
class FinishJobEvent(Event):  # type: ignore[misc,unused-ignore]
    """
    Event name: ``ftclassify-finish-job``

    A job has ended that the worker of this server ran.

    :ivar database: The name of the database
    :ivar job: The number of the job
    :ivar kind: ``train``, ``evaluate``, ``predict`` or ``check``
    :ivar state: ``finished``, ``failed`` or ``cancelled``
    :ivar classifier: Name and version of the classifier that it made or used, or ``None``
    """

    name: ClassVar[str] = "ftclassify-finish-job"
    database: str
    job: int
    kind: str
    state: str
    classifier: str | None


@dataclass
class CreateClassifierEvent(Event):  # type: ignore[misc,unused-ignore]
    """
    Event name: ``ftclassify-create-classifier``

    A training that the worker of this server ran has made a version of a classifier.

    :ivar database: The name of the database
    :ivar classifier: Its name and version, as in ``topics@2``
    :ivar table: The table that it was trained on
    """

    name: ClassVar[str] = "ftclassify-create-classifier"
    database: str
    classifier: str
    table: str


@dataclass
class DeleteClassifierEvent(Event):  # type: ignore[misc,unused-ignore]
    """
    Event name: ``ftclassify-delete-classifier``

    Somebody has deleted a version of a classifier on its page.

    :ivar database: The name of the database
    :ivar classifier: Its name and version, as in ``topics@2``
    """

    name: ClassVar[str] = "ftclassify-delete-classifier"
    database: str
    classifier: str


EVENTS = (FinishJobEvent, CreateClassifierEvent, DeleteClassifierEvent)


async def track(datasette: Datasette, event: type[Any], actor: Any, **properties: Any) -> None:
    """Tells the other plugins of an event, where Datasette has events."""
    if hasattr(datasette, "track_event"):
        await datasette.track_event(event(actor=actor, **properties))


async def track_end(
    datasette: Datasette, database: str, job: Job, classifier: Classifier | None
) -> None:
    """Of a job that has ended, and of the classifier that it made, if it made one."""
    title = None if classifier is None else classifier.title
    about = {"job": job.id, "kind": job.kind, "state": job.state, "classifier": title}
    await track(datasette, FinishJobEvent, None, database=database, **about)
    if classifier is not None and job.kind == "train" and job.state == "finished":
        made = {"classifier": classifier.title, "table": classifier.task.source}
        await track(datasette, CreateClassifierEvent, None, database=database, **made)
