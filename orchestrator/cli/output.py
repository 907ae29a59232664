"""Standard output and error, also where nobody reads them, a disk is full, or a letter cannot be shown."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import Any, TextIO

from orchestrator.errors import OrchestratorError

_PLAIN = {"–": "-", "─": "-", "…": "...", "×": "x", "→": "->"}
_ERRORS = "orchestrator.plain"


class OutputLost(OrchestratorError):  # noqa: N818 - an event, as its parent names them
    """Standard output takes no more, and a verb has nothing to do but to print.

    Attributes:
        quiet: whether its reader has gone, as `head` does; there is nobody to be told.
    """

    def __init__(self, error: OSError) -> None:
        self.quiet = error.errno == errno.EPIPE
        super().__init__(f"standard output: {error.strerror}")


class _Descriptor(io.FileIO):
    """Writes to a descriptor until that fails; what comes later goes nowhere, so that nothing else fails."""

    def __init__(self, number: int, needed: bool) -> None:
        super().__init__(number, "wb", closefd=False)
        self.needed = needed
        self._lost = False

    def write(self, content: Any) -> int:
        """Number of bytes taken; raises OutputLost, once, if the verb needs this output."""
        if not self._lost:
            try:
                return super().write(content)
            except OSError as error:
                self._lost = True
                self._tell(OutputLost(error))
        return memoryview(content).nbytes

    def _tell(self, lost: OutputLost) -> None:
        if self.needed:
            raise lost
        if not lost.quiet and self.fileno() == 1:
            print(f"{lost}; going on without it", file=sys.stderr)


class _Text(io.TextIOWrapper):
    """The text of a descriptor, in the encoding that the user's locale asks for."""

    buffer = None  # type: ignore[assignment]  # else click writes UTF-8 where ASCII was asked for

    def __init__(self, number: int, before: TextIO | None, needed: bool) -> None:
        self.descriptor = _Descriptor(number, needed)
        super().__init__(
            io.BufferedWriter(self.descriptor),
            before.encoding if before else "utf-8",
            _ERRORS,
            line_buffering=before is None or number == 2 or before.isatty(),
        )


def take_over() -> None:
    """Makes standard output and error safe to write to for the rest of this process."""
    codecs.register_error(_ERRORS, _in_plain_letters)
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed; a file that is opened would get its number, and what is printed
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _Text(2, sys.__stderr__, needed=False)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _Text(1, sys.__stdout__, needed=True)


def go_on_without() -> None:
    """From now on the verb goes on when standard output takes no more: it does more than to print."""
    if isinstance(sys.stdout, _Text):
        sys.stdout.descriptor.needed = False


def _in_plain_letters(error: UnicodeError) -> tuple[str, int]:
    """What is shown in the place of letters that the encoding does not have."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(_PLAIN.get(letter) or ascii(letter)[1:-1] for letter in letters), error.end
