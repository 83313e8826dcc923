"""A function is declared in one place, and everything that lists functions has it."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from folders import ROOT
from sample_databases import rows, value

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.sql.declaration import sql_function
from datasette_ftclassify.sql.functions import FUNCTIONS, Functions, register
from datasette_ftclassify.web.named_classifiers import named_classifiers


@pytest.fixture
def new_function() -> Iterator[str]:
    @sql_function("twice the score", longest=1_000)
    def ft_double(functions: Functions, text: object, classifier: object = None) -> float | None:
        answer = functions.resolve(classifier).answer(text)
        return None if answer is None or answer.score is None else 2 * answer.score

    yield "ft_double"
    del FUNCTIONS["ft_double"]


def test_a_declared_function_is_in_queries_documents_and_pages(trained: Path, new_function: str):
    with closing(connect(trained)) as conn:
        register(conn)
        ((twice, once, named),) = rows(
            conn, "select ft_double('the drain'), ft_score('the drain'), ft_double('a', 'urgent')"
        )
        assert twice == 2 * once
        assert 1 <= named <= 2
        assert value(conn, "select ft_double(x'00')") is None
    made = runpy.run_path(str(ROOT / "docs" / "make_tables.py"))
    table = made["TABLES"]["sql.md"]["SQL functions"]()
    assert "\n| `ft_double(text [, classifier])` | twice the score |" in table
    sql = "select ft_double(body, 'gone'), ft_tokens(body, 'gpt-4o') from t"
    assert list(named_classifiers(sql, {})) == ["gone"]
