"""The owners of leases: names of processes, and whether they still run."""

from __future__ import annotations

import math
import os
import socket
import time
import uuid
from functools import cache
from pathlib import Path

LEASE_SECONDS = 30.0
"""How long a process may be silent before another one takes its job."""


def new_owner() -> str:
    """Names this very attempt of this process: machine, process id, and a token."""
    return f"{_machine()}:{os.getpid()}:{uuid.uuid4().hex}"


def lease_ends() -> tuple[float, float]:
    """When a lease that begins now is over: by the time of day, in seconds since 1970, and by a
    clock of this machine that nobody sets and that stands still while the machine sleeps."""
    return time.time() + LEASE_SECONDS, time.monotonic() + LEASE_SECONDS


def is_leased(owner: str | None, until: float | None, clock: float | None = None) -> bool:
    """Whether the owner of a lease counts as alive.

    until, clock: as `lease_ends` gave them; clock: None in a file of an older version
    """
    if owner is None or until is None:
        return False
    machine, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    here = machine == _machine() and pid.isdecimal()
    if here and not _is_alive(int(pid)):
        return False
    if here and clock is not None and "+" in machine:
        # Of a process that has just woken up with this one, the time of day says that it was silent
        # for the night.
        return clock >= time.monotonic()
    return until >= time.time()


def is_gone(owner: str) -> bool:
    """Whether the process certainly lives no more: it was one of this machine, and has ended, or
    the machine has been started since."""
    machine = owner.partition(":")[0]
    if machine == _machine():
        return not is_leased(owner, math.inf)
    host, boot = _start_of(machine)
    return bool(boot) and host == _start_of(_machine())[0] and boot != _start_of(_machine())[1]


def _start_of(machine: str) -> tuple[str, str]:
    """The host, and its boot's id where that is known."""
    host, _, rest = machine.partition("+")
    return host, rest.partition(".")[0]


@cache
def _machine() -> str:
    """The host, since when it runs, and whose process ids count: containers may share a name.

    Where the system does not say, the host alone: then the clock of an earlier start is not known
    from that of this one, and the time of day decides.
    """
    host = socket.gethostname().replace(":", "_")
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{host}+{boot}.{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return host


def _is_alive(pid: int) -> bool:
    """A process of this machine that is gone need not be waited for."""
    if os.name == "nt":
        return True  # there, a signal of 0 is Ctrl-C
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
