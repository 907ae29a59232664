"""The owner of a run: its process, whether it is alive, and the error for a second driver."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import RunDirectoryError
from orchestrator.runs.storage import markers

BEAT_SECONDS = 5.0
"""Interval between heartbeats."""

STALE_SECONDS = 60.0
"""A heartbeat of this age or more is stale."""


@dataclass(frozen=True)
class Owner:
    """The process that drives a run.

    Attributes:
        host: name of the host.
        boot: id of the current boot of the host, as process ids start over at a boot; "" if unknown.
        pid: process id.
        started: start of the process in clock ticks since the boot, as process ids are reused; "" if unknown.
    """

    host: str
    boot: str
    pid: int
    started: str

    @classmethod
    def myself(cls) -> Owner:
        """Returns this process."""
        return cls(socket.gethostname(), _boot(), os.getpid(), _started(os.getpid()) or "")

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.host else "an unknown one, as its lock is damaged"


UNKNOWN_OWNER = Owner("", "", 0, "")
"""Owner of a damaged lock or claim."""


def parse_owner(content: bytes) -> tuple[Owner, dict[str, Any]]:
    """Returns the owner in a lock or a claim, and its other fields; UNKNOWN_OWNER if it is damaged."""
    try:
        fields, hashed = markers.parse(content)
        host, boot, pid, started = (fields.pop(name) for name in ("host", "boot", "pid", "started"))
        known = hashed or fields.keys() <= {"holds"}  # an older version wrote no hash
        if known and type(pid) is int and all(type(text) is str for text in (host, boot, started)):
            return Owner(host, boot, pid, started), fields
    except (ValueError, KeyError):
        pass
    return UNKNOWN_OWNER, {}


def is_alive(holder: Owner, age: float) -> bool:
    """Returns whether a process exists, if it ran on this host; else whether its heartbeat is recent.

    Args:
        age: age of its last heartbeat, in seconds.
    """
    if (holder.host, holder.boot) == (socket.gethostname(), _boot()):
        return _started(holder.pid) == holder.started
    return age < STALE_SECONDS


def run_in_use(folder: object, holder: Owner | None) -> RunDirectoryError:
    """Returns the error for a second driver."""
    return RunDirectoryError(
        f"{folder}: another driver is at work here ({holder or 'just starting'}); wait until it ends, or "
        "stop it"
    )


def _boot() -> str:
    with suppress(FileNotFoundError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _started(pid: int) -> str | None:
    """Returns the start of process ``pid`` in clock ticks; None if it is gone; "" if there is no /proc."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state in "ZX" else fields[18]
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _started_without_proc(pid)


def _started_without_proc(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # the process exists, but belongs to another user
    return ""
