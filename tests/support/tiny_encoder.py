"""A sentence encoder of a few kilobytes: a table of one vector per word, as an ONNX file with a
vocabulary, in the folders in which sentence-transformers exports one."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def write_encoder(
    folder: Path, vectors: Mapping[str, Sequence[float]], pooling: str = "mean_tokens"
) -> Path:
    """The folder, made. vectors: of lower-case words; all other words have the zero vector."""
    dimensions = len(next(iter(vectors.values())))
    rows = [[0.0] * dimensions] * len(SPECIAL) + [list(vector) for vector in vectors.values()]
    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(gather_model(rows))
    words = "\n".join([*SPECIAL, *vectors])
    (folder / "vocab.txt").write_text(words, encoding="utf-8")
    modes = {"pooling_mode_cls_token": False, f"pooling_mode_{pooling}": True}
    (folder / "1_Pooling/config.json").write_text(json.dumps(modes))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 64}')
    return folder


def write_static(folder: Path, vectors: Mapping[str, Sequence[float]]) -> Path:
    """The same as static vectors, as model2vec stores them."""
    import numpy as np
    from model2vec import StaticModel
    from tokenizers import Tokenizer, models, pre_tokenizers

    numbers = {word: number for number, word in enumerate(("[UNK]", *vectors))}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    rows = np.array([[0.0] * len(next(iter(vectors.values()))), *vectors.values()], np.float32)
    StaticModel(rows, tokenizer, normalize=True).save_pretrained(folder)
    return folder


def gather_model(rows: Sequence[Sequence[float]]) -> bytes:
    """An ONNX model: from input_ids (1, tokens) to the table's rows (1, tokens, dimensions)."""
    flat = [number for row in rows for number in row]
    table = b"".join(
        [
            *(_number(1, size) for size in (len(rows), len(rows[0]))),
            _number(2, 1),  # float32
            _text(8, "table"),
            _field(9, struct.pack(f"<{len(flat)}f", *flat)),
        ]
    )
    node = _text(1, "table") + _text(1, "input_ids") + _text(2, "vectors") + _text(4, "Gather")
    graph = b"".join(
        [
            _field(1, node),
            _text(2, "encoder"),
            _field(5, table),
            _field(11, _tensor("input_ids", 7, ["batch", "tokens"])),
            _field(12, _tensor("vectors", 1, ["batch", "tokens", len(rows[0])])),
        ]
    )
    return _number(1, 8) + _field(7, graph) + _field(8, _number(2, 13))


def _tensor(name: str, kind: int, shape: Sequence[str | int]) -> bytes:
    sizes = b"".join(
        _field(1, _number(1, size) if isinstance(size, int) else _text(2, size)) for size in shape
    )
    return _text(1, name) + _field(2, _field(1, _number(1, kind) + _field(2, sizes)))


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def write_weights(folder: Path, words: Sequence[str]) -> Path:
    """A BERT of two layers and random weights, as the Hugging Face hub has models. Needs torch."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(words), hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=32, max_position_embeddings=64,
        initializer_range=0.3,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *words]), encoding="utf-8")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 32}')
    return folder
