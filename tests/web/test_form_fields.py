"""What is typed as a number is read in one way, on pages, in JSON and on the command line."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datasette_ftclassify.cli.options import typed
from datasette_ftclassify.core.numbers import AGREED_USD, LIMIT_USD, SHARE, WHOLE, Range
from datasette_ftclassify.core.splits import SPLIT_SHARE
from datasette_ftclassify.jobs.plan import CONCURRENCY
from datasette_ftclassify.web.form_fields import FieldError, number
from datasette_ftclassify.web.train_form import Choices

RANGES = [SHARE, WHOLE, LIMIT_USD, AGREED_USD, SPLIT_SHARE, CONCURRENCY]
TYPED = st.one_of(
    st.text(max_size=6), st.integers().map(str), st.floats().map(str), st.floats(0, 1).map(repr)
)


@given(st.sampled_from(RANGES), TYPED.filter(str.strip))
@example(CONCURRENCY, "3.7")
@example(WHOLE, "9" * 5_000)
@example(LIMIT_USD, "nan")
@example(LIMIT_USD, "1e999")
def test_forms_and_the_command_line_take_and_refuse_the_same(allowed: Range, text: str) -> None:
    on_a_page = outcome(lambda: number("it", text, allowed))
    assert on_a_page == outcome(lambda: typed(allowed)(text))
    if not isinstance(on_a_page, str):
        assert math.isfinite(on_a_page)
        assert on_a_page in allowed


def outcome(read: Callable[[], Any]) -> Any:
    """The number, or what is said."""
    try:
        return read()
    except FieldError as error:
        return str(error)
    except click.BadParameter as error:
        return error.message


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "five", "1,50"])
def test_a_limit_of_a_training_is_an_amount_above_nothing(text: str) -> None:
    with pytest.raises(FieldError) as refused:
        Choices.read("reports", {"limit_usd": text}).request()
    assert str(refused.value) == (
        f"Limit in USD must be a number above 0, such as 5 or 0.50, not {text}."
    )
    assert refused.value.fields == ("limit_usd",)
