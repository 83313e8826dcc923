"""Cells that hold nothing to learn from."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.database import condition, quote
from ..core.humanize import rows_text
from ..core.labels import LabelValue, label_name, unlabelled_sql
from ..core.notations import NOTATIONS
from ..core.task import Task
from .codes import INFO, WARNING, Code, Section
from .registry import check
from .report import Finding, names_listing
from .scan import Facts

_FILL_IN = "Such rows are skipped: fill them in, or exclude them with a condition."
_FIX = "Such rows are skipped: fix the cells, or set unlabelled ones to NULL."
TEXTS = {
    "null": "no text at all (NULL)",
    "empty": "an empty text",
    "blob": "a BLOB instead of a text",
}
"""By `Rendered.problem`."""
LABELS = {
    "empty": "a label of blank text",
    "blob": "a BLOB instead of a label",
    "undecodable": "a label that is not valid UTF-8",
}
"""By `Labels.problem`."""
_IMPORT_AGAIN = (
    "Import the rows again with the encoding of their file, often Windows-1252 (cp1252)."
)


@check(
    Section.CELLS,
    Code("null-text", WARNING, "Rows whose text is NULL.", _FILL_IN),
    Code("empty-text", WARNING, "Rows whose text is empty or white space.", _FILL_IN),
    Code("blob-text", WARNING, "Rows whose text is a BLOB.", _FILL_IN),
    Code("undecodable-text", WARNING, "Rows whose text is not valid UTF-8.", _IMPORT_AGAIN),
)
def _texts(facts: Facts) -> Iterator[Finding]:
    one = facts.task.text[0] if len(facts.task.text) == 1 and not facts.task.template else None
    column = quote(one) if one else None
    for problem, where in (
        ("null", f"{column} is null"),
        ("empty", f"typeof({column}) = 'text' and trim({column}) = ''"),
        ("blob", f"typeof({column}) = 'blob'"),
    ):
        seen = facts.text_problems.get(problem)
        if seen:
            yield facts.finding(
                f"{problem}-text",
                f"{rows_text(seen.count).capitalize()} with {TEXTS[problem]}.",
                seen=seen,
                where=where if column else None,
            )

    if facts.not_utf8.count:
        yield facts.finding(
            "undecodable-text",
            f"{rows_text(facts.not_utf8.count).capitalize()} with a text that is not valid UTF-8: "
            "each wrong character is read as \ufffd.",
            seen=facts.not_utf8,
        )


@check(
    Section.CELLS,
    Code(
        "empty-label",
        INFO,
        "Rows whose label is blank text, which counts as not labelled.",
        "Nothing to do: they count as unlabelled, like NULL.",
    ),
    Code("blob-label", WARNING, "Rows whose label is a BLOB.", _FIX),
    Code("undecodable-label", WARNING, "Rows whose label is not valid UTF-8.", _IMPORT_AGAIN),
    Code("invalid-label", WARNING, "Rows whose labels are not a list, or not 0 and 1.", _FIX),
    Code(
        "unlabelled",
        INFO,
        "Rows that are not labelled yet.",
        "Nothing to do: a trained classifier can label them.",
    ),
    Code(
        "partly-blank-flags",
        INFO,
        "Rows with some label columns blank, which count as off.",
        "Nothing to do if blank means no; leave all flags blank in rows that nobody has looked at.",
    ),
)
def _labels(facts: Facts) -> Iterator[Finding]:
    columns = [quote(name) for name in facts.task.labels]
    null = " and ".join(f"{column} is null" for column in columns)
    unlabelled = facts.label_problems.get("unlabelled")
    if unlabelled:
        yield facts.finding(
            "unlabelled",
            f"{rows_text(unlabelled.count).capitalize()} not labelled yet.",
            seen=unlabelled,
            where=null if facts.task.notation != "tool" else facts.task.unlabelled_sql(),
        )
    blank = facts.label_problems.get("empty")
    if blank:
        yield facts.finding(
            "empty-label",
            f"{rows_text(blank.count).capitalize()} not labelled yet: the label is blank text.",
            seen=blank,
            where=f"({unlabelled_sql(facts.task.labels)}) and not ({null})",
        )
    partly = facts.partly_blank
    if partly.count:
        any_blank = " or ".join(f"({unlabelled_sql([name])})" for name in facts.task.labels)
        yield facts.finding(
            "partly-blank-flags",
            f"{rows_text(partly.count).capitalize()} with some flags blank: blank counts as off "
            "there.",
            seen=partly,
            where=f"({any_blank}) and not ({unlabelled_sql(facts.task.labels)})",
        )
    blob = " or ".join(f"typeof({column}) = 'blob'" for column in columns)
    for problem, where in (("blob", f"({blob})"), ("undecodable", None), ("invalid", None)):
        seen = facts.label_problems.get(problem)
        if seen:
            what = _invalid(facts) if problem == "invalid" else LABELS[problem]
            yield facts.finding(
                f"{problem}-label",
                f"{rows_text(seen.count).capitalize()} with {what}.",
                f"{_kept_bytes(facts)} {_IMPORT_AGAIN}" if problem == "undecodable" else None,
                seen=seen,
                where=where,
            )


def _kept_bytes(facts: Facts) -> str:
    if not facts.task.exclusive:
        return "Such rows are skipped."
    return "It is learnt and written back with its bytes, and shown with escapes such as \\xe4."


def _invalid(facts: Facts) -> str:
    """With some of the cells that are meant."""
    shown = names_listing(list(dict.fromkeys(map(label_name, _invalid_cells(facts)))))
    return f"{invalid_words(facts.task)}{': ' * bool(shown)}{shown}"


def _invalid_cells(facts: Facts) -> Iterator[LabelValue]:
    """Different ones, in no order."""
    columns = facts.task.labels
    for place, name in enumerate(columns):
        column = quote(name)
        sql = (
            f"select distinct {column} from {quote(facts.source.name)}"
            f" where {condition(facts.task.where)} and {column} is not null limit {_LOOKED_AT}"
        )
        for (cell,) in facts.conn.execute(sql, dict(facts.task.params)).fetchall():
            cells = [None] * place + [cell] + [None] * (len(columns) - place - 1)
            if facts.read_labels(cells).problem == "invalid":
                yield cell


_LOOKED_AT = 500


def invalid_words(task: Task) -> str:
    """What a row has whose labels cannot be read."""
    if len(task.labels) > 1:
        return "something else than 0 and 1, yes and no, or x in a label column"
    if task.exclusive:
        return "an infinite number for a label"
    if task.label_names:
        return f"label cells that are no {len(task.label_names)} flags of 0 and 1"
    if task.notation:
        return f"label cells that cannot be read as {NOTATIONS[task.notation].words}"
    return "label cells that are not a JSON array of texts and numbers"
