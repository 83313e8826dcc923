"""The page that compares the rows which came after a training with the test rows."""

from __future__ import annotations

from datasette.utils.asgi import Response

from ...core.database import relation
from ...core.errors import FtclassifyError
from ...core.typed_json import as_json
from ...jobs.drift import find_drift
from ...present.drift import drift_read, drift_sentences, drift_summary
from ..background_reads import read_aside, require_own_condition
from ..page_request import PageRequest
from ..permissions import TRAIN
from ..registry import page
from ..responses import show
from .check import row_url


@page("/classifiers/{name}/drift", reads=TRAIN, writes=None)
async def drift_page(ask: PageRequest) -> Response:
    """Reads the newest rows of the table."""
    classifier, table = ask.classifier, ask.classifier.task.source
    try:
        await require_own_condition(ask)
        found = await read_aside(ask, lambda conn: find_drift(conn, classifier))
        source = await ask.read(lambda conn: relation(conn, table))
    except FtclassifyError as error:
        if ask.wants_json:
            raise
        return await show(ask, {}, more={"refused": str(error), "table": table}, problem=str(error))
    data = {
        **as_json(found),
        "rows": [{**as_json(row), "url": row_url(ask, source, row.key)} for row in found.rows],
        "summary": drift_summary(found),
        "sentences": list(drift_sentences(found)),
        "read_rows": drift_read(found),
    }
    more = {
        "table": table,
        "retrain": ask.url("classifiers", classifier.title, "retrain"),
        "anew": _anew(ask, found.share),
    }
    return await show(ask, data, more=more)


def _anew(ask: PageRequest, share: float | None) -> str | None:
    """The page that trains the classifier's task on a new split; None where it could not choose
    those rows."""
    task = ask.classifier.task
    if share is None or task.where is not None or task.other is not None:
        return None
    said = {"template": task.template, "markup": task.markup, "delimiter": task.delimiter}
    chosen = {name: value for name, value in said.items() if value is not None}
    return ask.url(
        "train",
        table=task.source,
        text=list(task.text),
        label=list(task.labels),
        kind=task.kind,
        trainer=ask.classifier.trainer,
        name=ask.classifier.name,
        test=share,
        **chosen,
    )
