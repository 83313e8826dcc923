"""What one model costs, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date as Date


@dataclass(frozen=True)
class Price:
    """One model. Amounts are USD for a million tokens; None: not known.

    training:        for each token of the training file, times the epochs
    input, output:   inference with the fine-tuned model; cached_input: a prefix it has seen lately
    batch_discount:  what the Batch API takes off input and output (0-1)
    example_tokens:  the longest training example
    file_bytes:      the largest training file
    training_ends:   the last day on which the provider starts a training of it
    shutdown:        the day on which the model, and every fine-tune of it, is retired
    origin:          where the figures are from, for people
    host:            of the provider whose figures they are; None: they hold wherever it is used
    borrowed:        the host that is asked is not known to have the model at all
    """

    model: str
    training: float | None = None
    input: float | None = None
    cached_input: float | None = None
    output: float | None = None
    batch_discount: float | None = None
    example_tokens: int | None = None
    file_bytes: int | None = None
    training_ends: Date | None = None
    shutdown: Date | None = None
    sources: tuple[str, ...] = ()
    origin: str = ""
    host: str | None = None
    borrowed: bool = False

    def is_open(self, day: Date) -> bool:
        """Whether the model, and fine-tunes of it, answer on a day."""
        return self.shutdown is None or day < self.shutdown

    def can_be_trained(self, day: Date) -> bool:
        return self.is_open(day) and (self.training_ends is None or day <= self.training_ends)
