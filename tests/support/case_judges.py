"""What is right about each kind of case, in terms that a machine can compare.

A judge says what is wrong with a case that was run. It finds tables and columns in the made
database, so that it serves other cases of its kind. Each is the reading of an expected.txt.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from run_cases import Case, Run

Judge = Callable[["Case"], Iterator[str]]


def judge_of(name: str) -> Judge | None:
    """By the letters that a case's name begins with."""
    kinds = sorted((kind for kind in JUDGES if name.startswith(kind)), key=len)
    return JUDGES[kinds[-1]] if kinds else None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _figures(text: str) -> list[float]:
    """What trainings say of their test rows."""
    found = re.findall(r"\b(?:accuracy ([01]\.\d+) \(95|micro F1 ([01]\.\d+), macro)", text)
    return [float(one or other) for one, other in found]


def _about(case: Case, default: float) -> float:
    said = re.search(r"about ([01]\.\d+)", case.expected)
    return float(said[1]) if said else default


def triggers(case: Case) -> Iterator[str]:
    """Each prediction did to every table what a plain UPDATE of the same rows does."""
    for run in case.runs:
        if run.verb == "predict":
            yield from unlike_plain_update(case, run)


def unlike_plain_update(case: Case, run: Run) -> Iterator[str]:
    """The same values written to a copy of the file as it was before, by a plain UPDATE through a
    connection that nobody touched. Equal texts have equal values, whatever became of their keys."""
    name = Path(run.command[3]).name
    table, made = run.table, run.after[name]
    plain = case.folder / f"plain-{table}"
    shutil.copy(run.before[name], plain)
    columns = f"select name, type from pragma_table_xinfo({_quoted(table)})"
    earlier = case.query(columns, plain)
    new = [column for column in case.query(columns, made) if column not in earlier]
    if run.code:
        if new:
            yield f"{table}: the failed prediction left {len(new)} columns behind"
        if "predict" in run.output and "view" in run.output:
            return
        with closing(sqlite3.connect(plain)) as conn:
            conn.execute(f"alter table {_quoted(table)} add column a_new_one")
            try:
                changed = conn.execute(f"update {_quoted(table)} set a_new_one = 1").rowcount
            except sqlite3.Error as error:
                if str(error) not in run.output:
                    yield f"{table}: a plain UPDATE says {error}; the prediction: {run.output}"
                return
        if changed:
            yield f"{table}: a plain UPDATE writes {changed} rows; the prediction: {run.output}"
        return
    keys = _keys(case, plain, table)
    values = ", ".join(_quoted(column) for column, _ in new)
    given = {
        row[0]: row[1:]
        for row in case.query(
            f"select text, {values} from {_quoted(table)}"
            f" where {values.split(', ')[0]} is not null",
            made,
        )
    }
    blank = (None,) * len(new)
    before = case.query(f"select text, {keys} from {_quoted(table)}", plain)
    rows = [(*given.get(text, blank), *key) for text, *key in before]
    with closing(sqlite3.connect(plain)) as conn, conn:
        for column, type_ in new:
            conn.execute(f"alter table {_quoted(table)} add column {_quoted(column)} {type_}")
        marks = ", ".join(f"{_quoted(column)} = ?" for column, _ in new)
        conn.executemany(
            f"update {_quoted(table)} set {marks} where ({keys}) = "
            f"({', '.join('?' * len(keys.split(', ')))})",
            rows,
        )
    theirs, ours = _content(case, plain), _content(case, made)
    for other in theirs:
        if theirs[other] != ours[other]:
            differ = sum(a != b for a, b in zip(theirs[other], ours[other], strict=False))
            yield (
                f"{run.table} -> {other}: {differ} of {len(theirs[other])} rows"
                f" ({len(ours[other])} now) are not as after a plain UPDATE"
            )


def _keys(case: Case, path: Path, table: str) -> str:
    try:
        case.query(f"select rowid from {_quoted(table)} limit 1", path)
        return "rowid"
    except sqlite3.OperationalError:
        sql = f"select name from pragma_table_info({_quoted(table)}) where pk order by pk"
        return ", ".join(_quoted(name) for (name,) in case.query(sql, path))


def _content(case: Case, path: Path) -> dict[str, list[tuple]]:
    """All rows of all tables that are the user's; a moment in time as such."""
    tables = case.query(
        "select name from sqlite_master where type = 'table' and name not like '\\_%' escape '\\'"
        " and name not like 'sqlite\\_%' escape '\\'",
        path,
    )
    found = {}
    for (table,) in tables:
        rows = case.query(f"select * from {_quoted(table)}", path)
        moment = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d")
        found[table] = [
            tuple("a moment" if isinstance(c, str) and moment.match(c) else c for c in row)
            for row in rows
        ]
    return found


def blankflags(case: Case) -> Iterator[str]:
    """Rows whose flags are all blank are not labelled, so they spoil no figure."""
    figures = _figures(case.output("train"))
    if not figures or figures[0] < _about(case, 0.94) - 0.06:
        yield f"trained to {figures or 'nothing'} where {_about(case, 0.94)} is right"


def dups(case: Case) -> Iterator[str]:
    """No figure and no sentence promises what copies gave."""
    said = case.output("train")
    if "would probably help" in said:
        yield "says that more labels would probably help"
    if not all(figure < _about(case, 0.5) + 0.15 for figure in _figures(said)):
        yield f"says {_figures(said)} where nothing can be learnt"


def neardups(case: Case) -> Iterator[str]:
    """A figure near chance, or a word about near copies."""
    said = case.output("train", "check")
    figures = _figures(said)
    if any(figure > _about(case, 0.5) + 0.15 for figure in figures) and "near cop" not in said:
        yield f"says {figures} of labels drawn at random, and nothing about near copies"
    if not figures:
        yield "nothing was trained"


def html(case: Case) -> Iterator[str]:
    """Rows with markup are as right as plain ones, or it is said that their words are not read.

    The truth of a row without a label stands as a word in a column that is neither read nor made.
    """
    trained = next(run for run in case.runs if run.verb == "train")
    options = dict(zip(trained.command, trained.command[1:], strict=False))
    text, label = options["--text"], options["--label"]
    columns = [c for (c,) in case.query(f"select name from pragma_table_info('{trained.table}')")]
    made = next((c for c in columns if c.endswith("_label")), None)
    if made is None:
        yield f"nothing was predicted: {case.output('predict')}"
        return
    right: dict[bool, list[bool]] = {True: [], False: []}
    rest = [c for c in columns if c not in (text, label, "id") and not c.startswith(made[:-5])]
    for source, got, *others in case.query(
        f"select {', '.join(map(_quoted, [text, made, *rest]))} from {_quoted(trained.table)}"
        f" where {_quoted(label)} is null"
    ):
        words = " ".join(map(str, others)).split()
        right["<" in source].append(got in words)
    shares = {markup: sum(r) / max(len(r), 1) for markup, r in right.items()}
    said = case.output("train", "check").lower()
    warned = re.search(r"warning: [^.]*(markup|html)", said)
    if shares[True] < shares[False] - 0.1 and not warned:
        yield f"right: {shares[True]:.2f} of rows with markup, {shares[False]:.2f} of plain ones"


def mixed(case: Case) -> Iterator[str]:
    """The last command prints what expected.txt begins with."""
    number = re.match(r"\d+", case.expected)
    printed = re.search(r"\d+(?=\D*$)", case.runs[-1].output)
    if not number or not printed or printed[0] != number[0]:
        yield f"{case.runs[-1].output.strip()} where {case.expected.strip()}"


def misc(case: Case) -> Iterator[str]:
    """Every table with a text and a label gets labels back that are values of the label column."""
    for database in sorted(case.folder.glob("*.db")):
        for table, columns in _labelled_tables(case, database):
            text, label = columns
            arguments = ["--text", text, "--label", label, "--name", "k"]
            base = ["datasette", "ftclassify"]
            trained = case.run([*base, "train", database.name, table, *arguments])
            if trained.code:
                yield f"{table}: {trained.output.strip()}"
                continue
            made = case.run([*base, "predict", database.name, table, "--classifier", "k"])
            if made.code:
                yield f"{table}: {made.output.strip()}"
                continue
            sql = (
                f"select count(*) from {_quoted(table)} where k_label is not null and k_label"
                f" not in (select {_quoted(label)} from {_quoted(table)} where"
                f" {_quoted(label)} is not null)"
            )
            if (strange := case.query(sql, database)[0][0]) > 0:
                yield f"{table}: {strange} labels are no values of {label}"


def _labelled_tables(case: Case, database: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    sql = "select name from sqlite_master where type = 'table' and sql not like '%virtual%'"
    for (table,) in case.query(sql, database):
        if table.startswith(("_", "sqlite_")):
            continue
        columns = [
            c
            for (c,) in case.query(
                f"select name from pragma_table_info({_quoted(table)}) where not pk", database
            )
        ]
        text = next((c for c in columns if c in ("text", "order", "code", "message")), None)
        label = next((c for c in columns if c in ("label", "select", "topic")), None)
        if text and label:
            yield table, (text, label)


_ASKED = re.compile(r"(0/1|delimiter|brackets|quotes|looks? like|names)", re.I)


def onehot(case: Case) -> Iterator[str]:
    """A table in which labels are written in another form gives its labels, or is questioned."""
    for table in dict.fromkeys(run.table for run in case.runs if run.verb == "train"):
        trained = [r for r in case.runs if r.verb == "train" and r.table == table]
        if all(run.code for run in trained):
            if not _ASKED.search(case.output("check", "train", table=table)):
                yield f"{table}: the error does not say what to do"
            continue
        labels = re.search(r"(\d+) labels", case.output("train", table=table))
        said = case.output("check", "train", table=table)
        if (not labels or labels[1] != "5") and not re.search(r"error: ", said):
            yield f"{table}: {labels[0] if labels else 'no labels'}, and no error asks about them"


def utf8(case: Case) -> Iterator[str]:
    """No query fails, the check says so, and labels come back equal."""
    for run in case.runs:
        if run.code:
            yield f"{' '.join(run.command)}: {run.output.strip()[-200:]}"
    base = ["datasette", "ftclassify", "check"]
    checked = [r.table for r in case.runs if r.verb == "check"]
    for table in dict.fromkeys(run.table for run in case.runs if run.verb == "train"):
        columns = case.query(f"select name from pragma_table_info({_quoted(table)})")
        text, label = "text", "label"
        bad = [c for c in (text, label) if _has_bad_bytes(case, table, c)]
        if bad and table not in checked:
            case.run(
                [*base, case.database.name, table, "--text", text, "--label", label, "--local"]
            )
        if bad and "UTF-8" not in case.output("check", table=table):
            yield f"{table}: check has no word about UTF-8"
        made = next((c for (c,) in columns if c.endswith("_label")), None)
        if made is not None:
            sql = f"select sum({label} = {_quoted(made)}), count(*) from {_quoted(table)}"
            same, rows = case.query(sql)[0]
            if (same or 0) < 0.9 * rows:
                yield f"{table}: {same} of {rows} labels equal the column"


def _has_bad_bytes(case: Case, table: str, column: str) -> bool:
    sql = f"select cast({_quoted(column)} as blob) from {_quoted(table)}"
    try:
        for (cell,) in case.query(sql):
            (cell or b"").decode()
    except UnicodeDecodeError:
        return True
    return False


JUDGES: dict[str, Judge] = {
    "triggers": triggers, "blankflags": blankflags, "dups": dups, "neardups": neardups,
    "html": html, "mixed": mixed, "misc": misc, "onehot": onehot, "utf8": utf8,
}  # fmt: skip
