"""Who has a job: the names of processes, and whether they still live."""

from __future__ import annotations

import os
import socket
import time
import uuid


def new_owner() -> str:
    """Names this very attempt of this process: host, process id, and a token."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"


def is_leased(owner: str | None, until: float | None) -> bool:
    """Whether the owner of a lease until then (seconds since 1970) counts as alive."""
    if owner is None or until is None or until < time.time():
        return False
    host, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    if host != socket.gethostname() or not pid.isdecimal():
        return True
    return _is_alive(int(pid))


def _is_alive(pid: int) -> bool:
    """A process of this machine that is gone need not be waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
