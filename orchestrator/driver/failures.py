"""Classes of failures, and how often a pack may fail before it is halved."""

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
    """Classes of failures. Values that are not finite are no failure: such trials diverge."""

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
"""The retry budget: a pack is halved after this many failures of a class without a step in between.

A lost node says nothing about the pack. Half a pack needs half the memory. An error in the code recurs.
"""


@dataclass(frozen=True)
class Failure:
    """One failure of a pack.

    Attributes:
        text: the traceback, or how the worker died.
        mark: equal for failures that count as identical.
        permanent: whether every trial of the pack would fail, so that halving it is useless.
    """

    kind: FailureClass
    text: str
    mark: str
    permanent: bool = False

    @classmethod
    def of(cls, error: BaseException, trace: str) -> Failure:
        """Returns the failure of a call that ended with ``error``; ``trace`` is its traceback."""
        kind, trace = _kind(error), plain(trace)
        if isinstance(error, WorkerLost):
            return cls(kind, str(error), kind)
        if isinstance(error, ChangedFile):
            return cls(kind, str(error), f"{kind}: {error}", permanent=True)
        mark = f"{type(error).__name__} at {_raised_at(trace)}"
        return cls(kind, trace, mark, permanent=isinstance(error, CertificateError))

    def message(self, count: int) -> str:
        """Returns the text for ``trials.error``; this failure was the last of ``count`` of its class."""
        often = f", {count} times without a step in between; the last" if count > 1 else ""
        return f"{self.kind}{often}: {self.text}"


def _kind(error: BaseException) -> FailureClass:
    if isinstance(error, (WorkerOutOfMemory, MemoryError)):
        return FailureClass.MEMORY
    if isinstance(error, WorkerCrashed):
        return FailureClass.CRASH
    if isinstance(error, ChangedFile):
        return FailureClass.CHANGED
    return FailureClass.LOST if isinstance(error, WorkerLost) else FailureClass.ERROR


def _raised_at(trace: str) -> str:
    """Returns the line that raised an error. Its message may hold values of the trial, and is left out."""
    frames = [line.strip() for line in trace.splitlines() if line.startswith("  File ")]
    return frames[-1] if frames else "an unknown line"
