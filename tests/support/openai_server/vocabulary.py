"""The tokens of the models: OpenAI's own vocabularies when bpe-openai carries them here."""

from __future__ import annotations

import gzip
import os
import re
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CACHED = {
    "o200k_base": "fb374d419588a4632f3f557e76b4b70aebbca790",
    "cl100k_base": "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
}
"""Names of the files in which tiktoken keeps vocabularies."""


class Vocabulary:
    """Splits texts into tokens; without OpenAI's vocabulary into words and three-digit numbers."""

    def __init__(self, encoding: Any) -> None:
        self._encoding = encoding
        self._ids: dict[bytes, int] = {}
        self._tokens: list[bytes] = []
        self._counts: dict[str, int] = {}

    def encode(self, text: str) -> list[int]:
        if self._encoding is not None:
            ids: list[int] = self._encoding.encode_ordinary(text)
            return ids
        return [self._id(piece.encode()) for piece in re.findall(r"\d{1,3}| ?[^\W\d]+|.|\n", text)]

    def count(self, text: str) -> int:
        return len(self.encode(text))

    def count_again(self, text: str) -> int:
        """As `count`, for a text that will come again, such as a system message."""
        if text not in self._counts:
            if len(self._counts) > 1_000:
                self._counts.clear()
            self._counts[text] = self.count(text)
        return self._counts[text]

    def token(self, id: int) -> bytes:
        if self._encoding is not None:
            token: bytes = self._encoding.decode_single_token_bytes(id)
            return token
        return self._tokens[id]

    def _id(self, piece: bytes) -> int:
        if piece not in self._ids:
            self._ids[piece] = len(self._tokens)
            self._tokens.append(piece)
        return self._ids[piece]


@cache
def vocabulary(name: str) -> Vocabulary:
    """The vocabulary `name`; never from the network."""
    return Vocabulary(_load(name))


def unpack(name: str, folder: Path) -> bool:
    """Puts a vocabulary into the folder as tiktoken keeps it; whether it was to be had."""
    spec = find_spec("bpe_openai")
    if spec is None or spec.origin is None:
        return False
    packed = Path(spec.origin).with_name("data") / f"{name}.tiktoken.gz"
    (folder / CACHED[name]).write_bytes(gzip.decompress(packed.read_bytes()))
    return True


def _load(name: str) -> Any:
    if find_spec("tiktoken") is None:
        return None
    import tiktoken

    earlier = os.environ.get("TIKTOKEN_CACHE_DIR")
    with tempfile.TemporaryDirectory() as folder:
        if not unpack(name, Path(folder)):
            return None
        os.environ["TIKTOKEN_CACHE_DIR"] = folder
        try:
            return tiktoken.get_encoding(name)
        finally:
            os.environ.pop("TIKTOKEN_CACHE_DIR")
            if earlier is not None:
                os.environ["TIKTOKEN_CACHE_DIR"] = earlier


def printable(token: bytes) -> str:
    """A token as the API spells it: escaped when its bytes are no whole characters."""
    try:
        return token.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token)
