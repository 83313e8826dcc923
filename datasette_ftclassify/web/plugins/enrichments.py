"""The enrichment "Apply a classifier" of datasette-enrichments.

It queues the job that the page "Classify rows" would queue for the same rows, by that page's own
rules: so there is one writer, with its permissions, its events, and its place after an
interruption. The job is on our pages; datasette-enrichments, whose own jobs can be cancelled by
anybody who sends a request, is told nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from datasette.app import Datasette
from datasette.database import Database
from datasette.utils.asgi import BadRequest
from datasette_enrichments import Enrichment
from markupsafe import Markup
from wtforms import BooleanField, Form, SelectField, StringField
from wtforms.validators import ValidationError

from ...core.numbers import SHARE
from ..filters import carried, left_behind
from ..form_fields import FieldError, number
from ..job_facts import RUNS_NO_JOBS
from ..lifespan import has_worker
from ..page_calls import call_page
from ..page_request import page_url
from ..visitors import visiting_actor

FIELDS = ("classifier", "prefix", "min_score", "overwrite")
"""Of the form, which are also those of the page that classifies rows."""


class ApplyClassifier(Enrichment):  # type: ignore[misc,unused-ignore]
    slug = "ftclassify"
    name = "Apply a classifier"
    description = (
        "Writes the labels of a classifier, and their scores, into columns of these rows, as a job "
        "of datasette-ftclassify."
    )

    async def get_config_form(self, datasette: Datasette, db: Database, table: str) -> type[Any]:
        """The fields, with those classifiers that the visitor may apply to the table."""
        answer = await call_page(
            datasette, visiting_actor(), "/classify", database=db.name, query={"table": table}
        )
        offered = answer.data.get("classifiers", [])
        here = [one["title"] for one in offered if _answers_here(one)]
        problem = answer.error or answer.data.get("blocked") or ""
        if not here and not problem:
            problem = f"No classifier on this machine reads the columns of {table}."
        page = page_url(datasette, db.name, "classify", table=table)
        help_ = _help(problem, page, len(here) < len(offered), has_worker(datasette))

        class ConfigForm(Form):  # type: ignore[misc,unused-ignore]
            classifier = SelectField(
                "Classifier", choices=[] if problem else here, description=help_
            )
            prefix = StringField(
                "Column prefix", description="If empty, the classifier's name, as in topics_label"
            )
            min_score = StringField(
                "Minimum score",
                description="0 to 1: a row with a lower score gets no label. If empty, the one "
                "that is kept with the classifier",
            )
            overwrite = BooleanField(
                "Overwrite", description="Columns of these names that hold something else"
            )

            def validate_classifier(self, field: Any) -> None:
                if problem:
                    raise ValidationError(problem)

            def validate_min_score(self, field: Any) -> None:
                try:
                    number("min_score", field.data or "", SHARE)
                except FieldError as error:
                    raise ValidationError(str(error)) from error

        return ConfigForm

    async def enqueue(
        self,
        datasette: Datasette,
        db: Database,
        table: str,
        filter_querystring: str,
        config: Mapping[str, Any],
        actor_id: str | None = None,
    ) -> int:
        """Queues our job for the visitor whose request it is; gives its number.

        Raises Forbidden or BadRequest, in the words of the page, when that is refused.
        """
        arguments = parse_qs(filter_querystring, keep_blank_values=True)
        if unfollowed := left_behind(arguments):
            raise BadRequest(
                "A classifier is applied to rows that are chosen by filters of columns, not by "
                f"{', '.join(unfollowed)}: take that away on the table's page, and choose again."
            )
        filters = carried(arguments)
        fields = {name: config.get(name) for name in FIELDS}
        rows = "filter" if filters else "all"
        answer = await call_page(
            datasette,
            visiting_actor(),
            "/classify",
            database=db.name,
            body={"table": table, "rows": rows, **filters, **fields},
        )
        return int(answer.require()["job"])

    async def enrich_batch(self, **batch: Any) -> int:
        raise self.Cancel("The rows are classified by a job of datasette-ftclassify.")


def _answers_here(classifier: Mapping[str, Any]) -> bool:
    return not classifier["costs_money"] and not classifier["leaves_machine"]


def _help(problem: str, page: str, others: bool, works: bool) -> Markup:
    """The sentence below the classifiers."""
    said = [Markup("{}").format(problem)] if problem else []
    if others:
        said.append(
            Markup(
                "Classifiers at a service are applied on the page "
                '<a href="{}">Classify rows</a>, which shows the price.'
            ).format(page)
        )
    if not works:
        said.append(Markup("{}").format(RUNS_NO_JOBS))
    return Markup(" ").join(said)
