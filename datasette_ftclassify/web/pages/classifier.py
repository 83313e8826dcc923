"""The page of one classifier: what it is, how good it is, and how to use it.

It is also the model card that a published copy shows: everything on it comes from the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import urlencode

from datasette.utils import tilde_decode
from datasette.utils.asgi import Forbidden, Response

from ...core.errors import ArtifactError, FtclassifyError, SourceError
from ...core.training_report import chosen_text
from ...jobs.as_published import named_vectors
from ...jobs.load_classifier import is_elsewhere, shutdown_of
from ...jobs.remote.model_names import deploy
from ...jobs.remote.models import deploys
from ...jobs.version_rows import corrections
from ...metrics.headline import easier_test_rows
from ...present.minimum import read_minimum
from ...present.usage_sql import split_sql, usage_sql
from ...store.aliases import aliases_of, remove_alias
from ...store.classifiers import Classifier, list_classifiers, rename_classifier, set_default
from ...store.columns import label_columns_of
from ...store.evaluations import OUT_OF_FOLD, row_results
from ...store.summaries import summaries_of, summarise
from ...store.used_version import use_version
from .. import headline_figures
from ..classifier_names import may_all, tables_behind, tables_revealed
from ..evaluation_pictures import pictures_of
from ..finding_links import LONGEST_ADDRESS
from ..job_facts import query_link
from ..operator_settings import access_of
from ..page_request import PageRequest
from ..permissions import DELETE, PREDICT, TRAIN, VIEW, may_edit, may_write
from ..registry import page
from ..responses import done, form_page, show
from ..try_box import answers_texts, stored_answers
from .deletion import delete_page, deletion_of, require_mutable
from .jobs import visible_jobs
from .minimum import minimum_form, promise_curve

TYPED = {"rename": "new_name", "deploy": "deployment"}
"""Fields of the page's forms that somebody types into, by their action."""

_PRIVATE = ("service", "checkpoints")
_MOST_VERSIONS = 20
_MOST_COMPARED = 5
"""Others of the same task that are compared with this one row by row."""

_MOST_JOBS = 5


@page(
    "/classifiers/{name}",
    template="ftclassify_classifier.html",
    reads=VIEW,
    writes=DELETE,
    damaged=True,
)
async def card_page(ask: PageRequest) -> Response:
    if ask.damaged is not None:
        return await (_change(ask) if ask.method == "POST" else _damaged(ask))
    return await form_page(ask, _card, _change)


async def _card(ask: PageRequest) -> Response:
    if ask.refused is not None and ask.one("action") not in TYPED:
        raise ask.refused  # there is no field beside which it could stand
    classifier = ask.classifier
    # Other versions may have learnt from tables that are not this visitor's to know of.
    sources = await tables_behind(ask, classifier.name)
    seen = {source for source in sources if await ask.may(VIEW, source)}
    found = await ask.read(lambda conn: _read(conn, classifier, seen))
    drawn, splits = found.pop("drawn"), found.pop("splits")
    may_change = ask.db.is_mutable and await ask.may(DELETE)
    floor = await ask.read(lambda conn: read_minimum(conn, classifier, thresholds=False))
    found["minimum"] = floor
    written = await ask.read(lambda conn: label_columns_of(conn, classifier.name))
    more = {
        "floor": floor,
        "floor_drawn": promise_curve(floor.promises.tested),
        "floor_form": await minimum_form(ask, classifier, floor.minimum),
        "database": ask.database,
        "predictions": await visible_jobs(ask, _MOST_JOBS, predicted_by=classifier.id),
        "drawn": drawn,
        "deploys": deploys(classifier),
        "deployment": classifier.at_service.deployment,
        "columns": dict.fromkeys(classifier.task.text, ""),
        "faultless": headline_figures.faultless(found["metrics"]),
        "several": classifier.task.template is not None or len(classifier.task.text) > 1,
        "one_label": classifier.labels.exclusive,
        "may_change": may_change,
        "answers_texts": await answers_texts(*ask.visitor, classifier),
        "typed": {name: ask.one(name) for name in TYPED.values()},
        "deletion": await deletion_of(ask, classifier.title) if may_change else None,
        "links": {
            **await _links(ask, classifier, found["sql"]),
            **query_link(ask, splits),
            "former": _former(ask, classifier, [one["title"] for one in found["versions"]]),
        },
        "written": await stored_answers(*ask.visitor, classifier, written),
    }
    return await show(ask, found, more=more)


async def _damaged(ask: PageRequest) -> Response:
    """Of a classifier that cannot be read: why, and how to be rid of it."""
    title = tilde_decode(ask.request.url_vars["name"])
    data = {"database": ask.database, "title": title, "error": ask.damaged}
    may_change = ask.db.is_mutable and await ask.may(DELETE)
    more = {
        "may_change": may_change,
        "deletion": await deletion_of(ask, title) if may_change else None,
        "links": {"self": ask.url("classifiers", title)},
    }
    return await show(ask, data, more=more, template="ftclassify_damaged.html")


async def _change(ask: PageRequest) -> Response:
    require_mutable(ask)
    action = ask.action("default", "use", "rename", "remove-alias", "delete", "deploy")
    if action == "delete":
        return await delete_page(ask)
    new, alias, deployment = ask.one("new_name"), ask.one("alias"), ask.one("deployment").strip()
    if ask.damaged is not None:
        raise ArtifactError(f"{ask.damaged} Or delete it.")
    classifier = ask.classifier
    said = {
        "default": f"{classifier.name} is now the default classifier.",
        "use": f"{classifier.name} is now version {classifier.version}.",
        "rename": f"{classifier.name} is now called {new.strip()}.",
        "remove-alias": f"{alias} is no longer the name of a classifier.",
        "deploy": f"Requests for {classifier.title} go to the deployment {deployment}.",
    }

    # What is done to a name is done to all its versions.
    if action != "deploy" and not await may_all(ask, DELETE, classifier.name):
        raise Forbidden(
            f"You may not do this with all versions of {classifier.name}: it needs the "
            f"permission {DELETE} for each table that one was trained on."
        )
    if action == "rename" and not await may_all(ask, DELETE, new.strip()):
        raise Forbidden(f"You may not use the name {new.strip()}: choose another one.")

    access = await access_of(ask.datasette)

    def change(conn: sqlite3.Connection) -> None:
        if action == "default":
            set_default(conn, classifier.name)
        elif action == "use":
            use_version(conn, classifier)
        elif action == "remove-alias":
            if alias not in aliases_of(conn, classifier.name):
                raise FtclassifyError(f"{classifier.name} has no alias {alias}.")
            remove_alias(conn, alias)
        elif action == "deploy":
            deploy(conn, classifier, deployment, access)
        else:
            rename_classifier(conn, classifier.name, new)

    await ask.write(change)
    name = new.strip() if action == "rename" else classifier.name
    where = ask.url("classifiers", f"{name}@{classifier.version}")
    return await done(ask, where, {"message": said[action]}, said[action])


def _read(
    conn: sqlite3.Connection, classifier: Classifier, seen: Collection[str]
) -> dict[str, Any]:
    summary, day = summarise(conn, classifier), shutdown_of(classifier)
    # Without the service's ids, which are nobody's business on a published page.
    report = {n: v for n, v in named_vectors(classifier.report).items() if n not in _PRIVATE}
    if day is not None:  # from which its model answers no more; perhaps by the price table alone
        report["shutdown_date"] = day.isoformat()
    others = [
        c
        for c in list_classifiers(conn)
        if tables_revealed(c) <= set(seen)
        and (c.name == classifier.name or c.task == classifier.task)
    ]
    others.sort(key=lambda c: c.name != classifier.name)  # its own versions first
    return {
        **summary.to_dict(),
        "title": classifier.title,
        "task": classifier.task.to_dict(),
        "report": report,
        "metrics": summary.metrics,
        "quality": summary.headline(),
        "problem": summary.problem,
        "easier": easier_test_rows(summary.metrics, classifier.report),
        "sql": usage_sql(classifier),
        "splits": _splits(conn, classifier),
        "rows_held_out": row_results(conn, classifier, split=OUT_OF_FOLD, limit=1)[1],
        "corrections": corrections(conn, classifier),
        "chosen_said": chosen_text(classifier.report),
        "version_said": _sentences(classifier.report.get("version_said")),
        "versions": _compared(conn, classifier, others[:_MOST_VERSIONS]),
        # Here, since this runs in a thread: the event loop is everybody's.
        "drawn": pictures_of(summary.metrics, classifier.report),
    }


def _sentences(said: object) -> list[str]:
    """Of a report; nothing of what a stranger put there."""
    return [str(text)[:1_000] for text in said[:20]] if isinstance(said, list) else []


def _splits(conn: sqlite3.Connection, classifier: Classifier) -> str | None:
    task = classifier.task
    try:
        shown = [*task.text, *task.labels]
        return split_sql(conn, classifier, task.source, shown)
    except SourceError:
        return None  # the table is gone


def _compared(
    conn: sqlite3.Connection, classifier: Classifier, others: Sequence[Classifier]
) -> list[dict[str, Any]]:
    """Its versions, and what else was trained on the same task, each beside this one."""
    found = []
    left = _MOST_COMPARED
    for summary in summaries_of(conn, others):
        other, compared = summary.classifier, None
        if other.id != classifier.id and left:
            compared = headline_figures.comparison(conn, classifier, other)
            left -= 1
        found.append({
            **summary.to_dict(),
            "title": other.title,
            "quality": summary.headline(),
            "compared": compared,
        })  # fmt: skip
    return found


async def _links(ask: PageRequest, classifier: Classifier, sql: str | None) -> dict[str, Any]:
    table = classifier.task.source
    here = ("classifiers", classifier.title)

    def cell(truth: str = "", chosen: str | None = "") -> str | None:
        answer = {"abstained": 1} if chosen is None else {"chosen": chosen}
        address = ask.url(*here, "rows", truth=truth, **answer)
        return address if len(address) <= LONGEST_ADDRESS else None

    def page_of(name: str, offered: object, **query: int) -> str | None:
        return ask.url(*here, name, **query) if offered else None

    trains, on_disk = await ask.may(TRAIN), bool(ask.db.path)
    changes, local = trains and ask.db.is_mutable, not is_elsewhere(classifier)
    queues, one_label = changes and on_disk, classifier.labels.exclusive
    edits = on_disk and await may_edit(*ask.visitor, table)
    writes = await may_write(*ask.visitor, table)
    return {
        "source": ask.table_url(table),
        "self": ask.url(*here),
        "try": page_of("try", True),
        "evaluate": page_of("evaluate", changes),
        "card": page_of("card", True),
        "publish": page_of("publish", on_disk and trains),
        "drift": page_of("drift", trains and local),
        "retrain": page_of("retrain", queues),
        "other": page_of("other", queues and one_label and local),
        "student": page_of("student", queues and _is_slow(classifier)),
        "review": ask.url("review", table=table, classifier=classifier.title) if edits else None,
        "wrong": page_of("rows", True, wrong=1),
        "held_out": page_of("rows", True, wrong=1, held_out=1),
        "minimum": page_of("minimum", True),
        "compare": page_of("compare", True),
        "query": f"{ask.datasette.urls.database(ask.database)}?{urlencode({'sql': sql or ''})}",
        "classify": ask.url("classify", table=table, classifier=classifier.title)
        if writes
        else None,
        "stale": ask.url("stale", table=table) if on_disk and await ask.may(PREDICT) else None,
        "cell": cell,
    }


def _former(ask: PageRequest, classifier: Classifier, titles: Sequence[str]) -> str | None:
    """The comparison of a new version with the one before, where that is there and to be seen."""
    former = classifier.report.get("version_of")
    if former not in titles:
        return None
    return ask.url("classifiers", classifier.title, "compare", **{"with": former})


def _is_slow(classifier: Classifier) -> bool:
    """Whether its answers are paid, or need a sentence encoder."""
    return is_elsewhere(classifier) or bool(classifier.report.get("encoder"))
