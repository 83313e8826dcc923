"""Datasettes that compile each template once for all tests of a process.

Every Datasette has a Jinja environment of its own, and compiling the templates of a page takes it
longer than everything else that a test of the page does.
"""

from __future__ import annotations

from typing import Any

from datasette import hookimpl
from datasette.plugins import pm
from jinja2.bccache import Bucket, BytecodeCache


class CompiledTemplates(BytecodeCache):
    """In memory. Jinja compares a checksum of the source: a changed template is compiled anew."""

    def __init__(self) -> None:
        self._compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._compiled:
            bucket.bytecode_from_string(self._compiled[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._compiled[bucket.key] = bucket.bytecode_to_string()


class CompileOnce:
    """A plugin of Datasette, which wants a name of it."""

    __name__ = "CompileOnce"

    def __init__(self) -> None:
        self._templates = CompiledTemplates()

    @hookimpl
    def prepare_jinja2_environment(self, env: Any) -> None:
        env.bytecode_cache = self._templates


pm.register(CompileOnce(), "compile-templates-once")
