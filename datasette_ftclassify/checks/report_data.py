"""What a report of the checks holds, as it is stored and shown as JSON."""

from __future__ import annotations

from typing import TypedDict

from ..core.database import JsonKey

LengthBin = TypedDict("LengthBin", {"from": int, "to": "int | None", "count": int})
"""How many are from `from` on, and below `to`: None for the last."""


class Lengths(TypedDict):
    """Of texts, in characters or in tokens. `p95`: the 95th percentile."""

    min: int
    median: int
    p95: int
    max: int
    bins: list[LengthBin]


class _Distributions(TypedDict):
    labels: dict[str, dict[str, int]]
    characters: Lengths | None
    tokens: Lengths | None


class Distributions(_Distributions, total=False):
    """labels: rows by split and label name; keys: cells by label name, of labels that another table
    names"""

    keys: dict[str, str]


class SampleRow(TypedDict):
    """An example. A long text is cut."""

    key: JsonKey
    text: str
    labels: list[str]


class _Association(TypedDict):
    label: str
    precision: float
    recall: float
    rows: int


class LeakingWord(_Association):
    """A word of texts, and what it says of a label, 0-1."""

    word: str


class LeakingValue(_Association):
    """A value of a column, and what it says of its most frequent label, 0-1."""

    value: str


class LeakingColumn(TypedDict):
    """How often (0-1) a column alone tells the label, and the most frequent label would."""

    accuracy: float
    baseline: float
    distinct: int
    values: list[LeakingValue]


class MislabelledRow(TypedDict):
    key: JsonKey
    given: str
    suggested: str
    probability: float


class Rows(TypedDict):
    """total is labelled plus unlabelled, where a row with a faulty label cell counts as
    unlabelled; usable ones have a text and a label."""

    total: int
    labelled: int
    unlabelled: int
    usable: int


class SplitRows(TypedDict):
    train: int
    validation: int
    test: int


class Splits(TypedDict):
    """left_out: rows by the value of the split column that names no split
    shared: rows of validation and test whose text, or a near copy, is in train
    given: whether there is a split column"""

    rows: SplitRows
    left_out: dict[str, int]
    shared: int
    given: bool


class Tokens(TypedDict):
    """Of the training file. `note`: why they are an estimate; `counted_rows`: that were counted."""

    model: str
    exact: bool
    note: str | None
    counted_rows: int
    text_tokens: int
    training_tokens: int
    bytes: int


class Estimate(TypedDict):
    """Of one training run.

    usd: None: not known, or the model cannot be trained; `note` says why
    """

    tokens_billed: int
    usd: float | None
    note: str
    model: str
    epochs: int
    table_date: str
