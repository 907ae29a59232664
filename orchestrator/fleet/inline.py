"""A fleet of one: calls run in this process, inside ``wait``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any

from orchestrator.fleet.calls import Call, CallOutcome, attempt, check_task


class InlineTeam:
    """The team of a task without helpers; a ``training.loop.Team``."""

    size = 1

    def map(self, function: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]) -> list[Any]:
        """Computes all items in this process, in sequence."""
        return [function(shared, item) for item in items]


class InlineFleet:
    """Runs one task at a time in this process; a ``driver.driver.Fleet``.

    Args:
        prepare: called once, before the first task.
    """

    size = 1

    def __init__(self, prepare: Callable[[], None]) -> None:
        prepare()
        self._queue: deque[Callable[[], CallOutcome]] = deque()
        self._tickets = count(1)

    def idle(self) -> int:
        """Returns 1 if no call of a task is left, else 0."""
        return 0 if self._queue else self.size

    def submit(self, calls: Sequence[Call], helpers: int = 0) -> list[int]:
        """Queues the calls of a task for ``wait``; there are no helpers to lend."""
        check_task(calls, helpers, self.idle())
        tickets = [next(self._tickets) for _ in calls]
        self._queue += [
            partial(attempt, ticket, call, InlineTeam()) for ticket, call in zip(tickets, calls, strict=True)
        ]
        return tickets

    def wait(self, timeout_s: float) -> list[CallOutcome]:  # noqa: ARG002 - there is nothing to wait for
        """Runs the next call of the submitted task, however long it takes."""
        return [self._queue.popleft()()] if self._queue else []

    def close(self) -> None:
        """Drops calls that have not run."""
        self._queue.clear()
