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
from ..base import Progress, Trained, TrainingSet, within
from ..encoders import made_here
from ..encoders.encoder import digest_of, tokenizer_of
from ..encoders.files import EncoderFiles
from ..encoders.known import use_encoder
from ..local.asked_vectors import encoder_report
from ..local.calibrate_model import calibrate_model
from ..local.features import MAX_CHARACTERS, FloatArray, Vectorizer
from ..local.group_folds import Rows as Positions
from ..local.group_folds import deal
from ..local.model import LocalModel
from ..local.recipes import Targets
from ..local.serialization import to_parts
from ..local.text_vectors import EncoderVectors
from ..local.training_data import as_indicators
from . import checkpoint
from .export import Exported, export
from .loop import Plan, Rows, Tuned, fine_tune

FEWEST_HELD = 20
"""Validation rows of the split below which rows are held out anew."""
_FORM = 1
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
    train_rows, held_rows = (
        Rows([tokens[row] for row in rows], targets[rows])
        for rows in (divided.train.tolist(), divided.held.tolist())
    )
    try:
        tuned = fine_tune(plan, train_rows, held_rows, within(progress, 0.0, 0.9), data.noted)
        progress("exporting to ONNX", 0.9)
        held_texts = [data.texts[row] for row in divided.held.tolist()]
        exported = _exported(tuned, files, held_texts)
    except (OSError, RuntimeError, ValueError, LookupError, AttributeError) as error:
        raise TrainingError(f"{files.title} could not be fine-tuned: {error}") from error
    progress("calibrating", 0.95)
    vectors = EncoderVectors(exported.encoder, f"{files.title[:180]} fine-tuned")
    model = LocalModel(
        Vectorizer({}, {}, np.zeros(0, dtype=np.float32)),
        np.zeros((0, tuned.weights.shape[1]), dtype=np.float32),
        tuned.bias,
        n_labels=len(data.labels),
        exclusive=divided.exclusive,
        embedding=vectors,
        embedding_weights=np.ascontiguousarray(tuned.weights),
    )
    logits = (vectors.rows(held_texts) @ tuned.weights + tuned.bias).astype(np.float32)
    known = divided.targets[divided.train].any(axis=0)
    usable = np.asarray((divided.targets[divided.held] <= known).all(axis=1))
    calibration, held_out = calibrate_model(
        model, divided, HeldLogits(divided.held, logits, usable)
    )
    header, parts = to_parts(model)
    about = encoder_report(vectors)
    about["encoder"] |= {"licence": files.licence, "revision": files.revision}
    report = {
        "recipe": "fine-tuned encoder",
        "why": _why(files, tuned, exported, divided),
        "calibration": calibration,
        "points": tuned.points,
        "n_rows": len(data.texts),
        "seconds": round(time.monotonic() - started, 2),
        "warnings": _warnings(divided),
        **about,
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
        place = made_here.add(into, exported.encoder.digest)
    finally:
        shutil.rmtree(into, ignore_errors=True)
    return replace(exported, encoder=use_encoder(str(place)))


def _why(files: EncoderFiles, tuned: Tuned, exported: Exported, divided: Divided) -> str:
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
    return (
        f"{files.title} was fine-tuned on {rows_text(len(divided.train))} for "
        f"{counted(len(tuned.points), 'epoch')}, of which number {tuned.best} is used: on "
        f"{rows_text(len(divided.held))} that were held out its {right} is "
        f"{best['valid_accuracy']:.3f}. {stored} It stays on this machine: to publish a "
        "classifier, train a student of it."
    )


def _warnings(divided: Divided) -> list[str]:
    absent = int((~divided.targets.any(axis=0)).sum())
    return [f"{counted(absent, 'label has', 'labels have')} no example."] if absent else []
