"""What this installation has agreed to and spent: a SQLite file of the operator, outside the data.

A database file may come from anyone, so no decision about money is taken from it. This file holds
the agreements of people on this machine, what was spent, and what is under way, of all databases
together. See `Ledger`.
"""

from __future__ import annotations

from .account import Account
from .keys import JobKey, functions_of, identity_of
from .ledger import Agreement, Ledger
from .limits import Limits, Room
from .place import LedgerError, default_path

__all__ = [
    "Account", "Agreement", "JobKey", "Ledger", "LedgerError", "Limits", "Room", "default_path",
    "functions_of", "identity_of",
]  # fmt: skip
