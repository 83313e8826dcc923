"""Our permissions by name, and what each allows."""

from __future__ import annotations

from dataclasses import dataclass

VIEW = "ftclassify-view"
TRAIN = "ftclassify-train"
PREDICT = "ftclassify-predict"
SPEND = "ftclassify-spend"
MINIMUM = "ftclassify-minimum"
DELETE = "ftclassify-delete"
REVIEW = "ftclassify-review"
RAW = "ftclassify-raw"


@dataclass(frozen=True)
class Permission:
    """One of our actions.

    allows:   what may be done by whom it is granted
    open:     whether it is granted to who may see the table, where the configuration says nothing
    database: whether it is about a database, and not about a table
    """

    allows: str
    open: bool = False
    database: bool = False


PERMISSIONS = {
    VIEW: Permission("See the classifiers that were trained on a table, and try them", open=True),
    TRAIN: Permission(
        "Check a table, export it, train and evaluate on it; see settings, events and a service's "
        "ids of its jobs"
    ),
    PREDICT: Permission("Classify rows into columns of a table"),
    REVIEW: Permission("Make review queues of a table, and change the labels of its rows there"),
    SPEND: Permission(
        "Start paid work, within the operator's limits, besides the action itself; try "
        "texts that a service is asked about"
    ),
    MINIMUM: Permission("Choose from which score the classifiers of a table answer"),
    DELETE: Permission(
        "Rename and delete classifiers of a table, choose the default, name deployments"
    ),
    RAW: Permission(
        "Of a database: read our tables `_ftclassify_*` themselves, as pages and in SQL, and "
        "download a file that has them",
        database=True,
    ),
}

JOBS = (TRAIN, PREDICT, REVIEW, DELETE)
"""Whoever has one of these of a table is shown its jobs; to others they are not there."""

WORK = frozenset((TRAIN, PREDICT, REVIEW, SPEND))
"""What nobody may where only what answers is installed."""
