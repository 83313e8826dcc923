"""`export-model | import-model | copy`"""

from __future__ import annotations

import os

import click

from ..core.errors import SourceError
from ..store.classifiers import find_classifier
from .card import metadata_option, origin_in
from .options import database_argument, json_command, open_database
from .output import echo, print_json, print_result, say

_name_option = click.option("--name", "new_name", help="Name of the classifier there. [its own]")


@click.command("export-model")
@database_argument
@click.argument("name")
@click.argument("folder", type=click.Path(file_okay=False))
@metadata_option
@json_command
def export_model(
    database: str, name: str, folder: str, metadata: str | None, as_json: bool
) -> None:
    """Write a local classifier into a new FOLDER.

    The folder holds JSON, plain arrays, the model card, and a script that needs only numpy.

    \b
      datasette ftclassify export-model mail.db topics topics-model
      python topics-model/classify.py "where is my parcel?"
    """
    from ..jobs.model_files import export_model as export
    from ..present.card_markdown import card_markdown
    from ..present.model_card import model_card

    with open_database(database) as conn:
        classifier = find_classifier(conn, name)
        origin = origin_in(metadata, database, classifier.task.source)
        card = card_markdown(model_card(conn, classifier, origin))
        files = export(conn, classifier, folder, card)
    if as_json:
        print_json({"classifier": classifier.title, "folder": folder, "files": list(files)})
        return
    echo(f"Wrote {classifier.title} into {folder}: {', '.join(files)}.")
    say("It holds the words of the texts that it was trained on, and their weights.")


@click.command("import-model")
@database_argument
@click.argument("folder", type=click.Path())
@_name_option
@json_command
def import_model(database: str, folder: str, new_name: str | None, as_json: bool) -> None:
    """Store a classifier from a FOLDER that export-model wrote.

    It becomes the next version of its name. Nothing in the folder is run, wherever it comes from.
    """
    from ..jobs.model_files import load_model, store_model

    model, _ = load_model(folder)
    with open_database(database) as conn:
        classifier = store_model(conn, model, new_name)
    print_result(as_json, {"classifier": classifier.title}, f"Stored {classifier.title}.")


@click.command()
@database_argument
@click.argument("name")
@click.argument("other", type=click.Path(exists=True, dir_okay=False))
@_name_option
@json_command
def copy(database: str, name: str, other: str, new_name: str | None, as_json: bool) -> None:
    """Copy a classifier into another database.

    It becomes the next version of its name in OTHER. Its figures and model card go along; jobs,
    stored answers and rows do not. Within one database, the copy needs another --name.
    """
    from ..jobs.model_files import read_model, store_model

    with open_database(database) as conn, open_database(other) as target:
        model = find_classifier(conn, name)
        if os.path.samefile(database, other) and new_name in (None, model.name):
            raise SourceError(
                f"{other} is the database that {model.title} is in: name the copy with --name."
            )
        classifier = store_model(target, read_model(conn, model), new_name)
    said = f"{other} has {classifier.title} now."
    print_result(as_json, {"classifier": classifier.title, "database": other}, said)
