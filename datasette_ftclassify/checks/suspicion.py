"""How much speaks against the label of each row: a model that has not seen it, and its neighbours.

What a model of the other rows gives a label (0-1) and the label's share among the ten nearest texts
are added up. A row is suspicious as far as little speaks for the label that it has, and, a fifth as
much, as far as much speaks for another one: the first finds labels that were changed at random, the
second those that were mistaken for the most similar one. Figures are in docs/figures.md. The check
and the review queue of mislabelled rows both look at the rows of `Sampler.deep`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.humanize import rows_text
from ..core.text import text_hash
from .scan import DEEP_CHARACTERS

if TYPE_CHECKING:
    import numpy as np

FOR_ANOTHER = 0.2
"""How much what speaks for another label counts beside what speaks for the given one."""
_TRUSTED = 0.8
"""Of the rows in which the model is that sure of a label, as many must have it, where a row may
have several."""
_LIKELY = 0.9
"""Probability from which on a label that a row lacks is suggested, where it may have several."""
_CLEARLY = 0.5
"""How much likelier than the given label, in probability, a probably right one must be."""
_AGREED = 0.5
"""Mean of that margin and of the suggested label's lead among the nearest texts."""
_LEAST_OF_LABEL = 5
"""Rows that have a label; the word of fewer says nothing about another row."""
_COST = 6e8
"""Of data, in stored values times labels, up to which the better model judges: some ten seconds."""
_CANDIDATES = 5_000
"""Rows whose nearest texts are looked for, and all of which a model is that sure."""
_NEIGHBOURS = 10
_CHUNK = 200
_TINY = 1e-9
_MOST_WORDS = 6


@dataclass(frozen=True)
class Suspects:
    """Rows whose label is doubted, the most suspicious first; arrays of one entry each.

    rows:       their positions
    suggested:  the label for which most speaks, besides the given one
    own, other: out-of-fold probabilities of the given and of the suggested label, 0-1
    score:      the suspicion, from -2 to 0.4
    probable:   whether the label is probably wrong: the model is confident of another one, as it is
                on average where that one is given (Northcutt, Jiang and Chuang 2021, "Confident
                Learning"), the nearest texts agree, and the text is not disputed
    neighbours: positions of the nearest texts, (n, up to 10), the nearest first; -1: no other
    """

    rows: np.ndarray
    suggested: np.ndarray
    own: np.ndarray
    other: np.ndarray
    score: np.ndarray
    probable: np.ndarray
    neighbours: np.ndarray


def judge(
    texts: Sequence[str], targets: Any, n_labels: int, exclusive: bool, seed: int
) -> tuple[Any, Any]:
    """Probabilities (n, K) of labels by models that did not see the row, and positions of the rows
    that were judged: fewer where texts are long or labels are many.

    targets: (n,), positions of labels, or (n, K), 0 or 1
    Raises TrainingError for targets that do not fit.
    """
    import numpy as np

    from ..trainers.local.cross_val_predict import out_of_fold

    logprobs, rows = out_of_fold(
        [text[:DEEP_CHARACTERS] for text in texts], targets, n_labels,
        exclusive=exclusive, seed=seed, max_rows=len(texts), cost=_COST,
    )  # fmt: skip
    return np.exp(logprobs), rows


def doubted_text(rows: int, judged: int, of: int) -> str:
    """A sentence: how many may have a wrong label, of how many that were judged."""
    among = "" if judged == of else f" among {judged:,} of {of:,} rows, which were looked at"
    return f"{rows_text(rows).capitalize()} may well have a wrong label{among}."


def suspects(texts: Sequence[str], given: Any, probabilities: Any, disputed: Any) -> Suspects:
    """Of rows with one label each: those for whose label less speaks than for another one.

    given:    (n,), positions of labels; probabilities: (n, K), out of fold
    disputed: (n,), see `disputed_texts`
    """
    import numpy as np

    every = np.arange(len(given))
    own = probabilities[every, given]
    doubt, best = _suspicion(probabilities, given)
    clear = probabilities[every, best] - own >= _CLEARLY
    candidates = np.union1d(np.argsort(-doubt, kind="stable")[:_CANDIDATES], np.flatnonzero(clear))
    labels, own = given[candidates], own[candidates]
    nearest, weights = nearest_texts(texts, candidates)
    votes = _votes(given, nearest, weights, probabilities.shape[1])
    here = np.arange(len(candidates))
    score, suggested = _suspicion(probabilities[candidates] + votes, labels)
    other = probabilities[candidates, suggested]
    lead = votes[here, suggested] - votes[here, labels]
    thresholds = _mean_confidence(probabilities, given)
    margin = other - own
    common = np.bincount(given, minlength=probabilities.shape[1]) >= _LEAST_OF_LABEL
    probable = (
        (other >= thresholds[suggested])
        & (margin >= _CLEARLY)
        & (margin + lead >= 2 * _AGREED)
        & ~disputed[candidates]
        & common[labels]
        & common[suggested]
    )
    more = (probabilities[candidates] + votes)[here, suggested]
    doubted = np.flatnonzero((more > own + votes[here, labels]) | probable)
    order = doubted[np.lexsort((candidates[doubted], -score[doubted]))]
    return Suspects(
        candidates[order], suggested[order], own[order], other[order], score[order],
        probable[order], nearest[order],
    )  # fmt: skip


def missing_labels(given: Any, probabilities: Any, disputed: Any) -> tuple[Any, Any]:
    """Of rows with several labels each: (rows, labels) of those that a row probably lacks. Such a
    label is as likely as where it is given, and most likely.

    Labels that a row has without need are not doubted: rare labels look unlikely everywhere.
    given: (n, K), 0 or 1; probabilities: (n, K), out of fold; disputed: (n,)
    """
    import numpy as np

    counts = given.sum(axis=0)
    thresholds = (probabilities * given).sum(axis=0) / np.maximum(counts, 1)
    thresholds = np.maximum(np.where(counts > 0, thresholds, 1.0), _LIKELY)
    above = probabilities >= thresholds
    # Where the model is often wrong when it is sure, its word counts for nothing.
    trusted = (above & (given == 1)).sum(axis=0) >= _TRUSTED * np.maximum(above.sum(axis=0), 1)
    trusted &= counts >= _LEAST_OF_LABEL
    rows, labels = np.nonzero((given == 0) & above & trusted & ~disputed[:, None])
    return rows, labels


def disputed_texts(texts: Sequence[str], labels: Sequence[Sequence[Any]]) -> Any:
    """Whether another row gives the same text other labels, bool (n,): one of them is wrong, which
    is a finding of its own."""
    import numpy as np

    hashes = list(map(text_hash, texts))
    first: dict[int, frozenset[Any]] = {}
    several = set()
    for name, own in zip(hashes, map(frozenset, labels), strict=True):
        if first.setdefault(name, own) != own:
            several.add(name)
    return np.array([name in several for name in hashes], dtype=np.bool_)


def _suspicion(evidence: Any, given: Any) -> tuple[Any, Any]:
    """Of each row, and the label for which most speaks besides the given one. evidence: (n, K)"""
    import numpy as np

    every = np.arange(len(given))
    others = evidence.copy()
    others[every, given] = -np.inf
    best = others.argmax(axis=1)
    return FOR_ANOTHER * others[every, best] - evidence[every, given], best


def _mean_confidence(probabilities: Any, given: Any) -> Any:
    """What the rows of each label have for it on average; 1 for a label of no row."""
    import numpy as np

    k = probabilities.shape[1]
    counts = np.bincount(given, minlength=k)
    sums = np.bincount(given, probabilities[np.arange(len(given)), given], minlength=k)
    return np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)


def nearest_texts(texts: Sequence[str], of: Any) -> tuple[Any, Any]:
    """Positions of the texts most like each of `of`, (n, 10), -1 for none; and how like, 0-1.

    Cosine of TF-IDF word vectors: another kind of evidence than the model's, so that what both say
    is seldom the model's quirk.
    """
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    width = min(_NEIGHBOURS, len(texts) - 1)
    nearest = np.full((len(of), max(width, 0)), -1)
    weights = np.zeros(nearest.shape)
    try:
        # Words in a fifth of all texts say little and cost most of the time.
        vectors = TfidfVectorizer(sublinear_tf=True, max_df=0.2).fit_transform(texts)
    except ValueError:  # no words
        return nearest, weights
    for start in range(0, len(of) if width > 0 else 0, _CHUNK):
        chunk = of[start : start + _CHUNK]
        likeness = (vectors[chunk] @ vectors.T).toarray()
        likeness[np.arange(len(chunk)), chunk] = 0
        found = np.argpartition(-likeness, width - 1, axis=1)[:, :width]
        like = np.take_along_axis(likeness, found, axis=1)
        order = np.argsort(-like, axis=1, kind="stable")
        like = np.take_along_axis(like, order, axis=1)
        weights[start : start + len(chunk)] = like
        found = np.take_along_axis(found, order, axis=1)
        nearest[start : start + len(chunk)] = np.where(like > 0, found, -1)
    return nearest, weights


def _votes(labels: Any, nearest: Any, weights: Any, n_labels: int) -> Any:
    """Shares of the labels among the nearest texts, weighted by likeness. Shape (n, n_labels)."""
    import numpy as np

    votes = np.zeros((len(nearest), n_labels))
    shares = weights / np.maximum(weights.sum(axis=1, keepdims=True), _TINY)
    lines = np.repeat(np.arange(len(nearest)), nearest.shape[1])
    np.add.at(votes, (lines, labels[nearest].ravel()), shares.ravel())
    return votes


def telling_words(
    texts: Sequence[str], given: Any, of: Any, suggested: Any
) -> list[tuple[str, ...]]:
    """Of each of the rows `of` the words that are more frequent in texts of the suggested label
    than in those of the given one, the most telling first."""
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer

    if not len(of):
        return []
    counter = CountVectorizer(binary=True)
    try:
        found = counter.fit_transform(texts)
    except ValueError:  # no words
        return [()] * len(of)
    from scipy.sparse import csr_matrix

    n_labels = int(max(given.max(), suggested.max())) + 1
    ones = np.ones(len(given))
    rows_of = csr_matrix((ones, (given, np.arange(len(given)))), shape=(n_labels, len(given)))
    counts = (rows_of @ found).tocsr()
    sizes = np.bincount(given, minlength=n_labels)
    names = counter.get_feature_names_out()
    told = []
    for row, label in zip(of, suggested, strict=True):
        words = found[row].indices
        odds = _log_odds(counts, sizes, label, words) - _log_odds(counts, sizes, given[row], words)
        best = np.argsort(-odds, kind="stable")[:_MOST_WORDS]
        told.append(tuple(str(names[words[i]]) for i in best if odds[i] > 0))
    return told


def _log_odds(counts: Any, sizes: Any, label: int, words: Any) -> Any:
    import numpy as np

    of_label = np.asarray(counts[label, words].todense()).ravel()
    return np.log((of_label + 0.5) / (sizes[label] + 1))
