"""The checks: each registers itself from a file of its own, and `run_checks` runs them all.

A check that needs no look at the texts is a function of the facts (`check`). One that does is a
class, made anew for each run, whose instance sees the texts while the rows are read for all checks
at once (`text_check`). The package imports its files itself, so there is no list to add one to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .codes import CODES, Code, Section
from .report import Finding
from .scan import Facts, Watcher

Find = Callable[[Facts], Iterator[Finding]]
Watch = Callable[[Facts], Watcher]
_F = TypeVar("_F", bound=Find)
_W = TypeVar("_W", bound=Watch)


@dataclass(frozen=True)
class Deep:
    """What makes a check a deep one, which takes seconds and looks at a sample of the rows.

    step:   what is being done, as a job's progress says it
    weight: its share of the time of all deep checks
    """

    step: str
    weight: int


def _always(facts: Facts) -> bool:
    return True


@dataclass(frozen=True)
class Check:
    """A registered check; one of `find` and `watch` is None. Runs where `when` says so."""

    section: Section
    codes: tuple[Code, ...]
    module: str
    find: Find | None = None
    watch: Watch | None = None
    when: Callable[[Facts], bool] = _always
    deep: Deep | None = None

    def findings(self, facts: Facts, watcher: Watcher | None) -> Iterator[Finding]:
        """Raises ValueError for a finding that this check did not declare."""
        found = watcher.findings if watcher else self.find
        assert found is not None
        for finding in found(facts):
            if all(code.name != finding.code for code in self.codes):
                raise ValueError(f"{self.module} found {finding.code} without declaring it")
            yield finding


_CHECKS: list[Check] = []


def check(
    section: Section,
    *codes: Code,
    when: Callable[[Facts], bool] = _always,
    deep: Deep | None = None,
) -> Callable[[_F], _F]:
    """Registers a function of the facts. Raises ValueError for a code that another check has."""

    def register(find: _F) -> _F:
        _add(Check(section, codes, find.__module__, find=find, when=when, deep=deep))
        return find

    return register


def text_check(
    section: Section, *codes: Code, when: Callable[[Facts], bool] = _always
) -> Callable[[_W], _W]:
    """Registers a class of watchers. Raises ValueError for a code that another check has."""

    def register(watch: _W) -> _W:
        _add(Check(section, codes, watch.__module__, watch=watch, when=when))
        return watch

    return register


def _add(new: Check) -> None:
    for code in new.codes:
        if CODES.setdefault(code.name, code) is not code:
            raise ValueError(f"The code {code.name} is declared twice")
    _CHECKS.append(new)


def codes_of(section: Section) -> frozenset[str]:
    """Names of what the checks of a section find."""
    return frozenset(c.name for check in _CHECKS if check.section is section for c in check.codes)


def registered() -> Sequence[Check]:
    """By section, then by the name of the file, then as they stand in it."""
    sections = list(Section)
    return sorted(_CHECKS, key=lambda c: (sections.index(c.section), c.module))
