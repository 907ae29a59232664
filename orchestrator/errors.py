"""The exceptions that this package raises on purpose, and the characters that messages may hold.

OrchestratorError                  exit code
├── InputError                     2   the user's input cannot run; holds every fault found
├── RunDirectoryError              2   the output directory is taken, foreign, or not writable
├── FleetError                     2   the requested Ray cluster is not available
├── ClusterLost                    3   the Ray cluster is gone; all results received are committed
├── WorkerLost                     –   a worker was preempted, or its node died; its work is retried
│   ├── WorkerOutOfMemory          –   a worker was killed because memory ran out
│   └── WorkerCrashed              –   a worker's process crashed or was killed
├── ChangedFile                    2   a file has changed since the sweep was planned; in a worker: –
└── CertificateError               –   an engine disagrees with its independent check
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_CONTROL = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours and cursor movements
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # titles and links
    r"|\x1b[ -/]*[0-~]?|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
"""Control sequences of terminals (ECMA-48), except tab and newline."""


def plain(text: str) -> str:
    """Returns text that any terminal, file and table can hold: no control characters, no lone surrogates.

    Example:
        >>> plain("\\x1b[31mred\\x1b[0m\\a \\udcff")
        'red ?'
    """
    return _CONTROL.sub("", text).encode("utf-8", "replace").decode("utf-8")


_LONGEST_PATH = 200


def printable(text: str) -> str:
    r"""Returns the text with escapes for all characters that are not printable.

    Example:
        >>> print(printable("a\x1b[31mb"))
        a\x1b[31mb
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


@dataclass(frozen=True)
class Fault:
    """One error in the user's input.

    Attributes:
        path: dotted path inside the sweep file or trial (``model.layers``), or "".
        message: what is wrong, with the value and the legal ones.
        file: name of the file, or of the option, as the user wrote it; or "".
        line: line in that file, counted from 1; 0 if unknown.
    """

    path: str
    message: str
    file: str = ""
    line: int = 0

    @property
    def order(self) -> tuple[str, int, str, str]:
        """Sort key: file, then line, path and message."""
        return self.file, self.line, self.path, self.message

    def __str__(self) -> str:
        """Returns one line, in which non-printable characters are escaped."""
        position = f"{self.file}:{self.line}" if self.file and self.line else self.file
        path = self.path if len(self.path) <= _LONGEST_PATH else self.path[: _LONGEST_PATH - 1] + "…"
        return printable(": ".join(part for part in (position, path, self.message) if part))


class OrchestratorError(Exception):
    """Root of the tree above. Its text is always ``plain``, also where it quotes other libraries."""

    def __str__(self) -> str:
        return plain(super().__str__())


class InputError(OrchestratorError):
    """Bad input, with all its faults at once.

    Example:
        >>> print(InputError([Fault("steps", "is 0, must be at least 1", "a.yaml", 7)]))
        a.yaml:7: steps: is 0, must be at least 1
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[Fault, ...]]]:
        return type(self), (self.faults,)  # the default would rebuild the error from its text

    @classmethod
    def at(cls, path: str, message: str) -> InputError:
        """Returns the error of a single fault at ``path``."""
        return cls([Fault(path, message)])


class RunDirectoryError(OrchestratorError):
    """The run directory cannot be used as it is; the message says why and what to do."""


class FleetError(OrchestratorError):
    """The requested cluster does not exist, is not reachable, or is too small."""


class ClusterLost(OrchestratorError):  # noqa: N818 - an event, as WorkerLost is
    """The cluster was lost while a sweep ran on it; the run can continue on another one."""


class WorkerLost(OrchestratorError):  # noqa: N818 - an event, with Ray's name for it
    """A worker was lost before it returned: preempted, unreachable, or its node died."""


class WorkerOutOfMemory(WorkerLost):
    """A worker was killed because the memory of its node ran out."""


class WorkerCrashed(WorkerLost):
    """A worker's process crashed, or was killed from outside."""


class ChangedFile(OrchestratorError):  # noqa: N818 - an event, as WorkerLost is
    """A file, or the model made from it, has changed since the sweep was planned."""


class CertificateError(OrchestratorError):
    """A gradient differs from its independent evaluation."""


class RunDirectoryWarning(UserWarning):
    """The run directory can be used, but the user should know something about it."""
