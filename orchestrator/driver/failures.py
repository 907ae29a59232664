"""How work fails, and how often it may before it is halved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.errors import (
    CertificateError,
    ChangedFile,
    WorkerCrashed,
    WorkerLost,
    WorkerOutOfMemory,
    plain,
)


class FailureClass(StrEnum):
    """The classes of failures; what values come out not finite is none of them: such trials diverge."""

    LOST = "worker lost"
    MEMORY = "out of memory"
    CRASH = "crash"
    CHANGED = "changed file"
    ERROR = "error"


BUDGET: Mapping[FailureClass, int] = {
    FailureClass.LOST: 10,
    FailureClass.MEMORY: 2,
    FailureClass.CRASH: 3,
    FailureClass.CHANGED: 1,
    FailureClass.ERROR: 1,
}
"""Failures of a kind that a pack may meet without getting a step further; with the last it is halved.

A node that is taken away says nothing about the work; half a pack needs half the memory; an error in the
code comes again.
"""


@dataclass(frozen=True)
class Failure:
    """One failure of one piece of work.

    Attributes:
        text: a traceback, or how the worker died.
        mark: the same for failures that count as identical.
        permanent: it holds for every trial of the pack, so halves would meet it as well.
    """

    kind: FailureClass
    text: str
    mark: str
    permanent: bool = False

    @classmethod
    def of(cls, error: BaseException, trace: str) -> Failure:
        """The failure of a task that ended with ``error``; its traceback as text."""
        kind, trace = _kind(error), plain(trace)
        if isinstance(error, WorkerLost):
            return cls(kind, str(error), kind)
        if isinstance(error, ChangedFile):
            return cls(kind, str(error), f"{kind}: {error}", permanent=True)
        mark = f"{type(error).__name__} at {_place(trace)}"
        return cls(kind, trace, mark, permanent=isinstance(error, CertificateError))

    def message(self, count: int) -> str:
        """What the trace says of it when it was the last of ``count`` of its kind."""
        often = f", {count} times without a step between; the last" if count > 1 else ""
        return f"{self.kind}{often}: {self.text}"


def _kind(error: BaseException) -> FailureClass:
    if isinstance(error, (WorkerOutOfMemory, MemoryError)):
        return FailureClass.MEMORY
    if isinstance(error, WorkerCrashed):
        return FailureClass.CRASH
    if isinstance(error, ChangedFile):
        return FailureClass.CHANGED
    return FailureClass.LOST if isinstance(error, WorkerLost) else FailureClass.ERROR


def _place(trace: str) -> str:
    """Where an error was raised; not its message, which may name what is particular to the trial."""
    frames = [line.strip() for line in trace.splitlines() if line.startswith("  File ")]
    return frames[-1] if frames else "an unknown place"
