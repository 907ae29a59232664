"""Waiting for something to come true, but not for ever; and ending processes with all they started."""

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
"""Deadline of what takes a second or two; a test that reaches it has failed."""


def until(condition: Callable[[], T]) -> T:
    """The first true value of ``condition``, asked again and again."""
    deadline = time.monotonic() + WITHIN_S
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)
    return value


def processes_of(session: int) -> list[int]:
    """The processes that live in a session, which has the number of the process that opened it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, leader = path.read_text().rpartition(")")[2].split()[:4]
            if state != "Z" and int(leader) == session:
                found.append(int(path.parent.name))
    return found


def end(process: subprocess.Popen[Any]) -> None:
    """Kills a process that opened a session, and all that is left there."""
    for number in processes_of(process.pid):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    process.wait(WITHIN_S)
    until(lambda: not processes_of(process.pid))
