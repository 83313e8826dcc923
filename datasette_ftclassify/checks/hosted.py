"""What is only asked when a provider trains: the model, its tokens and its prices."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..core.errors import ExportError, LabelError
from ..core.labels import LabelSet, LabelValue
from .distributions import distribution
from .report_data import Estimate, Lengths, Tokens

if TYPE_CHECKING:
    from ..export import Codec, ExportFormat
    from ..prompts.tokenizer import Tokenizer

TOKEN_ROWS = 20_000
TOKEN_CHARACTERS = 20_000_000
"""Tokens are counted in at most so many rows and characters, else projected from a sample."""
_FRAME_TOKENS = 12
"""Of an example beside its text, when the labels cannot form a set."""


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
        self.codec: Codec | None = None
        self.codec_problem: str | None = None
        self.tokens: TokenCounts | None = None

    def counter(
        self, label_set: Callable[[], LabelSet], characters: Sequence[int], rng: random.Random
    ) -> TokenCounts:
        """Of texts with so many characters, once the labels are known."""
        try:
            labels = label_set()
            self.format = self.choose(labels) if self.choose else self.format
            self.codec = self.format.bind(labels)
        except LabelError:  # other findings say what is wrong with the labels
            pass
        except ExportError as error:
            self.codec_problem = str(error)
        self.tokens = TokenCounts(self.tokenizer, self.codec, characters, rng)
        return self.tokens

    def estimate(self) -> Estimate | None:
        from ..prompts.price_table import today
        from ..prompts.prices import estimate_training

        if self.tokens is None:
            return None
        tokens = self.tokens.training_tokens()
        epochs = self.epochs_for(self.tokens.train_rows)
        estimate = estimate_training(self.table, self.model, tokens, epochs)
        closed = self.table.why_closed(self.model, today(), trains=True)
        return {
            "tokens_billed": estimate.tokens_billed,
            "usd": None if closed else estimate.usd,
            "note": closed or estimate.note,
            "model": self.model,
            "epochs": epochs,
            "table_date": self.table.date.isoformat(),
        }


def _usual_epochs(rows: int) -> int:
    from ..trainers.openai_protocol.training_options import default_epochs

    return default_epochs(rows)


class TokenCounts:
    """Tokens of the texts, and of the training file that they would make."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        codec: Codec | None,
        characters: Sequence[int],
        rng: random.Random,
    ) -> None:
        self.tokenizer, self.codec, self.rng = tokenizer, codec, rng
        self.share = min(
            1.0, TOKEN_ROWS / max(len(characters), 1), TOKEN_CHARACTERS / max(sum(characters), 1)
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

    def to_dict(self) -> Tokens:
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

    def distribution(self) -> Lengths | None:
        return distribution(self.counts)


def _plain_frame(text: str, labels: Sequence[LabelValue]) -> int:
    return _FRAME_TOKENS
