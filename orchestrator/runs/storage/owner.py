"""Who holds a run: the process, whether it is alive, and what a second one is told."""

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
STALE_SECONDS = 60.0


@dataclass(frozen=True)
class Owner:
    """The process that drives a run.

    Attributes:
        boot: which start of the host; a process number means nothing in another one. "" if unknown.
        started: when the process started, in clock ticks since then, as a process number may come back.
    """

    host: str
    boot: str
    pid: int
    started: str

    @classmethod
    def myself(cls) -> Owner:
        """This process."""
        return cls(socket.gethostname(), _boot(), os.getpid(), _started(os.getpid()) or "")

    def __str__(self) -> str:
        return (
            f"process {self.pid} on {self.host}" if self.host else "one that its damaged lock does not name"
        )


NAMELESS = Owner("", "", 0, "")
"""In the place of an owner whose lock or claim is damaged."""


def parsed(content: bytes) -> tuple[Owner, dict[str, Any]]:
    """Whose a lock or a claim is, and what else it says. Nameless if it is damaged."""
    try:
        fields, hashed = markers.parse(content)
        host, boot, pid, started = (fields.pop(name) for name in ("host", "boot", "pid", "started"))
        known = hashed or fields.keys() <= {"holds"}  # an older version wrote no hash
        if known and type(pid) is int and all(type(text) is str for text in (host, boot, started)):
            return Owner(host, boot, pid, started), fields
    except (ValueError, KeyError):
        pass
    return NAMELESS, {}


def alive(holder: Owner, age: float) -> bool:
    """Whether a process is there, if it is on this host; else whether its heartbeat is young enough.

    Args:
        age: of its last heartbeat, in seconds.
    """
    if (holder.host, holder.boot) == (socket.gethostname(), _boot()):
        return _started(holder.pid) == holder.started
    return age < STALE_SECONDS


def taken(folder: object, holder: Owner | None) -> RunDirectoryError:
    """What a second driver is told."""
    return RunDirectoryError(
        f"{folder}: another driver is at work here ({holder or 'just starting'}); wait for its end or stop it"
    )


def _boot() -> str:
    with suppress(FileNotFoundError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _started(pid: int) -> str | None:
    """When process ``pid`` started; None if it is gone; "" where the system does not say (no /proc)."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state in "ZX" else fields[18]
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _signalled(pid)


def _signalled(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it is there, but another user's
    return ""
