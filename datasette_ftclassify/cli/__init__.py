"""`datasette ftclassify …`: a thin face over the core.

Loaded whenever Datasette starts, so the modules behind the commands are imported in the commands.
"""

from __future__ import annotations

import click

from .agreement import agreement
from .ask import ask
from .card import card, describe
from .check import check
from .classifiers import classifiers
from .demo import demo
from .encoders import encoders
from .evaluate import evaluate
from .export import export
from .jobs import jobs, work
from .merge_labels import merge_labels
from .minimum_score import minimum_command  # noqa: F401  (adds itself to classifiers)
from .model_files import copy, export_model, import_model
from .move import move
from .output import whole_only
from .predict import predict
from .predict_files import predict_files
from .publish import publish_copy
from .retrain import retrain
from .review import review
from .student import student
from .sweep import sweep
from .train import train
from .trainers import trainers


@click.group()
def ftclassify() -> None:
    """Turn a labelled table into a text classifier.

    \b
    Typical use:
      datasette ftclassify check    mail.db messages --text body --label folder
      datasette ftclassify train    mail.db messages --text body --label folder
      datasette ftclassify predict  mail.db messages --unlabelled
      datasette mail.db             # select ft_classify('where is my parcel?')

    To try everything at once: datasette ftclassify demo
    """


for command in (
    check, review, export, train, retrain, student, evaluate, predict, move, work, demo,
    *(classifiers.commands[name] for name in ("drift", "other")),
):  # fmt: skip
    whole_only(command)
for command in (card, describe):
    classifiers.add_command(command)
for command in (
    check, review, agreement, merge_labels, export, train, sweep, retrain, student, evaluate, ask,
    predict, move, classifiers, trainers, encoders, jobs, work, publish_copy, export_model,
    import_model, copy, predict_files, demo,
):  # fmt: skip
    ftclassify.add_command(command)
