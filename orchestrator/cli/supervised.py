"""The console command, and the process that supervises a sweep on Ray.

Ray's core may end the driver's process at once from a thread of its own (``_Exit(1)``), for instance when the
raylet of its machine has died. The kernel may kill that process when memory is short. Neither leaves it time
to print anything. The driver therefore runs in a child process. The parent waits for it, forwards signals,
exits as the child does, and prints the message that the child could not.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from typing import Any

import click

from orchestrator.cli.resuming import CLUSTER_GONE, ended_by_ray, killed

FORWARDED = {signal.SIGINT: signal.SIGUSR1, signal.SIGTERM: signal.SIGUSR2}
"""The signal that the parent sends to the child for each one that it receives itself.

It is a different one, as the child may have received the original, too.
"""

_REQUESTS = {*FORWARDED, *FORWARDED.values()}
"""The signals that ask the sweep to stop. A child that any other signal ends was killed."""

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_LEAVING = b"."


def console() -> None:
    """Runs the console command; ``run`` without ``--inline`` in a child process."""
    from orchestrator.cli import main

    if sys.argv[1:2] != ["run"] or "--inline" in sys.argv:
        main()
        return
    parent = os.getpid()
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        _supervise(child, reader)
    _die_with(parent)
    try:
        main()
    finally:
        os.write(writer, _LEAVING)


def _supervise(child: int, reader: int) -> None:
    """Waits for the child and exits as it does.

    The child writes to a pipe before it exits. If its exit code is 1 and the pipe is empty, Ray has ended it:
    the exit code is then 3. If a signal has killed the child, the same signal ends this process.

    Args:
        child: process id.
        reader: file descriptor of the pipe's read end.
    """

    def forward(number: int, _: Any) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, FORWARDED[signal.Signals(number)])

    for number in FORWARDED:
        signal.signal(number, forward)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        if -code not in _REQUESTS:
            click.echo(killed(-code), err=True)
        code = 128 + _die_of(-code)
    if code == 1 and os.read(reader, 1) != _LEAVING:
        click.echo(ended_by_ray(), err=True)
        code = CLUSTER_GONE
    sys.exit(code)


def _die_of(number: int) -> int:
    """Ends this process by a signal; by the original, if ``number`` is a forwarded one.

    Returns:
        The number of that signal, if the process survives it.
    """
    original = next((received for received, sent in FORWARDED.items() if sent == number), number)
    if original in FORWARDED:
        signal.signal(original, signal.SIG_DFL)
    os.kill(os.getpid(), original)
    return original


def _die_with(parent: int) -> None:
    """Makes this process die with its parent, even if the parent is killed; does nothing but on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
