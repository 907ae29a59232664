"""Every exception that this package raises on purpose, and the text that messages may hold.

OrchestratorError                  exit code
├── InputError                     2   what the user wrote cannot run; carries every fault found
├── RunDirectoryError              2   the output directory is taken, foreign, or not writable
├── FleetError                     2   no Ray cluster to be had as asked for
├── ClusterLost                    3   the Ray cluster is gone; everything that came back is committed
├── WorkerLost                     –   a worker was taken away, or its node died; its work is tried again
│   ├── WorkerOutOfMemory          –   it was killed because memory ran out
│   └── WorkerCrashed              –   its process died by itself
├── ChangedFile                    2   a file is not what it was when the sweep was planned; in a worker: –
└── CertificateError               –   an engine disagrees with its independent check
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_CONTROL = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours and moves of the cursor
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # titles and links
    r"|\x1b[ -/]*[0-~]?|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
"""What a terminal obeys in place of showing it, but for tabs and ends of lines (ECMA-48)."""


def plain(text: str) -> str:
    """Text that any terminal, file and table can hold: without control characters and lone surrogates.

    Example:
        >>> plain("\\x1b[31mred\\x1b[0m\\a \\udcff")
        'red ?'
    """
    return _CONTROL.sub("", text).encode("utf-8", "replace").decode("utf-8")


_LONGEST_PATH = 200


def printable(text: str) -> str:
    r"""The text with what a terminal would obey, or cannot show, as escapes.

    Example:
        >>> print(printable("a\x1b[31mb"))
        a\x1b[31mb
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with what the user wrote.

    Attributes:
        path: dotted path inside the sweep file or trial (``model.layers``), or "".
        message: what is wrong, with the value and what would be legal.
        file: the file's name, or the option, as the user gave it; or "".
        line: line in that file, counted from 1; 0 where there is none.
    """

    path: str
    message: str
    file: str = ""
    line: int = 0

    @property
    def order(self) -> tuple[str, int, str, str]:
        """Sorts faults as a reader goes through the file."""
        return self.file, self.line, self.path, self.message

    def __str__(self) -> str:
        """One line, on which all that a terminal would not print is escaped."""
        position = f"{self.file}:{self.line}" if self.file and self.line else self.file
        path = self.path if len(self.path) <= _LONGEST_PATH else self.path[: _LONGEST_PATH - 1] + "…"
        return printable(": ".join(part for part in (position, path, self.message) if part))


class OrchestratorError(Exception):
    """Root of the tree above. What it says is ``plain``, whoever's words it repeats."""

    def __str__(self) -> str:
        return plain(super().__str__())


class InputError(OrchestratorError):
    """Bad input, every fault of it at once.

    Example:
        >>> print(InputError([Fault("steps", "is 0, must be at least 1", "a.yaml", 7)]))
        a.yaml:7: steps: is 0, must be at least 1
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[Fault, ...]]]:
        return type(self), (self.faults,)  # the default would rebuild it from its text

    @classmethod
    def at(cls, path: str, message: str) -> InputError:
        """The error of a single fault at ``path``."""
        return cls([Fault(path, message)])


class RunDirectoryError(OrchestratorError):
    """The run directory cannot be used as it is; the message says why and what to do."""


class FleetError(OrchestratorError):
    """The cluster that was asked for is not there, not reachable, or too small."""


class ClusterLost(OrchestratorError):  # noqa: N818 - an event, as WorkerLost is
    """The cluster is gone under a sweep that ran on it; the run can go on elsewhere."""


class WorkerLost(OrchestratorError):  # noqa: N818 - an event, and named as Ray names it
    """A worker was lost before it answered: preempted, out of reach, gone with its node."""


class WorkerOutOfMemory(WorkerLost):
    """A worker was killed because the memory of its node ran out."""


class WorkerCrashed(WorkerLost):
    """A worker's process died by itself, or was killed by who knows whom."""


class ChangedFile(OrchestratorError):  # noqa: N818 - an event, as WorkerLost is
    """A file, or what is made of it, is no longer what a sweep was planned with."""


class CertificateError(OrchestratorError):
    """A gradient differs from its independent evaluation."""


class RunDirectoryWarning(UserWarning):
    """The run directory can be used, but its user should know something of it."""
