"""The command that resumes a sweep, and the message when the cluster is gone."""

from __future__ import annotations

import os
import sys

from orchestrator.cli import show

CLUSTER_GONE = 3
"""Exit code when the Ray cluster is gone."""


def resume_command() -> str:
    """Returns the command that resumes this sweep: the one that started this process.

    A job was started by ``submit``, which passes its own command in ``ORCHESTRATOR_AGAIN``.
    """
    return os.environ.get("ORCHESTRATOR_AGAIN") or show.command("orchestrator", *sys.argv[1:])


def cluster_gone(reason: str, committed: str) -> str:
    """Returns the message for a sweep whose cluster is gone.

    Args:
        reason: how the loss was noticed.
        committed: which results are safe.
    """
    return (
        f"{reason}; {committed}. To resume, once the cluster is back or on another cluster:\n"
        f"  {resume_command()}"
    )
