"""Tools for datasette-agent: a language model lists classifiers, classifies texts, checks a table,
compares classifiers, and has one trained.

Each tool calls our pages for whoever talks to the agent. None of them spends: a classifier at a
service gives its stored answers alone, and training is by the local trainer, once the user has
agreed in the conversation. What a tool answers is read by the agent's model, so findings are told
without the texts of their rows.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from datasette.app import Datasette
from datasette_agent.questions import QuestionsNotSupported
from datasette_agent.tools import AgentTool
from markupsafe import Markup

from ..job_facts import RUNS_NO_JOBS
from ..lifespan import has_worker
from ..page_calls import PageAnswer, call_page
from ..page_request import page_url

MOST_TEXTS = 20
MOST_FINDINGS = 20
WAIT_SECONDS = 60.0
"""For a job that a tool has started, before its number alone is told."""

_POLL_SECONDS = 0.5


async def list_classifiers(datasette: Datasette, actor: Any, database: str) -> str:
    answer = await call_page(datasette, actor, "", database=database)
    if answer.error:
        return _refused(answer)
    fields = ("classifier", "version", "trainer", "source", "kind", "labels", "rows", "quality")
    classifiers = [
        {name: one[name] for name in fields if name in one} for one in answer.data["classifiers"]
    ]
    job_fields = ("id", "title", "state_text")
    jobs = [{name: job.get(name) for name in job_fields} for job in answer.data["jobs"]]
    return _done({"classifiers": classifiers, "jobs": jobs})


async def classify_texts(
    datasette: Datasette, actor: Any, database: str, classifier: str, texts: Sequence[str]
) -> str:
    if len(texts) > MOST_TEXTS:
        return _error(f"At most {MOST_TEXTS} texts at once: use ft_classify() in SQL for a table.")
    found = []
    for text in texts:
        answer = await call_page(
            datasette, actor, "/classifiers/{name}/try",
            database=database, name=classifier, query={"text": text},
        )  # fmt: skip
        if answer.error:
            return _refused(answer)
        found.append(_answered(answer.data))
    page = page_url(datasette, database, "classifiers", classifier, "try")
    return _done({"answers": found, "page": page})


def _answered(data: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to one text, or why there is none."""
    if data["answer"] is not None:
        return dict(data["answer"])
    if data["estimate"] is not None:
        return {"error": "There is no stored answer, and one costs money: the user may ask for it "
                "on the page, which shows the price."}  # fmt: skip
    return {"error": "The text is empty."}


async def check_table(
    datasette: Datasette,
    actor: Any,
    database: str,
    table: str,
    text: Sequence[str] = (),
    label: Sequence[str] = (),
) -> str:
    choices = await _choices(datasette, actor, database, table, text, label)
    if choices.error:
        return _refused(choices)
    body = {**choices.data["choices"], "table": table, "action": "check"}
    started = await call_page(datasette, actor, "/train", database=database, body=body)
    if started.error:
        return _refused(started)
    number = started.data["job"]["id"]
    job = await _ended(datasette, actor, database, number)
    if job["state"] != "finished":
        return _done(_unfinished(datasette, database, job))
    query = {**choices.data["choices"], "table": table, "check": number}
    page = await call_page(datasette, actor, "/train", database=database, query=query)
    report = (page.data.get("check") or {}).get("report")
    if page.error or report is None:
        return _refused(page)
    told = ("severity", "code", "count", "message", "advice")
    findings = [{name: one[name] for name in told} for one in report["findings"]]
    return _done(
        {
            "text": choices.data["choices"].get("text"),
            "label": choices.data["choices"].get("label"),
            "labels_read_as": report["read_as"],
            "rows": report["rows"],
            "findings": findings[:MOST_FINDINGS],
            "more_findings": max(len(findings) - MOST_FINDINGS, 0),
            "page": page_url(datasette, database, "train", table=table, check=number),
        }
    )


async def compare_classifiers(
    datasette: Datasette,
    actor: Any,
    database: str,
    classifier: str,
    others: Sequence[str] = (),
) -> str:
    answer = await call_page(
        datasette, actor, "/classifiers/{name}/compare",
        database=database, name=classifier, query={"with": list(others)},
    )  # fmt: skip
    if answer.error:
        return _refused(answer)
    comparison = answer.data["comparison"]
    if comparison is None:
        return _error(answer.data["problem"])
    return _done(
        {
            "rows": comparison["rows"],
            "classifiers": comparison["classifiers"],
            "baseline": comparison["baseline"],
            "differences": [pair["sentence"] for pair in comparison["pairs"]],
            "page": page_url(datasette, database, "classifiers", classifier, "compare"),
        }
    )


async def train_classifier(
    datasette: Datasette,
    actor: Any,
    context: Any,
    database: str,
    table: str,
    text: Sequence[str] = (),
    label: Sequence[str] = (),
    name: str = "",
) -> str:
    choices = await _choices(datasette, actor, database, table, text, label)
    if choices.error:
        return _refused(choices)
    errors = choices.data["errors"]
    if errors:
        return _error(" ".join(errors.values()))
    chosen = {**choices.data["choices"], "table": table, "trainer": "local", "name": name}
    about = [
        ("Table", f"{database}: {table}"),
        ("Text columns", ", ".join(chosen.get("text") or ())),
        ("Label columns", ", ".join(chosen.get("label") or ())),
        ("Name", name or "after the label column"),
        ("Where", "on this machine, without cost"),
    ]
    try:
        agreed = await context.ask_user(
            f"Train a classifier on the table {table}?",
            html=str(_as_table(about)),
            text="\n".join(f"{what}: {value}" for what, value in about),
        )
    except QuestionsNotSupported:
        return _error("A training needs the user's agreement, and nobody can be asked here.")
    if not agreed:
        return _error("The user does not want this training.")
    started = await call_page(
        datasette, actor, "/train", database=database, body={**chosen, "action": "train"}
    )
    if started.error:
        return _refused(started)
    job = await _ended(datasette, actor, database, started.data["job"]["id"])
    if job["state"] != "finished":
        return _done(_unfinished(datasette, database, job))
    told = {"job": job["id"], "state": job["state"], "classifier": job["classifier"]}
    return _done({**told, "page": page_url(datasette, database, "classifiers", job["classifier"])})


async def _choices(
    datasette: Datasette,
    actor: Any,
    database: str,
    table: str,
    text: Sequence[str],
    label: Sequence[str],
) -> PageAnswer:
    """The form for a training on a table, with what it proposes where nothing is chosen."""
    query = {"table": table, "text": list(text), "label": list(label)}
    return await call_page(datasette, actor, "/train", database=database, query=query)


async def _ended(datasette: Datasette, actor: Any, database: str, number: int) -> dict[str, Any]:
    """A job once it has ended, or as it is after WAIT_SECONDS, or where nothing runs it."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        answer = await call_page(datasette, actor, "/jobs/{id}", database=database, id=number)
        job = answer.require()
        if not job["active"] or not has_worker(datasette) or time.monotonic() >= until:
            return job
        await asyncio.sleep(_POLL_SECONDS)


def _unfinished(datasette: Datasette, database: str, job: Mapping[str, Any]) -> dict[str, Any]:
    said = str(job["state_text"]) if has_worker(datasette) else f"The job waits. {RUNS_NO_JOBS}"
    page = page_url(datasette, database, "jobs", job["id"])
    return {"job": job["id"], "state": job["state"], "said": said, "page": page}


def _as_table(rows: Sequence[tuple[str, str]]) -> Markup:
    cells = Markup("").join(Markup("<tr><th>{}</th><td>{}</td></tr>").format(*row) for row in rows)
    return Markup("<table>{}</table>").format(cells)


def _done(data: Mapping[str, Any]) -> str:
    return json.dumps({"ok": True, **data}, ensure_ascii=False)


def _error(message: str) -> str:
    return json.dumps({"ok": False, "error": message}, ensure_ascii=False)


def _refused(answer: PageAnswer) -> str:
    return _error(answer.error or "There is no such thing here, or you may not see it.")


def _schema(required: Sequence[str], **properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


_TEXT = {"type": "string"}
_NAMES = {"type": "array", "items": {"type": "string"}}
_DATABASE = {**_TEXT, "description": "Name of the database"}
_CLASSIFIER = {**_TEXT, "description": "Name of a classifier, or NAME@VERSION"}
_COLUMNS: dict[str, Mapping[str, Any]] = {
    "table": {**_TEXT, "description": "Name of the table"},
    "text": {**_NAMES, "description": "Columns with the texts; if left out, they are proposed"},
    "label": {**_NAMES, "description": "Columns with the labels; if left out, they are proposed"},
}


def tools() -> list[Any]:
    """All of them, for each conversation."""
    return [
        AgentTool(
            "ftclassify_list",
            "List the text classifiers of a database, with how good they are on held-out rows, and "
            "the newest jobs. In SQL, ft_classify(text, 'NAME') gives a label, and "
            "ft_score(text, 'NAME') its probability.",
            _schema(["database"], database=_DATABASE),
            list_classifiers,
        ),
        AgentTool(
            "ftclassify_classify",
            f"Classify up to {MOST_TEXTS} texts with a classifier: labels and the probability of "
            "each. Never costs money. For the rows of a table, use ft_classify() in SQL.",
            _schema(
                ["database", "classifier", "texts"],
                database=_DATABASE, classifier=_CLASSIFIER, texts=_NAMES,
            ),
            classify_texts,
        ),
        AgentTool(
            "ftclassify_check",
            "Check whether a labelled table is fit to train a text classifier on: findings such as "
            "contradicting labels, copies, leaking columns, small classes, and what to do about "
            "each. Changes no row.",
            _schema(["database", "table"], database=_DATABASE, **_COLUMNS),
            check_table,
        ),
        AgentTool(
            "ftclassify_compare",
            "Compare a classifier with others of the same task on rows that none of them was "
            "trained on: figures with intervals, and whether the differences are significant.",
            _schema(
                ["database", "classifier"],
                database=_DATABASE,
                classifier=_CLASSIFIER,
                others={**_NAMES, "description": "If left out, the newest ones"},
            ),
            compare_classifiers,
        ),
        AgentTool(
            "ftclassify_train",
            "Train a text classifier on a labelled table, on this machine, without cost. The user "
            "is asked before anything is trained: if they decline, do not try again unless they "
            "ask for it. Check the table first.",
            _schema(
                ["database", "table"],
                database=_DATABASE,
                **_COLUMNS,
                name={**_TEXT, "description": "If left out, it is named after the label column"},
            ),
            train_classifier,
        ),
    ]  # fmt: skip
