"""`classifiers card | describe`"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from datasette.utils import BadMetadataError, parse_metadata

from ..store.card_notes import card_notes, keep_notes
from ..store.classifiers import find_classifier
from .options import database_argument, json_command, open_database
from .output import echo, friendly, print_json, print_result

metadata_option = click.option(
    "--metadata", type=click.Path(exists=True, dir_okay=False),
    help="Datasette's metadata file, which says the source and the licence of the data.",
)  # fmt: skip


@click.command()
@database_argument
@click.argument("name", required=False)
@click.option(
    "--format", "form", type=click.Choice(["md", "json"]), default="md", show_default=True,
    help="Markdown with metadata as Hugging Face reads them, or JSON.",
)  # fmt: skip
@metadata_option
@friendly
def card(database: str, name: str | None, form: str, metadata: str | None) -> None:
    """Show the model card of a classifier: what it is for, its data, figures and known failures.

    \b
      datasette ftclassify classifiers card mail.db topics > README.md
    """
    from ..present.card_markdown import card_markdown
    from ..present.model_card import model_card

    with open_database(database) as conn:
        classifier = find_classifier(conn, name)
        origin = origin_in(metadata, database, classifier.task.source)
        found = model_card(conn, classifier, origin)
    if form == "json":
        print_json(found.to_dict())
    else:
        echo(card_markdown(found), nl=False)


def origin_in(path: str | None, database: str, table: str) -> Mapping[str, Any]:
    """What the metadata say of the table, its database, or all of them; the nearest goes before."""
    if path is None:
        return {}
    try:
        data = parse_metadata(Path(path).read_text(encoding="utf-8"))
    except (BadMetadataError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} is not a Datasette metadata file: {error}.") from error
    of_database = _block(_block(data, "databases"), Path(database).stem)
    return {**_block({"": data}, ""), **of_database, **_block(_block(of_database, "tables"), table)}


def _block(data: Any, name: str) -> dict[str, Any]:
    found = data.get(name) if isinstance(data, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


@click.command()
@database_argument
@click.argument("name")
@click.option("--intended-use", metavar="TEXT", help="What the classifier is for.")
@click.option("--limits", metavar="TEXT", help="What it is not for, and where it fails.")
@json_command
def describe(
    database: str, name: str, intended_use: str | None, limits: str | None, as_json: bool
) -> None:
    """Describe a classifier for its model card; without options, show the description.

    What is said goes along into a published copy.
    """
    with open_database(database) as conn:
        classifier = find_classifier(conn, name)
        notes = card_notes(conn, classifier)
        given = {"intended_use": intended_use, "limits": limits}
        changes = {key: text for key, text in given.items() if text is not None}
        if changes:
            notes = replace(notes, **changes)
            keep_notes(conn, classifier, notes)
    print_result(
        as_json,
        {"classifier": classifier.title, **asdict(notes)},
        f"Intended use: {notes.intended_use or 'nothing is said'}",
        f"Limits: {notes.limits or 'nothing is said'}",
    )
