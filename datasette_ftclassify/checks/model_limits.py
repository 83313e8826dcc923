"""The data against the limits of a hosted model: tokens, limits, labels as tokens, and the cost."""

from __future__ import annotations

import json
import random
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..core.database import Key
from ..core.labels import LabelValue
from .distributions import distribution
from .report import Finding, listing, names_listing, one_or_more, rows_text, together
from .row_conditions import Seen
from .scan import Facts

if TYPE_CHECKING:
    from ..export import Codec, ExportFormat
    from ..prompts.tokenizer import Tokenizer

TOKEN_ROWS = 20_000
TOKEN_CHARACTERS = 20_000_000
"""Tokens are counted in at most so many rows and characters, else projected from a sample."""
FILE_BYTES = 512_000_000
"""The largest training file that OpenAI takes in one upload, when the price table says nothing."""
_FRAME_TOKENS = 12
"""Of an example beside its text, when the labels cannot form a set."""
_RESERVE = 50
"""Tokens of the context kept for the frame and the label."""
_LISTED = 500


class LongTexts:
    """Texts over the model's limit. Only those with as many bytes are counted: no text has more
    tokens than bytes."""

    every_text = False

    def __init__(self, tokenizer: Tokenizer, limit: int | None) -> None:
        self.tokenizer, self.limit = tokenizer, limit
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
                "warning",
                self.seen.count,
                f"{rows_text(self.seen.count).capitalize()} with more tokens than the "
                f"{self.limit:,} that {self.tokenizer.model} reads of an example; the longest has "
                f"{self.longest:,}.",
                "Shorten them or leave them out: the provider cuts or refuses them.",
                seen=self.seen,
                limit=self.limit,
                longest=self.longest,
                exact=self.tokenizer.exact,
            )


class Marks:
    """The separator and the stop sequence of the prompt-and-completion form, inside texts.

    The separator is looked for in chat form as well: the other form may be chosen later.
    """

    every_text = False

    def __init__(self, fmt: ExportFormat) -> None:
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
                "warning" if self.completion else "info",
                self.with_separator.count,
                f"{rows_text(self.with_separator.count).capitalize()} with the separator "
                f"{json.dumps(self.separator)} inside the text.",
                "As prompt and completion, choose another separator: the model takes what comes "
                "after it for the answer.",
                seen=self.with_separator,
                separator=self.separator,
            )
        if self.with_stop.count:
            yield facts.finding(
                "stop-in-text",
                "info",
                self.with_stop.count,
                f"{rows_text(self.with_stop.count).capitalize()} with the stop sequence "
                f"{json.dumps(self.stop)} inside the text.",
                "Harmless for labels; for generated texts choose another stop sequence.",
                seen=self.with_stop,
                stop=self.stop,
            )


def stop_finding(facts: Facts, problem: str, stop: str | None) -> Finding:
    """The stop sequence is in a label, as the export found it."""
    holding = [name for name in facts.names if stop and stop in name]
    return facts.finding(
        "stop-in-label",
        "error",
        max(len(holding), 1),
        problem,
        "Choose a stop sequence that is in no label, or write labels as codes.",
        labels=holding[:_LISTED],
    )


class TokenCounts:
    """Tokens of the texts, and of the training file that they would make."""

    def __init__(
        self, tokenizer: Tokenizer, codec: Codec | None, facts: Facts, rng: random.Random
    ) -> None:
        characters = sum(facts.characters)
        self.tokenizer, self.codec, self.rng = tokenizer, codec, rng
        self.share = min(
            1.0, TOKEN_ROWS / max(facts.usable, 1), TOKEN_CHARACTERS / max(characters, 1)
        )
        self.frame = codec.token_counter(tokenizer) if codec else _plain_frame
        self.counts: array[int] = array("Q")
        self.counted_characters = 0
        self.train_rows = self.train_characters = self.train_frames = 0
        self.sampled_rows = self.sampled_tokens = self.sampled_bytes = 0

    def see(self, text: str, labels: tuple[LabelValue, ...], split: str) -> None:
        in_train = split == "train"
        if in_train:
            self.train_rows += 1
            self.train_characters += len(text)
            self.train_frames += self.frame("", labels)
        if self.share < 1 and self.rng.random() >= self.share:
            return
        tokens = self.tokenizer.count(text)
        self.counts.append(tokens)
        self.counted_characters += len(text)
        if in_train:
            self.sampled_rows += 1
            self.sampled_tokens += tokens
            line = self.codec.encode(text, labels) if self.codec else text
            self.sampled_bytes += len(line.encode("utf-8", "backslashreplace")) + 1

    @property
    def complete(self) -> bool:
        return self.share >= 1

    def text_tokens(self) -> int:
        """Tokens of the texts in train: counted, or projected by their characters."""
        if self.complete:
            return self.sampled_tokens
        ratio = sum(self.counts) / max(self.counted_characters, 1)
        return round(ratio * self.train_characters)

    def training_tokens(self) -> int:
        return self.text_tokens() + self.train_frames

    def file_bytes(self) -> int:
        return round(self.sampled_bytes * self.train_rows / max(self.sampled_rows, 1))

    def to_dict(self) -> dict[str, Any]:
        note = self.tokenizer.note
        if not self.complete:
            sampled = f"Projected from {len(self.counts):,} rows."
            note = f"{note} {sampled}" if note else sampled
        return {
            "model": self.tokenizer.model,
            "exact": self.tokenizer.exact and self.complete,
            "note": note,
            "counted_rows": len(self.counts),
            "text_tokens": self.text_tokens(),
            "training_tokens": self.training_tokens(),
            "bytes": self.file_bytes(),
        }

    def distribution(self) -> dict[str, Any] | None:
        return distribution(self.counts)


def _plain_frame(text: str, labels: Sequence[LabelValue]) -> int:
    return _FRAME_TOKENS


def label_token_findings(
    facts: Facts, tokenizer: Tokenizer, codec: Codec | None
) -> Iterator[Finding]:
    """Whether the probability of an answer is that of its first token."""
    if not facts.usable or facts.too_many_labels:
        return
    if not tokenizer.exact:
        yield facts.finding(
            "vocabulary-unknown",
            "info",
            1,
            tokenizer.note or f"The vocabulary of {tokenizer.model} is not known.",
            "Allow it to be downloaded once for exact counts; whether labels are single tokens is "
            "not known until then.",
        )
        return
    # Several labels make a list, and codes are single tokens by design.
    if codec is None or codec.labels.multilabel or codec.codes is not None:
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
        "info",
        len(several),
        f"{len(several):,} of {len(names):,} labels {one_or_more(len(several), 'is', 'are')} not "
        f"one token for the model: {names_listing(several)}.",
        "Write labels as codes: each is one token, which makes its probability exact.",
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
            "info",
            sum(map(len, groups)),
            f"Labels begin with the same token: {listing(shown, 3)}.",
            "Write labels as codes: the first token then tells them apart.",
            groups=groups[:_LISTED],
        )


def file_findings(facts: Facts, tokens: TokenCounts, limit: int | None) -> Iterator[Finding]:
    limit = limit or FILE_BYTES
    size = tokens.file_bytes()
    if size <= 0.9 * limit:
        return
    over = size > limit
    yield facts.finding(
        "file-too-large",
        "error" if over else "warning",
        tokens.train_rows,
        f"The training file would have about {size / 1e6:,.0f} MB; the provider takes "
        f"{limit / 1e6:,.0f} MB.",
        "Shorten the texts or train on a part of the rows.",
        bytes=size,
        limit=limit,
    )
