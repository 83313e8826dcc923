"""The page that says what a copy of the database for readers would hold, and how to publish it."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Collection
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from datasette.utils.asgi import Response

from ...core.distribution import SERVE
from ...core.errors import SourceError
from ...core.humanize import bytes_text
from ...jobs.publish import PublishedCopy, plan_copy
from ...present import publishing
from ...present.publish_commands import PLUGINS, copy_command, plain_name, publish_commands
from ...store.card_notes import LONGEST, CardNotes, card_notes, keep_notes
from ...store.classifiers import Classifier
from ...store.published import is_ours
from ..background_reads import READ_SECONDS, bring_up_to_date, path_of
from ..page_request import PageRequest
from ..permissions import TRAIN, may_view_table
from ..registry import page
from ..responses import done, show
from .deletion import require_mutable


@page("/classifiers/{name}/publish", reads=TRAIN, writes=TRAIN)
async def publish_page(ask: PageRequest) -> Response:
    """The copy is not made; POST keeps what its author says on the model card."""
    classifier = ask.classifier
    if ask.method == "POST":
        return await _keep_notes(ask, classifier)
    seen = await _tables(ask)
    own = [name for name in seen if name.lower() == classifier.task.source.lower()]
    wanted = [name for name in seen if name in ask.arguments("with")] or own
    if not wanted:
        raise SourceError(
            f"{classifier.task.source} is gone, and no other table was chosen for the copy."
        )
    path = path_of(ask)
    out = plain_name(f"{Path(path).stem}-public.db")
    plan = partial(plan_copy, path, out, classifiers=[classifier.title], tables=wanted)
    copy = _as_seen(await asyncio.to_thread(plan, seconds=READ_SECONDS), seen)
    commands = {
        "copy": copy_command(Path(path).name, out, copy.classifiers, wanted),
        **publish_commands(out, copy.packages),
    }
    data = {
        **copy.to_dict(),
        "database": ask.database,
        "commands": commands,
        "metadata": publishing.metadata(out),
    }
    more = {
        "stays": list(publishing.stays(copy)),
        "goes": list(publishing.goes(copy)),
        "reveals": list(publishing.reveals(copy)),
        "sizes": {
            "before": bytes_text(copy.bytes_before),
            "after": None if copy.bytes_after is None else bytes_text(copy.bytes_after),
        },
        "notes": await ask.read(lambda conn: card_notes(conn, classifier)),
        "longest": LONGEST,
        "choices": {name: name in wanted for name in seen},
        "plugins": PLUGINS,
        "install": shlex.join(["pip", "install", "datasette", *copy.packages]),
        "alone": copy.packages[0].startswith(SERVE),
        "links": {
            "card": ask.url("classifiers", classifier.title, "card"),
            "self": ask.url("classifiers", classifier.title, "publish"),
        },
    }
    return await show(ask, data, more=more)


async def _keep_notes(ask: PageRequest, classifier: Classifier) -> Response:
    require_mutable(ask)
    notes = CardNotes(ask.one("intended_use").strip(), ask.one("limits").strip())
    await bring_up_to_date(ask)
    await ask.write(lambda conn: keep_notes(conn, classifier, notes))
    where = ask.url("classifiers", classifier.title, "publish")
    return await done(ask, where, asdict(notes), "The model card says this now.")


async def _tables(ask: PageRequest) -> list[str]:
    """Tables and views that may be named to this visitor."""
    db = ask.db
    hidden = {name.lower() for name in await db.hidden_table_names()}
    names = [*await db.table_names(), *await db.view_names()]
    return [
        name
        for name in names
        if not is_ours(name)
        and name.lower() not in hidden
        and await may_view_table(*ask.visitor, name)
    ]


def _as_seen(copy: PublishedCopy, seen: Collection[str]) -> PublishedCopy:
    """Without the names of other tables, and of other classifiers, which may tell of them."""
    return replace(
        copy,
        path=Path(copy.path).name,
        removed={name: rows for name, rows in copy.removed.items() if name in seen},
        referred={name: columns for name, columns in copy.referred.items() if name in seen},
        removed_classifiers=(),
    )
