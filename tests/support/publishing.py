"""What `datasette publish` hands to a host, without the host: the programs that it calls are ours,
and keep the folder that was to be deployed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = {"cloudrun": "gcloud", "heroku": "heroku", "fly": "flyctl", "vercel": "vercel"}

PATIENT = ["--setting", "sql_time_limit_ms", "60000"]
"""For a machine that may be busy, in the way of each host."""
OPTIONS = {
    "cloudrun": ["--extra-options", " ".join(PATIENT)],
    "heroku": ["--extra-options", " ".join(PATIENT)],
    "fly": [*PATIENT, "--region", "ams"],  # else it is asked of fly.io
    "vercel": PATIENT,
}

_PROGRAM = """#!{python}
import shutil, sys
words = sys.argv[1:]
deploys = ("builds submit", "deploy .", "builds:create -a", "--confirm --prod")
if " ".join(words[:2]) in deploys:
    shutil.copytree(".", {folder!r})
elif words == ["plugins"]:
    print("heroku-builds 0.0.29")
elif words[:2] == ["auth", "token"]:
    print('{{"token": "t"}}')
elif words[0] == "apps:create":
    print('{{"name": "town"}}')
else:
    print("[]")
"""


@dataclass(frozen=True)
class Deployed:
    """What a host installs, runs once, and then runs to serve, each in the folder."""

    folder: Path
    install: tuple[str, ...]
    before: tuple[str, ...]
    serve: tuple[str, ...]


def deploy(host: str, command: str, place: Path, folder: Path) -> Deployed:
    """command: that is printed for the host, to be run in `place`; folder: is made"""
    programs = folder.with_name(f"{folder.name}-programs")
    programs.mkdir()
    program = programs / PROGRAMS[host]
    program.write_text(_PROGRAM.format(python=sys.executable, folder=str(folder)))
    program.chmod(0o755)
    words = [sys.executable, "-m", *shlex.split(command), *OPTIONS[host]]
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        words, cwd=place, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if (folder / "Dockerfile").exists():
        lines = (folder / "Dockerfile").read_text().splitlines()
        install, inspect = following(lines, "RUN")
        assert install[:3] == ["pip", "install", "-U"]
        (serve,) = following(lines, "CMD")
        return Deployed(folder, tuple(install[3:]), tuple(inspect), tuple(serve))
    install = (folder / "requirements.txt").read_text().split()
    if (folder / "Procfile").exists():
        (serve,) = following((folder / "Procfile").read_text().splitlines(), "web:")
        inspect = shlex.split((folder / "bin" / "post_compile").read_text())
        return Deployed(folder, tuple(install), tuple(inspect), tuple(serve))
    # Vercel serves the variable `app` of index.py.
    return Deployed(folder, tuple(install), (), ("uvicorn", "index:app", "--port", "$PORT"))


def following(lines: Sequence[str], word: str) -> list[list[str]]:
    """The words of the lines that begin with it."""
    return [shlex.split(line)[1:] for line in lines if line.startswith(f"{word} ")]
