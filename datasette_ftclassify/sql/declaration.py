"""How an SQL function is declared: once, where it is defined.

Registration, the table in docs/sql.md and the pages that look for calls in a query read FUNCTIONS.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from .registration import Scalar

F = TypeVar("F", bound=Callable[..., Scalar])


@dataclass(frozen=True)
class SqlFunction:
    """One SQL function of one argument or more.

    call:          gets what the connection's functions share (`functions.Functions`) and those
    first, others: the names of the arguments; the last ones may be left out
    longest:       bytes of UTF-8 of an argument that it is given whole; of a longer one, a CutText
    help:          what it answers, as Markdown on one line

    None is deterministic in SQLite's sense: the answer depends on the stored classifier, and an
    index made of it would silently grow old.
    """

    name: str
    call: Callable[..., Scalar]
    first: str
    others: tuple[str, ...]
    longest: int
    help: str

    @property
    def names_classifier(self) -> bool:
        return self.others[:1] == ("classifier",)

    @property
    def counts(self) -> range:
        """Of arguments that it may be called with."""
        return range(1, len(self.others) + 2)


FUNCTIONS: dict[str, SqlFunction] = {}
"""All of them by name, as `functions` declares them."""


def sql_function(help: str, *, longest: int) -> Callable[[F], F]:
    """Declares a method of `functions.Functions` as the SQL function of its name."""

    def declare(call: F) -> F:
        name, (_, first, *others) = call.__name__, inspect.signature(call).parameters
        FUNCTIONS[name] = SqlFunction(name, call, first, tuple(others), longest, help)
        return call

    return declare
