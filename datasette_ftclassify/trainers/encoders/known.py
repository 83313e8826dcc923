"""Which encoders, and static vectors, this machine has, by the hash of their files.

A classifier says by a hash which encoder it needs. What it means here was said by a person: an
encoder that was trained with on this machine, or one that the operator's settings name. So a
database file reaches no file of this machine, and another model under the same name is not taken
for the right one.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from ...core.distribution import DISTRIBUTION
from ...core.errors import AccessError, TrainingError
from .allowed import allowed_encoders
from .encoder import Encoder, digest_of
from .files import EncoderFiles, Form, find_encoder, shown
from .made_here import all_places, is_made_here, place_of, size_of
from .vector_store import KnownEncoder, VectorStoreError, opened_store

MAX_LOADED = 2
"""Encoders kept in memory at once: each takes as much as its file."""

_MOST_FOLDERS = 10

_loaded: OrderedDict[str, Encoder] = OrderedDict()
_lock, _loading = threading.Lock(), threading.Lock()


def use_encoder(name: str) -> Encoder:
    """An encoder that a person named, which classifiers of files may then use on this machine.
    Raises TrainingError."""
    files = find_named(name)
    encoder = _load(files, digest_of(files))
    try:
        note_use(files, encoder.digest, encoder.dimensions)
    except VectorStoreError as error:
        raise TrainingError(
            f"{error} It keeps which encoders are used here, so none can be used without it."
        ) from error
    return encoder


def note_use(files: EncoderFiles, digest: str, dimensions: int) -> None:
    """That a person named a model on this machine. Raises VectorStoreError."""
    name = from_root(files.name)
    about = (files.size, files.licence, files.revision, time.time())
    with opened_store() as store:
        store.note(KnownEncoder(digest, name, dimensions, *about))


def usual_encoder() -> str | None:
    """The name of the one that is meant where none is named: of those that can be used the first
    of the settings, else the one that was used last on this machine; None: none is known."""
    names = [files.name for files in offered_encoders().values()]
    return next(iter(names or allowed_encoders()), None)


def find_named(name: str, form: Form = "onnx") -> EncoderFiles:
    """The files of an encoder by one of the titles of `offered_encoders`, else as `find_encoder`
    takes its name. Raises TrainingError."""
    return offered_encoders(form).get(name) or find_encoder(name, form)


def offered_encoders(form: Form = "onnx") -> dict[str, EncoderFiles]:
    """By title those that people of this machine named, in the settings, or with a training or
    `encoders add`: a page may train with these. Without those that cannot be used."""
    names = allowed_encoders()
    with suppress(VectorStoreError):
        names += [one.name for one in encoders_here() if one.bytes and not is_made_here(one.digest)]
    found: dict[tuple[object, ...], EncoderFiles] = {}
    runs = {"onnx": "onnxruntime", "static": "model2vec"}
    if form in runs and find_spec(runs[form]) is None:
        return {}
    for name in names:
        with suppress(TrainingError):
            files = find_encoder(name, form)
            found.setdefault((files.title, *files.parts), files)
    return {_told_apart(files, found.values()): files for files in found.values()}


def _told_apart(files: EncoderFiles, all_: Iterable[EncoderFiles]) -> str:
    """Its title, with a folder before it where another one of them has the same, or with more."""
    others = [other for other in all_ if other is not files]
    titles = map(files.title_in, range(_MOST_FOLDERS))
    return next(
        (title for n, title in enumerate(titles) if title not in [o.title_in(n) for o in others]),
        files.title,
    )


def named_here(name: str) -> bool:
    """Whether a person on this machine named that model in these words, or in those that a training
    keeps of them (`from_root`). Looks at no file that `name` may lead to: it may come from a
    database file."""
    said = [word for allowed in allowed_encoders() for word in (allowed, from_root(allowed))]
    with suppress(VectorStoreError):
        said += [one.name for one in encoders_here()]
    return name in said


def encoders_here() -> list[KnownEncoder]:
    """Those that were used on this machine, the latest first, and those that were fine-tuned here
    of which the file of vectors knows nothing, since it was deleted. Raises VectorStoreError."""
    noted: list[KnownEncoder] = []
    with suppress(FileNotFoundError), opened_store(create=False) as store:
        noted = store.encoders()
    known = {one.digest for one in noted}
    others = ((place.name, place) for place in all_places() if place.name not in known)
    return noted + [
        KnownEncoder(digest, str(place), 0, size_of(digest), None, None, place.stat().st_mtime)
        for digest, place in others
    ]


def needed_encoder(digest: str, name: str) -> Encoder:
    """The encoder with that hash. name: as whoever trained with it called it, for messages alone.

    Raises AccessError when this machine does not have it, or cannot run it.
    """
    with _lock:
        found = _loaded.get(digest)
    if found is not None:
        return found
    needs = f"This classifier needs the sentence encoder {shown(name)} (SHA-256 {digest[:12]}…)"
    problem = (
        f"which is not known on this machine. Install {DISTRIBUTION}[encoder] and the "
        "encoder, and name it in the setting encoder of datasette-ftclassify, or in "
        "FTCLASSIFY_ENCODER."
    )
    for here in _named_here(digest):
        try:
            files = find_encoder(here)
            if digest_of(files) == digest:
                return _load(files, digest)
            problem = f"but {shown(here)} has other files: put those of then back, or train again."
        except TrainingError as error:
            problem = f"which cannot be used here. {error}"
    raise AccessError(f"{needs}, {problem}")


def _named_here(digest: str) -> list[str]:
    """Names of encoders that a person gave: with a training, or in the settings; and the folder of
    one that was made here."""
    found = allowed_encoders()
    if is_made_here(digest):
        found.insert(0, str(place_of(digest)))
    try:
        with opened_store(create=False) as store:
            noted = store.find(digest)
            if noted is not None and noted.bytes:
                found.insert(0, noted.name)
    except (FileNotFoundError, VectorStoreError):
        pass
    return found


def _load(files: EncoderFiles, digest: str) -> Encoder:
    with _loading:  # each once, whoever else wants it
        found = _loaded.get(digest)
        if found is None or found.files != files:  # the same may have been named otherwise before
            found = Encoder(files, digest)
        with _lock:
            _loaded[digest] = found
            _loaded.move_to_end(digest)
            while len(_loaded) > MAX_LOADED:
                _loaded.popitem(last=False)
    return found


def from_root(name: str) -> str:
    """A name as it is understood in every folder."""
    path = Path(name).expanduser()
    if path.exists():
        return str(path.resolve())
    first, plus, second = name.partition("+")
    return f"{from_root(first)}+{from_root(second)}" if plus else name
