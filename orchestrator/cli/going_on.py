"""What is said of a sweep that has not come to its end, and the command that goes on."""

from __future__ import annotations

import os
import sys

from orchestrator.cli import show

CLUSTER_GONE = 3
"""Exit code."""


def command() -> str:
    """What the user is to type to go on; a job has been started by another command than its own."""
    return os.environ.get("ORCHESTRATOR_AGAIN") or show.command("orchestrator", *sys.argv[1:])


def gone(what: str, committed: str) -> str:
    """What is said when the cluster is gone.

    Args:
        what: how that came out.
        committed: what is safe.
    """
    way_out = "To go on, once the cluster is back or on another one:"
    return f"{what}; {committed}. {way_out}\n  {command()}"
