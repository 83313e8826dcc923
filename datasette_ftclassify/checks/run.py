"""All checks in order, as one report."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..core.database import relation
from ..core.examples import Record, count_records
from ..core.labels import LabelSet
from ..core.splits import SplitPlan
from ..core.task import Task
from .codes import CODES, Section
from .distributions import distribution
from .hosted import Hosted
from .registry import Check, registered
from .report import MAX_KEYS, CheckReport, Finding, ordered
from .report_data import Distributions
from .scan import Facts, Watcher, first_pass, second_pass

if TYPE_CHECKING:
    from ..export import ExportFormat

Progress = Callable[[str, float], None]
_READ = 0.55
"""Share of all work that is done when the rows are read and the quick checks are through."""


def run_checks(
    conn: sqlite3.Connection,
    task: Task,
    *,
    plan: SplitPlan | None = None,
    model: str | None = None,
    leaves_machine: bool | None = True,
    sample_size: int = 10,
    seed: int = 0,
    deep: bool = True,
    fmt: ExportFormat | Callable[[LabelSet], ExportFormat] | None = None,
    epochs_for: Callable[[int], int] | None = None,
    private: bool = True,
    download: bool = False,
    most_keys: int = MAX_KEYS,
    predicted: Collection[str] = (),
    usable: Sequence[Record] | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Looks at all rows of the task and reports what stands in the way of a good classifier.

    plan:           how rows are divided; the default one when None
    model:          the hosted model to count tokens for; tokens.DEFAULT_MODEL when None
    leaves_machine: whether the texts will be sent to a provider, which takes private data more
                    seriously; None: nobody has said yet, so what is found about the model is an
                    info. Counts tokens and costs unless False
    sample_size:    examples in the report's sample
    seed:           of the samples and of the mislabelled check
    deep:           also look for mislabelled rows and leaks (seconds, on at most 20,000 rows)
    fmt:            the form in which examples will be written, or a function that chooses it for
                    the labels, as a trainer does
    epochs_for:     times that so many training rows will be learnt from; None: as OpenAI's trainer
                    does
    private:        look for private data: most of the time that is not spent in the deep checks
    download:       whether a vocabulary may be downloaded, so that token counts are exact
    most_keys:      keys of a finding at most; none has more than conditions.MOST_KEYS
    predicted:      columns that hold a classifier's answers, which give no label away
    usable:         the usable rows, where they have been read; None: they are read again
    progress:       called with what is being done and the share of all work done (0-1)

    Reads the source twice, or once with `usable`, and writes nothing. Any cell can stand in the
    table. Raises SourceError or TaskError when the task does not fit the database, PriceError for a
    malformed price table.
    """
    report = progress or (lambda what, share: None)
    hosted = Hosted(model, fmt, download, epochs_for) if leaves_machine is not False else None
    facts = Facts(
        conn,
        task,
        plan or SplitPlan(),
        relation(conn, task.source),
        most_keys=most_keys,
        predicted=predicted,
        read=usable,
        private=private,
        leaves_machine=leaves_machine,
        seed=seed,
        hosted=hosted,
    )
    checks = [check for check in registered() if check.when(facts)]
    watchers = {check: check.watch(facts) for check in checks if check.watch}
    _read(facts, list(watchers.values()), sample_size, deep, report)
    findings: list[Finding] = []
    for check in checks:
        if check.deep is None:
            found = check.findings(facts, watchers.get(check))
            if check.section is Section.MODEL and leaves_machine is None:
                found = (replace(finding, severity="info") for finding in found)
            findings.extend(found)
    if deep and not any(CODES[finding.code].hides_deep for finding in findings):
        findings.extend(_deep(facts, [check for check in checks if check.deep], report))
    report("Done", 1.0)
    return _report(facts, findings)


def _read(
    facts: Facts, watchers: list[Watcher], sample_size: int, deep: bool, report: Progress
) -> None:
    rows = count_records(facts.conn, facts.task)
    # The deep checks take about as long as the reading.
    reading = 0.25 if deep else 0.5

    def first(what: str, done: float) -> None:
        report(what, min(done / max(rows, 1), 1) * reading)

    def second(what: str, done: float) -> None:
        report(what, reading + min(done / max(rows, 1), 1) * reading)

    splitter = first_pass(facts, watchers, first)
    if facts.too_many_labels:
        return
    rng, hosted = random.Random(facts.seed), facts.hosted
    counting = [hosted.counter(facts.label_set, facts.characters, rng)] if hosted else []
    second_pass(facts, splitter, counting, rng, sample_size, deep, second)


def _deep(facts: Facts, checks: list[Check], report: Progress) -> Iterator[Finding]:
    weights = [check.deep.weight for check in checks if check.deep]
    for number, check in enumerate(checks):
        assert check.deep is not None
        done = sum(weights[:number]) / sum(weights)
        report(check.deep.step, _READ + (1 - _READ) * done)
        yield from check.findings(facts, None)


def _report(facts: Facts, findings: list[Finding]) -> CheckReport:
    hosted = facts.hosted
    tokens = hosted.tokens if hosted else None
    distributions: Distributions = {
        "labels": {split: dict(c.most_common()) for split, c in facts.report.counts.items()},
        "characters": distribution(facts.characters),
        "tokens": tokens.distribution() if tokens else None,
    }
    if facts.named:
        distributions["keys"] = {name: str(key) for key, name in facts.named.items()}
    rows = facts.report.rows
    return CheckReport(
        task=facts.task,
        findings=ordered(findings),
        rows={
            "total": facts.total,
            "labelled": facts.labelled,
            "unlabelled": facts.total - facts.labelled,
            "usable": facts.usable,
        },
        distributions=distributions,
        sample=facts.sample,
        splits={
            "rows": {
                "train": rows["train"],
                "validation": rows["validation"],
                "test": rows["test"],
            },
            "left_out": dict(facts.report.left_out.most_common(50)),
            "shared": facts.report.shared,
            "given": facts.task.split_column is not None,
        },
        tokens=tokens.to_dict() if tokens else None,
        estimate=hosted.estimate() if hosted else None,
    )
