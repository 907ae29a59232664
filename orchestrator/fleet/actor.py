"""What runs inside a fleet's Ray actors, and what becomes of their answers."""

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
"""An answer that is ready arrives in this time, or its worker counts as lost."""

_POLL_S = 1.0


class Worker:
    """An actor that runs what it is handed; every method answers with the outcomes of its calls."""

    def __init__(self, prepare: Callable[[], None]) -> None:
        self._prepared = _portable(attempt(0, prepare))

    def ready(self) -> list[CallOutcome]:
        """Answers once the worker is up and has nothing else to do; or why it is of no use."""
        return [self._prepared]

    def run(self, tickets: Sequence[int], calls: Sequence[Call], helpers: list[Any]) -> list[CallOutcome]:
        """Runs a task, one call after another, with the helpers that were lent to it."""
        team = RayTeam(helpers) if helpers else InlineTeam()
        return [_portable(attempt(ticket, call, team)) for ticket, call in zip(tickets, calls, strict=True)]

    def call(
        self, index: int, function: Callable[[Any, Any], Any], shared: Any, item: Any
    ) -> list[CallOutcome]:
        """Helps another worker: item ``index`` of its ``map``."""
        return [_portable(attempt(index, function, shared, item))]


ACTOR: Any = ray.remote(max_restarts=0, max_task_retries=0)(Worker)


def _portable(outcome: CallOutcome) -> CallOutcome:
    """``outcome`` with an error that can be read back; not every exception survives pickling."""
    try:
        pickle.loads(pickle.dumps(outcome.error))
    except Exception:
        return replace(outcome, error=RuntimeError(f"{type(outcome.error).__name__}: {outcome.error}"))
    return outcome


def fetch(reference: Any, *tickets: int) -> list[CallOutcome]:
    """What the calls of a task that is ready came to; its worker may have died under it."""
    try:
        outcomes: list[CallOutcome] = ray.get(reference, timeout=_FETCH_S)
        return outcomes
    except RayTaskError as error:
        found, trace = _unsent(error, len(tickets)), str(error)
    except RayError as error:
        found, trace = loss(error), str(error)
    return [CallOutcome(ticket, error=found, trace=trace) for ticket in tickets]


def _unsent(error: RayTaskError, calls: int) -> Exception:
    """Why the answer of a task could not be sent.

    With several calls nobody knows whose value it was: all of them count as lost, and are worth another try.
    """
    reason = str(error).splitlines()[-1]
    return RuntimeError(reason) if calls == 1 else WorkerLost(reason)


def loss(error: RayError) -> WorkerLost:
    """What became of a worker. Ray puts only into words whether its process died, or its node."""
    if isinstance(error, OutOfMemoryError):
        return WorkerOutOfMemory(one_line(error))
    alone = isinstance(error, ActorDiedError) and not error.preempted
    crashed = alone and "its worker process has died" in str(error)
    return (WorkerCrashed if crashed else WorkerLost)(one_line(error))


class RayTeam:
    """This worker and the helpers lent to it; see ``training.loop.Team``."""

    def __init__(self, helpers: list[Any]) -> None:
        self._helpers = helpers
        self.size = len(helpers) + 1

    def map(self, function: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]) -> list[Any]:
        """Item i goes to member i modulo size; member 0 is this process."""
        there = ray.put(shared)
        away = [i for i in range(len(items)) if i % self.size]
        calls = {self._helpers[i % self.size - 1].call.remote(i, function, there, items[i]): i for i in away}
        results = {i: function(shared, items[i]) for i in range(0, len(items), self.size)}
        while calls:
            done, _ = ray.wait(list(calls), timeout=_POLL_S)
            for one in done:
                index = calls.pop(one)
                (outcome,) = fetch(one, index)
                results[index] = _value(outcome)
        return [results[i] for i in range(len(items))]


def _value(outcome: CallOutcome) -> Any:
    if outcome.error is None:
        return outcome.value
    if not isinstance(outcome.error, WorkerLost):
        outcome.error.add_note(outcome.trace)
    raise outcome.error
