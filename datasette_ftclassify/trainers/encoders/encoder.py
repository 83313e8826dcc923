"""A sentence encoder, loaded: from a text to a vector, with ONNX Runtime and `tokenizers`.

Texts are encoded one by one, so that a vector depends on nothing but its text, and rounded to half
precision, so that a vector that was kept is the one that is computed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ...core.distribution import DISTRIBUTION
from ...core.errors import TrainingError
from ..local.features import MAX_CHARACTERS, FloatArray
from .files import EncoderFiles, shown

MISSING = (
    "Sentence encoders need ONNX Runtime and a tokenizer. "
    f"Run: pip install '{DISTRIBUTION}[encoder]'"
)
MAX_DIMENSIONS = 4_096
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Encoder:
    """Reads the files of one encoder. Safe to use from several threads.

    digest:     SHA-256 of the files and of how they are used: two encoders with one give the same
                vectors
    dimensions: of a vector
    Raises TrainingError when the files are no such encoder, or a package is missing.
    """

    def __init__(self, files: EncoderFiles, digest: str | None = None) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise TrainingError(MISSING) from None
        self.files = files
        self.digest = digest or digest_of(files)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # what it warns of is about speed
        self._tokenizer = tokenizer_of(files)
        try:
            self._session = onnxruntime.InferenceSession(
                str(files.model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise _unreadable(files, files.model, error) from error
        self._inputs = [each.name for each in self._session.get_inputs()]
        if other := sorted(set(self._inputs) - set(_INPUTS)):
            raise TrainingError(f"{shown(files.name)} wants {other[0]}, which is not supported.")
        self.dimensions = len(self.row("a"))

    def row(self, text: str) -> FloatArray:
        """The vector of a text, of length 1, in half precision, shape (dimensions,). Raises
        TrainingError when the model cannot be run, as one whose tokenizer is another's."""
        whole = text[:MAX_CHARACTERS]
        if not whole.isascii():
            whole = whole.encode("utf-8", "replace").decode("utf-8")
        read = self._tokenizer.encode(whole)
        given = {
            "input_ids": read.ids, "attention_mask": [1] * len(read.ids),
            "token_type_ids": read.type_ids,
        }  # fmt: skip
        fed = {name: np.array([given[name]], dtype=np.int64) for name in self._inputs}
        try:
            found = np.asarray(self._session.run(None, fed)[0], dtype=np.float32)
        except Exception as error:
            raise TrainingError(
                f"{shown(self.files.name)} cannot encode a text: {error}"
            ) from error
        return self._pooled(found)

    def _pooled(self, found: FloatArray) -> FloatArray:
        if found.ndim == 3:
            tokens = found[0]
            vector = tokens[0] if self.files.pooling == "cls" else tokens.mean(axis=0)
        else:  # an export that pools by itself
            vector = found.reshape(-1)
        if not 1 <= len(vector) <= MAX_DIMENSIONS or not np.isfinite(vector).all():
            raise TrainingError(
                f"{shown(self.files.name)} gives no vector of finite numbers for a text."
            )
        length = float(np.sqrt(np.add.reduce(vector * vector)))
        scaled = vector / length if length > 0 else vector
        return np.asarray(scaled, dtype=np.float16).astype(np.float32)


def digest_of(files: EncoderFiles) -> str:
    """See `Encoder.digest`. Raises TrainingError for files that cannot be read."""
    digest = sha256()
    used = [files.pooling, files.max_tokens, files.lowercase]
    digest.update(json.dumps(used).encode())
    try:
        for path in files.parts:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    except OSError as error:
        raise TrainingError(f"{path.name} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def tokenizer_of(files: EncoderFiles) -> Any:
    """It cuts texts at the encoder's limit, and fills up nothing. Raises TrainingError for files
    that have none, or without the package."""
    try:
        import tokenizers
    except ImportError:
        raise TrainingError(MISSING) from None
    path = files.tokenizer
    try:
        if path.suffix == ".json":
            found = tokenizers.Tokenizer.from_file(str(path))
        else:
            found = _of_vocabulary(tokenizers, path, files.lowercase)
        found.no_padding()
        found.enable_truncation(files.max_tokens)
    except Exception as error:
        raise _unreadable(files, path, error) from error
    return found


def _unreadable(files: EncoderFiles, path: Path, error: Exception) -> TrainingError:
    why = str(error).replace(str(path), path.name)
    return TrainingError(f"{shown(files.name)} is not an encoder that can be read: {why}")


def _of_vocabulary(tokenizers: Any, path: Path, lowercase: bool) -> Any:
    """That of a BERT, which has a token a line."""
    numbers: Mapping[str, int] = {
        token: number for number, token in enumerate(path.read_text(encoding="utf-8").splitlines())
    }
    missing = [token for token in ("[UNK]", "[CLS]", "[SEP]") if token not in numbers]
    if missing:
        raise ValueError(f"its vocabulary has no {missing[0]}")
    model = tokenizers.models.WordPiece(dict(numbers), unk_token="[UNK]")
    found = tokenizers.Tokenizer(model)
    found.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lowercase)
    found.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    ends = [(token, numbers[token]) for token in ("[SEP]", "[CLS]")]
    found.post_processor = tokenizers.processors.BertProcessing(*ends)
    return found
