"""From the model of torch to files that answer without it: ONNX, in 8 bits where that answers as
well on the held-out rows."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import TrainingError
from ..encoders.encoder import Encoder
from ..encoders.files import EncoderFiles, find_encoder
from .loop import Tuned

LEAST_SAME = 0.97
"""Share of held-out rows for which 8 bits must give the same label. The one run that was measured,
on Banking77, gave 98 of 100."""
LEAST_EXACT = 0.99
"""The same for the export in single precision: else it is another model."""
MOST_CHECKED = 500
"""Held-out rows that are compared."""


@dataclass(frozen=True)
class Exported:
    """encoder: that answers, of files in a folder of its own
    bits:    8 or 32
    same:    share of `rows` for which 8 bits give the label that 32 bits give
    bytes_32: of the model in single precision
    """

    encoder: Encoder
    bits: int
    same: float
    rows: int
    bytes_32: int


def export(tuned: Tuned, files: EncoderFiles, folder: Path, texts: Sequence[str]) -> Exported:
    """Writes an encoder into an empty folder.

    files: of the model that was fine-tuned
    texts: the held-out ones, of which `tuned` has what torch says
    Raises TrainingError when ONNX Runtime answers otherwise than torch.
    """
    texts, theirs = texts[:MOST_CHECKED], tuned.held[:MOST_CHECKED].argmax(axis=1)
    model, small = folder / "model.onnx", folder / "small.onnx"
    _write_settings(files, folder)
    _to_onnx(tuned.model, model)
    whole = Encoder(find_encoder(str(folder)))
    ours = _labels(tuned, whole, texts)
    if (exact := _same(ours, theirs)) < LEAST_EXACT:
        raise TrainingError(
            f"Exported to ONNX, the model gives another label than torch does for {1 - exact:.0%} "
            "of the held-out rows, so it is not used: choose another encoder."
        )
    size = model.stat().st_size
    del whole
    _to_8_bits(model, small)
    single = model.rename(folder / "single.onnx")
    small.rename(model)
    encoder = Encoder(find_encoder(str(folder)))
    same = _same(ours, _labels(tuned, encoder, texts))
    bits = 8
    if same < LEAST_SAME:
        del encoder
        single.replace(model)
        encoder, bits = Encoder(find_encoder(str(folder))), 32
    single.unlink(missing_ok=True)
    return Exported(encoder, bits, same, len(texts), size)


def _write_settings(files: EncoderFiles, folder: Path) -> None:
    """As sentence-transformers writes them, so that the folder is an encoder like any other."""
    shutil.copyfile(files.tokenizer, folder / files.tokenizer.name)
    (folder / "1_Pooling").mkdir()
    pooling = {f"pooling_mode_{mode}_tokens": mode == files.pooling for mode in ("mean", "cls")}
    for name, said in {
        "1_Pooling/config.json": pooling,
        "sentence_bert_config.json": {"max_seq_length": files.max_tokens},
        "tokenizer_config.json": {"do_lower_case": files.lowercase},
    }.items():
        (folder / name).write_text(json.dumps(said), encoding="utf-8")


def _to_onnx(model: Any, path: Path) -> None:
    import onnx
    import torch

    class TokenVectors(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            read = self.model(input_ids=input_ids, attention_mask=attention_mask)
            return read.last_hidden_state

    ids = torch.ones((1, 6), dtype=torch.long)
    axes = {0: "texts", 1: "tokens"}
    with _quiet():
        torch.onnx.export(
            TokenVectors().eval(),
            (ids, torch.ones_like(ids)),
            str(path),
            input_names=["input_ids", "attention_mask"],
            output_names=["vectors"],
            dynamic_shapes={"input_ids": axes, "attention_mask": axes},
            external_data=False,
            dynamo=True,
        )
    found = onnx.load(path)
    for part in (found, found.graph, *found.graph.node):  # where each is in whose Python files
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.save(found, path)


def _to_8_bits(model: Path, path: Path) -> None:
    """With 7 of the 8 bits in use: processors without VNNI overflow else, so that a model that was
    right here would be wrong there."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            model, path, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """They say much about packages that they did not find, and nothing of use to who trains."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _labels(tuned: Tuned, encoder: Encoder, texts: Sequence[str]) -> Any:
    vectors = np.array([encoder.row(text) for text in texts])
    return (vectors @ tuned.weights + tuned.bias).argmax(axis=1)


def _same(some: Any, others: Any) -> float:
    return float((some == others).mean())
