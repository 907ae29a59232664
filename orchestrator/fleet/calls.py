"""The calls that tasks are made of, and what becomes of each."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Call = Callable[[Any], Any]
"""What a worker does once, with its team (``training.loop.Team``); it must pickle."""


@dataclass(frozen=True)
class CallOutcome:
    """How a call ended.

    Attributes:
        ticket: as ``submit`` of the fleet returned it.
        value: what the call returned; None if it failed.
        error: None, a WorkerLost (worth another try), or what the call raised.
        trace: the traceback of the error, as text.
    """

    ticket: int
    value: Any = None
    error: BaseException | None = None
    trace: str = ""


def check_task(calls: Sequence[Call], helpers: int, idle: int) -> None:
    """Raises ValueError if a fleet with ``idle`` idle workers cannot start such a task."""
    if 1 + helpers > idle:
        raise ValueError(f"{1 + helpers} workers are wanted, {idle} idle")
    if helpers and len(calls) > 1:
        raise ValueError(f"helpers are lent to a task of one call, not of {len(calls)}")


def attempt(ticket: int, function: Callable[..., Any], *arguments: Any) -> CallOutcome:
    """Calls ``function``; what it raises is an outcome too.

    So is a call of ``sys.exit``, which would end the worker. KeyboardInterrupt passes: it is meant
    for the process, not for the task.
    """
    try:
        return CallOutcome(ticket, function(*arguments))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return CallOutcome(ticket, error=error, trace=traceback.format_exc())
