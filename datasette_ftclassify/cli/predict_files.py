"""`predict-files`"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.humanize import counted, rows_text
from ..core.numbers import Range
from .options import (
    column_options,
    columns_from,
    json_command,
    known_option,
    min_known_option,
    min_score_option,
    number_option,
)
from .output import echo, one_line, print_json, row_progress, say
from .predict import describe_counts

if TYPE_CHECKING:
    from ..jobs.files.part import PartCounts
    from ..jobs.files.plan import FilesPlan

_WORKERS = Range(1, 512, whole=True)


@click.command("predict-files")
@click.argument("model", type=click.Path())
@click.argument("files", nargs=-1, required=True)
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--text",
    multiple=True,
    metavar="COLUMN",
    help="Column of the files to read. Repeat for more. [the one that was trained on]",
)
@column_options
@min_score_option
@known_option
@min_known_option
@number_option(
    "--workers", within=_WORKERS, default="1", metavar="N", help="Number of worker processes. [1]"
)
@click.option(
    "--engine",
    type=click.Choice(["processes", "dask", "spark"]),
    default="processes",
    help="What runs the workers. [processes]",
)
@click.option(
    "--address", metavar="URL", help="Address of the Dask or Spark cluster. [one on this machine]"
)
@json_command
def predict_files(
    model: str, files: tuple[str, ...], out: Path, as_json: bool, **given: Any
) -> None:
    """Classify the rows of Parquet, CSV or JSON lines files.

    FILES are written again, with answers, into the folder OUT; MODEL is a folder from export-model.
    If interrupted, the same command continues where it stopped.

    \b
      datasette ftclassify export-model mail.db topics topics-model
      datasette ftclassify predict-files topics-model 'in/*.parquet' out --workers 2
    """
    from ..jobs.files.engines import answer_parts, start_engine
    from ..jobs.files.plan import FilesRequest, check_all_done, files_plan, read_model_folder

    portable = read_model_folder(model)
    request = FilesRequest(
        model,
        files,
        out,
        columns_from(portable, given, fingerprint=False),
        given["text"],
        given["threshold"],
        given["min_known"],
    )
    with files_plan(portable, request) as plan:
        _say_before(plan, out)
        counts = None
        if plan.waiting:
            engine = start_engine(given["engine"], int(given["workers"]), given["address"])
            with closing(engine), row_progress("Rows", plan.waiting_rows) as show:
                counts = answer_parts(
                    plan.waiting, engine, lambda rows: show(rows, max(rows, plan.waiting_rows))
                )
        check_all_done(plan)
    _describe(plan, counts, out, as_json)


def _say_before(plan: FilesPlan, out: Path) -> None:
    if plan.gone:
        say(
            f"{counted(len(plan.gone), 'file')} that was answered is not there any more, such as "
            f"{one_line(plan.gone[0])}; its answers stay in {out}."
        )
    done = len(plan.parts) - len(plan.waiting)
    if done:
        say(f"{done:,} of {counted(len(plan.parts), 'part')} were written before.")


def _describe(plan: FilesPlan, counts: PartCounts | None, out: Path, as_json: bool) -> None:
    from ..jobs.files.part import PartCounts

    found = counts or PartCounts()
    settings = plan.settings
    result = {
        "classifier": plan.model.name,
        "out": str(out),
        "files": plan.sources,
        "parts": len(plan.parts),
        "parts_before": len(plan.parts) - len(plan.waiting),
        "rows": found.rows,
        "predicted": found.predicted,
        "skipped": found.rows - found.predicted,
        "columns": settings.columns.to_dict(),
    }
    if settings.threshold is not None:
        result |= {"abstained": found.abstained, "threshold": settings.threshold}
    if settings.min_known is not None:
        result["unlike"] = found.unlike
    if as_json:
        print_json(result)
        return
    names = ", ".join(name for _, name in settings.columns.items())
    if not plan.waiting:
        echo(f"Nothing left to do: {names} of {counted(plan.sources, 'file')} are in {out}.")
        return
    echo(
        f"{plan.model.name} classified {found.predicted:,} of {rows_text(found.rows)} of "
        f"{counted(plan.sources, 'file')} into {names}, in {out}."
    )
    describe_counts(result)
