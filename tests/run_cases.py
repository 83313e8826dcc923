"""Runs a folder of cases and says which of them come out as they should.

    python tests/run_cases.py FOLDER [NAME...] [--keep DIR] [-v]

A case is a folder FOLDER/NAME. `make.py` makes its input, beside what modules FOLDER holds (such
as gen.py); `run.txt` says what is run on it; `expected.txt` what is right. All are for people, so:

* run.txt: commands between `;`. `train`, `predict` and so on stand for the command
  of `datasette ftclassify`, `train, predict A.db T` for several with the same arguments,
  `train a.db t and u` for one on each table, `for t in a b: train a.db $t` for a loop; `--text text
  --label label` is meant where nothing is said. Where a step is no command it is reported as such.
* expected.txt: lines `sql: SELECT ... = VALUE` and `says: TEXT` (in some command's output) and
  `fails: TEXT` (in the output of a command that exits with an error) are compared as they stand.
  Prose is compared by the judge of the case's kind (the name's first letters: `triggers-fts` is of
  the kind `triggers`), see case_judges.py; without one, a person has to read it: -v prints both.

Exit code 0 when no case failed, and at least one was compared.
"""

from __future__ import annotations

import argparse
import csv
import re
import shlex
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "support"))

from programs import Program, datasette, python, sqlite_utils

COMMANDS = ["check", "train", "predict", "evaluate", "export", "classifiers", "jobs", "work"]
MOST_SECONDS = 300
"""For one command. Nothing in a case takes as long, but what never ends."""

_MAINS = {"datasette": datasette, "sqlite-utils": sqlite_utils, "python": python}
_DEFAULTS = {"--text": "text", "--label": "label"}


@dataclass(frozen=True)
class Run:
    """One command of a case. before, after: copies of the databases, by file name; of predictions
    alone."""

    command: list[str]
    code: int
    output: str
    before: dict[str, Path]
    after: dict[str, Path]

    @property
    def verb(self) -> str:
        return self.command[2] if self.command[:2] == ["datasette", "ftclassify"] else ""

    @property
    def table(self) -> str:
        return self.command[4] if len(self.command) > 4 else ""


@dataclass
class Case:
    """A case that was run. folder: a copy of it, with what was made in it."""

    name: str
    folder: Path
    expected: str
    runs: list[Run] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def database(self) -> Path:
        return sorted(self.folder.glob("*.db"))[0]

    def query(self, sql: str, database: Path | None = None) -> list[tuple]:
        with closing(sqlite3.connect(database or self.database)) as conn:
            conn.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
            return conn.execute(sql).fetchall()

    def output(self, *verbs: str, table: str | None = None) -> str:
        """What the commands said, on one line."""
        chosen = (r for r in self.runs if not verbs or r.verb in verbs)
        return " ".join(
            " ".join(r.output.split()) for r in chosen if table is None or r.table == table
        )

    def run(self, command: list[str]) -> Run:
        """Runs a command in the case's folder."""
        copied = command[2:3] == ["predict"]
        before = self._copies("before") if copied else {}
        program = Program(
            _MAINS[command[0]], *command[1:],
            environ={"PYTHONPATH": str(self.folder.parent)}, folder=self.folder, apart=True,
        )  # fmt: skip
        try:
            code, output = program.wait(MOST_SECONDS), program.output + program.errors
        except TimeoutError as error:
            code, output = 124, str(error)
        run = Run(command, code, output, before, self._copies("after") if copied else {})
        self.runs.append(run)
        return run

    def _copies(self, when: str) -> dict[str, Path]:
        copies = {}
        for path in self.folder.glob("*.db"):
            copies[path.name] = self.folder / f"{len(self.runs)}-{when}-{path.name}.copy"
            with (
                closing(sqlite3.connect(path)) as conn,
                closing(sqlite3.connect(copies[path.name])) as copy,
            ):
                conn.backup(copy)
        return copies


def commands(text: str) -> Iterator[list[str] | str]:
    """The commands of a run.txt; a step that is none as it stands, as a text."""

    # What stands in brackets is a remark, but for what is quoted.
    text = re.sub(r'("[^"]*")|\([^()]*\)', lambda found: found[1] or "", text)
    for step in text.split(";"):
        step = " ".join(step.split()).rstrip(".")
        loop = re.match(r"for (\w+) in ([\w ]+): (.*)", step)
        if loop:
            for value in loop[2].split():
                yield from _expanded(loop[3].replace(f"${loop[1]}", value))
        elif step:
            yield from _expanded(step)


def _expanded(step: str) -> Iterator[list[str] | str]:
    words = shlex.split(step)
    if words[:2] == ["python", "make.py"] or words == ["make"]:
        yield ["python", "make.py", *words[2:]]
        return
    if words[0] == "sqlite-utils":
        yield words
        return
    if words[:2] == ["datasette", "ftclassify"]:
        words = words[2:]
    verbs = []
    while words and words[0].strip(",") in (*COMMANDS, "and"):
        verb = words.pop(0).strip(",")
        verbs += [verb] if verb != "and" else []
    if not verbs or not words or not words[0].endswith(".db"):
        yield step
        return
    tables = [words[1]]
    rest = words[2:]
    while rest[:1] == ["and"]:
        tables, rest = [*tables, rest[1]], rest[2:]
    for table in tables:
        for verb in verbs:
            yield ["datasette", "ftclassify", verb, words[0], table, *_options(verb, rest, verbs)]


def _options(verb: str, given: list[str], verbs: list[str]) -> list[str]:
    """The options that are meant for one of several commands, and what goes without saying."""
    if verb in ("check", "train"):
        missing = [x for o, v in _DEFAULTS.items() if o not in given for x in (o, v)]
        local = ["--local"] if verb == "check" and "--local" not in given else []
        return [*missing, *given, *local]
    if verb == "predict" and len(verbs) > 1:
        return []
    return given


def _load_csv(folder: Path, step: list[str]) -> None:
    """The table that a command names, out of a CSV file, where no database was made."""
    path = next((folder / word for word in step if word.endswith(".db")), None)
    files = sorted(folder.glob("*.csv"))
    if path is None or path.exists() or not files or len(step) < 5:
        return
    with files[0].open(newline="") as file, closing(sqlite3.connect(path)) as conn, conn:
        header, *rows = csv.reader(file)
        conn.execute(f'create table "{step[4]}" ({", ".join(header)})')
        conn.executemany(f'insert into "{step[4]}" values ({", ".join("?" * len(header))})', rows)


def run_case(source: Path, room: Path) -> Case:
    """Runs the commands of a case in a copy of it below `room`."""
    for module in source.parent.glob("*.py"):
        shutil.copy(module, room)
    folder = room / source.name
    shutil.copytree(source, folder)
    case = Case(source.name, folder, (folder / "expected.txt").read_text("utf-8"))
    steps = list(commands((folder / "run.txt").read_text("utf-8")))
    named = {s[s.index("--name") + 1] for s in steps if isinstance(s, list) and "--name" in s}
    last = "c"
    for step in steps:
        if isinstance(step, str):
            case.unread.append(step)
            continue
        _load_csv(folder, step)
        if step[2:3] == ["train"] and "--name" not in step:
            step = [*step, "--name", "c" if "c" not in named else step[4]]
        if step[2:3] == ["predict"] and "--classifier" not in step:
            step = [*step, "--classifier", last]
        if step[2:3] == ["train"]:
            last = step[step.index("--name") + 1]
        case.run(step)
        if step[1:2] == ["make.py"] and case.runs[-1].code:
            raise SystemExit(f"{source.name}/make.py: {case.runs[-1].output}")
    return case


def problems(case: Case) -> list[str] | None:
    """What is not as it should be; None where only a person can say."""
    sys.path.insert(0, str(Path(__file__).with_name("support")))
    from case_judges import judge_of

    lines = [line.strip() for line in case.expected.splitlines()]
    exact = [line for line in lines if re.match(r"(sql|says|fails): ", line)]
    found = [problem for line in exact for problem in _compared(case, line)]
    judge = judge_of(case.name)
    if judge is not None:
        return [*found, *judge(case)]
    return found if exact else None


def _compared(case: Case, line: str) -> Iterator[str]:
    what, text = line.split(": ", 1)
    if what == "sql":
        sql, value = text.rsplit(" = ", 1)
        got = case.query(sql)
        said = str(got[0][0]) if got else "nothing"
        if said != value.strip():
            yield f"{sql} gives {said} and not {value}"
        return
    runs = [run for run in case.runs if what == "says" or run.code]
    if not any(text in " ".join(run.output.split()) for run in runs):
        yield f"no command {what} {text!r}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--keep", type=Path, help="leave what was made here")
    parser.add_argument("-v", "--verbose", action="store_true", help="print all that was said")
    given = parser.parse_args()
    names = given.names or sorted(p.parent.name for p in given.folder.glob("*/run.txt"))
    verdicts = []
    for name in names:
        room = given.keep / name if given.keep else Path(tempfile.mkdtemp(prefix="cases-"))
        room.mkdir(parents=True, exist_ok=True)
        case = run_case(given.folder / name, room)
        found = problems(case)
        verdict = "READ IT" if found is None else "FAILED" if found else "passed"
        verdicts.append(verdict)
        print(f"{verdict:8} {name}", *(f"    {problem}" for problem in found or ()), sep="\n")
        if given.verbose or found is None:
            for run in case.runs:
                print("   $", shlex.join(run.command), f"[{run.code}]")
                print(*(f"      {line}" for line in run.output.splitlines()), sep="\n")
            print(*(f"    no command: {step}" for step in case.unread), sep="\n")
            print("    expected:", case.expected.strip().replace("\n", "\n      "))
        if not given.keep:
            shutil.rmtree(room)
    print(", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts)))
    return int("FAILED" in verdicts or set(verdicts) <= {"READ IT"})


if __name__ == "__main__":
    sys.exit(main())
