"""A fleet of one: tasks run in this process, inside ``wait``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from orchestrator.fleet.contract import Outcome, attempt


class Alone:
    """The team of a task that has no helpers."""

    size = 1

    def map(self, function: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]) -> list[Any]:
        """One after another, here."""
        return [function(shared, item) for item in items]


class InlineFleet:
    """Runs one task at a time in the calling process; see ``contract.Fleet``.

    Args:
        prepare: called once, before the first task.
    """

    size = 1

    def __init__(self, prepare: Callable[[], None]) -> None:
        prepare()
        self._queue: deque[Callable[[], Outcome]] = deque()
        self._tickets = 0

    def idle(self) -> int:
        """1 until a task is submitted."""
        return self.size - len(self._queue)

    def submit(self, function: Callable[..., Any], *arguments: Any, helpers: int = 0) -> int:
        """Keeps a task for ``wait``; there is nobody to lend."""
        if 1 + helpers > self.idle():
            raise ValueError(f"{1 + helpers} workers are wanted, {self.idle()} idle")
        self._tickets += 1
        self._queue.append(partial(attempt, self._tickets, function, Alone(), *arguments))
        return self._tickets

    def room_behind(self) -> int:
        """0: who waits for a task here does nothing else."""
        return 0

    def submit_behind(self, function: Callable[..., Any], *arguments: Any) -> int:  # noqa: ARG002
        """Raises ValueError."""
        raise ValueError("there is no busy worker")

    def wait(self, timeout_s: float) -> list[Outcome]:  # noqa: ARG002 - there is nothing to wait for
        """Runs the task that was submitted, however long it takes."""
        return [self._queue.popleft()()] if self._queue else []

    def close(self) -> None:
        """Forgets a task that has not run."""
        self._queue.clear()
