"""The example packages of trainers, installed as pip does it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def install(name: str, into: Path) -> Path:
    """Installs the package in the folder `name` of the tests; gives what belongs on the path."""
    source, target = into / "source", into / "site"
    shutil.copytree(HERE / name, source, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "--target", str(target), str(source)],
        check=True,
    )  # fmt: skip
    return target
