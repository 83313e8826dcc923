"""What the author of a classifier says of it on its model card: one text for each version.

It is a setting of the database, which all versions of our tables have: `card:UID` is a JSON object.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass

from ..core.errors import ArtifactError, FtclassifyError
from ..core.untrusted_json import read_object
from .classifiers import Classifier, reading_store
from .schema import ensure_schema, transaction
from .settings import SETTING, read_setting

LONGEST = 5_000
"""Characters of each text."""

NOTES = "card:"
"""Before the classifier's uid in the key of its setting."""


@dataclass(frozen=True)
class CardNotes:
    """intended_use: what the classifier is for
    limits:       what it is not for, and where it fails
    """

    intended_use: str = ""
    limits: str = ""

    def __bool__(self) -> bool:
        return bool(self.intended_use or self.limits)


def notes_key(classifier: Classifier) -> str:
    return NOTES + classifier.uid


def card_notes(conn: sqlite3.Connection, classifier: Classifier, schema: str = "main") -> CardNotes:
    """Empty where nobody has said anything, and where what stands there makes no sense."""
    with reading_store():
        text = read_setting(conn, notes_key(classifier), schema, 20 * LONGEST)
    if text is None:
        return CardNotes()
    try:
        said = read_object(text, "note")
    except ArtifactError:
        return CardNotes()
    texts = [said.get(name) for name in ("intended_use", "limits")]
    return CardNotes(*(text[:LONGEST] if isinstance(text, str) else "" for text in texts))


def keep_notes(conn: sqlite3.Connection, classifier: Classifier, notes: CardNotes) -> None:
    """In the place of what was said before. Raises FtclassifyError for a text that is too long."""
    for name, text in asdict(notes).items():
        if len(text) > LONGEST:
            raise FtclassifyError(
                f"The {name.replace('_', ' ')} has {len(text):,} characters: at most {LONGEST:,}."
            )
    ensure_schema(conn)
    with transaction(conn):
        conn.execute(SETTING, [notes_key(classifier), json.dumps(asdict(notes))])
