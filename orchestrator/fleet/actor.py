"""The Ray actors of a fleet: how they run calls, and how their outcomes are fetched."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayError, RayTaskError

from orchestrator.errors import WorkerCrashed, WorkerLost, WorkerOutOfMemory
from orchestrator.fleet.calls import Call, CallOutcome, attempt
from orchestrator.fleet.cluster import one_line
from orchestrator.fleet.inline import InlineTeam

_FETCH_S = 120.0
"""Time limit for fetching outcomes that are ready; after it the worker counts as lost."""

_POLL_S = 1.0


class Worker:
    """An actor that runs calls; every method returns outcomes."""

    def __init__(self, prepare: Callable[[], None]) -> None:
        self._prepared = _portable(attempt(0, prepare))

    def ready(self) -> list[CallOutcome]:
        """Returns once the worker is up and idle, with an error if ``prepare`` failed."""
        return [self._prepared]

    def run(self, tickets: Sequence[int], calls: Sequence[Call], helpers: list[Any]) -> list[CallOutcome]:
        """Runs the calls of a task in sequence, with the helpers lent to it."""
        team = RayTeam(helpers) if helpers else InlineTeam()
        return [_portable(attempt(ticket, call, team)) for ticket, call in zip(tickets, calls, strict=True)]

    def call(
        self, index: int, function: Callable[[Any, Any], Any], shared: Any, item: Any
    ) -> list[CallOutcome]:
        """Computes item ``index`` of another worker's ``map``."""
        return [_portable(attempt(index, function, shared, item))]


ACTOR: Any = ray.remote(max_restarts=0, max_task_retries=0)(Worker)


def _portable(outcome: CallOutcome) -> CallOutcome:
    """Returns the outcome with an error that can be pickled and unpickled; not every exception can."""
    try:
        pickle.loads(pickle.dumps(outcome.error))
    except Exception:
        return replace(outcome, error=RuntimeError(f"{type(outcome.error).__name__}: {outcome.error}"))
    return outcome


def fetch(reference: Any, *tickets: int) -> list[CallOutcome]:
    """Returns the outcomes of a task that is ready; its worker may have died during the task."""
    try:
        outcomes: list[CallOutcome] = ray.get(reference, timeout=_FETCH_S)
        return outcomes
    except RayTaskError as error:
        cause, trace = _unsent(error, len(tickets)), str(error)
    except RayError as error:
        cause, trace = loss(error), str(error)
    return [CallOutcome(ticket, error=cause, trace=trace) for ticket in tickets]


def _unsent(error: RayTaskError, calls: int) -> Exception:
    """Returns the error of a task whose outcomes could not be sent.

    Of several calls, the one with the value at fault is unknown: all of them count as lost and are retried.
    """
    reason = str(error).splitlines()[-1]
    return RuntimeError(reason) if calls == 1 else WorkerLost(reason)


def loss(error: RayError) -> WorkerLost:
    """Returns how a worker was lost. Only the text of Ray's error tells a dead process from a dead node."""
    if isinstance(error, OutOfMemoryError):
        return WorkerOutOfMemory(one_line(error))
    alone = isinstance(error, ActorDiedError) and not error.preempted
    crashed = alone and "its worker process has died" in str(error)
    return (WorkerCrashed if crashed else WorkerLost)(one_line(error))


class RayTeam:
    """A worker and the helpers lent to it; a ``training.loop.Team``."""

    def __init__(self, helpers: list[Any]) -> None:
        self._helpers = helpers
        self.size = len(helpers) + 1

    def map(self, function: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]) -> list[Any]:
        """Computes item i on member i modulo ``size``; member 0 is this process."""
        stored = ray.put(shared)
        remote = [i for i in range(len(items)) if i % self.size]
        calls = {
            self._helpers[i % self.size - 1].call.remote(i, function, stored, items[i]): i for i in remote
        }
        results = {i: function(shared, items[i]) for i in range(0, len(items), self.size)}
        while calls:
            done, _ = ray.wait(list(calls), timeout=_POLL_S)
            for reference in done:
                index = calls.pop(reference)
                (outcome,) = fetch(reference, index)
                results[index] = _value(outcome)
        return [results[i] for i in range(len(items))]


def _value(outcome: CallOutcome) -> Any:
    if outcome.error is None:
        return outcome.value
    if not isinstance(outcome.error, WorkerLost):
        outcome.error.add_note(outcome.trace)
    raise outcome.error
