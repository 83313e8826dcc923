"""A clean copy of a database, to be published: chosen tables, and classifiers that answer.

Everything is read in one transaction, and written into a new file that takes its place when it is
whole.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..checks.private_sample import PrivateRows, private_rows
from ..core.database import BUSY_SECONDS, decode, quote, relation
from ..core.distribution import SERVE, WHOLE
from ..core.errors import ArtifactError, ClassifierNotFound, SourceError
from ..core.new_files import writing_into
from ..core.sqlite_errors import OPERATIONAL_ERRORS, SQLITE_ERRORS
from ..core.table_copy import (
    SOURCE,
    Selection,
    attach,
    copy_parts,
    finish,
    row_count,
    select_parts,
    size_of_parts,
)
from ..core.time_limit import within
from ..core.training_report import NeededEncoder
from ..store.card_notes import card_notes
from ..store.classifiers import Classifier, find_classifier, list_classifiers, reading_store
from ..store.published import (
    Published,
    copy_classifiers,
    is_ours,
    kept_counts,
    service_hosts,
    stored_answers,
    versions,
)
from ..store.tables import check_tables, open_database
from ..trainers.registry import package_of
from .as_published import as_published


@dataclass(frozen=True)
class PublishedCopy:
    """What a copy holds, and what it does not.

    classifiers:   NAME@VERSION of those that answer; default: of what answers without a name
    tables, views: names, with the rows of tables
    removed:       {table or view that stayed behind: rows, None for a view}
    referred:      {table that stayed behind: columns of the copy that refer to it}
    ours:          {table of ours, without its prefix: (rows in the original, rows in the copy)}
    left_out:      {name of what was wanted and cannot be there: why}
    packages:      to be installed where it is published
    undescribed:   those of the classifiers of which nobody has said what they are for
    encoders:      {NAME@VERSION: the sentence encoder that it needs to answer, with its size}
    stored:        {NAME@VERSION: answers that are stored}, of those whose model is at a service
    bytes_before, bytes_after: of the files; None: it is not made yet, and SQLite cannot say
    """

    path: str
    classifiers: tuple[str, ...]
    default: str | None
    tables: Mapping[str, int]
    views: tuple[str, ...]
    removed: Mapping[str, int | None]
    referred: Mapping[str, Sequence[str]]
    removed_classifiers: tuple[str, ...]
    ours: Mapping[str, tuple[int, int]]
    left_out: Mapping[str, str]
    private: tuple[PrivateRows, ...]
    packages: tuple[str, ...]
    undescribed: tuple[str, ...]
    encoders: Mapping[str, str]
    stored: Mapping[str, int]
    bytes_before: int
    bytes_after: int | None

    def to_dict(self) -> dict[str, Any]:
        kept = {name: {"before": old, "after": new} for name, (old, new) in self.ours.items()}
        return {**asdict(self), "ours": kept}


def publish_copy(
    database: str | Path,
    out: str | Path,
    *,
    classifiers: Sequence[str] = (),
    tables: Sequence[str] = (),
    force: bool = False,
    report: Callable[[str], None] = lambda step: None,
) -> PublishedCopy:
    """Makes the copy. Without names: the version that answers of each classifier, all tables.

    force: replace a file that is there
    report:  called with what is being copied

    Raises SourceError, ClassifierNotFound, ArtifactError; then nothing is at `out` that was not.
    """
    source, target = Path(database), Path(out)
    settings = _settings_of(source)
    _check_target(source, target, force)
    with _new_file(target, force) as path:
        with closing(_open(path, settings)) as conn:
            attach(conn, source.resolve().as_uri())
            check_tables(conn, SOURCE)
            conn.execute("begin")
            selection, published = _select(conn, classifiers, tables)
            left_out = selection.left_out | copy_parts(conn, selection, report)
            with reading_store():
                copy_classifiers(conn, published, selection.names)
            finish(conn)
            made = _known(source, out, conn, conn, selection, published, left_out)
            conn.execute("commit")
        pack(path)
        return replace(made, bytes_after=path.stat().st_size)


def plan_copy(
    database: str | Path,
    out: str | Path,
    *,
    classifiers: Sequence[str] = (),
    tables: Sequence[str] = (),
    seconds: float,
) -> PublishedCopy:
    """What `publish_copy` would make, as far as that is known without copying the tables: of views
    and triggers that cannot run in it, and rows of the test that are gone, nothing is said.

    Raises what `publish_copy` raises, and TooSlow after so many seconds.
    """
    source = Path(database)
    with closing(_open(None, _settings_of(source))) as conn, closing(open_database(source)) as old:
        attach(conn, source.resolve().as_uri())
        check_tables(conn, SOURCE)
        with within(conn, seconds), within(old, seconds):
            conn.execute("begin")
            selection, published = _select(conn, classifiers, tables)
            with reading_store():
                copy_classifiers(conn, published, selection.names)
            known = _known(source, out, conn, old, selection, published, selection.left_out)
            theirs = size_of_parts(old, selection)
        ours = _pragma(conn, "page_count") * _pragma(conn, "page_size")
    return replace(known, bytes_after=None if theirs is None else ours + theirs)


_KEPT_SETTINGS = ("encoding", "page_size", "user_version", "application_id")


def _settings_of(source: Path) -> dict[str, str | int]:
    with closing(open_database(source)) as conn:
        return {name: _pragma(conn, name) for name in _KEPT_SETTINGS}


def _pragma(conn: sqlite3.Connection, name: str) -> Any:
    return conn.execute(f"pragma {name}").fetchone()[0]


def _open(path: Path | None, settings: Mapping[str, str | int]) -> sqlite3.Connection:
    """The new file is nobody's until it is whole, so nothing is noted to undo. None: one without a
    name, which is gone when it is closed."""
    # No statement is remembered: an `explain` would not notice that there are more triggers now.
    conn = sqlite3.connect(
        path.as_uri() if path else "",
        timeout=BUSY_SECONDS,
        uri=True,
        isolation_level=None,
        cached_statements=0,
    )
    conn.text_factory = decode
    for name, value in settings.items():
        conn.execute(f"pragma {name} = {quote(value) if isinstance(value, str) else value}")
    for setting in (
        "journal_mode = off", "synchronous = off", "secure_delete = on", _TRUST,
        "ignore_check_constraints = on", "temp_store = file",
    ):  # fmt: skip
        conn.execute(f"pragma {setting}").fetchall()
    return conn


def _trust() -> str:
    """No function with side effects can be called by the tables' definitions. SQLite 3.38 to 3.40
    counts those of JSON among them, without which many a table could not be copied; the connection
    has no others but SQLite's own, so there the definitions are trusted."""
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.execute("pragma trusted_schema = off")
        try:
            conn.execute("create table t (a, b as (json(a)))")
        except OPERATIONAL_ERRORS:
            return "trusted_schema = on"
    return "trusted_schema = off"


_TRUST = _trust()


def _check_target(source: Path, target: Path, force: bool) -> None:
    if target.exists() and target.samefile(source):
        raise SourceError("The copy cannot take the place of its original: choose another file.")
    if target.exists() and not force:
        raise _taken(target)
    for beside in ("-wal", "-journal"):
        if Path(f"{target}{beside}").exists():
            raise SourceError(
                f"{target}{beside} belongs to a database of that name that is in use: choose "
                "another file."
            )


@contextmanager
def _new_file(target: Path, force: bool) -> Iterator[Path]:
    """A file beside the target, which takes its place when all went well, and else is deleted."""
    with writing_into(target.parent):
        number, name = tempfile.mkstemp(prefix=".publish-copy-", suffix=".db", dir=target.parent)
    os.close(number)
    path = Path(name).resolve()
    try:
        yield path
        mask = os.umask(0)
        os.umask(mask)
        path.chmod(0o666 & ~mask)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        if force or not _linked(path, target):
            path.replace(target)
    finally:
        for left in (path, Path(f"{path}-journal"), Path(f"{path}.vacuum")):
            left.unlink(missing_ok=True)


def _linked(path: Path, target: Path) -> bool:
    """Whether the file has the name as well; never that of another one. Some disks have no links.

    Raises SourceError when somebody else has made a file of that name meanwhile."""
    try:
        os.link(path, target)
    except OSError as error:
        if isinstance(error, FileExistsError) or target.exists():
            raise _taken(target) from None
        return False
    return True


def _taken(target: Path) -> SourceError:
    return SourceError(f"There is already a file {target}.", fields=("force",))


def _select(
    conn: sqlite3.Connection, classifiers: Sequence[str], tables: Sequence[str]
) -> tuple[Selection, list[Published]]:
    selection = select_parts(conn, is_ours, tables)
    with reading_store():
        chosen = _choose(conn, classifiers, selection.left_out)
    return selection, [as_published(one, selection) for one in chosen]


def _known(
    source: Path,
    out: str | Path,
    conn: sqlite3.Connection,
    tables: sqlite3.Connection,
    selection: Selection,
    published: Sequence[Published],
    left_out: Mapping[str, str],
) -> PublishedCopy:
    """Without its size. tables: a connection whose main database has the copy's tables"""
    chosen = [one.classifier for one in published]
    names = [part.name for part in selection.tables]
    titles = tuple(one.title for one in chosen)
    views = tuple(view.name for view in selection.views if view.name not in left_out)
    return PublishedCopy(
        path=str(out),
        classifiers=titles,
        default=find_classifier(conn).title if chosen else None,
        tables={name: row_count(tables, "main", name) for name in names},
        views=views,
        removed={name: _rows(conn, name) for name in selection.gone},
        referred=_referred(tables, names, selection.gone),
        removed_classifiers=tuple(t for t in versions(conn) if t not in titles),
        ours=kept_counts(conn),
        left_out=left_out,
        private=tuple(private_rows(tables, names, service_hosts(conn))),
        packages=packages_of(chosen),
        undescribed=tuple(c.title for c in chosen if not card_notes(conn, c, SOURCE)),
        encoders={one.title: needs for one in chosen if (needs := encoder_of(one))},
        stored=stored_answers(conn, published),
        bytes_before=source.stat().st_size,
        bytes_after=None,
    )


def _choose(
    conn: sqlite3.Connection, names: Sequence[str], left_out: dict[str, str]
) -> list[Classifier]:
    if names:
        found = [find_classifier(conn, name, SOURCE) for name in names]
        return list({one.id: one for one in found}.values())
    chosen = []
    every = [title.rpartition("@")[0] for title in versions(conn)]
    list_classifiers(conn, SOURCE)  # there are not too many
    for name in dict.fromkeys(every):
        try:
            chosen.append(find_classifier(conn, name, SOURCE))
        except (ArtifactError, ClassifierNotFound) as error:
            left_out[name] = str(error)
    return chosen


def _referred(
    conn: sqlite3.Connection, names: Sequence[str], gone: Sequence[str]
) -> dict[str, list[str]]:
    """What `PublishedCopy.referred` is. names: of the tables in the copy"""
    behind = {name.lower(): name for name in gone}
    found: dict[str, list[str]] = {}
    sql = 'select "table", "from" from pragma_foreign_key_list(?) order by id, seq'
    for name in names:
        for target, column in conn.execute(sql, [name]).fetchall():
            if target.lower() in behind:
                found.setdefault(behind[target.lower()], []).append(f"{column} of {name}")
    return found


def _rows(conn: sqlite3.Connection, name: str) -> int | None:
    """Of a table of the original; None for a view, and for what cannot be read here."""
    kind = conn.execute(f"select type from {SOURCE}.sqlite_master where name = ?", [name])
    if kind.fetchone()[0] == "view":
        return None
    with suppress(*SQLITE_ERRORS):
        return row_count(conn, SOURCE, name)
    return None


def pack(path: Path) -> None:
    """Writes the file anew where pages of it are unused, as those of full-text indexes that were
    merged. Before version 3.31 SQLite numbered rows anew: then the file stays as it is."""
    packed = Path(f"{path}.vacuum")
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        if not _pragma(conn, "freelist_count"):
            return
        numbers = _row_numbers(conn)
        conn.execute("vacuum into ?", [str(packed)])
    with closing(sqlite3.connect(packed)) as conn:
        same = _row_numbers(conn) == numbers
    if same:
        packed.replace(path)


def _row_numbers(conn: sqlite3.Connection) -> dict[str, tuple[Any, ...]]:
    found = {}
    sql = "select name from sqlite_master where type = 'table' and sql not like 'create virtual%'"
    for (name,) in conn.execute(f"{sql} and name not like 'sqlite\\_%' escape '\\'").fetchall():
        rowid = relation(conn, name).rowid
        if rowid:
            sum_of = f"select count(*), max({rowid}), total({rowid}) from {quote(name)}"
            found[name] = conn.execute(sum_of).fetchone()
    return found


def packages_of(chosen: Sequence[Classifier]) -> tuple[str, ...]:
    """The packages by which these classifiers answer."""
    brought = {package for one in chosen if (package := package_of(one.trainer)) is not None}
    extras = ["encoder"] if any(map(encoder_of, chosen)) else []
    plugin = WHOLE  # which trainers of other packages are made for
    if not brought:
        plugin = SERVE
        extras += ["html"] if any(one.task.markup is not None for one in chosen) else []
    return (f"{plugin}[{','.join(extras)}]" if extras else plugin, *sorted(brought))


def encoder_of(classifier: Classifier) -> str | None:
    """Name, size and licence of the sentence encoder that a classifier needs to answer."""
    needed = NeededEncoder.read(classifier.header)
    if needed is None:
        return None
    about = classifier.report.get("encoder")
    told = []
    if isinstance(about, Mapping):
        size, licence = about.get("bytes"), about.get("licence")
        told += [f"{size / 1e6:,.0f} MB"] if isinstance(size, int) else []
        told += [licence] if isinstance(licence, str) else []
    return f"{needed.name} ({', '.join(told)})" if told else needed.name
