"""How many tokens a text has in the vocabulary of the model that will read it.

Exact counts need that vocabulary, which tiktoken downloads on first use. A page, a SQL function or
a machine without network must not wait for it, so it is downloaded only when asked for, for a few
seconds at most. Until it is here counts are estimates, and say so.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.settings import OFFLINE
from .price_table import base_model

DEFAULT_MODEL = "gpt-4.1-mini"
"""The model that counts and estimates are for when none is named."""

DOWNLOAD_SECONDS = 8.0
"""The longest that a download may hold anyone up; one that failed is not tried again."""

SLICE = 10_000
"""Characters encoded at once: tiktoken's time can grow with the square of an unbroken run, and
its regular expressions fail on very long ones."""

O200K, CL100K = "o200k_base", "cl100k_base"

# The longest name that fits wins: gpt-4.1 before gpt-4. After tiktoken.model, which maps the
# fine-tuned forms of the newer models to the older vocabulary.
_ENCODINGS = {
    "gpt-4o": O200K, "chatgpt-4o": O200K, "gpt-4.1": O200K, "gpt-4.5": O200K, "gpt-5": O200K,
    "gpt-oss": O200K, "o1": O200K, "o3": O200K, "o4": O200K,
    "gpt-4": CL100K, "gpt-3.5": CL100K, "gpt-35": CL100K,
    "davinci-002": CL100K, "babbage-002": CL100K,
    "text-embedding-3": CL100K, "text-embedding-ada-002": CL100K,
}  # fmt: skip

_URL = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
_SHA256 = {
    O200K: "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    CL100K: "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}


@dataclass(frozen=True)
class Tokenizer:
    """Counts tokens as one model does, or nearly so.

    model:     the name it was asked for
    encoding:  the vocabulary that fits the model; None when the model is not known
    exact:     whether counts are the model's own
    note:      why they are an estimate, one sentence; None when they are exact
    """

    model: str
    encoding: str | None
    exact: bool
    note: str | None
    _vocabulary: Any = field(default=None, repr=False, compare=False)

    def count(self, text: str) -> int:
        """Tokens of `text` (0 for an empty one). Text that looks like a special token
        (`<|endoftext|>`) counts as the ordinary text it is."""
        if self._vocabulary is None:
            return _estimate(text, self.encoding or O200K)
        if len(text) <= SLICE:
            return len(self._vocabulary.encode_ordinary(text))
        return sum(len(self._vocabulary.encode_ordinary(part)) for part in slices(text))

    def encode(self, text: str) -> list[int] | None:
        """The model's own token ids of `text`; None when they are not known."""
        if not self.exact:
            return None
        return [token for part in slices(text) for token in self._vocabulary.encode_ordinary(part)]

    def split(self, text: str) -> list[bytes] | None:
        """`text` as the model's own tokens, in UTF-8: one may be a part of a character. None when
        they are not known."""
        tokens = self.encode(text)
        return None if tokens is None else self._vocabulary.decode_tokens_bytes(tokens)

    def first_token(self, text: str) -> int | None:
        """The id of the first token; None for an empty text, or when ids are not known."""
        tokens = self.encode(text[:SLICE])
        return tokens[0] if tokens else None

    def is_single(self, text: str) -> bool | None:
        """Whether `text` is one token, which makes its probability exact; None: not known."""
        tokens = self.encode(text)
        return None if tokens is None else len(tokens) == 1


def code_for(index: int) -> str:
    """The code of the label at `index` of its set: its number.

    The numbers 0 to 999 are one token each, without a space before them, in both o200k_base and
    cl100k_base; ` 6` is two.
    """
    return str(index)


def tokenizer_for(model: str | None = None, *, download: bool = False) -> Tokenizer:
    """A tokenizer for the model, or for DEFAULT_MODEL. Never raises.

    With `download` a vocabulary that is not in tiktoken's cache is fetched, in at most
    DOWNLOAD_SECONDS, once a process, and not when FTCLASSIFY_OFFLINE is set.
    """
    model = model or DEFAULT_MODEL
    encoding = encoding_of(model)
    vocabulary = _vocabulary(encoding or O200K, download)
    if encoding is None:
        note = f"The vocabulary of {model} is not known, so token counts are estimates"
        note += f" (with {O200K})." if vocabulary else "."
        return Tokenizer(model, None, False, note, vocabulary)
    if vocabulary is None:
        note = (
            f"The vocabulary {encoding} of {model} is not on this machine, so token counts are "
            "estimates."
        )
        return Tokenizer(model, encoding, False, note)
    return Tokenizer(model, encoding, True, None, vocabulary)


def encoding_of(model: str) -> str | None:
    """The name of the vocabulary that a model, or the model it was tuned from, uses."""
    name = base_model(model)
    fitting = [known for known in _ENCODINGS if name == known or _continues(name, known)]
    return _ENCODINGS[max(fitting, key=len)] if fitting else None


def _continues(name: str, known: str) -> bool:
    # gpt-5.1 is a gpt-5, but gpt-4.7 is not known to be a gpt-4.
    return name.startswith(known + "-") or (known == "gpt-5" and name.startswith("gpt-5."))


# Vocabularies in memory, and the encodings whose download failed in this process.
_loaded: dict[str, Any] = {}
_failed: set[str] = set()
_lock = threading.Lock()


def _vocabulary(encoding: str, download: bool) -> Any:
    with _lock:
        if encoding in _loaded:
            return _loaded[encoding]
        if not _is_cached(encoding) and not (download and _download(encoding)):
            return None
        try:
            import tiktoken

            _loaded[encoding] = tiktoken.get_encoding(encoding)
        except Exception:  # whatever tiktoken meets, an estimate is better than no page
            return None
        return _loaded[encoding]


def _cache_path(encoding: str) -> Path | None:
    """Where tiktoken looks for the vocabulary; None when its cache is turned off."""
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if variable in os.environ:
            folder = os.environ[variable]
            break
    else:
        folder = os.path.join(tempfile.gettempdir(), "data-gym-cache")
    name = hashlib.sha1(_URL.format(encoding).encode(), usedforsecurity=False).hexdigest()
    return Path(folder, name) if folder else None


def _is_cached(encoding: str) -> bool:
    # tiktoken deletes a file with another hash and downloads it again, without a time limit.
    path = _cache_path(encoding)
    try:
        return path is not None and _is_genuine(path.read_bytes(), encoding)
    except OSError:
        return False


def _is_genuine(data: bytes, encoding: str) -> bool:
    return hashlib.sha256(data).hexdigest() == _SHA256[encoding]


def _download(encoding: str) -> bool:
    if OFFLINE.of({}, os.environ) or encoding in _failed:
        return False
    # A thread of its own, because a time limit of requests starts anew with every packet.
    thread = threading.Thread(target=_fetch, args=(encoding,), daemon=True)
    thread.start()
    thread.join(DOWNLOAD_SECONDS)
    if _is_cached(encoding):
        return True
    _failed.add(encoding)
    return False


def _download_url(encoding: str) -> str:
    return _URL.format(encoding)


def _fetch(encoding: str) -> None:
    path = _cache_path(encoding)
    if path is None:
        return
    try:
        import requests

        response = requests.get(_download_url(encoding), timeout=(3, DOWNLOAD_SECONDS))
        if not _is_genuine(response.content, encoding):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.tmp")
        part.write_bytes(response.content)
        part.replace(path)
    except Exception:  # no network, no certificates, no place to write: the caller falls back
        return


def slices(text: str) -> Iterator[str]:
    """Parts of at most SLICE characters.

    Cut before a space that follows something else, where both vocabularies cut too, so that
    counts stay exact; a longer unbroken run is cut where it falls (a token or two too many).
    """
    start = 0
    while len(text) - start > SLICE:
        end = start + SLICE
        cut = text.rfind(" ", start + 1, end)
        while cut > start and text[cut - 1].isspace():
            cut = text.rfind(" ", start + 1, cut)
        start, part = (cut, text[start:cut]) if cut > start else (end, text[start:end])
        yield part
    yield text[start:]


# A joint or bracket before a word belongs to it, and line breaks to the signs before them.
_PIECE = re.compile(r"[_(\-]?[A-Za-z]+|[0-9]{1,3}|[!-/:-@\[-`{-~]+[\r\n]*|[\r\n]+")


# Ideographs, kana and syllables; emoji and rarer scripts; any other letter.
_OTHER = re.compile(
    r"([\u2e80-\ud7ff\uf900-\ufaff\uff00-\uffef]+)|([\U00010000-\U0010ffff]+)|([^\x00-\x7f\s])"
)


def _estimate(text: str, encoding: str) -> int:
    """Tokens without the vocabulary.

    A word of the Latin alphabet is a token, and one more for each nine letters beyond; so are
    three digits, a run of signs, or of line breaks; an ideograph or syllable is 0.8, another letter
    0.4, an emoji 2; other scripts need nearly twice as many in the older vocabulary. Measured
    against o200k_base: 6% too few to 5% too many on four English data sets of 3,000 rows each and
    on the system messages that list their labels; on lists of names and short messages in other
    languages from half as many to as many.
    """
    plain = sum(1 + (len(piece) - 1) // 9 for piece in _PIECE.findall(text))
    other = 0.0
    if not text.isascii():
        for wide, astral, letter in _OTHER.findall(text):
            other += 0.8 * len(wide) + 2 * len(astral) + (0.4 if letter else 0)
    return max(round(plain + other * (1.8 if encoding == CL100K else 1)), 1 if text else 0)
