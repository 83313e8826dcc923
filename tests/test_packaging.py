"""What is installed is what is in the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path

import pytest
from folders import ROOT

PACKAGE = "datasette_ftclassify"
LINKED = ["templates", "static"]
DATA = ["prompts/prices.json", "demo/messages.csv"]

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").exists(), reason="the tests run away from their project"
)


def run(*arguments: str | Path, **options: object) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, **options
    )  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was made from it."""
    out = tmp_path_factory.mktemp("dist")
    # From the sdist and not from here: the wheel must not need what is only in the repository.
    run("-m", "build", "--no-isolation", "--outdir", out, ROOT)
    return out


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the wheel was installed into."""
    target = tmp_path_factory.mktemp("site")
    (wheel,) = built.glob("*.whl")
    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel)
    return target


def test_the_oldest_datasette_that_is_allowed_is_tried_and_named():
    oldest = re.findall(r'"datasette>=([0-9.a]+)"', (ROOT / "pyproject.toml").read_text())
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text()
    (tried,) = re.findall(r"name: Datasette ([0-9.a]+) and ([0-9.a]+)", workflow)
    assert f'datasette: ["{tried[0]}", "{tried[1]}"]' in workflow
    assert [tried[0]] == oldest
    assert (
        f"from {tried[0]} on, and the 1.0 alphas from {tried[1]} on"
        in (ROOT / "README.md").read_text()
    )


def below(folder: Path) -> set[str]:
    """The paths of all files in a folder, from there."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("folder", LINKED)
def test_a_checkout_has_its_pages(folder: str) -> None:
    there = below(ROOT / folder)
    assert any(name.startswith("ftclassify") for name in there)
    assert below(ROOT / PACKAGE / folder) == there
    unpacked = (ROOT / "PKG-INFO").exists()  # an sdist holds no links
    assert (ROOT / PACKAGE / folder).is_symlink() is not unpacked


@pytest.mark.parametrize("folder", LINKED)
def test_the_wheel_has_them_as_files(installed: Path, folder: str) -> None:
    assert below(installed / PACKAGE / folder) == below(ROOT / folder)
    assert not (installed / PACKAGE / folder).is_symlink()


def test_the_wheel_has_all_of_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert len(names) == len(set(names))
    inside = {n.removeprefix(f"{PACKAGE}/") for n in names if n.startswith(f"{PACKAGE}/")}
    here = below(ROOT / PACKAGE) | {f"{d}/{n}" for d in LINKED for n in below(ROOT / d)}
    assert inside == here
    assert {n.split("/")[0] for n in names if ".dist-info" not in n} == {PACKAGE}


def test_the_sdist_has_what_a_packager_needs(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = {m.name.partition("/")[2]: m for m in archive.getmembers()}
    for name in (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "tests/test_packaging.py",
        *(f"{PACKAGE}/{data}" for data in DATA),
    ):
        assert members[name].isfile()
    for folder in LINKED:
        for name in below(ROOT / folder):
            assert members[f"{folder}/{name}"].isfile()
    assert {f"tests/{n}" for n in below(ROOT / "tests")} <= set(members)
    assert not [n for n in members if n.endswith((".db", ".pyc")) or "/." in n]


def test_the_installed_package_finds_its_files(installed: Path) -> None:
    script = (
        "from importlib.resources import files\n"
        f"import {PACKAGE}\n"
        f"package = files('{PACKAGE}')\n"
        f"print({PACKAGE}.__file__)\n"
        f"for name in {DATA!r}: assert package.joinpath(name).read_bytes(), name\n"
        "for name in ('templates', 'static'):\n"
        "    assert list(package.joinpath(name).iterdir()), name\n"
        "from datasette_ftclassify.prompts.prices import load_prices; load_prices()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    shown = run("-c", script, cwd=installed, env=environment)
    assert Path(shown.strip()).is_relative_to(installed)


@pytest.mark.parametrize("name", DATA)
def test_a_checkout_finds_its_data(name: str) -> None:
    assert files(PACKAGE).joinpath(name).read_bytes() == (ROOT / PACKAGE / name).read_bytes()


def test_entry_points(installed: Path) -> None:
    (info,) = installed.glob("*.dist-info")
    text = (info / "entry_points.txt").read_text()
    assert f"[datasette]\nftclassify = {PACKAGE}\n" in text
    assert f"[sqlite_utils]\nftclassify = {PACKAGE}.sqlite_utils_plugin" in text
    here = {(e.group, e.name) for e in distribution("datasette-ftclassify").entry_points}
    assert here == {("datasette", "ftclassify"), ("sqlite_utils", "ftclassify")}


def test_the_licence_goes_along(installed: Path) -> None:
    (info,) = installed.glob("*.dist-info")
    assert list(info.rglob("LICENSE"))
    assert "License-Expression: Apache-2.0" in (info / "METADATA").read_text()
