"""BLAS on one thread while something is fitted.

Its threads wait for each other busily: where others want the processors too, ten times the work was
spent for nothing (a training of 1,000 rows took 29 s of processor instead of 2.6 s), and the last
bit of a sum would depend on their number.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    limit: AbstractContextManager[Any] = _libraries().limit(limits=1, user_api="blas")
    return limit


@cache
def _libraries() -> Any:
    import scipy.linalg  # noqa: F401  # has a BLAS of its own, which must be there to be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
