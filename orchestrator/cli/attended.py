"""The console command; a sweep on Ray is driven by a child of the process that was started.

Ray's core may end the driver from a thread of its own, as when the raylet of its machine has died: by
``_Exit(1)``, so that nothing in that process can say a word. The parent waits, hands signals on, ends as the
child ends, and speaks where the child could not.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from typing import Any

import click

from orchestrator.cli.going_on import CLUSTER_GONE, gone

RELAYED = {signal.SIGINT: signal.SIGUSR1, signal.SIGTERM: signal.SIGUSR2}
"""What the parent hands on in place of a signal: the child may have been sent the same one itself."""

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_LEAVING = b"."


def console() -> None:
    """The console command."""
    from orchestrator.cli import main

    if sys.argv[1:2] != ["run"] or "--inline" in sys.argv:
        main()
        return
    parent = os.getpid()
    report, reported = os.pipe()
    child = os.fork()
    if child:
        os.close(reported)
        _attend(child, report)
    _end_with(parent)
    try:
        main()
    finally:
        os.write(reported, _LEAVING)


def _attend(child: int, report: int) -> None:
    """Ends this process as the child ends; what Ray has ended is told apart by the missing report."""

    def relay(number: int, _: Any) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, RELAYED[signal.Signals(number)])

    for number in RELAYED:
        signal.signal(number, relay)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        code = 128 + _die_of(-code)
    if code == 1 and os.read(report, 1) != _LEAVING:
        what = "the Ray cluster is gone, and Ray has ended the driver"
        click.echo(gone(what, "all that was committed is kept"), err=True)
        code = CLUSTER_GONE
    sys.exit(code)


def _die_of(number: int) -> int:
    """Ends this process by a signal, one that was handed on by the original; if it stays, says by which."""
    original = next((sent for sent, handed in RELAYED.items() if handed == number), number)
    if original in RELAYED:
        signal.signal(original, signal.SIG_DFL)
    os.kill(os.getpid(), original)
    return original


def _end_with(parent: int) -> None:
    """Lets this process die with its parent, also if that was killed; Linux alone knows how."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
