"""Downloading a sentence encoder from the Hugging Face hub, when a person asks for just that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ...core.errors import TrainingError
from .encoder import MISSING
from .files import WEIGHTS

_MODELS = ("onnx/model.onnx", "model.onnx")
_TOKENIZERS = ("tokenizer.json", "vocab.txt")
_SETTINGS = (
    "1_Pooling/config.json", "README.md", "modules.json", "sentence_bert_config.json",
    "tokenizer_config.json",
)  # fmt: skip


@dataclass(frozen=True)
class EncoderDownload:
    """What would be downloaded.

    name:     at the hub, such as sentence-transformers/all-MiniLM-L6-v2
    revision: the commit
    licence:  as the model's card names it; None: it does not
    files:    their names
    bytes:    of all of them
    """

    name: str
    revision: str
    licence: str | None
    files: tuple[str, ...]
    bytes: int


def plan_download(
    name: str, endpoint: str | None = None, *, weights: bool = False
) -> EncoderDownload:
    """Asks the hub about a model, and downloads nothing.

    endpoint: address of the hub; None: that of huggingface_hub
    weights:  what is fine-tuned, in the place of the ONNX model
    Raises TrainingError when there is none, or it has no such model or tokenizer.
    """
    with _explained(name):
        from huggingface_hub import HfApi

        found = HfApi(endpoint=endpoint).model_info(name, files_metadata=True, timeout=30)
    sizes = {file.rfilename: file.size or 0 for file in found.siblings or ()}
    models = (WEIGHTS,) if weights else _MODELS
    model, tokenizer = _one_of(models, sizes), _one_of(_TOKENIZERS, sizes)
    if model is None or tokenizer is None:
        missing = models[-1] if model is None else "tokenizer.json or vocab.txt"
        other = "one that has it" if weights else "a model that was exported to ONNX"
        raise TrainingError(
            f"{name} has no {missing} at the hub, so it cannot be used as it is: choose {other}."
        )
    data = [f"{model}{end}" for end in ("_data", ".data")]
    files = [
        file
        for file in (model, *data, tokenizer, *(["config.json"] if weights else []), *_SETTINGS)
        if file in sizes
    ]
    licences = (tag for tag in found.tags or () if tag.startswith("license:"))
    licence = next((tag.partition(":")[2] for tag in licences), None)
    size = sum(sizes[file] for file in files)
    return EncoderDownload(name, str(found.sha), licence, tuple(files), size)


def download(planned: EncoderDownload, endpoint: str | None = None) -> None:
    """Into the Hugging Face cache, from where it goes by its name. What was there stays as it is.

    Raises TrainingError when it fails, or the hub has another revision by now.
    """
    with _explained(planned.name):
        from huggingface_hub import snapshot_download

        folder = snapshot_download(
            planned.name, allow_patterns=list(planned.files), endpoint=endpoint
        )
    if planned.revision not in folder:
        raise TrainingError(f"{planned.name} has changed at the hub meanwhile: try again.")


def _one_of(names: Sequence[str], sizes: dict[str, int]) -> str | None:
    return next((name for name in names if name in sizes), None)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise TrainingError(MISSING) from None
    except Exception as error:  # of its HTTP client, which has been another one before
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise TrainingError(f"{name} cannot be had from the hub: {why}") from error
