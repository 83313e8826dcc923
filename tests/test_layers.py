"""The direction of imports, and what a start costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import datasette_ftclassify
from datasette_ftclassify.trainers.built_in import register_trainers
from datasette_ftclassify.trainers.service import Service

PACKAGE = Path(datasette_ftclassify.__file__).parent
NAME = "datasette_ftclassify"

DOMAIN = [
    "errors", "bounds", "deadline", "sql", "row_pages", "labels", "notations", "markup", "texts",
    "rendering", "tasks", "lookups", "near_duplicates",
    "examples", "splits", "checks", "tokens", "price_table", "prices", "published_prices", "export",
    "evaluation", "predictions", "answer_wrapping", "answers", "token_scores",
]  # fmt: skip
FACES = [
    "functions", "function_calls", "query_limit", "resolver", "sql_answers", "sql_asking",
    "sql_spending", "cli", "demo", "web", "sqlite_utils_plugin", "__init__",
]  # fmt: skip
LAYERS = [
    DOMAIN,
    ["hookspecs", "trainers"],
    ["store"],
    ["ledger"],
    ["loading", "usage"],
    ["jobs"],
    FACES,
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
MODULES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if not {"templates", "static"} & set(path.relative_to(PACKAGE).parts)
]


def room(path: Path) -> str:
    """The part of the package that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(absolute name of the imported module, whether only inside a function) of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    package = [NAME, *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(tree):
        lazy = id(node) in inside
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, lazy
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from . import x` names a module, `from .x import y` what is in one.
            for alias in node.names:
                yield (f"{module}.{alias.name}" if node.module is None else module), lazy


def rooms_imported(path: Path) -> Iterator[tuple[str, bool]]:
    for module, lazy in imports(path):
        if module.split(".")[0] == NAME:
            yield (module.split(".")[1] if "." in module else "__init__"), lazy


def test_every_room_has_its_layer() -> None:
    assert {room(path) for path in MODULES} <= set(LEVEL)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    here = room(path)
    for there, lazy in rooms_imported(path):
        if here == "checks" and there == "trainers" and lazy:
            continue  # suspected wrong labels come from a model
        assert LEVEL[there] <= LEVEL[here], f"{here} imports {there}"


def test_the_test_sees_imports() -> None:
    seen = {there for path in MODULES for there, _ in rooms_imported(path)}
    assert seen >= {"errors", "bounds", "sql", "trainers", "store", "jobs", "functions", "cli"}


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if LEVEL[room(path)] < LEVEL["functions"]],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_only_the_faces_know_datasette(path: Path) -> None:
    assert not {name for name, _ in imports(path) if name.split(".")[0] == "datasette"}


HEAVY = [
    "numpy", "scipy", "sklearn", "openai", "tiktoken", "model2vec", "tokenizers", "sqlite_utils",
    "joblib", "pandas", "torch",
]  # fmt: skip


@pytest.mark.parametrize("module", [NAME, f"{NAME}.functions"])
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


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_is_unpickled_and_no_room_is_too_large(path: Path) -> None:
    roots = {name.split(".")[0] for name, _ in imports(path)}
    assert not roots & {"pickle", "joblib", "shelve", "marshal", "multiprocessing"}
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


SERVICES = {trainer.name for trainer in register_trainers() if isinstance(trainer, Service)}


def texts(tree: ast.AST) -> Iterator[str]:
    """All but docstrings."""
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in skipped:
            yield str(node.value)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nobody_asks_which_service_it_is(path: Path) -> None:
    # What differs is said by the service itself, so that one from another package can say it, too.
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if room(path) != "trainers":
        assert not SERVICES & set(texts(tree))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Compare, ast.Dict)):
            assert not SERVICES & set(texts(node))


@pytest.mark.parametrize("path", sorted((PACKAGE / "trainers").rglob("*.py")), ids=str)
def test_what_a_trainer_says_can_stand_on_a_page(path: Path) -> None:
    # Commands say which of their options is meant; on a page there are none.
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [text for text in texts(tree) if re.search(r"--[a-z]|datasette ftclassify", text)]


BENCHMARKS = [
    path
    for path in sorted((PACKAGE.parent / "benchmarks").glob("*.py"))
    if "ftclassify" in path.read_text(encoding="utf-8") and path.name != "temporary_ledger.py"
]


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.name)
def test_benchmarks_spend_in_a_ledger_of_their_own(path: Path) -> None:
    assert "\nimport temporary_ledger" in path.read_text(encoding="utf-8")
