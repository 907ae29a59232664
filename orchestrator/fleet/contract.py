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


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    Attributes:
        ticket: as ``Fleet.submit`` returned it.
        value: what the function returned; None if it failed.
        error: None, a WorkerLost (worth another try), or what the function raised.
        trace: the traceback of the error, as text.
    """

    ticket: int
    value: Any = None
    error: BaseException | None = None
    trace: str = ""


class Fleet(Protocol):
    """Where tasks run. A task is ``function(team, *arguments)``; both must pickle."""

    @property
    def size(self) -> int:
        """Number of workers, busy, idle or on their way."""

    def idle(self) -> int:
        """Number of workers that could start a task now."""

    def room_behind(self) -> int:
        """Number of busy workers that could be handed their next task already."""

    def submit(self, function: Callable[..., Any], *arguments: Any, helpers: int = 0) -> int:
        """Starts a task on an idle worker and lends it ``helpers`` more; returns its ticket.

        Raises ValueError if fewer are idle.
        """

    def submit_behind(self, function: Callable[..., Any], *arguments: Any) -> int:
        """Hands a busy worker its next task; returns its ticket.

        If the worker is lost before it begins with it, that is no crash and no lack of memory of this task.

        Raises ValueError if there is no such worker.
        """

    def wait(self, timeout_s: float) -> list[Outcome]:
        """The tasks that ended, as soon as there is one, or none after ``timeout_s``.

        Raises ClusterLost if they can no longer end.
        """

    def close(self) -> None:
        """Ends the workers. Tasks still running are given up."""


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
