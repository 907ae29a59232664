"""Standard output and error that survive a closed pipe, a full disk and a limited character set."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import Any, TextIO

from orchestrator.errors import OrchestratorError

_ASCII = {"–": "-", "─": "-", "…": "...", "×": "x", "→": "->"}
_ERRORS = "orchestrator.ascii"


class OutputLost(OrchestratorError):  # noqa: N818 - an event, as its parent names them
    """Writing to standard output failed in a verb that only prints.

    Attributes:
        quiet: whether the reader has closed the pipe, as `head` does: no message is due.
    """

    def __init__(self, error: OSError) -> None:
        self.quiet = error.errno == errno.EPIPE
        super().__init__(f"standard output: {error.strerror}")


class _Descriptor(io.FileIO):
    """Writes to a file descriptor; discards everything after the first failure, so that no later write fails.

    Attributes:
        needed: whether a failure raises OutputLost. If not, it is reported once on standard error.
    """

    def __init__(self, number: int, needed: bool) -> None:
        super().__init__(number, "wb", closefd=False)
        self.needed = needed
        self._lost = False

    def write(self, content: Any) -> int:
        """Returns the number of bytes taken; raises OutputLost at the first failure if ``needed``."""
        if not self._lost:
            try:
                return super().write(content)
            except OSError as error:
                self._lost = True
                self._report(OutputLost(error))
        return memoryview(content).nbytes

    def _report(self, lost: OutputLost) -> None:
        if self.needed:
            raise lost
        if not lost.quiet and self.fileno() == 1:
            print(f"{lost}; continuing without it", file=sys.stderr)


class _Text(io.TextIOWrapper):
    """A text stream on a file descriptor, in the encoding of the user's locale."""

    buffer = None  # type: ignore[assignment]  # else click writes UTF-8 even if the locale is ASCII

    def __init__(self, number: int, original: TextIO | None, needed: bool) -> None:
        self.descriptor = _Descriptor(number, needed)
        super().__init__(
            io.BufferedWriter(self.descriptor),
            original.encoding if original else "utf-8",
            _ERRORS,
            line_buffering=original is None or number == 2 or original.isatty(),
        )


def wrap_streams() -> None:
    """Makes standard output and error safe to write to for the rest of this process."""
    codecs.register_error(_ERRORS, _transliterated)
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file to be opened would get this number, and all prints
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _Text(2, sys.__stderr__, needed=False)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _Text(1, sys.__stdout__, needed=True)


def tolerate_loss() -> None:
    """Lets the verb continue if standard output fails: for verbs that do more than print."""
    if isinstance(sys.stdout, _Text):
        sys.stdout.descriptor.needed = False


def _transliterated(error: UnicodeError) -> tuple[str, int]:
    """Returns ASCII for characters that the encoding lacks, and where to continue: a codec error handler."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(_ASCII.get(character) or ascii(character)[1:-1] for character in characters), error.end
