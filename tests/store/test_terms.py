"""What a file says of a service and of money is taken as it is written, or counts as not said."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from datasette_ftclassify.core.service_model import ServiceIds, ServiceModel, checkpoints_of
from datasette_ftclassify.store.jobs.job import RemoteState, Terms

NAMES = st.text(max_size=5)
NUMBERS = st.floats() | st.integers(-(2**63), 2**63 - 1)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


def objects(*names: str) -> st.SearchStrategy:
    return st.none() | st.dictionaries(st.sampled_from(names), ANYTHING)


@given(objects("usd", "limit_usd", "max_errors", "concurrency", "batch", "host"))
def test_terms_are_amounts_of_money_or_not_said(stored: dict | None) -> None:
    terms = Terms.read(stored)
    for amount in (terms.usd, terms.limit_usd, terms.max_errors, terms.concurrency):
        assert amount is None or 0 <= amount < math.inf
    assert terms.batch is ((stored or {}).get("batch") is True)
    assert terms.host is None or terms.host == (stored or {})["host"]


@given(objects("preparation", "step", "shown", "job_id", "files"))
def test_a_training_at_a_service_is_between_nothing_and_all(stored: dict | None) -> None:
    log = RemoteState.read(stored)
    assert log.shown is None or 0 <= log.shown <= 1
    assert all(isinstance(name, str) for name in log.files.values())
    assert log.prepared is ("preparation" in (stored or {}))


@given(objects("model", "base", "host", "deployment", "service", "checkpoints"))
def test_names_at_a_service_are_texts_and_steps_are_numbers(stored: dict | None) -> None:
    header = stored or {}
    named, made = ServiceModel.read(header), ServiceIds.read(header)
    for name in (
        named.model,
        named.base,
        named.host,
        named.deployment,
        made.job,
        *made.result_files,
    ):
        assert name is None or isinstance(name, str)
    for checkpoint in checkpoints_of(header):
        assert all(map(math.isfinite, [checkpoint.step, *checkpoint.figures.values()]))


def test_what_was_written_is_read() -> None:
    report = {
        "service": {"host": "h", "job": "ftjob-1", "model": "ft:m", "files": {"train": "file-1"},
                    "result_files": ["file-2", None]},
        "checkpoints": [{"step": 5, "model": "ft:m:5", "valid_loss": 0.5}, {"step": None}],
    }  # fmt: skip
    made = ServiceIds.read(report)
    assert (made.host, made.job, made.model) == ("h", "ftjob-1", "ft:m")
    assert (made.files, made.result_files) == ({"train": "file-1"}, ("file-2",))
    assert [c.to_dict() for c in checkpoints_of(report)] == [
        {"step": 5, "model": "ft:m:5", "valid_loss": 0.5}
    ]
