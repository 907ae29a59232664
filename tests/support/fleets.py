"""Helpers that run calls and tasks on a fleet."""

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
    """Waits for the outcome of the only running call."""
    (outcome,) = until(lambda: fleet.wait(1.0))
    assert outcome.ticket == ticket
    return outcome


def run_on(fleet: Fleet, function: Callable[..., Any], *arguments: Any, helpers: int = 0) -> CallOutcome:
    """Runs a task of one call and returns its outcome."""
    until(lambda: fleet.idle() > helpers)
    (ticket,) = fleet.submit([call(function, *arguments)], helpers)
    return end_of(fleet, ticket)


def run_together(fleet: Fleet, *calls: Call) -> list[CallOutcome]:
    """Runs a task of these calls and returns their outcomes in the order of the calls."""
    until(fleet.idle)
    tickets = fleet.submit(calls)
    ended: dict[int, CallOutcome] = {}
    until(lambda: ended.update((call.ticket, call) for call in fleet.wait(1.0)) or len(ended) == len(calls))
    return [ended[ticket] for ticket in tickets]
