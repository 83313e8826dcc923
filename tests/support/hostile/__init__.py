"""Files that somebody made to do harm: one change to a good database at a time.

Each module yields ``(name, mutate)`` pairs. A name is unique in its module and says what the
change is; ``mutate`` makes it in the database of the connection that it is given, which the
caller opens on a copy, commits and closes.
"""

import sqlite3
from collections.abc import Callable, Iterator
from typing import TypeAlias

Mutation: TypeAlias = Callable[[sqlite3.Connection], None]
Mutations: TypeAlias = Iterator[tuple[str, Mutation]]
