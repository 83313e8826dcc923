"""The epochs of a fine-tuning, with torch, on a GPU where there is one.

A step depends on its number, the seed and the state before alone: which rows it sees, and what
dropout leaves out, are drawn anew from these. So a training that was killed and goes on from its
last checkpoint comes to the same weights as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...core.humanize import counted
from ..base import Progress
from ..local.calibration import lowest_loss
from ..local.features import FloatArray
from . import checkpoint

RATE, HEAD_RATE = 2e-4, 5e-3
"""Learning rates of the encoder and of what stands on its vectors, at their highest. Tried with
MiniLM on 1,000 rows of Banking77 alone, and not compared with others."""
WARM_UP = 0.1
WEIGHT_DECAY = 0.01
DROPOUT = 0.1
SCALE = 20.0
"""Of cosines: what stands on the vectors begins as the means of the labels' vectors, times it."""
BATCH = 32
MOST_TOKENS = 4_096
"""Of texts that go through the model at once, which bounds the memory: a batch of longer ones goes
in parts."""
PATIENCE = 2
"""Epochs without a better validation before a training ends."""
CHECKPOINT_SECONDS = 60.0
_POOL = 16
"""Batches whose texts are sorted by their length, so that little is filled up."""

Point = dict[str, float]
"""What an epoch came to, by name, as events of a job have it."""


@dataclass(frozen=True)
class Rows:
    """tokens: the numbers of each text's tokens; targets: 0 or 1, (rows, labels)"""

    tokens: Sequence[Sequence[int]]
    targets: FloatArray


@dataclass(frozen=True)
class Plan:
    """weights:   the folder of the model in the form of the Hugging Face hub
    cls:       whether the vector of a text is that of its first token, else their mean
    exclusive: whether a row has exactly one label
    folder:    for checkpoints
    last:      the epoch after which a training ends that is not judged by the held-out rows, within
               `epochs`, which say how fast it learns; None: these rows decide
    """

    weights: Path
    cls: bool
    exclusive: bool
    epochs: int
    seed: int
    folder: Path
    last: int | None = None


@dataclass
class State:
    """Where a training is.

    step:   number of the next one; `epoch` and `place`: the epoch, and the batch in it
    loss:   summed over the rows of this epoch
    points: what each epoch came to, see `Tuned`
    """

    step: int = 0
    epoch: int = 0
    place: int = 0
    loss: float = 0.0
    points: list[Point] = field(default_factory=list)


@dataclass(frozen=True)
class Tuned:
    """model:  of torch, in the state of its best epoch, on the CPU
    weights, bias: of the labels on its vectors, (dimensions, labels) and (labels,)
    held:   what they say of the held-out rows, (rows, labels)
    points: of each epoch that was judged
    best:   the number of the epoch, from 1
    steps:  that this process trained: 0 where it went on after the last one
    """

    model: Any
    weights: FloatArray
    bias: FloatArray
    held: FloatArray
    points: list[Point]
    best: int
    steps: int


def fine_tune(
    plan: Plan,
    train: Rows,
    held: Rows,
    report_progress: Progress,
    noted: Callable[[Point], None] = lambda point: None,
) -> Tuned:
    """Trains until no epoch is better on the held-out rows, and hands back the best one.

    noted: called with {epoch, step, total_steps, train_loss, valid_loss, valid_accuracy} of each
           epoch when it has ended
    """
    loop = _Loop(plan, train, held, report_progress)
    loop.noted = noted
    return loop.run()


class _Loop:
    def __init__(self, plan: Plan, train: Rows, held: Rows, report_progress: Progress) -> None:
        import torch
        from transformers import AutoModel
        from transformers.utils import logging

        self.torch, self.plan, self.train, self.held = torch, plan, train, held
        self.report_progress = report_progress
        self.noted: Callable[[Point], None] = lambda point: None
        report_progress("loading the encoder", 0.0)
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        self.model = AutoModel.from_pretrained(
            plan.weights, local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
        self.model.float()
        # Half of a small encoder's numbers, of which some hundred rows say next to nothing.
        self.model.get_input_embeddings().weight.requires_grad_(False)
        self.device = _device(torch)
        labels = train.targets.shape[1]
        self.head = torch.nn.Linear(self.model.config.hidden_size, labels)
        self.model.to(self.device)
        self.head.to(self.device)
        self.named = {
            **{f"model.{n}": p for n, p in self.model.named_parameters() if p.requires_grad},
            **{f"head.{n}": p for n, p in self.head.named_parameters()},
        }
        self.optimizer = torch.optim.AdamW([
            {"params": [p], "rate": HEAD_RATE if n.startswith("head.") else RATE,
             "weight_decay": WEIGHT_DECAY if n.startswith("model.") and p.ndim > 1 else 0.0}
            for n, p in self.named.items()
        ])  # fmt: skip
        self.batches = math.ceil(len(train.tokens) / BATCH)
        self.steps = self.batches * plan.epochs
        self.state = State()
        self.first = 0
        self.checkpoint = plan.folder / "checkpoint.safetensors"
        self.best_checkpoint = plan.folder / "best.safetensors"
        self.best: dict[str, Any] = {}

    def run(self) -> Tuned:
        if not self._resume():
            self._begin()
        last = self.plan.last or self.plan.epochs
        while self.state.epoch < last and not self._is_over():
            self._epoch()
        if self.best:
            self._set(self.best)
        weights = self.head.weight.detach().cpu().numpy().T.astype(np.float32)
        bias = self.head.bias.detach().cpu().numpy().astype(np.float32)
        held = self.logits(self.held.tokens)
        model = self.model.eval().cpu()
        steps = self.state.step - self.first
        return Tuned(model, weights, bias, held, self.state.points, self._best_epoch(), steps)

    def _begin(self) -> None:
        """What stands on the vectors begins as a classifier by the nearest mean, so that few steps
        are spent on what the encoder knows already."""
        self.report_progress("encoding the training rows", 0.0)
        vectors = self._vectors(self.train.tokens)
        targets = self.train.targets
        mean = vectors.mean(axis=0)
        sums = targets.T @ vectors
        rows = targets.sum(axis=0)[:, None]
        weights = SCALE * np.where(rows > 0, sums / np.maximum(rows, 1) - mean, 0)
        bias = -weights @ mean
        if not self.plan.exclusive:
            share = (targets.sum(axis=0) + 1) / (len(targets) + 2)
            bias += np.log(share / (1 - share))
        with self.torch.no_grad():
            self.head.weight.copy_(self.torch.from_numpy(weights.astype(np.float32)))
            self.head.bias.copy_(self.torch.from_numpy(bias.astype(np.float32)))

    def _epoch(self) -> None:
        state = self.state
        batches = list(self._batches(state.epoch))
        kept = time.monotonic()
        self.model.train()
        while state.place < len(batches):
            state.loss += self._step(batches[state.place])
            state.step, state.place = state.step + 1, state.place + 1
            place = f"step {state.place:,} of {self.batches:,} on the {_words(self.device)}"
            self.report_progress(f"{self._said()} ({place})", self._share())
            if time.monotonic() - kept > CHECKPOINT_SECONDS and state.place < len(batches):
                self._keep()
                kept = time.monotonic()
        if self.plan.last is None:
            self._judge()
        state.epoch, state.place, state.loss = state.epoch + 1, 0, 0.0
        self._keep()

    def _judge(self) -> None:
        state = self.state
        logits = self.logits(self.held.tokens)
        loss, accuracy = judged(logits, self.held.targets, self.plan.exclusive)
        point: Point = {
            "epoch": state.epoch + 1, "step": state.step, "total_steps": self.steps,
            "train_loss": state.loss / len(self.train.tokens), "valid_loss": loss,
            "valid_accuracy": accuracy,
        }  # fmt: skip
        state.points.append(point)
        if self._best_epoch() == point["epoch"]:
            self.best = {name: part.detach().clone() for name, part in self.named.items()}
            checkpoint.write(self.best_checkpoint, self.best, {})
        self.noted(point)

    def _step(self, rows: Sequence[int]) -> float:
        """The summed loss of a batch, before its step."""
        torch, state = self.torch, self.state
        torch.manual_seed((self.plan.seed * 1_000_003 + state.step) % 2**31)
        warm = max(1, round(WARM_UP * self.steps))
        share = min((state.step + 1) / warm, (self.steps - state.step) / max(1, self.steps - warm))
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * share
        self.optimizer.zero_grad()
        total = 0.0
        for part in _parts([self.train.tokens[row] for row in rows]):
            some = [rows[i] for i in part]
            vectors = self._forward([self.train.tokens[row] for row in some])
            logits = self.head(torch.nn.functional.dropout(vectors, DROPOUT))
            loss = self._loss(logits, torch.from_numpy(self.train.targets[some]).to(self.device))
            (loss / len(rows)).backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(self.named.values(), 1.0)
        self.optimizer.step()
        return total

    def _loss(self, logits: Any, targets: Any) -> Any:
        """Summed over the rows."""
        torch = self.torch
        if self.plan.exclusive:
            return -(targets * torch.log_softmax(logits, dim=1)).sum()
        each = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, targets, reduction="sum"
        )
        return each / targets.shape[1]

    def _batches(self, epoch: int) -> Iterator[list[int]]:
        """Rows of about the same length, in another order in each epoch."""
        chance = np.random.default_rng((self.plan.seed, epoch))
        order = chance.permutation(len(self.train.tokens)).tolist()
        found: list[list[int]] = []
        for start in range(0, len(order), _POOL * BATCH):
            some = order[start : start + _POOL * BATCH]
            pool = sorted(some, key=lambda row: len(self.train.tokens[row]))
            found += [pool[i : i + BATCH] for i in range(0, len(pool), BATCH)]
        return (found[i] for i in chance.permutation(len(found)))

    def _forward(self, tokens: Sequence[Sequence[int]]) -> Any:
        """Vectors of length 1, as `encoders.encoder.Encoder` makes them."""
        torch = self.torch
        width = max(map(len, tokens))
        ids = torch.zeros((len(tokens), width), dtype=torch.long)
        mask = torch.zeros((len(tokens), width), dtype=torch.long)
        for row, numbers in enumerate(tokens):
            ids[row, : len(numbers)] = torch.tensor(numbers)
            mask[row, : len(numbers)] = 1
        mask = mask.to(self.device)
        found = self.model(input_ids=ids.to(self.device), attention_mask=mask).last_hidden_state
        if self.plan.cls:
            vectors = found[:, 0]
        else:
            vectors = (found * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return torch.nn.functional.normalize(vectors, dim=1)

    def _vectors(self, tokens: Sequence[Sequence[int]]) -> FloatArray:
        """(texts, dimensions), without dropout."""
        self.model.eval()
        out = np.empty((len(tokens), self.head.in_features), dtype=np.float32)
        with self.torch.no_grad():
            for part in _parts(tokens):
                self.report_progress(self._said(), self._share())
                out[part] = self._forward([tokens[i] for i in part]).cpu().numpy()
        return out

    def logits(self, tokens: Sequence[Sequence[int]]) -> FloatArray:
        vectors = self.torch.from_numpy(self._vectors(tokens)).to(self.device)
        with self.torch.no_grad():
            found: FloatArray = self.head(vectors).cpu().numpy()
        return found

    def _said(self) -> str:
        if not self.state.step:
            return "encoding the training rows"
        epochs = self.plan.last or self.plan.epochs
        rows = "" if self.plan.last is None else " with all rows"
        return f"epoch {min(self.state.epoch + 1, epochs)} of {epochs}{rows}"

    def _share(self) -> float:
        """Of the steps of this process, so that the time left is by its own rate."""
        steps = self.batches * (self.plan.last or self.plan.epochs)
        return (self.state.step - self.first) / max(1, steps - self.first)

    def _is_over(self) -> bool:
        return len(self.state.points) - self._best_epoch() >= PATIENCE

    def _best_epoch(self) -> int:
        losses = [point["valid_loss"] for point in self.state.points]
        return losses.index(min(losses)) + 1 if losses else self.state.epoch

    def _keep(self) -> None:
        tensors = dict(self.named)
        for name, parameter in self.named.items():
            kept = self.optimizer.state.get(parameter, {})
            tensors |= {f"{key}.{name}": kept[key] for key in _MOMENTS if key in kept}
        checkpoint.write(self.checkpoint, tensors, vars(self.state))

    def _resume(self) -> bool:
        """From the last checkpoint; whether there is one."""
        found, best = checkpoint.read(self.checkpoint), checkpoint.read(self.best_checkpoint)
        if found is None or (found[1]["points"] and best is None):
            return False
        tensors, state = found
        self.state = State(**state)
        self.best = best[0] if best and self.state.points else {}
        for point in self.state.points:
            self.noted(point)
        self.first = self.state.step
        self._set(tensors)
        for name, parameter in self.named.items():
            moments = {k: tensors[f"{k}.{name}"] for k in _MOMENTS if f"{k}.{name}" in tensors}
            if moments:
                step = self.torch.tensor(float(self.state.step))
                here = {key: value.to(self.device) for key, value in moments.items()}
                self.optimizer.state[parameter] = {"step": step, **here}
        self.report_progress(f"going on after {counted(self.state.step, 'step')}", 0.0)
        return True

    def _set(self, tensors: dict[str, Any]) -> None:
        with self.torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(tensors[name])


_MOMENTS = ("exp_avg", "exp_avg_sq")


def _device(torch: Any) -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _words(device: str) -> str:
    return "processor" if device == "cpu" else "GPU"


def _parts(tokens: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Positions of texts that go through the model at once, shortest first."""
    part: list[int] = []
    for row in sorted(range(len(tokens)), key=lambda row: len(tokens[row])):
        if part and (len(part) + 1) * len(tokens[row]) > MOST_TOKENS:
            yield part
            part = []
        part.append(row)
    if part:
        yield part


def judged(logits: FloatArray, targets: FloatArray, exclusive: bool) -> tuple[float, float]:
    """Loss and accuracy on held-out rows: the loss at the temperature that suits best, since scores
    are calibrated afterwards; of several labels the share of decisions that are right."""
    if exclusive:
        labels = targets.argmax(axis=1)
        return lowest_loss(logits, labels), float((logits.argmax(axis=1) == labels).mean())
    loss = np.logaddexp(0, logits) - targets * logits
    return float(loss.mean()), float(((logits > 0) == (targets > 0)).mean())
