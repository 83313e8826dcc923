"""From rows to a classifier on an encoder of its own: fine-tuned, exported, calibrated."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...core.errors import TrainingError
from ...core.humanize import counted, percent, rows_text
from ...core.near_duplicates import near_groups
from ...core.training_report import LocalReport
from ..base import Progress, Trained, TrainerOptions, TrainingSet, within
from ..encoders import made_here
from ..encoders.encoder import digest_of, tokenizer_of
from ..encoders.files import EncoderFiles
from ..encoders.known import use_encoder
from ..local.calibrate_model import calibrate_model
from ..local.features import MAX_CHARACTERS, FloatArray
from ..local.group_folds import Rows as Positions
from ..local.group_folds import deal
from ..local.recipes import Targets
from ..local.requested_vectors import about_encoder
from ..local.serialization import to_parts
from ..local.text_vectors import EncoderVectors
from ..local.trainer import LocalTrainer
from ..local.training_data import as_indicators
from . import checkpoint
from .export import Exported, export
from .loop import Plan, Rows, Tuned, fine_tune
from .words import Mix, choose, logits_of, mixed_model, words_of

FEWEST_HELD = 20
"""Validation rows of the split below which rows are held out anew."""
MOST_AGAIN = 5_000
"""Training rows up to which the encoder is trained a second time on all rows, held-out ones, too,
for as many epochs as were best. With 900 and then 1,000 rows of Banking77 the test accuracy is .005
and .004 higher (4 and 8 epochs); with more rows they change less and take longer."""
_FORM = 2
"""Of checkpoints and of what leads to them: a change makes training begin anew."""


@dataclass(frozen=True)
class Divided:
    """Which rows are trained on and which are held out, and of all rows the targets (0 or 1, (n,
    labels)) and the numbers of near copies, as `calibrate_model` wants them."""

    train: Positions
    held: Positions
    targets: Targets
    groups: Positions
    exclusive: bool


@dataclass(frozen=True)
class HeldLogits:
    """rows: positions that were held out; logits: (rows, labels); usable: whether a row's labels
    were trained on"""

    rows: Positions
    logits: FloatArray
    usable: npt.NDArray[np.bool_]


def train(
    data: TrainingSet, files: EncoderFiles, epochs: int | None, seed: int, progress: Progress
) -> Trained:
    """Goes on with a training of the same rows, encoder, epochs and seed that did not end.

    epochs: at most; None: by the number of rows
    Raises TrainingError when no row can be held out, or the encoder cannot be used.
    """
    started = time.monotonic()
    made_here.sweep()
    divided = divide(data, seed)
    total = epochs or epochs_for(len(divided.train))
    folder = checkpoint.folder_of(
        [_FORM, digest_of(files), total, seed, list(data.texts)],
        *(rows.tobytes() for rows in (divided.targets, divided.held, divided.train)),
    )
    plan = Plan(files.model.parent, files.pooling == "cls", divided.exclusive, total, seed, folder)
    tokenizer = tokenizer_of(files)
    tokens = [read.ids for read in tokenizer.encode_batch(_readable(data.texts))]
    targets = divided.targets.astype(np.float32)
    held_texts = [data.texts[row] for row in divided.held.tolist()]

    def rows_of(positions: Positions) -> Rows:
        return Rows([tokens[row] for row in positions.tolist()], targets[positions])

    held_rows, everything = rows_of(divided.held), np.arange(len(data.texts))
    again = len(divided.train) <= MOST_AGAIN
    try:
        first = tuned = fine_tune(
            plan,
            rows_of(divided.train),
            held_rows,
            within(progress, 0.0, 0.45 if again else 0.9),
            data.noted,
        )
        progress("comparing with words", 0.45 if again else 0.9)
        words = words_of(data, divided.train, seed)
        mix = choose(first.held, logits_of(words, held_texts), held_rows.targets, plan.exclusive)
        if mix.alone:
            return _by_words(data, seed, files, mix, first, folder, within(progress, 0.9, 1.0))
        if again:
            plan = replace(plan, folder=folder / "all", last=first.best)
            # One that went on after the first part has its own rate for this part alone.
            rest = within(progress, 0.45 if first.steps else 0.0, 0.9)
            tuned = fine_tune(plan, rows_of(everything), held_rows, rest)
        progress("exporting to ONNX", 0.9)
        exported = _exported(tuned, files, held_texts)
    except (OSError, RuntimeError, ValueError, LookupError, AttributeError) as error:
        raise TrainingError(f"{files.title} could not be fine-tuned: {error}") from error
    progress("calibrating", 0.95)
    vectors = EncoderVectors(exported.encoder, f"{files.title[:180]} fine-tuned")
    beside = None if not mix.share else words_of(data, everything, seed) if again else words
    model = mixed_model(tuned, vectors, beside, mix.share, divided.exclusive)
    known = divided.targets[divided.train].any(axis=0)
    usable = np.asarray((divided.targets[divided.held] <= known).all(axis=1))
    calibration, held_out = calibrate_model(
        model, divided, HeldLogits(divided.held, mix.logits, usable)
    )
    header, parts = to_parts(model)
    about = about_encoder(vectors)
    report: LocalReport = {
        "recipe": "fine-tuned encoder",
        "why": _why(files, first, exported, divided, mix, again),
        "calibration": calibration,
        "points": first.points,
        "n_rows": len(data.texts),
        "seconds": round(time.monotonic() - started, 2),
        "warnings": _warnings(divided),
        "encoder": {**about, "licence": files.licence, "revision": files.revision},
    }

    return Trained(
        model, header, parts, report, held_out, stored=partial(shutil.rmtree, folder, True)
    )


def epochs_for(rows: int) -> int:
    """At most: with few rows a step is cheap, and early stopping ends what helps no more."""
    return max(3, min(20, round(8_000 / rows)))


def divide(data: TrainingSet, seed: int) -> Divided:
    """The validation rows of the split are held out where they are some, else a part of all; never
    a near copy of a row that is trained on. A label of which nothing would be left to train on is
    trained on whole, with its near copies.

    Raises TrainingError where none can be held out.
    """
    targets = as_indicators(data.targets, len(data.texts), len(data.labels), data.labels.exclusive)
    groups = near_groups(data.texts)
    held = np.zeros(len(targets), dtype=np.bool_) if data.validation is None else data.validation
    held = held & ~np.isin(groups, groups[~held])
    if not FEWEST_HELD <= held.sum() <= len(held) / 2:
        held = deal(targets, groups, 10 if len(targets) >= 400 else 5, seed) == 0
    missing = targets[held].any(axis=0) & ~targets[~held].any(axis=0)
    needed = groups[held & targets[:, missing].any(axis=1)]
    apart = held & ~np.isin(groups, needed)
    judged = np.flatnonzero(apart if data.chosen is None else apart & ~data.chosen)
    if not len(judged):
        raise TrainingError("No row can be held out: the labels have too few rows each.")
    return Divided(np.flatnonzero(~apart), judged, targets, groups, data.labels.exclusive)


def _readable(texts: Sequence[str]) -> list[str]:
    """As `Encoder.row` reads them."""
    return [text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8") for text in texts]


def _exported(tuned: Tuned, files: EncoderFiles, texts: Sequence[str]) -> Exported:
    """In its place, where classifiers find it by its hash."""
    into = Path(tempfile.mkdtemp(prefix="export-", dir=made_here.trainings_folder()))
    try:
        exported = export(tuned, files, into, texts)
        place = made_here.add(into, exported.encoder.digest, files)
    finally:
        shutil.rmtree(into, ignore_errors=True)
    return replace(exported, encoder=use_encoder(str(place)))


def _by_words(
    data: TrainingSet,
    seed: int,
    files: EncoderFiles,
    mix: Mix,
    tuned: Tuned,
    folder: Path,
    progress: Progress,
) -> Trained:
    """The local trainer's classifier, since it is as good without the encoder."""
    found = LocalTrainer().train(data, TrainerOptions(seed), progress)
    encoder, alone, _ = mix.losses
    said = (
        f"{files.title} was fine-tuned and is not used: on {rows_text(len(mix.logits))} that were "
        f"held out words alone have a log loss of {alone:.3f}, and with the encoder {encoder:.3f}. "
        "So the classifier is that of the trainer local."
    )
    why = f"{said} {found.report['why']}"
    report = {**found.report, "why": why, "points": tuned.points}
    stored = partial(shutil.rmtree, folder, True)
    return replace(found, report=report, trainer=LocalTrainer.name, stored=stored)


def _why(
    files: EncoderFiles, tuned: Tuned, exported: Exported, divided: Divided, mix: Mix, again: bool
) -> str:
    size, best = exported.encoder.files.size, tuned.points[tuned.best - 1]
    right = "accuracy" if divided.exclusive else "share of right decisions"
    same = f"{percent(exported.same)} of {rows_text(exported.rows)} that were held out"
    stored = (
        f"It is stored in 8 bits, {size / 1e6:,.1f} MB, and gives the label of the model in 32 "
        f"bits, {exported.bytes_32 / 1e6:,.1f} MB, for {same}."
        if exported.bits == 8
        else f"It is stored in 32 bits, {size / 1e6:,.1f} MB: in 8 bits it would give the same "
        f"label for {same} alone."
    )
    more = ""
    if again:
        epochs = counted(tuned.best, "epoch")
        more = f"Then it was trained on all {rows_text(len(divided.targets))} for {epochs}. "
    encoder, alone, mixed = mix.losses
    beside = f"Words beside it would not help there (log loss of the encoder {encoder:.3f})."
    if mix.share:
        beside = (
            f"Words count beside it ({mix.share:g} × their logits): there the log loss is "
            f"{mixed:.3f} instead of {encoder:.3f}, and {alone:.3f} by words alone."
        )
    return (
        f"{files.title} was fine-tuned on {rows_text(len(divided.train))} for "
        f"{counted(len(tuned.points), 'epoch')}, of which number {tuned.best} is used: on "
        f"{rows_text(len(divided.held))} that were held out its {right} is "
        f"{best['valid_accuracy']:.3f}. {more}{beside} {stored} It stays on this machine: to "
        "publish a classifier, train a student of it."
    )


def _warnings(divided: Divided) -> list[str]:
    absent = int((~divided.targets.any(axis=0)).sum())
    return [f"{counted(absent, 'label has', 'labels have')} no example."] if absent else []
