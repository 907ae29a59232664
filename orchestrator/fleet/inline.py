"""A fleet of one: calls run in this process, inside ``wait``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any

from orchestrator.fleet.calls import Call, CallOutcome, attempt, check_task


class InlineTeam:
    """The team of a task that has no helpers."""

    size = 1

    def map(self, function: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]) -> list[Any]:
        """One after another, here."""
        return [function(shared, item) for item in items]


class InlineFleet:
    """Runs one task at a time in the calling process; see ``driver.driver.Fleet``.

    Args:
        prepare: called once, before the first task.
    """

    size = 1

    def __init__(self, prepare: Callable[[], None]) -> None:
        prepare()
        self._queue: deque[Callable[[], CallOutcome]] = deque()
        self._tickets = count(1)

    def idle(self) -> int:
        """1 when no call of a task is left."""
        return 0 if self._queue else self.size

    def submit(self, calls: Sequence[Call], helpers: int = 0) -> list[int]:
        """Keeps the calls of a task for ``wait``; there is nobody to lend."""
        check_task(calls, helpers, self.idle())
        tickets = [next(self._tickets) for _ in calls]
        self._queue += [
            partial(attempt, ticket, call, InlineTeam()) for ticket, call in zip(tickets, calls, strict=True)
        ]
        return tickets

    def wait(self, timeout_s: float) -> list[CallOutcome]:  # noqa: ARG002 - there is nothing to wait for
        """Runs the next call of the task that was submitted, however long it takes."""
        return [self._queue.popleft()()] if self._queue else []

    def close(self) -> None:
        """Forgets a task that has not run."""
        self._queue.clear()
