"""What the driver and a task may ask of a fleet. Callables go in, outcomes come out."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Team(Protocol):
    """The workers that a running task may use: its own, and those lent to it."""

    @property
    def size(self) -> int:
        """Number of workers, its own included."""

    def map(self, function: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]) -> list[Any]:
        """``[function(shared, item) for item in items]``, spread over the workers.

        ``shared`` travels once to each worker. What ``function`` raises, ``map`` raises. Raises
        WorkerLost if a worker dies.
        """


Call = Callable[[Team], Any]
"""What a worker does once, with its team; it must pickle."""


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Attributes:
        ticket: as ``Fleet.submit`` returned it.
        value: what the call returned; None if it failed.
        error: None, a WorkerLost (worth another try), or what the call raised.
        trace: the traceback of the error, as text.
    """

    ticket: int
    value: Any = None
    error: BaseException | None = None
    trace: str = ""


class Fleet(Protocol):
    """Where tasks run. A task is one call or several, done by one worker one after another."""

    @property
    def size(self) -> int:
        """Number of workers, busy, idle or on their way."""

    def idle(self) -> int:
        """Number of workers that could start a task now."""

    def submit(self, calls: Sequence[Call], helpers: int = 0) -> list[int]:
        """Starts a task on an idle worker.

        A call that raises leaves the other calls of its task alone. A worker that dies loses all of them.

        Args:
            calls: of the task.
            helpers: number of idle workers to lend to a task of one call.

        Returns:
            A ticket for each call.

        Raises:
            ValueError: fewer workers are idle, or several calls ask for helpers.
        """

    def wait(self, timeout_s: float) -> list[Outcome]:
        """The calls that ended, as soon as there is one, or none after ``timeout_s``.

        Raises ClusterLost if they can no longer end.
        """

    def close(self) -> None:
        """Ends the workers. Tasks still running are given up."""


def check_task(calls: Sequence[Call], helpers: int, idle: int) -> None:
    """Raises ValueError if a fleet with ``idle`` idle workers cannot start such a task."""
    if 1 + helpers > idle:
        raise ValueError(f"{1 + helpers} workers are wanted, {idle} idle")
    if helpers and len(calls) > 1:
        raise ValueError(f"helpers are lent to a task of one call, not of {len(calls)}")


def attempt(ticket: int, function: Callable[..., Any], *arguments: Any) -> Outcome:
    """Calls ``function``; what it raises is an outcome too.

    So is a call of ``sys.exit``, which would end the worker. KeyboardInterrupt passes: it is meant
    for the process, not for the task.
    """
    try:
        return Outcome(ticket, function(*arguments))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Outcome(ticket, error=error, trace=traceback.format_exc())
