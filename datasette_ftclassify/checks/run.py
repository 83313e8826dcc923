"""All checks in order, as one report."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

from ..core.database import condition, count, quote
from ..core.errors import ExportError, LabelError
from ..core.foreign_keys import with_names
from ..core.labels import LabelSet
from ..core.splits import SplitPlan
from ..core.task import Task
from .class_balance import amount_findings
from .distributions import distribution
from .label_notation import notation_findings
from .leaking_columns import column_findings
from .leaking_words import label_word_findings, word_findings
from .markup import EncodedTexts, MarkupTexts
from .mislabelled import mislabelled_findings
from .missing_values import CommonEnds, CutTexts, ShortTexts, cell_findings
from .model_limits import (
    LongTexts,
    Marks,
    TokenCounts,
    file_findings,
    label_token_findings,
    stop_finding,
)
from .private_data import PrivateData
from .report import MAX_KEYS, CheckReport, Finding, ordered
from .scan import Facts, Watcher, facts_of, first_pass, second_pass
from .split_sizes import split_findings

if TYPE_CHECKING:
    from ..export import Codec, ExportFormat

Progress = Callable[[str, float], None]
_HOPELESS = {"no-examples", "too-many-labels", "free-text-labels", "one-label", "one-text"}
"""Findings after which a look for wrong labels and leaks says nothing."""


def run_checks(
    conn: sqlite3.Connection,
    task: Task,
    *,
    plan: SplitPlan | None = None,
    model: str | None = None,
    leaves_machine: bool = True,
    sample_size: int = 10,
    seed: int = 0,
    deep: bool = True,
    fmt: ExportFormat | Callable[[LabelSet], ExportFormat] | None = None,
    epochs_for: Callable[[int], int] | None = None,
    private: bool = True,
    download: bool = False,
    most_keys: int = MAX_KEYS,
    predicted: Collection[str] = (),
    progress: Progress | None = None,
) -> CheckReport:
    """Looks at all rows of the task and reports what stands in the way of a good classifier.

    plan:           how rows are divided; the default one when None
    model:          the hosted model to count tokens for; tokens.DEFAULT_MODEL when None
    leaves_machine: whether the texts will be sent to a provider: counts tokens and costs, and
                    takes private data more seriously
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
    progress:       called with what is being done and the share of all work done (0-1)

    Reads the source twice and writes nothing. Any cell can stand in the table. Raises SourceError
    or TaskError when the task does not fit the database, PriceError for a malformed price table.
    """
    report = progress or (lambda what, share: None)
    facts = facts_of(conn, task, plan or SplitPlan())
    facts.most_keys = most_keys
    facts.predicted = predicted
    rng = random.Random(seed)
    hosted = Hosted(model, fmt, download, epochs_for) if leaves_machine else None
    watchers: list[Watcher] = [ShortTexts(), CommonEnds(), EncodedTexts()]
    watchers += [MarkupTexts(None if hosted else _local_limit())]
    watchers += [PrivateData(leaves_machine)] if private else []
    watchers += hosted.watchers if hosted else [CutTexts(_local_limit())]
    _read(facts, watchers, hosted, rng, sample_size, deep, report)
    findings = [*amount_findings(facts), *notation_findings(facts), *cell_findings(facts)]
    findings.extend(split_findings(facts))
    for watcher in watchers:
        findings.extend(watcher.findings(facts))
    if hosted:
        findings.extend(hosted.findings(facts))
    if deep and not any(finding.code in _HOPELESS for finding in findings):
        findings.extend(_deep(facts, seed, report))
    report("Done", 1.0)
    return _report(facts, findings, hosted)


def _local_limit() -> int:
    from ..trainers.local.features import MAX_CHARACTERS

    return MAX_CHARACTERS


class Hosted:
    """What is only asked when a provider trains: the model, its tokens and its prices."""

    def __init__(
        self,
        model: str | None,
        fmt: ExportFormat | Callable[[LabelSet], ExportFormat] | None,
        download: bool,
        epochs_for: Callable[[int], int] | None,
    ) -> None:
        from ..export import ExportFormat
        from ..prompts.prices import load_prices
        from ..prompts.tokenizer import DEFAULT_MODEL, tokenizer_for

        self.model = model or DEFAULT_MODEL
        self.choose = fmt if callable(fmt) else None
        self.format = fmt if isinstance(fmt, ExportFormat) else ExportFormat()
        self.epochs_for = epochs_for or _usual_epochs
        self.table = load_prices()
        self.price = self.table.get(self.model)
        self.tokenizer = tokenizer_for(self.model, download=download)
        limit = self.price.example_tokens if self.price else None
        self.watchers: list[Watcher] = [LongTexts(self.tokenizer, limit)]
        self.watchers.append(Marks(self.format))
        self.codec: Codec | None = None
        self.codec_problem: str | None = None
        self.tokens: TokenCounts | None = None

    def counter(self, facts: Facts, rng: random.Random) -> TokenCounts:
        try:
            labels = with_names(facts.conn, facts.task, facts.task.label_set(facts.counts))
            self.format = self.choose(labels) if self.choose else self.format
            self.codec = self.format.bind(labels)
        except LabelError:  # other findings say what is wrong with the labels
            pass
        except ExportError as error:
            self.codec_problem = str(error)
        self.tokens = TokenCounts(self.tokenizer, self.codec, facts, rng)
        return self.tokens

    def findings(self, facts: Facts) -> Iterator[Finding]:
        if self.codec_problem:
            yield stop_finding(facts, self.codec_problem, self.format.stop)
        yield from label_token_findings(facts, self.tokenizer, self.codec)
        if self.tokens:
            limit = self.price.file_bytes if self.price else None
            yield from file_findings(facts, self.tokens, limit)

    def estimate(self) -> dict[str, Any] | None:
        from ..prompts.prices import estimate_training, today

        if self.tokens is None:
            return None
        tokens = self.tokens.training_tokens()
        epochs = self.epochs_for(self.tokens.train_rows)
        estimate = estimate_training(self.table, self.model, tokens, epochs)
        closed = self.table.why_closed(self.model, today(), trains=True)
        return {
            **estimate.to_dict(),
            **({"usd": None, "note": closed} if closed else {}),
            "model": self.model,
            "epochs": epochs,
            "table_date": self.table.date.isoformat(),
        }


def _usual_epochs(rows: int) -> int:
    from ..trainers.openai_protocol.training_options import default_epochs

    return default_epochs(rows)


def _read(
    facts: Facts,
    watchers: list[Watcher],
    hosted: Hosted | None,
    rng: random.Random,
    sample_size: int,
    deep: bool,
    report: Progress,
) -> None:
    rows = count(
        facts.conn,
        f"select count(*) from {quote(facts.source.name)} where {condition(facts.task.where)}",
        dict(facts.task.params),
    )
    # The deep checks take about as long as the reading.
    reading = 0.25 if deep else 0.5

    def first(what: str, done: float) -> None:
        report(what, min(done / max(rows, 1), 1) * reading)

    def second(what: str, done: float) -> None:
        report(what, reading + min(done / max(rows, 1), 1) * reading)

    splitter = first_pass(facts, watchers, first)
    if facts.too_many_labels:
        return
    counting = [hosted.counter(facts, rng)] if hosted else []
    second_pass(facts, splitter, counting, rng, sample_size, deep, second)


def _deep(facts: Facts, seed: int, report: Progress) -> Iterator[Finding]:
    report("Looking for words that give labels away", 0.55)
    yield from word_findings(facts)
    yield from label_word_findings(facts)
    report("Looking for columns that give labels away", 0.65)
    yield from column_findings(facts)
    report("Looking for wrong labels", 0.7)
    yield from mislabelled_findings(facts, seed)


def _report(facts: Facts, findings: list[Finding], hosted: Hosted | None) -> CheckReport:
    tokens = hosted.tokens if hosted else None
    return CheckReport(
        task=facts.task,
        findings=ordered(findings),
        rows={
            "total": facts.total,
            "labelled": facts.labelled,
            "unlabelled": facts.total - facts.labelled,
            "usable": facts.usable,
        },
        distributions={
            "labels": {split: dict(c.most_common()) for split, c in facts.report.counts.items()},
            **(
                {"keys": {name: str(key) for key, name in facts.named.items()}}
                if facts.named
                else {}
            ),
            "characters": distribution(facts.characters),
            "tokens": tokens.distribution() if tokens else None,
        },
        sample=facts.sample,
        splits={
            "rows": {split: facts.report.rows[split] for split in ("train", "validation", "test")},
            "left_out": dict(facts.report.left_out.most_common(50)),
            "shared": facts.report.shared,
            "given": facts.task.split_column is not None,
        },
        tokens=tokens.to_dict() if tokens else None,
        estimate=hosted.estimate() if hosted else None,
    )
