"""Single tasks on a fleet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from waiting import until

from orchestrator.fleet.contract import Fleet, Outcome


def nothing() -> None:
    """Prepares nothing."""


def end_of(fleet: Fleet, ticket: int) -> Outcome:
    """The outcome of the only task that is out."""
    (outcome,) = until(lambda: fleet.wait(1.0))
    assert outcome.ticket == ticket
    return outcome


def run_on(fleet: Fleet, function: Callable[..., Any], *arguments: Any, helpers: int = 0) -> Outcome:
    """Runs one task."""
    until(lambda: fleet.idle() > helpers)
    return end_of(fleet, fleet.submit(function, *arguments, helpers=helpers))
