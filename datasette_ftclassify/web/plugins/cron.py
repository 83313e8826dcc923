"""Nightly retraining by datasette-cron: tasks that the setting `retrain` asks for, each of which
trains a new version where there are new labels, as the page "Train a new version" does.

What a task does, it does as the actor ACTOR, who may do what the operator grants: nothing at first.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from datasette.app import Datasette

from ...core.errors import AccessError
from ...core.settings import RETRAIN
from ..operator_settings import plugin_settings
from ..page_calls import call_page

ACTOR = {"id": "datasette-cron"}
HANDLER = "ftclassify:retrain"
_log = logging.getLogger(__name__)


async def retrain(datasette: Datasette, config: Mapping[str, Any]) -> None:
    """Queues a training on this machine where there are labels that the newest version was not
    trained with. The new version is used if it is as good as the one before.

    Raises RuntimeError when that is refused, which datasette-cron notes as the task's error.
    """
    answer = await call_page(
        datasette,
        ACTOR,
        "/classifiers/{name}/retrain",
        database=config["database"],
        name=config["classifier"],
        body={"only_if_changed": True, "only_if_better": True},
    )
    if answer.error:
        raise RuntimeError(answer.error)
    job = answer.data["job"]
    done = "no new labels" if job is None else f"job {job['id']}"
    _log.info("Retraining of %s in %s: %s", config["classifier"], config["database"], done)


def wanted_tasks(datasette: Datasette) -> Iterator[tuple[str, str, str]]:
    """(database, classifier, schedule) of the setting. Raises AccessError for what is none."""
    wanted = RETRAIN.of(plugin_settings(datasette), {}) or {}
    for database, classifiers in wanted.items():
        if not isinstance(classifiers, Mapping):
            raise AccessError(f"The setting retrain has no classifiers for {database}.")
        for classifier, schedule in classifiers.items():
            yield str(database), str(classifier), schedule


async def set_up_tasks(datasette: Datasette) -> None:
    """Makes our tasks of datasette-cron those of the setting, and removes all others of ours."""
    scheduler = datasette._cron_scheduler  # datasette-cron has it there for other plugins
    try:
        wanted = list(wanted_tasks(datasette))
    except AccessError as error:
        _log.error("%s", error)
        return
    names = set()
    for database, classifier, schedule in wanted:
        name = f"ftclassify-retrain {database} {classifier}"
        try:
            await scheduler.add_task(
                name=name,
                handler=HANDLER,
                schedule=schedule,
                config={"database": database, "classifier": classifier},
            )
            names.add(name)
        except Exception as error:  # whatever its parser of schedules raises
            _log.error(
                "The setting retrain has a schedule for %s in %s that cannot be read: %s",
                classifier, database, error,
            )  # fmt: skip
    for task in await scheduler.internal_db.get_all_tasks():
        if task.handler == HANDLER and task.name not in names:
            await scheduler.remove_task(task.name)
