"""Stored classifiers made to do harm: what a page and a query make of each is told, or refused, in
little time and memory, and nobody else waits for it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from datasette.app import Datasette
from datasette.database import Database
from hostile import Mutation
from hostile.artifacts import mutations
from memory import peak
from visiting import ROOT, cookies, serve

SECONDS = 2.0
"""Of the processor: the machine may have other work."""
MEMORY = 1_000_000_000

FUNCTIONS = (
    "select ft_classify('a drain'), ft_score('a drain', 'urgent'), ft_logprob('the roads'),"
    " ft_classify_json('a drain', 'topics') as a, ft_explain('the drains') as b,"
    " ft_labels('x', 'subjects'), ft_classify_many(json_array('a drain', 'noise'))"
)
LIST, CARD = "/-/ftclassify", "/-/ftclassify/classifiers/topics"
SQL = f".json?{urlencode({'sql': FUNCTIONS})}"
TRY, JSON = f"{CARD}/try?text=the+drains", "/-/ftclassify/classifiers/subjects.json"
PAGES = {
    "raw": (LIST, CARD, SQL),
    "short_cells": (LIST, CARD, SQL),
    "labels": (LIST, CARD, SQL, f"{CARD}/rows"),
    "headers": (SQL, TRY),
    "parts": (SQL, TRY, LIST),
    "tokenizers": (SQL, TRY),
    "metrics": (LIST, CARD, JSON),
    "reports": (CARD, JSON),
    "rows": (CARD, f"{CARD}/rows", f"{CARD}/rows?wrong=1&page=2"),
}
"""What is opened, by the kind of change: where it is read."""

ALL = os.environ.get("FTCLASSIFY_HOSTILE") == "all"
"""Whether to try all of them, and not a third of the kinds that have many."""
FEW = 20

SAID = {200, 400, 404, 503}
"""An answer, or a refusal in words: damaged, not there, or not in the time that there is."""


class Attack:
    """One Datasette with a good database, to which hostile ones are added one after the other."""

    def __init__(self, good: Path, folder: Path) -> None:
        self.good = good
        self.folder = folder
        self.datasette: Datasette = serve(good, sql_time_limit_ms=1_000)
        self.wrong: list[str] = []
        self.answered = 0
        self.labels = 0

    async def by(self, name: str, mutate: Mutation, pages: Sequence[str], mutable: bool) -> None:
        # Loaded classifiers are known by their file, so each needs one of its own.
        database = f"bad{self.answered}"
        path = self.folder / f"{database}.db"
        shutil.copy(self.good, path)
        with closing(sqlite3.connect(path)) as conn, conn:
            mutate(conn)
        bad = Database(self.datasette, path=str(path), is_mutable=mutable)
        self.datasette.add_database(bad, database)
        try:
            for page in pages:
                await self._open(f"/{database}{page}", name)
            went_on = await self.datasette.client.get("/town/messages/1.json")
            assert went_on.status_code == 200, name
        finally:
            self.datasette.remove_database(database)
            bad.close()
            path.unlink()

    async def _open(self, page: str, name: str) -> None:
        began = time.process_time()
        # Who is nobody may try a text once a second.
        who = cookies(self.datasette, ROOT)
        response = await self.datasette.client.get(page, cookies=who, follow_redirects=True)
        took = time.process_time() - began
        self.answered += 1
        if response.status_code not in SAID or "Traceback" in response.text:
            self.wrong.append(f"{name}: {page} {response.status_code} {response.text[:200]}")
        if took > SECONDS:
            self.wrong.append(f"{name}: {page} took {took:.1f} s")
        if SQL in page and response.status_code == 200:
            self._look_at(name, response.json())

    def _look_at(self, name: str, data: dict[str, Any]) -> None:
        row = data["rows"][0]
        told = row.get("a") if isinstance(row, dict) else row[3]
        said = json.loads(told)
        self.labels += "label" in said
        if not {"error", "label"} & set(said):
            self.wrong.append(f"{name}: ft_classify_json says {told[:200]}")


@pytest.mark.parametrize("kind", PAGES)
async def test_a_hostile_classifier_is_told_or_refused_at_once(
    trained_file: Path, tmp_path: Path, kind: str
):
    attack = Attack(trained_file, tmp_path)
    before = peak()
    every = list(mutations(kind))
    tried = every if ALL or len(every) <= FEW else every[::3]
    for number, (name, mutate) in enumerate(tried):
        await attack.by(name, mutate, PAGES[kind], mutable=bool(number % 2))
    assert not attack.wrong, "\n".join(attack.wrong)
    assert attack.answered > 10
    assert peak() - before < MEMORY


async def test_what_is_good_is_answered(trained_file: Path, tmp_path: Path):
    """The attack would find an answer, and does where nothing is wrong."""
    attack = Attack(trained_file, tmp_path)
    (plain,) = (mutate for name, mutate in mutations("tokenizers") if name == "plain")
    await attack.by("plain", plain, [SQL, TRY, CARD], mutable=True)
    assert attack.wrong == []
    assert attack.labels == 1
    broken = next(mutate for name, mutate in mutations("tokenizers") if name == "deep")
    await attack.by("deep", broken, [SQL], mutable=True)
    assert attack.labels == 1


def test_there_are_many_and_each_has_its_name():
    names = [(kind, name) for kind in PAGES for name, _ in mutations(kind)]
    assert len(names) == len(set(names)) > 300
