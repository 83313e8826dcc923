"""The figures of a training: events, and the file that a service leaves at the end.

OpenAI and Azure name columns differently, and where a step has no value there is nothing, -1 or
NaN. Everything comes out under the names that metrics events have.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import itertools
import math
from collections.abc import Sequence
from typing import Any

from ...core.service_model import Checkpoint
from ...core.untrusted_json import JsonObject

MOST_BYTES = 8 * 1024**2
"""Of a result file; a larger one is none."""

MOST_POINTS = 100_000
"""Of a curve: more steps are not kept."""

FIGURES = {
    "step": "step",
    "total_steps": "total_steps",
    "train_loss": "train_loss",
    "training_loss": "train_loss",
    "train_accuracy": "train_mean_token_accuracy",
    "train_mean_token_accuracy": "train_mean_token_accuracy",
    "training_token_accuracy": "train_mean_token_accuracy",
    "valid_loss": "valid_loss",
    "validation_loss": "valid_loss",
    "valid_accuracy": "valid_mean_token_accuracy",
    "valid_mean_token_accuracy": "valid_mean_token_accuracy",
    "validation_mean_token_accuracy": "valid_mean_token_accuracy",
    "validation_token_accuracy": "valid_mean_token_accuracy",
    "full_valid_loss": "full_valid_loss",
    "full_validation_loss": "full_valid_loss",
    "full_valid_mean_token_accuracy": "full_valid_mean_token_accuracy",
}
"""Our names by those that services use."""

_WHOLE = ("step", "total_steps")


def point(data: JsonObject) -> dict[str, float]:
    """The figures among some data, under our names: losses, accuracies (0-1), steps."""
    found: dict[str, float] = {}
    for name, value in data.items():
        ours = FIGURES.get(str(name).strip().lower())
        number = _number(value)
        if ours is not None and number is not None:
            found.setdefault(ours, int(number) if ours in _WHOLE else number)
    return found


def _number(value: Any) -> float | None:
    """None for what stands where there is no value: nothing, -1, NaN, text."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    # No loss, accuracy or step is below 0.
    return number if math.isfinite(number) and number >= 0 else None


def read_results(content: bytes) -> list[dict[str, float]]:
    """The points of a result file, plain or base64, in the order of their steps.

    Raises ValueError when it is not a table with a column of steps.
    """
    if len(content) > MOST_BYTES:
        raise ValueError("The result file is too large to be one.")
    text = _plain(content).decode("utf-8-sig", "replace")
    rows = csv.DictReader(io.StringIO(text))
    points = (point({k: v for k, v in row.items() if k is not None}) for row in rows)
    try:
        found = (p for p in points if "step" in p and len(p) > 1)
        points_kept = list(itertools.islice(found, MOST_POINTS))
    except csv.Error as error:
        raise ValueError("The result file is not a table.") from error
    if not points_kept:
        raise ValueError("The result file has no column of steps, or no figures.")
    return sorted(points_kept, key=lambda p: p["step"])


def _plain(content: bytes) -> bytes:
    """Without base64, which the header line of a table cannot be: it has commas."""
    if b"," in content:
        return content
    try:
        return base64.b64decode(b"".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        return content


def best(checkpoints: Sequence[Checkpoint]) -> Checkpoint | None:
    """The one with the lowest validation loss, over all validation examples where it is known."""
    for name in ("full_valid_loss", "valid_loss"):
        known = [kept for kept in checkpoints if name in kept.figures]
        if known:
            return min(known, key=lambda kept: kept.figures[name])
    return None
