"""Calls on a fleet, and tasks of a single one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from waiting import until

from orchestrator.driver.driver import Fleet
from orchestrator.fleet.calls import Call, CallOutcome


def nothing() -> None:
    """Prepares nothing."""


def call(function: Callable[..., Any], *arguments: Any) -> Call:
    """A call of ``function`` with the team and ``arguments``."""
    return lambda team: function(team, *arguments)


def end_of(fleet: Fleet, ticket: int) -> CallOutcome:
    """The outcome of the only call that is out."""
    (outcome,) = until(lambda: fleet.wait(1.0))
    assert outcome.ticket == ticket
    return outcome


def run_on(fleet: Fleet, function: Callable[..., Any], *arguments: Any, helpers: int = 0) -> CallOutcome:
    """Runs a task of one call."""
    until(lambda: fleet.idle() > helpers)
    (ticket,) = fleet.submit([call(function, *arguments)], helpers)
    return end_of(fleet, ticket)


def run_together(fleet: Fleet, *calls: Call) -> list[CallOutcome]:
    """Runs a task of these calls; their outcomes in the order of the calls."""
    until(fleet.idle)
    tickets = fleet.submit(calls)
    ended: dict[int, CallOutcome] = {}
    until(lambda: ended.update((one.ticket, one) for one in fleet.wait(1.0)) or len(ended) == len(calls))
    return [ended[ticket] for ticket in tickets]
