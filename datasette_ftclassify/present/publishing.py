"""What is said of a copy that is published, by the command and by the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ..core.humanize import counted, key_list, one_or_more, rows_text
from ..jobs.publish import PublishedCopy

_NAMES = {
    "jobs": "jobs", "job_events": "events of jobs", "spending": "records of spending",
    "batches": "batches at services", "following": "tables whose new rows are classified",
    "answers": "stored answers", "evaluations": "evaluations",
    "evaluation_rows": "answers to test rows", "split_rows": "rows of splits",
    "review_rows": "rows of review queues", "label_changes": "who changed or kept which label",
}  # fmt: skip

_BEHIND = {"evaluation_rows": "answers to other rows, such as those of cross-validation"}


def stays(copy: PublishedCopy) -> Iterator[str]:
    """What goes along, a line each."""
    for name, n in copy.tables.items():
        yield f"table {name}, {rows_text(n)}"
    for name in copy.views:
        yield f"view {name}"
    for title in copy.classifiers:
        default = ", the default" if title == copy.default else ""
        yield f"classifier {title}{default}"
        if needs := copy.encoders.get(title):
            yield (
                f"but not the sentence encoder {needs}, which {title} needs to answer: it is "
                "installed there and named in the setting encoder of datasette-ftclassify. A "
                "student of it, which its page offers to train, needs none"
            )
        answers = copy.stored.get(title)
        if answers:
            yield f"{counted(answers, 'stored answer')} of {title}, and it gives no other ones"
        elif answers == 0:
            yield (
                f"but no stored answer of {title}, whose model is at a service: it answers nothing "
                "in the copy, unless rows are classified with it before"
            )
    if tested := copy.ours.get("evaluation_rows", (0, 0))[1]:
        yield f"{_NAMES['evaluation_rows']}: {tested:,}"


def goes(copy: PublishedCopy) -> Iterator[str]:
    """What stays behind, a line each."""
    for name, n in copy.removed.items():
        said = f"view {name}" if n is None else f"table {name}, {rows_text(n)}"
        if columns := copy.referred.get(name):
            refer = one_or_more(len(columns), "refers", "refer")
            said += (
                f", to which {', '.join(columns)} {refer}: links there lead to errors without it"
            )
        yield said
    for title in copy.removed_classifiers:
        yield f"classifier {title}"
    for name in _NAMES:
        before, after = copy.ours.get(name, (0, 0))
        if before > after:
            yield f"{_BEHIND.get(name, _NAMES[name])}: {before - after:,}"


def reveals(copy: PublishedCopy) -> Iterator[str]:
    """What its texts may tell, a sentence each."""
    for found in copy.private:
        keys = key_list([json.loads(key) for key in found.keys])
        yield (
            f"Private data: {found.rows:,} of {found.sampled:,} sampled rows of {found.table} have"
            f" {found.what}, such as row {keys}."
        )
    yield "Private data was looked for in a sample of each table alone: there may be more."
    yield "A classifier holds the words of the texts that it was trained on, and their weights."


def metadata(path: str) -> str:
    """How readers are told of the source and licence of the data."""
    return (
        "The site and the model card name the source and licence of the data where the command is"
        f" given a file of Datasette's metadata, in which the database is called {Path(path).stem}."
    )
