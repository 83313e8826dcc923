"""The vectors of texts that were encoded on this machine, kept so that each is computed once.

A SQLite file of this installation beside the ledger, not in the user's database, which would grow
by a kilobyte a row. It also knows which encoders a person used here, by the hash of their files.
It can be deleted at any time: what is missing is computed again. A text is in it as a hash alone,
but a vector tells what its text is about, so the file is readable by its owner alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from ...core.data_folder import data_folder, open_own
from ...core.errors import FtclassifyError
from ...core.settings import LEDGER, VECTORS
from ...core.sqlite_errors import SQLITE_ERRORS
from ..local.features import FloatArray

MOST_BYTES = 1_000_000_000
"""Of the file: 1.2 million vectors of 384 numbers. What was not used for longest goes first."""
_ROW_BYTES = 60

_APPLICATION = 0x66744C76
"""SQLite's application_id, so that no other database is taken for one."""
_AT_ONCE = 500
_DROPPED = 20_000
_DAY = 86_400
_TABLES = (
    """
    create table encoders (
        id integer primary key,
        digest text not null unique,
        name text not null,
        dimensions integer not null,
        bytes integer not null,
        licence text,
        revision text,
        used_at real not null
    )
    """,
    """
    create table vectors (
        encoder integer not null references encoders (id),
        text blob not null,
        vector blob not null,
        used_on integer not null
    )
    """,
    "create unique index vectors_by_text on vectors (encoder, text)",
    "create index vectors_by_day on vectors (used_on)",
)


_COLUMNS = "digest, name, dimensions, bytes, licence, revision, used_at"


class VectorStoreError(FtclassifyError):
    """The file of vectors cannot be read or written."""


@dataclass(frozen=True)
class KnownEncoder:
    """An encoder that was used on this machine.

    digest:   as of `Encoder`
    name:     as it was named, folders from the root on
    dimensions: of a vector; 0: not known before it is used again
    bytes:    of its files; 0: it has none here, it is a model at a service
    vectors:  that are kept
    used_at:  seconds since 1970
    """

    digest: str
    name: str
    dimensions: int
    bytes: int
    licence: str | None
    revision: str | None
    used_at: float
    vectors: int = 0

    @property
    def kept_bytes(self) -> int:
        """That its vectors take, about."""
        return self.vectors * vector_bytes(self.dimensions)


def store_path() -> Path:
    """FTCLASSIFY_VECTORS, else vectors.db beside the ledger."""
    if named := VECTORS.of({}, os.environ):
        return Path(named).expanduser()
    ledger = LEDGER.of({}, os.environ)
    folder = Path(ledger).expanduser().parent if ledger else data_folder()
    return folder / "vectors.db"


def vector_bytes(dimensions: int) -> int:
    """That a vector takes, about, with what it is found by."""
    return 2 * dimensions + _ROW_BYTES


def text_key(text: str) -> bytes:
    """By which a text's vector is found."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class VectorStore:
    """The file, opened for one thread. Raises VectorStoreError.

    create: False: raises FileNotFoundError where there is none
    """

    def __init__(self, *, create: bool = True) -> None:
        self.path = store_path()
        if not create and not self.path.exists():
            raise FileNotFoundError(self.path)
        other = (
            f"{self.path} is a database of something else: set {VECTORS.variable} to a file of its "
            "own."
        )
        with self._explained():
            self._conn = open_own(self.path, _APPLICATION, (_TABLES,), VectorStoreError(other))

    def close(self) -> None:
        self._conn.close()

    def note(self, known: KnownEncoder) -> None:
        """That the encoder is used here, and as what it was named."""
        with self._explained():
            self._conn.execute(
                f"insert into encoders ({_COLUMNS})"
                " values (?, ?, ?, ?, ?, ?, ?) on conflict (digest) do update set "
                "name = excluded.name, licence = excluded.licence, revision = excluded.revision, "
                "used_at = excluded.used_at",
                [
                    known.digest, known.name, known.dimensions, known.bytes, known.licence,
                    known.revision, known.used_at,
                ],
            )  # fmt: skip

    def encoders(self) -> list[KnownEncoder]:
        """Those that were used here, the latest first."""
        count = "(select count(*) from vectors where encoder = encoders.id)"
        with self._explained():
            rows = self._conn.execute(
                f"select {_COLUMNS}, {count} from encoders order by used_at desc, id"
            )
            return [KnownEncoder(*row) for row in rows.fetchall()]

    def find(self, digest: str) -> KnownEncoder | None:
        with self._explained():
            sql = f"select {_COLUMNS} from encoders where digest = ?"
            row = self._conn.execute(sql, [digest]).fetchone()
        return None if row is None else KnownEncoder(*row)

    def forget(self, digest: str) -> None:
        """Deletes an encoder's vectors, and that it was used here, and makes the file smaller,
        which takes as long as copying it."""
        with self._explained():
            with self._writing():
                self._conn.execute(f"delete from vectors where encoder = {_NUMBER}", [digest])
                self._conn.execute("delete from encoders where digest = ?", [digest])
            self._conn.execute("vacuum")

    def read(self, digest: str, keys: Sequence[bytes], dimensions: int) -> dict[bytes, FloatArray]:
        """The vectors that are kept, by the texts' keys."""
        found: dict[bytes, FloatArray] = {}
        today = int(time.time()) // _DAY
        with self._explained():
            for start in range(0, len(keys), _AT_ONCE):
                part = list(keys[start : start + _AT_ONCE])
                marks = ", ".join("?" * len(part))
                rows = self._conn.execute(
                    "select rowid, text, vector, used_on from vectors "
                    f"where encoder = {_NUMBER} and text in ({marks})",
                    [digest, *part],
                ).fetchall()
                for _, key, blob, _ in rows:
                    if len(blob) == 2 * dimensions:
                        found[key] = np.frombuffer(blob, dtype="<f2").astype(np.float32)
                self._touch([row for row, _, _, used in rows if used != today], today)
        return found

    def add(self, digest: str, vectors: Sequence[tuple[bytes, FloatArray]]) -> None:
        """Keeps them, in one transaction."""
        today = int(time.time()) // _DAY
        with self._explained(), self._writing():
            self._conn.executemany(
                "insert or replace into vectors (encoder, text, vector, used_on) "
                f"values ({_NUMBER}, ?, ?, ?)",
                [(digest, key, vector.astype("<f2").tobytes(), today) for key, vector in vectors],
            )

    def make_room(self, most: int = MOST_BYTES) -> None:
        """Drops what was not used for longest, until the file has at most so many bytes in use."""
        with self._explained():
            while self._used_bytes() > most:
                with self._writing():
                    gone = self._conn.execute(
                        "delete from vectors where rowid in "
                        f"(select rowid from vectors order by used_on, rowid limit {_DROPPED})"
                    )
                if not gone.rowcount:
                    return

    def _used_bytes(self) -> int:
        names = ("page_count", "freelist_count", "page_size")
        pages, free, size = (self._conn.execute(f"pragma {n}").fetchone()[0] for n in names)
        return int((pages - free) * size)

    def _touch(self, rows: Sequence[int], today: int) -> None:
        if rows:
            with self._writing():
                self._conn.executemany(
                    "update vectors set used_on = ? where rowid = ?", [(today, row) for row in rows]
                )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._conn.execute("begin immediate")
        with self._conn:
            yield

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (*SQLITE_ERRORS, OSError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise VectorStoreError(
                f"The file of vectors {self.path} cannot be used: {why}."
            ) from error


_NUMBER = "(select id from encoders where digest = ?)"


@contextmanager
def opened_store(*, create: bool = True) -> Iterator[VectorStore]:
    """Raises as `VectorStore` does."""
    with closing(VectorStore(create=create)) as store:
        yield store
