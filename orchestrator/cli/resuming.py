"""The command that resumes a sweep, and the messages at the end of a sweep that is not finished."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from orchestrator.cli import show

CLUSTER_GONE = 3
"""Exit code when the Ray cluster is gone."""

_RECEIVED = "all results received are committed"
"""What is safe if the driver has ended by itself."""

_COMMITTED = "what was committed is kept"
"""What is safe if something else has ended the driver."""


def resume_command() -> str:
    """Returns the command that resumes this sweep: the one that started this process.

    A job was started by ``submit``, which passes its own command in ``ORCHESTRATOR_AGAIN``.
    """
    return os.environ.get("ORCHESTRATOR_AGAIN") or show.command("orchestrator", *sys.argv[1:])


def unfinished(reason: str, kept: str = _RECEIVED, condition: str = "") -> str:
    """Returns the message for a sweep that is not finished.

    Args:
        reason: why it has ended.
        kept: which results are safe.
        condition: the condition under which it can be resumed.
    """
    return f"{reason}; {kept}. To resume{condition}:\n  {resume_command()}"


def stopped(out: Path | str) -> str:
    """Returns the message for a sweep that was stopped on request, and how to read its run ``out``."""
    return (
        f"{unfinished('stopped')}\n"
        "The tables are in folders once the run has finished. To read it already now:\n"
        f"  {show.command('orchestrator', 'analyse', show.path(out))}"
    )


def cluster_gone(reason: str, kept: str = _RECEIVED) -> str:
    """Returns the message for a sweep whose cluster is gone; ``reason`` says how the loss was noticed."""
    return unfinished(reason, kept, ", once the cluster is back or on another cluster")


def ended_by_ray() -> str:
    """Returns the message for a sweep whose driver Ray has ended."""
    return cluster_gone("the Ray cluster is gone, and Ray has ended the driver", _COMMITTED)


def killed(number: int) -> str:
    """Returns the message for a sweep whose driver was killed by a signal."""
    name = next((known.name for known in signal.Signals if known == number), "a real-time signal")
    return unfinished(f"the driver was killed by signal {number} ({name})", _COMMITTED)
