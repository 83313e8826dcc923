"""The kinds of labels: how many a row has, and how an answer is chosen among them.

A kind is declared once, in KINDS. Whoever treats kinds differently asks one for what it does, or
whether its labels exclude each other, and never for its name; names are what is stored, and what
commands and pages take.

Positions are those of labels in their label set, 0 to K - 1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

LabelValue = str | int | float
Positions = tuple[int, ...]
"""The labels of one row, ascending."""


@dataclass(frozen=True)
class LabelKind:
    """A kind of labels. One is either `OneLabel` or `SeveralLabels`.

    name:      as it is stored, and as commands take it
    title:     what a row has, for people
    most:      labels that a set of this kind can have; None: any number
    """

    name: str
    title: str
    most: int | None = None

    @property
    def exclusive(self) -> bool:
        """Whether a row has exactly one label: then a label cell holds just that, probabilities sum
        to 1, and a minimum score leaves a row without."""
        raise NotImplementedError

    @property
    def fewest(self) -> int:
        """Labels that there must be to learn anything."""
        raise NotImplementedError

    def choose(self, logprobs: np.ndarray, thresholds: np.ndarray | None = None) -> np.ndarray:
        """The answers that log-probabilities (n, K) mean, in the form of `as_array`.

        thresholds: (K,) probabilities from which each label is given; None: 0.5. Where labels
                    exclude each other there are none
        """
        raise NotImplementedError

    def choose_one(self, logprobs: np.ndarray, thresholds: np.ndarray | None = None) -> Positions:
        """The same for one row, (K,)."""
        raise NotImplementedError

    def logprob(self, logprobs: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Log-probability, (n,), of the answers `chosen`; of one that is none it says nothing."""
        raise NotImplementedError

    def as_array(self, rows: Sequence[Sequence[int] | None], size: int) -> np.ndarray:
        """Positions of each row's labels, None for a row without an answer, as one array: (n,)
        positions, -1 for None; or (n, size) of 0 and 1, a row of -1 for None."""
        raise NotImplementedError

    def as_positions(self, chosen: np.ndarray) -> list[Positions | None]:
        """The reverse of `as_array`."""
        raise NotImplementedError

    def plain(self, values: Sequence[LabelValue]) -> Any:
        """The labels of one row as JSON has them."""
        raise NotImplementedError

    def cell(self, values: Sequence[LabelValue]) -> LabelValue:
        """The labels of one row as they stand in a label column."""
        raise NotImplementedError


def most_probable(logprobs: np.ndarray) -> np.ndarray:
    """The position of the largest of each row, or of the only one: (n,) from (n, K)."""
    best: np.ndarray = logprobs.argmax(axis=-1)
    return best


@dataclass(frozen=True)
class OneLabel(LabelKind):
    """A row has one of the labels.

    best: from log-probabilities (…, K) to the positions (…) of the answers. A model that says its
          answer, rather than probabilities, is taken at its word
    """

    best: Callable[[np.ndarray], np.ndarray] = most_probable

    exclusive = True
    fewest = 2

    def choose(self, logprobs: np.ndarray, thresholds: np.ndarray | None = None) -> np.ndarray:
        return self.best(logprobs)

    def choose_one(self, logprobs: np.ndarray, thresholds: np.ndarray | None = None) -> Positions:
        return (int(self.best(logprobs)),)

    def logprob(self, logprobs: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        import numpy as np

        own: np.ndarray = logprobs[np.arange(len(chosen)), np.maximum(chosen, 0)]
        return own

    def as_array(self, rows: Sequence[Sequence[int] | None], size: int) -> np.ndarray:
        import numpy as np

        return np.array([-1 if row is None else row[0] for row in rows], dtype=np.int32)

    def as_positions(self, chosen: np.ndarray) -> list[Positions | None]:
        return [None if position < 0 else (position,) for position in chosen.tolist()]

    def plain(self, values: Sequence[LabelValue]) -> Any:
        return values[0]

    def cell(self, values: Sequence[LabelValue]) -> LabelValue:
        return values[0]


@dataclass(frozen=True)
class SeveralLabels(LabelKind):
    """A row has any number of the labels, each with a probability of its own."""

    exclusive = False
    fewest = 1

    def choose(self, logprobs: np.ndarray, thresholds: np.ndarray | None = None) -> np.ndarray:
        import numpy as np

        chosen: np.ndarray = np.exp(logprobs) >= (0.5 if thresholds is None else thresholds)
        return chosen.astype(np.int8)

    def choose_one(self, logprobs: np.ndarray, thresholds: np.ndarray | None = None) -> Positions:
        return tuple(self.choose(logprobs, thresholds).nonzero()[0].tolist())

    def logprob(self, logprobs: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        return joint_logprobs(logprobs, chosen > 0)

    def as_array(self, rows: Sequence[Sequence[int] | None], size: int) -> np.ndarray:
        import numpy as np

        flags = np.zeros((len(rows), size), dtype=np.int8)
        for place, row in enumerate(rows):
            if row is None:
                flags[place] = -1
            else:
                flags[place, list(row)] = 1
        return flags

    def as_positions(self, chosen: np.ndarray) -> list[Positions | None]:
        import numpy as np

        none = np.any(chosen < 0, axis=1).tolist()
        return [
            None if gone else tuple(on.nonzero()[0].tolist())
            for gone, on in zip(none, chosen > 0, strict=True)
        ]

    def plain(self, values: Sequence[LabelValue]) -> Any:
        return list(values)

    def cell(self, values: Sequence[LabelValue]) -> LabelValue:
        return json.dumps(list(values), ensure_ascii=False)


def joint_logprobs(logprobs: np.ndarray, on: np.ndarray) -> np.ndarray:
    """Log-probability, (n,), that exactly the labels `on` are there, labels being independent.

    log(1 - e^x) as in Mächler, "Accurately Computing log(1 - exp(-|a|))", 2012.
    """
    import numpy as np

    x = np.minimum(logprobs, -1e-12, dtype=np.float64)
    off = np.where(x > -math.log(2), np.log(-np.expm1(x)), np.log1p(-np.exp(x)))
    joint: np.ndarray = np.where(on, logprobs, off).sum(axis=1)
    return joint


BINARY = OneLabel("binary", "two labels", most=2)
MULTICLASS = OneLabel("multiclass", "one label of several")
MULTILABEL = SeveralLabels("multilabel", "any number of labels")

KINDS: dict[str, LabelKind] = {kind.name: kind for kind in (BINARY, MULTICLASS, MULTILABEL)}
"""All by name, in the order of a page. The first two are proposed for cells with one label each,
MULTILABEL for flags and lists; others are chosen by name."""
