"""Where the files of a sentence encoder are. Nothing is downloaded from here.

An encoder is named by a person at this machine: a folder, an installed package that carries
weights, or a model in the Hugging Face cache. A database file never names one: what it says of an
encoder is the hash of its files, see `known`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from ...core.errors import TrainingError
from ...core.untrusted_json import JsonObject

Pooling = Literal["mean", "cls"]
Form = Literal["onnx", "weights", "static"]
"""Of a model: to be run, to be fine-tuned, or one of model2vec, a vector for each token."""

MAX_TOKENS = 512
"""Of one text, as most encoders have it; a model's own limit is kept where it is lower."""
_USUAL_TOKENS = 256
WEIGHTS = "model.safetensors"
_MODELS = ("model.onnx", "onnx/model.onnx")
_TOKENIZERS = ("tokenizer.json", "vocab.txt")
_MODULES = ("Transformer", "Pooling", "Normalize", "StaticEmbedding")
_MAX_JSON = 50_000_000


@dataclass(frozen=True)
class EncoderFiles:
    """The parts of one encoder.

    names:      as it was named: one, or that of the model and that of the tokenizer
    model:      the ONNX file, or the weights
    tokenizer:  tokenizer.json, or the vocabulary of a BERT
    pooling:    how the vectors of a text's tokens become one: their mean, or the first one
    max_tokens: of one text; what follows is not read
    lowercase:  whether a vocabulary is of lower-case words
    licence, revision: what the package or the hub says of it; None: nothing
    """

    names: tuple[str, ...]
    model: Path
    tokenizer: Path
    pooling: Pooling
    max_tokens: int
    lowercase: bool
    licence: str | None = None
    revision: str | None = None

    @property
    def name(self) -> str:
        return "+".join(self.names)

    @property
    def title(self) -> str:
        """For people and other machines: without the folders that it is in."""
        return self.title_in(0)

    def title_in(self, folders: int) -> str:
        """The same with the last of the folders that it is in, so many at most."""
        ends = ("/".join(Path(name).parts[-1 - folders :]) for name in self.names)
        return re.sub(r"[^\w.+ /-]", "_", "+".join(ends))[-200:]

    @property
    def parts(self) -> list[Path]:
        """All files that its vectors depend on; large models keep their weights in a second one."""
        more = (self.model.with_name(self.model.name + end) for end in ("_data", ".data"))
        return [self.model, *(path for path in more if path.is_file()), self.tokenizer]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(path.stat().st_size for path in self.parts)


def shown(name: str) -> str:
    """The name of an encoder in a message, which visitors of a page may read: without the folders
    that lead to it on this machine."""
    parts = ((part, Path(part).expanduser()) for part in name.split("+"))
    return "+".join(path.name if path.is_absolute() else part for part, path in parts)


def find_encoder(name: str, form: Form = "onnx") -> EncoderFiles:
    """The files of a named encoder.

    name: a folder with an ONNX export as sentence-transformers has it, or one ONNX file; an
          installed package with such files; a model of the Hugging Face cache. Where the tokenizer
          is somewhere else, two such names with a plus sign between them.
    form: other than "onnx": its weights, in the place of the ONNX file
    Raises TrainingError, with what is missing.
    """
    names: tuple[str, ...] = (name,)
    places = [_place(name)]
    if places == [None] and "+" in name:
        first, _, second = name.partition("+")
        names = (first, second)
        places = [_place(first), _place(second)]
    if not all(places):
        missing = shown(names[places.index(None)])
        raise TrainingError(
            f"There is no sentence encoder {missing!r}: no folder, no installed package and no "
            "model in the Hugging Face cache has that name. Models are not downloaded silently: "
            "name a folder, or download the encoder first."
        )
    name = shown(name)
    found = [place for place in places if place]
    folders = [folder for place in found for folder in place.folders]
    modules = _modules(folders)
    model_type = _settings(found[0].folders, "config.json").get("model_type")
    static = model_type == "model2vec" or "StaticEmbedding" in modules
    if static and form != "static":
        raise TrainingError(f"{name} is a static embedding model, and no sentence encoder.")
    if form == "static" and not static:
        raise TrainingError(f"{name} is not a static embedding model of model2vec.")
    model = found[0].model
    if form != "onnx" or model is None:
        model = (_model_in if form == "onnx" else _weights_in)(name, found[0].folders)
    tokenizer = _first(folders, _TOKENIZERS)
    if tokenizer is None:
        raise TrainingError(
            f"{name} has a model, but no tokenizer.json or vocab.txt. Name the folder or package "
            f"that has one behind a plus sign: {shown(names[0])}+FOLDER"
        )
    if other := next((kind for kind in modules if kind not in _MODULES), None):
        raise TrainingError(
            f"{name} has a module {other}, which is not supported: choose a sentence encoder of "
            "transformer and pooling alone, such as all-MiniLM-L6-v2 or bge-small."
        )
    cased = _settings(folders, "tokenizer_config.json")
    return EncoderFiles(
        names,
        model,
        tokenizer,
        _pooling(name, _settings(folders, "1_Pooling/config.json")),
        _max_tokens(_settings(folders, "sentence_bert_config.json"), cased),
        cased.get("do_lower_case") is not False,
        found[0].licence,
        found[0].revision,
    )


@dataclass(frozen=True)
class _Place:
    folders: Sequence[Path]
    model: Path | None = None
    licence: str | None = None
    revision: str | None = None


def _place(name: str) -> _Place | None:
    path = Path(name).expanduser()
    if not name.strip():
        return None
    if path.is_file() and path.suffix == ".onnx":
        return _Place([path.parent, path.parent.parent], path)
    if path.is_dir():
        return _Place([path], None, _licence(path / "README.md"))
    return _package(name) or _cached(name)


def _package(name: str) -> _Place | None:
    """An installed package; none of its code is run."""
    try:
        package = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None
    known = (Path(str(package.locate_file(file))) for file in package.files or ())
    wanted = {"model.onnx", *_TOKENIZERS, "modules.json"}
    folders = {
        path.parent.parent if path.parent.name == "onnx" else path.parent: None
        for path in known
        if path.name in wanted or path.suffix == ".onnx"
    }
    said = package.metadata.json
    licence = str(said.get("license_expression") or said.get("license") or "")
    return _Place(
        list(folders),
        None,
        licence.partition("\n")[0][:100] or None,
        f"{said['name']} {package.version}",
    )


def _cached(name: str) -> _Place | None:
    """A model of the hub that was downloaded before, or the parts of one that are needed here."""
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return None
    for file in (*_MODELS, *_TOKENIZERS, WEIGHTS, "README.md"):
        try:
            found = try_to_load_from_cache(name, file)
        except (HFValidationError, OSError, ValueError):
            return None
        if isinstance(found, str):
            folder = Path(found).parents[file.count("/")]
            return _Place([folder], None, _licence(folder / "README.md"), folder.name)
    return None


def _licence(card: Path) -> str | None:
    """As the first lines of a model's card say it."""
    try:
        with card.open(encoding="utf-8", errors="replace") as lines:
            for line, _ in zip(lines, range(60), strict=False):
                if line.startswith("license:"):
                    return line.partition(":")[2].strip() or None
    except OSError:
        pass
    return None


def _model_in(name: str, folders: Sequence[Path]) -> Path:
    usual = _first(folders, _MODELS)
    if usual is not None:
        return usual
    found = sorted(
        path
        for folder in folders
        for inner in (folder, folder / "onnx")
        for path in inner.glob("*.onnx")
    )
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found[:5])
        raise TrainingError(f"{name} has several models ({names}): name one of these files.")
    raise TrainingError(
        f"{name} has no model.onnx: an encoder is read in the form that ONNX Runtime runs. Models "
        "of sentence-transformers often have one in their folder onnx, or can be exported."
    )


def _weights_in(name: str, folders: Sequence[Path]) -> Path:
    """Arrays alone, and not a pickle, beside what says how they are put together."""
    found = _first(folders, [WEIGHTS])
    if found is None or not found.with_name("config.json").is_file():
        raise TrainingError(
            f"{name} has no {WEIGHTS} with a config.json, so it cannot be fine-tuned: name the "
            "folder of a model as the Hugging Face hub has it, such as all-MiniLM-L6-v2.",
            fields=("encoder",),
        )
    return found


def _first(folders: Sequence[Path], names: Sequence[str]) -> Path | None:
    paths = (folder / name for folder in folders for name in names)
    return next((path for path in paths if path.is_file()), None)


def _settings(folders: Sequence[Path], name: str) -> JsonObject:
    """A JSON object, or {"": …} for what is none; empty where the file is not there."""
    path = _first(folders, [name])
    if path is None or path.stat().st_size > _MAX_JSON:
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise TrainingError(f"{path.name} is not JSON.") from None
    return data if isinstance(data, dict) else {"": data}


def _modules(folders: Sequence[Path]) -> list[str]:
    """The kinds of modules that sentence-transformers would make of the files."""
    listed = _settings(folders, "modules.json").get("") or []
    return [str(each.get("type")).rpartition(".")[2] for each in listed if isinstance(each, dict)]


def _pooling(name: str, said: JsonObject) -> Pooling:
    chosen = {key for key, value in _pooling_modes(said) if value}
    if chosen <= {"mean"}:
        return "mean"
    if chosen == {"cls"}:
        return "cls"
    raise TrainingError(f"{name} pools by {', '.join(sorted(chosen))}, which is not supported.")


def _pooling_modes(said: JsonObject) -> Iterator[tuple[str, object]]:
    if isinstance(said.get("pooling_mode"), str):
        yield said["pooling_mode"], True
    for key, value in said.items():
        if key.startswith("pooling_mode_"):
            yield key.removeprefix("pooling_mode_").partition("_tok")[0], value


def _max_tokens(said: JsonObject, tokenizer: JsonObject) -> int:
    for value in (said.get("max_seq_length"), tokenizer.get("model_max_length")):
        if isinstance(value, int) and value >= 8:
            return min(value, MAX_TOKENS)
    return _USUAL_TOKENS
