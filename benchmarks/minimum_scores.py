"""How often a promised share of wrong answers is broken, and how many rows are answered.

    python benchmarks/minimum_scores.py FILE.csv ... [--train 1000] [--test 250] [--seeds 5]

Each FILE has the columns text and label. For each seed its texts, near copies together, are divided
anew: some train a classifier, some are the test rows of its page, and on all others a minimum score
is judged, which it was not chosen by. *likely* and *guaranteed* are computed from what training
answered out of fold; *slider* is the lowest score at which the test rows happen to keep the share,
as the classifier's page shows it.

A promise is broken in a run when more of the answers on those rows are wrong than it says. Part of
that is noise: with 500 answers and a true share of just 5%, every other run has more. So a run
counts as *clearly* broken where so many wrong answers, or more, come in less than one of twenty
draws when the true share is the promised one (exact binomial, near copies counted as one).
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import temporary_ledger  # noqa: F401

from datasette_ftclassify.core.label_kinds import MULTICLASS
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.core.near_duplicates import near_groups
from datasette_ftclassify.core.strengths import PROMISES
from datasette_ftclassify.metrics import evaluate
from datasette_ftclassify.metrics.binomial import at_most
from datasette_ftclassify.metrics.intervals import independent_rows
from datasette_ftclassify.metrics.minimum_scores import JudgedRows, group_sizes, minimum_score
from datasette_ftclassify.trainers.base import TrainingSet
from datasette_ftclassify.trainers.local.training import fit
from datasette_ftclassify.web.evaluation_pictures import Threshold, thresholds

SHARES = (0.05, 0.01)
SURE = 0.05


@dataclass(frozen=True)
class Run:
    """Rows of one classifier: held out of its training, of its test, and new ones."""

    held_out: JudgedRows
    test: JudgedRows
    new: JudgedRows
    test_bins: list[Threshold]


@dataclass(frozen=True)
class Result:
    """What a minimum score gave on the new rows; none was offered where `coverage` is 0."""

    offered: bool
    error: float
    coverage: float
    clearly: bool
    possible: float


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--train", type=int, default=1_000)
    parser.add_argument("--test", type=int, default=250)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    runs: dict[str, list[Run]] = {}
    for path in given.files:
        texts, truth, names = read(path)
        groups = near_groups(texts)
        for seed in range(given.seeds):
            parts = divided(groups, given.train, given.test, seed)
            runs.setdefault(path.stem, []).append(trained(texts, truth, names, groups, parts, seed))
            print(f"{path.stem}, seed {seed}", file=sys.stderr, flush=True)
    print(
        "| wrong at most | score by | broken | clearly | nothing offered | worst | answered |",
        end="",
    )
    print(" possible |", " | ".join(f"answered, {name}" for name in runs), "|")
    print("|---" * (8 + len(runs)) + "|")
    for wrong in SHARES:
        for name, choose in METHODS.items():
            found = {
                set_: [result(run, choose(run, wrong), wrong) for run in every]
                for set_, every in runs.items()
            }
            print(line(wrong, name, found), flush=True)


def read(path: Path) -> tuple[list[str], np.ndarray, list[str]]:
    csv.field_size_limit(10**9)
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    names = sorted({label for _, label in rows})
    return [text for text, _ in rows], np.array([names.index(label) for _, label in rows]), names


def divided(groups: np.ndarray, train: int, test: int, seed: int) -> list[np.ndarray]:
    """Rows of the three parts; near copies are in one."""
    place = np.random.default_rng(seed).permutation(groups.max() + 1)[groups]
    order = np.argsort(place, kind="stable")
    ends = [int(np.searchsorted(place[order], place[order[n]])) for n in (train, train + test)]
    return np.split(order, ends)


def trained(
    texts: Sequence[str],
    truth: np.ndarray,
    names: list[str],
    groups: np.ndarray,
    parts: Sequence[np.ndarray],
    seed: int,
) -> Run:
    some = parts[0]
    labels = LabelSet(tuple(names), MULTICLASS.name)
    model, _, kept = fit(TrainingSet([texts[i] for i in some], truth[some], labels), seed=seed)
    assert kept is not None
    held_out = judged(kept.logprobs, truth[some[kept.rows]], kept.groups)
    logprobs = [model.log_probabilities([texts[i] for i in part]) for part in parts[1:]]
    test, new = (
        judged(logs, truth[part], groups[part])
        for logs, part in zip(logprobs, parts[1:], strict=True)
    )
    figures = evaluate(names, truth[parts[1]], logprobs[0])
    return Run(held_out, test, new, thresholds(figures))


def judged(logprobs: np.ndarray, truth: np.ndarray, groups: np.ndarray) -> JudgedRows:
    chosen = logprobs.argmax(axis=1)
    scores = np.exp(np.minimum(logprobs.max(axis=1), 0))
    return JudgedRows(scores, chosen == truth, chosen, groups)


def by_promise(strength: str) -> Callable[[Run, float], float | None]:
    return lambda run, wrong: minimum_score(run.held_out, wrong, strength).score


def by_slider(run: Run, wrong: float) -> float | None:
    return next((b.score for b in run.test_bins if b.precision >= 1 - wrong), None)


METHODS: dict[str, Callable[[Run, float], float | None]] = {
    **{strength: by_promise(strength) for strength in PROMISES},
    "slider": by_slider,
}


def result(run: Run, score: float | None, wrong: float) -> Result:
    new, possible = run.new, most_possible(run.new, wrong)
    on = np.zeros(len(new), dtype=bool) if score is None else new.scores >= score
    answered = int(on.sum())
    if score is None or not answered:
        return Result(score is not None, 0.0, 0.0, False, possible)
    assert new.groups is not None
    error = float((~new.right[on]).mean())
    n = math.floor(independent_rows(group_sizes(new.groups[on], answered)))
    clearly = 1 - at_most(round(error * n) - 1, n, wrong) < SURE
    return Result(True, error, answered / len(new), clearly, possible)


def most_possible(new: JudgedRows, wrong: float) -> float:
    """The share that could be answered by whoever knew the truth of these rows."""
    errors = np.cumsum(~new.right[np.argsort(-new.scores)]) / np.arange(1, len(new) + 1)
    kept = np.flatnonzero(errors <= wrong)
    return float(kept[-1] + 1) / len(new) if len(kept) else 0.0


def line(wrong: float, name: str, found: dict[str, list[Result]]) -> str:
    every = [one for results in found.values() for one in results]
    cells = [
        f"{wrong:.0%}",
        name,
        f"{sum(one.error > wrong for one in every)} of {len(every)}",
        f"{sum(one.clearly for one in every)}",
        f"{sum(not one.offered for one in every)}",
        f"{max(one.error for one in every):.1%}",
        share(one.coverage for one in every),
        share(one.possible for one in every),
        *(share(one.coverage for one in results) for results in found.values()),
    ]
    return f"| {' | '.join(cells)} |"


def share(values: object) -> str:
    return f"{np.mean(list(values)):.3f}".lstrip("0")  # type: ignore[call-overload]


if __name__ == "__main__":
    main()
