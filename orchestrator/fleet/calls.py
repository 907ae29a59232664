"""The calls of a task, and their outcomes."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Call = Callable[[Any], Any]
"""A function of the task's ``training.loop.Team``, called once; it must be picklable."""


@dataclass(frozen=True)
class CallOutcome:
    """How a call ended.

    Attributes:
        ticket: the call's ticket from the fleet's ``submit``.
        value: the return value of the call; None if it failed.
        error: None, a WorkerLost (the call can be retried), or the exception that the call raised.
        trace: the traceback of the error, as text.
    """

    ticket: int
    value: Any = None
    error: BaseException | None = None
    trace: str = ""


def check_task(calls: Sequence[Call], helpers: int, idle: int) -> None:
    """Raises ValueError if a fleet with ``idle`` idle workers cannot start such a task."""
    if 1 + helpers > idle:
        raise ValueError(f"the task needs {1 + helpers} workers, {idle} are idle")
    if helpers and len(calls) > 1:
        raise ValueError(f"helpers are lent to a task of one call, not of {len(calls)}")


def attempt(ticket: int, function: Callable[..., Any], *arguments: Any) -> CallOutcome:
    """Calls ``function`` and returns the outcome, also of a call that raises.

    This includes ``sys.exit``, which would end the worker. KeyboardInterrupt is passed on: it is meant for
    the process, not for the task.
    """
    try:
        return CallOutcome(ticket, function(*arguments))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return CallOutcome(ticket, error=error, trace=traceback.format_exc())
