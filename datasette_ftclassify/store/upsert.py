"""Writing a row in the place of another one."""

from __future__ import annotations

from collections.abc import Sequence


def upsert(table: str, key: Sequence[str], others: Sequence[str]) -> str:
    """SQL that inserts a row of these columns, or changes the one that has its key. Unlike
    `replace`, it is no deletion that triggers are not told of: counts of rows stay right."""
    columns = [*key, *others]
    changes = ", ".join(f"{name} = excluded.{name}" for name in others)
    return (
        f"insert into {table} ({', '.join(columns)}) values ({', '.join('?' * len(columns))})"
        f" on conflict ({', '.join(key)}) do update set {changes}"
    )
