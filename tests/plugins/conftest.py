"""Tests with other plugins, which are run where those are installed: see requirements-*.txt."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from sample_databases import FEW, town_database

from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest


@pytest.fixture(scope="session")
def trained_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with one classifier, of few rows."""
    path = tmp_path_factory.mktemp("trained") / "town.db"
    with closing(town_database(path, FEW)) as conn:
        task = define(conn, "messages", text=["message"], labels=["topic"])
        train_classifier(conn, task, TrainRequest(name="topics", curve=False))
    return path
