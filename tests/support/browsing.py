"""A Datasette served to a browser, for the tests that look at pages as people do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from serving import Server, serving
from visiting import ROOT, is_065

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)  # fmt: skip
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the path")

SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update",
            "--disable-sync"]  # fmt: skip
PATIENCE = 180_000.0
"""Milliseconds to wait for what should be on the page by then."""

AXE = "axe-core@4.14.1"
DARK = ":root{color-scheme:dark} body{background:#16181c;color:#e8e8e8} a:link{color:#8ab4f8}"
"""A dark theme as an operator may add one: Datasette itself has none."""

HURRY = """
const { setTimeout: later } = window, { now } = Date, start = now();
window.setTimeout = (what, after, ...rest) => later(what, (after ?? 0) / 10, ...rest);
Date.now = () => start + (now() - start) * 10;
"""
"""Time runs ten times as fast in a page, so that nobody waits for its next look at a job."""

_COOKIES: dict[str, Any] = {}
"""What root got, by the address that signs in once."""


@contextmanager
def served(path: Path, *options: object, **plugin: Any) -> Iterator[Server]:
    """Serves a database file; `plugin`: the settings of our plugin."""
    config: dict[str, Any] = {"plugins": {"datasette-ftclassify": plugin}}
    if not is_065():
        rule = {"id": ROOT}
        config["permissions"] = {"update-row": rule, "alter-table": rule}
    settings = path.with_name(f"{path.stem}-config.json")
    settings.write_text(json.dumps(config))
    option = "-m" if is_065() else "-c"
    # What takes long on a busy machine is no fault here; the limit has tests of its own.
    patient = ("--setting", "sql_time_limit_ms", 60_000)
    with serving(path, option, settings, "--root", *patient, *options) as server:
        yield server


@contextmanager
def chromium() -> Iterator[Any]:
    """One browser, for as many contexts as are wanted."""
    sync_api.expect.set_options(timeout=PATIENCE)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visit(browser: Any, **options: Any) -> Iterator[Any]:
    """A context of its own. Whatever the console complains of, and any script that fails, fails
    the test."""
    complaints: list[str] = []
    context = browser.new_context(**options)
    context.add_init_script(HURRY)
    context.set_default_timeout(PATIENCE)
    context.on(
        "console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else 0
    )
    context.on("weberror", lambda e: complaints.append(str(e.error)))
    try:
        yield context
    finally:
        context.close()
    assert complaints == []


@contextmanager
def signed_in(browser: Any, server: Server, **options: Any) -> Iterator[Any]:
    """A page of such a context: root is signed in, and addresses begin with the server's."""
    with visit(browser, base_url=server.url, **options) as context:
        if server.login not in _COOKIES:
            context.request.get(server.login)
            _COOKIES[server.login] = context.cookies()
        context.add_cookies(_COOKIES[server.login])
        yield context.new_page()


def wide(page: Any) -> int:
    """Pixels by which the page is wider than its window."""
    return int(page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    ))  # fmt: skip


def tab_to(
    page: Any, wanted: Callable[[str], bool] | str, most: int = 150, key: str = "Tab"
) -> None:
    """Presses Tab until what has the focus says `wanted`."""
    describe = (
        "(e => e ? [e.innerText, e.value, e.getAttribute('aria-label'), e.textContent]"
        ".filter(Boolean).join(' ').trim() : '')(document.activeElement)"
    )
    matches = wanted if callable(wanted) else lambda text: text.startswith(wanted)
    seen = []
    for _ in range(most):
        page.keyboard.press(key)
        seen.append(str(page.evaluate(describe)))
        if matches(seen[-1]):
            return
    raise AssertionError(f"{key} never came to {wanted!r}, but to {[text[:40] for text in seen]}")


def fetch_axe(folder: Path) -> str:
    """The script of axe-core: the file named in FTCLASSIFY_AXE, or as npm gives it."""
    named = os.environ.get("FTCLASSIFY_AXE")
    if named:
        return Path(named).read_text(encoding="utf-8")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm to fetch axe-core with")
    done = subprocess.run(
        [npm, "pack", AXE, "--silent", "--pack-destination", str(folder)],
        capture_output=True, text=True, timeout=120, cwd=folder,
    )  # fmt: skip
    packed = next(folder.glob("axe-core-*.tgz"), None)
    if done.returncode or packed is None:
        pytest.skip(f"npm could not fetch {AXE}: {done.stderr[-200:]}")
    with tarfile.open(packed) as archive:
        file = archive.extractfile("package/axe.min.js")
        assert file is not None
        return file.read().decode("utf-8")


def faults(page: Any, axe: str, only: str | None = None) -> list[str]:
    """What axe-core finds serious or critical in the page, but for its language, which Datasette
    0.65 says on none of its pages.

    only: look at this one rule
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if only:
        options["runOnly"] = [only]
    else:
        options["rules"] = {"html-has-lang": {"enabled": False}}
    found = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{v['impact']} {v['id']}: {node['html'][:200]}"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"]
    ]
