"""Mails whose topic is a key of another table."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

from datasette_ftclassify.core.database import connect

WORDS = {"parcel": "parcel van depot", "bill": "bill invoice price", "login": "login password"}


def desk(path: Path | str, *, key: str = "integer primary key") -> sqlite3.Connection:
    """200 mails whose topic is a key of another table, which was made before or after them."""
    dice = random.Random(1)
    conn = connect(path, must_exist=False)
    keys: dict[str, Any] = dict(zip(WORDS, (1, 2, 3) if "integer" in key else "xyz", strict=True))
    with conn:
        conn.execute(f"create table topics (id {key}, name text, note text)")
        conn.executemany("insert into topics values (?, ?, '')", [(k, n) for n, k in keys.items()])
        conn.execute(
            "create table mails (id integer primary key, message text,"
            f" topic {key.split()[0]} references topics(id))"
        )
        for number in range(200):
            name = dice.choice(list(WORDS))
            words = dice.sample(WORDS[name].split(), 2)
            said = f"about the {' and the '.join(words)}, mail {number}"
            topic = None if number % 20 == 0 else keys[name]
            conn.execute("insert into mails values (?, ?, ?)", [number, said, topic])
    return conn
