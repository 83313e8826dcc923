"""How well a classifier does on rows that it was not trained on.

A number without an interval and a baseline flatters: 0.97 is poor where 98% of the rows share one
label, and 0.90 on 20 rows may be 0.70. So every accuracy comes with an interval and with the score
of always giving the most frequent label, and every probability is checked against how often it was
right. Everything here is a pure function of arrays.
"""

from __future__ import annotations

from ..core.errors import EvaluationError
from .evaluation import evaluate
from .headline import easier_test_rows, headline
from .intervals import wilson_interval

__all__ = ["EvaluationError", "easier_test_rows", "evaluate", "headline", "wilson_interval"]
