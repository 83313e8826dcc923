"""A model card as Markdown, with its metadata in YAML before it, as Hugging Face reads it.

Names, labels and notes come from cells and may hold anything: whatever Markdown or HTML would make
something of is escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..core.humanize import dollars, number, when
from .model_card import ModelCard

_SPECIAL = re.compile(r"[\\`*_{}\[\]<>#!|~&$]|:(?=//)|^[-+=]")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
_LONGEST = 300
"""Characters of a name that are shown."""


def card_markdown(card: ModelCard) -> str:
    """The whole card."""
    return "\n".join(["---", *_yaml(card.to_dict()["huggingface"]), "---", "", *_body(card), ""])


def escaped(text: object, longest: int = _LONGEST) -> str:
    """A text as plain words of a line of Markdown."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    cut = line if len(line) <= longest else line[:longest] + "…"
    return _NUMBERED.sub(r"\1\\\2", _SPECIAL.sub(lambda found: "\\" + found[0], cut))


def _paragraphs(text: str) -> Iterator[str]:
    for part in re.split(r"\n\s*\n", text.strip()):
        yield escaped(part, len(part))
        yield ""


def _body(card: ModelCard) -> Iterator[str]:
    yield f"# {escaped(card.title)}"
    yield ""
    yield (
        f"A {escaped(card.kind)} text classifier: it reads {_names(card.text)} of the table "
        f"{escaped(card.table)} and answers with {_names(card.label_columns)}."
    )
    yield ""
    yield from ("## Intended use", "")
    yield from _paragraphs(
        card.notes.intended_use or "The author has not described its intended use."
    )
    yield from ("## Limits", "")
    yield from _paragraphs(card.notes.limits or "The author has not described its limits.")
    yield from ("## Data", "")
    yield f"- Table: {escaped(card.table)}" + (
        f", only rows that meet {escaped(card.where)}" if card.where else ""
    )
    for key, name in (("source", "Source"), ("license", "Licence")):
        if key in card.origin or f"{key}_url" in card.origin:
            parts = [card.origin.get(key), card.origin.get(f"{key}_url")]
            yield f"- {name}: " + ", ".join(escaped(part) for part in parts if part)
    for name, rows in card.rows.items():
        yield f"- Rows of {escaped(name)}: {number(rows)}"
    yield f"- Split: {escaped(card.split, 1_000)}"
    yield ""
    yield from _table(
        ("Label", "Training rows"),
        [(name, "not known" if n is None else number(n)) for name, n in card.labels],
    )
    yield from ("## Evaluation", "")
    if card.problem:
        yield escaped(card.problem, 1_000)
        yield ""
    else:
        yield "On rows that were held back from the training."
        yield ""
        yield from _table(
            ("Figure", "Value", "95% interval", "What it says"),
            [(one.name, one.text, one.interval, one.help) for one in card.figures],
        )
        yield from _failures(card)
    yield from ("## Training", "")
    facts: list[tuple[str, object]] = [
        ("Trainer", card.trainer), ("Model", card.model), ("Recipe", card.recipe),
        ("Minimum score", card.minimum_score or "none: it always answers"),
        ("Cost of the training", None if card.cost_usd is None else dollars(card.cost_usd)),
        ("Trained", when(card.created_at)), ("Version", card.version),
        *card.software.items(), ("SHA-256", card.sha256),
    ]  # fmt: skip
    for name, value in facts:
        if value is not None:
            yield f"- {escaped(name)}: {escaped(value, 1_000)}"


def _failures(card: ModelCard) -> Iterator[str]:
    if card.weakest:
        yield from ("### Weakest labels", "")
        yield from _table(
            ("Label", "Test rows", "Precision", "Recall", "F1"),
            [(w.name, number(w.test_rows), *(f"{f:.3f}" for f in (w.precision, w.recall, w.f1)))
             for w in card.weakest],
        )  # fmt: skip
    if card.confusions:
        yield from ("### Most frequent confusions", "")
        yield from _table(
            ("True label", "Answer", "Test rows"),
            [(c.truth, c.chosen or "none", number(c.count)) for c in card.confusions],
        )


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(escaped, names))


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(map(escaped, head))} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(escaped, row))} |"
    yield ""


def _yaml(value: Any, indent: str = "") -> Iterator[str]:
    """Objects and lists in lines, and texts as JSON, which YAML reads as well."""
    items = value.items() if isinstance(value, Mapping) else [(None, item) for item in value]
    for key, item in items:
        start = f"{indent}- " if key is None else f"{indent}{key}:"
        if isinstance(item, (Mapping, list)) and item:
            lines = list(_yaml(item, indent + "  "))
            if key is None:
                yield start + lines[0].strip()
                yield from lines[1:]
            else:
                yield start
                yield from lines
        else:
            yield f"{start}{'' if key is None else ' '}{_scalar(item)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        value = "".join(c if c.isprintable() else " " for c in value)
    return json.dumps(value, ensure_ascii=False)
