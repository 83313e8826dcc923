"""A virtual environment with a wheel, exactly what it requires, and nothing else.

Nothing is downloaded: packages are linked from the environment that runs the tests, in its
versions.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement


def build_wheel(root: Path, out: Path) -> Path:
    """The wheel of the distribution that only answers, from a checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "custom", "-d", str(out)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (wheel,) = out.glob("*.whl")
    return wheel


class ServeVenv:
    """python: that runs in it; wheel: what is installed there, by pip"""

    def __init__(self, folder: Path, wheel: Path) -> None:
        venv.create(folder, symlinks=True, with_pip=False)
        self.python = folder / "bin" / "python"
        (self.site,) = folder.glob("lib/python*/site-packages")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
        subprocess.run([*command, "--target", str(self.site), str(wheel)], check=True)
        (info,) = self.site.glob("*.dist-info")
        self.packages = required(Distribution.at(info))
        for package in self.packages.values():
            for name in {file.parts[0] for file in package.files or []} - {"..", "__pycache__"}:
                there = Path(str(package.locate_file(name)))
                if there.exists() and not (self.site / name).exists():
                    (self.site / name).symlink_to(there)

    def run(self, *arguments: object, cwd: Path) -> str:
        command = [str(self.python), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def required(wanted: Distribution) -> dict[str, Distribution]:
    """{name: package} of all that a distribution needs, without its extras."""
    found: dict[str, Distribution] = {}
    waiting = [(wanted, "")]
    while waiting:
        package, extra = waiting.pop()
        for line in package.requires or []:
            needed = Requirement(line)
            if needed.marker is not None and not needed.marker.evaluate({"extra": extra}):
                continue
            there = distribution(needed.name)
            if there.name not in found:
                found[there.name] = there
            elif not needed.extras:
                continue
            waiting += [(there, one) for one in ("", *needed.extras)]
    return found
