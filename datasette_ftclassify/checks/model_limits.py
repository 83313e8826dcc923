"""The data against the limits of a hosted model: tokens, limits, labels as tokens, and the cost.
Where nobody has chosen one, `run_checks` makes an info of what is found."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..core.database import Key
from ..core.humanize import one_or_more, rows_text
from ..core.labels import LabelValue
from .codes import ANY, INFO, MILD, Code, Section
from .registry import check, text_check
from .report import Finding, listing, names_listing, together
from .row_conditions import Seen
from .scan import Facts

if TYPE_CHECKING:
    from ..prompts.tokenizer import Tokenizer

FILE_BYTES = 512_000_000
"""The largest training file that OpenAI takes in one upload, when the price table says nothing."""
_RESERVE = 50
"""Tokens of the context kept for the frame and the label."""
_LISTED = 500


@text_check(
    Section.MODEL,
    Code(
        "over-token-limit",
        MILD,
        "Texts longer than the model reads.",
        "Shorten them or leave them out: the provider cuts or refuses them.",
    ),
    when=lambda facts: facts.hosted is not None,
)
class LongTexts:
    """Texts over the model's limit. Only those with as many bytes are counted: no text has more
    tokens than bytes."""

    every_text = False

    def __init__(self, facts: Facts) -> None:
        assert facts.hosted is not None
        self.tokenizer, price = facts.hosted.tokenizer, facts.hosted.price
        self.limit = price.example_tokens if price else None
        self.seen = Seen()
        self.longest = 0

    def see(self, key: Key, text: str, labels: tuple[LabelValue, ...]) -> None:
        if self.limit is None or len(text) * 4 <= self.limit - _RESERVE:
            return
        if len(text.encode("utf-8", "replace")) <= self.limit - _RESERVE:
            return
        tokens = self.tokenizer.count(text)
        if tokens > self.limit - _RESERVE:
            self.seen.add(key)
            self.longest = max(self.longest, tokens)

    def findings(self, facts: Facts) -> Iterator[Finding]:
        if self.seen.count:
            yield facts.finding(
                "over-token-limit",
                f"{rows_text(self.seen.count).capitalize()} with more tokens than the "
                f"{self.limit:,} that {self.tokenizer.model} reads of an example; the longest has "
                f"{self.longest:,}.",
                severity="warning",
                seen=self.seen,
                limit=self.limit,
                longest=self.longest,
                exact=self.tokenizer.exact,
            )


@text_check(
    Section.MODEL,
    Code(
        "separator-in-text",
        MILD,
        "Texts that hold the separator.",
        "For prompt and completion, choose another separator: the model takes what follows it for "
        "the answer.",
    ),
    Code(
        "stop-in-text",
        INFO,
        "Texts that hold the stop sequence.",
        "Harmless for labels; for generated texts choose another stop sequence.",
    ),
    when=lambda facts: facts.hosted is not None,
)
class Marks:
    """The separator and the stop sequence of the prompt-and-completion form, inside texts.

    The separator is looked for in chat form as well: the other form may be chosen later.
    """

    every_text = False

    def __init__(self, facts: Facts) -> None:
        assert facts.hosted is not None
        fmt = facts.hosted.format
        self.completion = fmt.form == "completion"
        self.separator = fmt.separator
        self.stop = fmt.stop if self.completion else None
        self.with_separator, self.with_stop = Seen(), Seen()

    def see(self, key: Key, text: str, labels: tuple[LabelValue, ...]) -> None:
        if self.separator and self.separator in text:
            self.with_separator.add(key)
        if self.stop and self.stop in text:
            self.with_stop.add(key)

    def findings(self, facts: Facts) -> Iterator[Finding]:
        if self.with_separator.count:
            yield facts.finding(
                "separator-in-text",
                f"{rows_text(self.with_separator.count).capitalize()} with the separator "
                f"{json.dumps(self.separator)} inside the text.",
                severity="warning" if self.completion else "info",
                seen=self.with_separator,
                separator=self.separator,
            )
        if self.with_stop.count:
            yield facts.finding(
                "stop-in-text",
                f"{rows_text(self.with_stop.count).capitalize()} with the stop sequence "
                f"{json.dumps(self.stop)} inside the text.",
                seen=self.with_stop,
                stop=self.stop,
            )


@check(
    Section.MODEL,
    Code(
        "stop-in-label",
        ("error", "info"),
        "Labels that hold the stop sequence.",
        "Choose a stop sequence that is in no label, or write labels as codes.",
        stops="training",
    ),
)
def stop_findings(facts: Facts) -> Iterator[Finding]:
    """The stop sequence is in a label, as the export found it."""
    hosted = facts.hosted
    if hosted is None or hosted.codec_problem is None:
        return
    stop = hosted.format.stop
    holding = [name for name in facts.names if stop and stop in name]
    yield facts.finding(
        "stop-in-label",
        hosted.codec_problem,
        count=max(len(holding), 1),
        severity="error",
        labels=holding[:_LISTED],
    )


@check(
    Section.MODEL,
    Code(
        "labels-of-several-tokens",
        INFO,
        "Labels of more than one token for the model.",
        "Write labels as codes: each is one token, so its probability is exact.",
    ),
    Code(
        "labels-share-first-token",
        INFO,
        "Labels that begin with the same token.",
        "Write labels as codes: the first token then tells them apart.",
    ),
    Code(
        "vocabulary-unknown",
        INFO,
        "Tokens are estimated: the vocabulary is not available here.",
        "Allow it to be downloaded once for exact counts; whether labels are single "
        "tokens is not known until then.",
    ),
)
def label_token_findings(facts: Facts) -> Iterator[Finding]:
    """Whether the probability of an answer is that of its first token."""
    if facts.hosted is None or not facts.usable or facts.too_many_labels:
        return
    tokenizer, codec = facts.hosted.tokenizer, facts.hosted.codec
    if not tokenizer.exact:
        yield facts.finding(
            "vocabulary-unknown",
            tokenizer.note or f"The vocabulary of {tokenizer.model} is not known.",
            count=1,
        )
        return
    # Several labels make a list, and codes are single tokens by design.
    if codec is None or not codec.labels.exclusive or codec.codes is not None:
        return
    names = codec.labels.names
    several = [name for name in names if not tokenizer.is_single(codec.prefix + name)]
    if several:
        yield _several(facts, names, several)
    yield from _same_start(facts, tokenizer, names, codec.prefix)


def _several(facts: Facts, names: Sequence[str], several: list[str]) -> Finding:
    from ..prompts.tokenizer import code_for

    codes = {name: code_for(names.index(name)) for name in several[:_LISTED]}
    return facts.finding(
        "labels-of-several-tokens",
        f"{len(several):,} of {len(names):,} labels {one_or_more(len(several), 'is', 'are')} not "
        f"one token for the model: {names_listing(several)}.",
        count=len(several),
        codes=codes,
    )


def _same_start(
    facts: Facts, tokenizer: Tokenizer, names: Sequence[str], prefix: str
) -> Iterator[Finding]:
    starts: dict[int | None, list[str]] = defaultdict(list)
    for name in names:
        starts[tokenizer.first_token(prefix + name)].append(name)
    groups = [group for group in starts.values() if len(group) > 1]
    shown = [together(group, " / ") for group in groups]
    if groups:
        yield facts.finding(
            "labels-share-first-token",
            f"Labels begin with the same token: {listing(shown, 3)}.",
            count=sum(map(len, groups)),
            groups=groups[:_LISTED],
        )


@check(
    Section.MODEL,
    Code(
        "file-too-large",
        ANY,
        "The training file would be larger than a provider takes.",
        "Shorten the texts or train on a part of the rows.",
        stops="training",
    ),
)
def file_findings(facts: Facts) -> Iterator[Finding]:
    if facts.hosted is None or facts.hosted.tokens is None:
        return
    tokens, price = facts.hosted.tokens, facts.hosted.price
    limit = (price.file_bytes if price else None) or FILE_BYTES
    size = tokens.file_bytes()
    if size <= 0.9 * limit:
        return
    over = size > limit
    yield facts.finding(
        "file-too-large",
        f"The training file would have about {size / 1e6:,.0f} MB; the provider takes "
        f"{limit / 1e6:,.0f} MB.",
        count=tokens.train_rows,
        severity="error" if over else "warning",
        bytes=size,
        limit=limit,
    )
