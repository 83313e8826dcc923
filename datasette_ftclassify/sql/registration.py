"""Python functions in SQL that read any text, of any length, and end a query as SQLite does.

sqlite3's own create_function decodes a TEXT argument before the function is called. One cell that
is not UTF-8 then ends the whole query ("user-defined function raised exception"), and a text of a
gigabyte is copied whole. So the functions are registered with SQLite itself, through ctypes, where
SQLite proves at run time that this is safe: a probe that it calls whenever a connection is opened
(sqlite3_auto_extension) is called for one that Python opens, so the library is the one that Python
uses, and with the address that was expected, so connections are laid out as thought. Nothing is
read from any address before. Without that proof (another build, another Python), create_function
is used, and of the two differences the first remains: a cell that is not UTF-8 ends the query.
"""

from __future__ import annotations

import ctypes
import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..core.database import NotUtf8
from .query_limit import QueryStopped

Scalar = str | int | float | None

_UTF8, _INTERRUPT = 1, 9
_INTEGER, _FLOAT, _TEXT, _BLOB = 1, 2, 3, 4
_COPY_IT = ctypes.c_void_p(-1)  # SQLITE_TRANSIENT
_INT64 = range(-(2**63), 2**63)


class CutText(str):
    """The beginning of a text that is longer than the function reads."""

    __slots__ = ()


def create_function(
    conn: sqlite3.Connection, name: str, count: int, function: Callable[..., Scalar], longest: int
) -> None:
    """Registers a function of `count` arguments.

    It gets a text as str, what is not UTF-8 in it replaced as everywhere else, and a CutText of
    one that has more than `longest` bytes; of a BLOB it gets an empty one. When it raises
    QueryStopped the query ends as interrupted; whatever else it raises makes it answer NULL.
    """
    library = _library() if isinstance(conn, sqlite3.Connection) else None
    if library is None or not library.register(conn, name, count, function, longest):
        conn.create_function(name, count, _plain(Borrowed(conn), function, longest))


class Borrowed:
    """A connection that is not kept alive.

    SQLite keeps a function as long as its connection; a function that in turn kept the Python
    connection would make both immortal, beyond the reach of the garbage collector, and leak a file
    handle for every connection that is dropped without close(). sqlite3.Connection has no weak
    references. A function only ever runs while a statement of its own connection does, so the
    object is alive whenever it is looked up here.
    """

    def __init__(self, conn: sqlite3.Connection) -> None:
        # A view of the bare address: unlike py_object(conn), it owns no reference.
        self._view: Any = ctypes.py_object.from_buffer(ctypes.c_size_t(id(conn)))

    def __call__(self) -> sqlite3.Connection:
        conn: sqlite3.Connection = self._view.value
        return conn


def _plain(
    connection: Borrowed, function: Callable[..., Scalar], longest: int
) -> Callable[..., Scalar]:
    """For sqlite3's own create_function."""

    def cut(value: object) -> object:
        if isinstance(value, bytes):
            return b""
        if isinstance(value, str) and len(value) > longest:
            return CutText(value[:longest])
        return value

    def guarded(*arguments: object) -> Scalar:
        try:
            answer = function(*map(cut, arguments))
            return str(answer) if isinstance(answer, int) and answer not in _INT64 else answer
        except QueryStopped:
            conn = connection()
            conn.interrupt()
            # SQLite looks at that before the next row, and a statement that writes may have none:
            # a NULL must not be stored.
            if conn.in_transaction:
                raise
            return None
        except Exception:
            # Whatever a stranger's file makes us trip over, a query goes on.
            return None

    return guarded


_lock = threading.Lock()
_keys = itertools.count(1)
_registered: dict[int, tuple[Callable[..., Scalar], int]] = {}
"""Functions that SQLite holds, by the number that it was given for each."""


@lru_cache(maxsize=1)
def _library() -> _Library | None:
    """The SQLite that Python's sqlite3 uses; None where it does not prove to be that."""
    with _lock, suppress(Exception):
        for path in _candidates():
            with suppress(AttributeError, OSError):
                library = _Library(path)
                if library.is_python_s():
                    return library
    return None


def _candidates() -> Iterator[str | None]:
    """Files that may hold SQLite's functions, by way of what they are linked to."""
    import _sqlite3

    file = getattr(_sqlite3, "__file__", None)
    if file is None:
        yield None  # built into Python
    else:
        yield file
        yield str(Path(file).with_name("sqlite3.dll"))


_decode = ctypes.pythonapi["PyUnicode_DecodeUTF8"]  # as bytes.decode, without the bytes
_decode.restype, _decode.argtypes = (
    ctypes.py_object, (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_char_p)
)  # fmt: skip
_Opened = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_Call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_void_p))
_Destroy = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Library:
    """SQLite's C functions. Raises AttributeError, OSError when the file has none.

    Those that run within a statement keep Python's lock, as it is held already and they are short.
    """

    def __init__(self, path: str | None) -> None:
        within, outside = ctypes.PyDLL(path), ctypes.CDLL(path)
        pointer, number = ctypes.c_void_p, ctypes.c_int

        def function(library: Any, name: str, result: Any, *arguments: Any) -> Any:
            found = library[f"sqlite3_{name}"]  # a new object: others may use it in another way
            found.restype, found.argtypes = result, arguments
            return found

        self._user_data = function(within, "user_data", pointer, pointer)
        self._type = function(within, "value_type", number, pointer)
        self._text = function(within, "value_text", pointer, pointer)
        self._bytes = function(within, "value_bytes", number, pointer)
        self._int64 = function(within, "value_int64", ctypes.c_int64, pointer)
        self._double = function(within, "value_double", ctypes.c_double, pointer)
        self._give_text = function(
            within, "result_text", None, pointer, ctypes.c_char_p, number, pointer
        )
        self._give_int64 = function(within, "result_int64", None, pointer, ctypes.c_int64)
        self._give_double = function(within, "result_double", None, pointer, ctypes.c_double)
        self._give_error = function(within, "result_error_code", None, pointer, number)
        self._create = function(
            outside, "create_function_v2", number,
            pointer, ctypes.c_char_p, number, number, pointer, pointer, pointer, pointer, pointer,
        )  # fmt: skip
        self._on_open = function(outside, "auto_extension", number, pointer)
        self._not_on_open = function(outside, "cancel_auto_extension", number, pointer)
        self._seen: list[int] = []
        # SQLite may call these until the process ends, later than Python takes this module apart.
        self._probe = _immortal(_Opened(self._note))
        self._calls = _immortal(_Call(self._caller()))
        self._destroys = _immortal(_Destroy(_forget))

    def is_python_s(self) -> bool:
        """Whether Python's sqlite3 uses this very library, and connections are as expected."""
        self._on_open(self._probe)
        try:
            conn = sqlite3.connect(":memory:")
        finally:
            self._not_on_open(self._probe)
        try:
            return _handle(conn) in self._seen
        finally:
            conn.close()

    def _note(self, handle: int, message: object, functions: object) -> int:
        self._seen.append(handle)
        return 0

    def register(
        self,
        conn: sqlite3.Connection,
        name: str,
        count: int,
        function: Callable[..., Scalar],
        longest: int,
    ) -> bool:
        """Whether SQLite took the function; it is let go with its connection."""
        key = next(_keys)
        _registered[key] = function, longest
        arguments = (name.encode(), count, _UTF8, key, self._calls, None, None, self._destroys)
        return bool(self._create(_handle(conn), *arguments) == 0)

    def _caller(self) -> Callable[[int, int, Any], None]:
        """What SQLite calls for each row, so it looks up nothing that it need not."""
        user_data, type_of, text_of, bytes_of = (
            self._user_data, self._type, self._text, self._bytes
        )  # fmt: skip
        read_other, give, fail, registered = self._read, self._give, self._give_error, _registered

        def call(context: int, count: int, values: Any) -> None:
            try:
                function, longest = registered[user_data(context)]
                arguments = []
                for value in values[:count]:
                    if type_of(value) != _TEXT:
                        arguments.append(read_other(value))
                        continue
                    text, size = text_of(value), bytes_of(value)
                    if size <= longest:
                        arguments.append(_decode(text, size, b"replace"))
                    else:
                        arguments.append(CutText(_decode(text, longest, b"replace")))
                answer = function(*arguments)
                # NULL is what SQLite takes where nothing is said.
                if answer is not None:
                    give(context, answer)
            except Exception as error:
                # Whatever a stranger's file makes us trip over, a query goes on.
                if isinstance(error, QueryStopped):
                    fail(context, _INTERRUPT)
            except BaseException:  # Ctrl-C
                fail(context, _INTERRUPT)

        return call

    def _read(self, value: int) -> object:
        kind = self._type(value)
        if kind == _INTEGER:
            return self._int64(value)
        if kind == _FLOAT:
            return self._double(value)
        return b"" if kind == _BLOB else None

    def _give(self, context: int, answer: str | int | float) -> None:
        if isinstance(answer, float):
            self._give_double(context, answer)
        elif isinstance(answer, int) and answer in _INT64:
            self._give_int64(context, answer)
        else:
            raw = answer.raw if isinstance(answer, NotUtf8) else None
            text = str(answer).encode("utf-8", "replace") if raw is None else raw
            self._give_text(context, text, len(text), _COPY_IT)


def _handle(conn: sqlite3.Connection) -> int | None:
    """SQLite's own address of the connection: the first thing that the Python object holds."""
    return ctypes.c_void_p.from_address(id(conn) + object.__basicsize__).value


def _immortal(function: Any) -> Any:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(function))
    return ctypes.cast(function, ctypes.c_void_p)


def _forget(key: int, held: dict[int, tuple[Callable[..., Scalar], int]] = _registered) -> None:
    held.pop(key, None)
