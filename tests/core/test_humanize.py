"""Amounts as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_ftclassify.core.humanize import counted, dollars, duration, percent, when


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (counted(0, "row"), "0 rows"),
        (counted(1, "row"), "1 row"),
        (counted(1_200, "row"), "1,200 rows"),
        (counted(1, "batch goes on", "batches go on"), "1 batch goes on"),
        (counted(2, "batch goes on", "batches go on"), "2 batches go on"),
        (percent(0.955), "96%"),
        (percent(0.955, 1), "95.5%"),
        (percent(0), "0%"),
        (percent(0.004), "under 1%"),
        (percent(0.0004, 1), "under 0.1%"),
        (when("2026-11-29T10:15:00Z"), "2026-11-29 10:15:00 UTC"),
        (duration(89), "89 s"),
        (duration(90), "2 min"),
        (duration(5_400), "1.5 h"),
        (dollars(0), "$0"),
        (dollars(1_234.5), "$1,234.50"),
        (dollars(0.5), "$0.50"),
    ],
)
def test_amounts_in_sentences(said: str, text: str) -> None:
    assert said == text


@given(st.floats(1e-9, 1e9))
def test_money_is_never_shown_as_nothing_or_as_much_else(amount: float) -> None:
    shown = float(dollars(amount).removeprefix("$").replace(",", ""))
    assert shown == pytest.approx(amount, rel=0.005)
