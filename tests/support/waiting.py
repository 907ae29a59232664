"""Waits for a condition with a deadline; ends processes with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

WITHIN_S = 90.0
"""Deadline of conditions that take a second or two; a test that reaches it has failed."""


def until(condition: Callable[[], T]) -> T:
    """Polls ``condition``; returns its first true value."""
    deadline = time.monotonic() + WITHIN_S
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.005)
    return value


def processes_of(session: int) -> list[int]:
    """Ids of the living processes of a session; its number is the id of the process that opened it."""
    numbers = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, leader = path.read_text().rpartition(")")[2].split()[:4]
            if state != "Z" and int(leader) == session:
                numbers.append(int(path.parent.name))
    return numbers


def end(process: subprocess.Popen[Any]) -> None:
    """Kills a process that opened a session, and all processes of the session."""
    for number in processes_of(process.pid):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    process.wait(WITHIN_S)
    until(lambda: not processes_of(process.pid))
