"""Calls on a fleet, and tasks of a single one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from waiting import until

from orchestrator.fleet.contract import Call, Fleet, Outcome


def nothing() -> None:
    """Prepares nothing."""


def call(function: Callable[..., Any], *arguments: Any) -> Call:
    """A call of ``function`` with the team and ``arguments``."""
    return lambda team: function(team, *arguments)


def end_of(fleet: Fleet, ticket: int) -> Outcome:
    """The outcome of the only call that is out."""
    (outcome,) = until(lambda: fleet.wait(1.0))
    assert outcome.ticket == ticket
    return outcome


def run_on(fleet: Fleet, function: Callable[..., Any], *arguments: Any, helpers: int = 0) -> Outcome:
    """Runs a task of one call."""
    until(lambda: fleet.idle() > helpers)
    (ticket,) = fleet.submit([call(function, *arguments)], helpers)
    return end_of(fleet, ticket)


def run_together(fleet: Fleet, *calls: Call) -> list[Outcome]:
    """Runs a task of these calls; their outcomes in the order of the calls."""
    until(fleet.idle)
    tickets = fleet.submit(calls)
    ended: dict[int, Outcome] = {}
    until(lambda: ended.update((one.ticket, one) for one in fleet.wait(1.0)) or len(ended) == len(calls))
    return [ended[ticket] for ticket in tickets]
