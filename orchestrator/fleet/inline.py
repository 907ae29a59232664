"""A fleet of one: tasks run in this process, inside ``wait``."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.fleet.contract import Outcome


class Alone:
    """The team of a task that has no helpers."""

    size = 1

    def map(self, function: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]) -> list[Any]:
        """One after another, here."""
        return [function(shared, item) for item in items]


class InlineFleet:
    """Runs one task at a time in the calling process; see ``contract.Fleet``."""

    size = 1

    def __init__(self, prepare: Callable[[], None]) -> None:
        prepare()
        self._queue: deque[tuple[int, Callable[..., Any], tuple[Any, ...]]] = deque()
        self._tickets = 0

    def idle(self) -> int:
        """1 until a task is submitted."""
        return 1 - len(self._queue)

    def submit(self, function: Callable[..., Any], *arguments: Any, helpers: int = 0) -> int:
        """Queues a task; there is nobody to lend."""
        if helpers:
            raise ValueError("an inline fleet has no helpers")
        self._tickets += 1
        self._queue.append((self._tickets, function, arguments))
        return self._tickets

    def wait(self, timeout_s: float) -> list[Outcome]:  # noqa: ARG002 - there is nothing to wait for
        """Runs the task that was submitted, however long it takes."""
        if not self._queue:
            return []
        ticket, function, arguments = self._queue.popleft()
        try:
            return [Outcome(ticket, function(Alone(), *arguments))]
        except Exception as error:
            return [Outcome(ticket, error=error, trace=traceback.format_exc())]

    def close(self) -> None:
        """Nothing to end."""
        self._queue.clear()
