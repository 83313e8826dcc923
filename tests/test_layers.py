"""The direction of imports, and what a start costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import datasette_ftclassify
from datasette_ftclassify.trainers.builtin import register_trainers
from datasette_ftclassify.trainers.service import Service

PACKAGE = Path(datasette_ftclassify.__file__).parent
NAME = "datasette_ftclassify"

ROOMS = [
    "core", "metrics", "prompts", "export", "trainers", "checks", "store", "ledger", "jobs",
    "present", "sql", "demo", "cli", "web", "",
]  # fmt: skip
"""From below: each imports only from those before it, `cli` and `web` not from each other. The last
one is the package itself: what Datasette and sqlite-utils load."""
LEVEL = {room: level for level, room in enumerate(ROOMS)}
LEVEL["hookspecs"] = LEVEL["trainers"]  # the hook of trainers, under the name that packages import
HOSTS = {"sqlite_utils_plugin": LEVEL[""], "serve_plugin": LEVEL[""]}
MODULES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if not {"templates", "static"} & set(path.relative_to(PACKAGE).parts)
]


def module_of(path: Path) -> str:
    """Its name below the package; empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {module_of(path): path for path in MODULES}


def level(module: str) -> int:
    room = module.split(".")[0]
    return HOSTS.get(room, LEVEL.get(room, -1))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> frozenset[str]:
    """Absolute names of all modules that a file imports, within functions as well."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    package = [NAME, *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            below = module.removeprefix(NAME).removeprefix(".")
            for alias in node.names:
                inner = f"{below}.{alias.name}" if below else alias.name
                yield f"{NAME}.{inner}" if module.startswith(NAME) and inner in PATHS else module


def our_imports(path: Path) -> set[str]:
    """The modules of this package among them, by their names below it."""
    own = (name for name in imports(path) if name.split(".")[0] == NAME)
    return {name.removeprefix(NAME).removeprefix(".") for name in own}


def imported_packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def file_name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_every_module_has_its_room() -> None:
    assert [module for module in PATHS if level(module) < 0] == []


def test_imports_point_one_way() -> None:
    wrong = [
        f"{here} imports {there}"
        for here, path in PATHS.items()
        for there in our_imports(path)
        if level(there) > level(here) or (here.split(".")[0], there.split(".")[0]) == ("web", "cli")
    ]
    assert wrong == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {module: our_imports(path) & set(PATHS) - {module} for module, path in PATHS.items()}
    while free := [module for module, needs in graph.items() if not needs]:
        for module in free:
            del graph[module]
        graph = {module: needs - set(free) for module, needs in graph.items()}
    assert graph == {}


def test_the_test_sees_imports() -> None:
    seen = {there.split(".")[0] for path in MODULES for there in our_imports(path)}
    assert seen >= set(ROOMS) - {"", "demo"}
    assert "jobs.lease" in our_imports(PACKAGE / "jobs" / "predict.py")


def test_only_the_faces_know_datasette() -> None:
    below = [path for path in MODULES if level(module_of(path)) < LEVEL["sql"]]
    assert [file_name(path) for path in below if "datasette" in imported_packages(path)] == []


HEAVY = [
    "numpy", "scipy", "sklearn", "openai", "tiktoken", "model2vec", "tokenizers", "sqlite_utils",
    "joblib", "pandas", "torch",
]  # fmt: skip


@pytest.mark.parametrize("module", [NAME, f"{NAME}.sql.functions"])
def test_a_start_loads_nothing_heavy(module: str) -> None:
    # What Datasette itself has loaded by then is not our cost; its other plugins are not loaded.
    script = (
        "import sys, datasette, datasette.hookspecs\n"
        "before = set(sys.modules)\n"
        f"import {module}\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(' '.join(sorted(new)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    )
    loaded = set(run.stdout.split())
    assert NAME in loaded
    assert not loaded & set(HEAVY)


def test_nothing_is_unpickled() -> None:
    unsafe = {"pickle", "joblib", "shelve", "marshal", "multiprocessing"}
    assert [file_name(path) for path in MODULES if imported_packages(path) & unsafe] == []


def test_no_room_is_too_large() -> None:
    lines = {file_name(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count > 400} == {}


SERVICES = {trainer.name for trainer in register_trainers() if isinstance(trainer, Service)}


def texts(tree: ast.AST) -> Iterator[str]:
    """All but docstrings."""
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in skipped:
            yield str(node.value)


def asks_which_service(path: Path) -> bool:
    tree = tree_of(path)
    if module_of(path).split(".")[0] != "trainers":
        return bool(SERVICES & set(texts(tree)))
    choices = (node for node in ast.walk(tree) if isinstance(node, (ast.Compare, ast.Dict)))
    return any(SERVICES & set(texts(node)) for node in choices)


def test_nobody_asks_which_service_it_is() -> None:
    # What differs is said by the service itself, so that one from another package can say it, too.
    assert [file_name(path) for path in MODULES if asks_which_service(path)] == []


def test_what_a_trainer_says_can_stand_on_a_page() -> None:
    # Commands say which of their options is meant; on a page there are none.
    said = {path: texts(tree_of(path)) for path in (PACKAGE / "trainers").rglob("*.py")}
    option = re.compile(r"--[a-z]|datasette ftclassify")
    found = [(path, text) for path, lines in said.items() for text in lines if option.search(text)]
    assert found == []


BENCHMARKS = [
    path
    for path in sorted((PACKAGE.parent / "benchmarks").glob("*.py"))
    if "ftclassify" in path.read_text(encoding="utf-8") and path.name != "temporary_ledger.py"
]


def test_benchmarks_spend_in_a_ledger_of_their_own() -> None:
    own = "\nimport temporary_ledger"
    assert [path.name for path in BENCHMARKS if own not in path.read_text("utf-8")] == []


def test_one_module_names_the_errors_of_sqlite():
    """Those of Datasette's connections may be of another module."""
    named = {
        module_of(path)
        for path in MODULES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value) == "sqlite3"
        and node.attr.endswith(("Error", "Warning"))
    }
    assert named == {"core.sqlite_errors"}


def test_no_test_imports_by_the_name_tests() -> None:
    """Installed packages bring a `tests` of their own, which Python finds before a folder without
    `__init__.py`: what tests share is found through pytest's `pythonpath`."""
    files = sorted((PACKAGE.parent / "tests").rglob("*.py"))
    by_name = re.compile(r"^\s*(from|import) tests\b", re.MULTILINE)
    assert len(files) > 200
    assert [path.name for path in files if by_name.search(path.read_text("utf-8"))] == []
