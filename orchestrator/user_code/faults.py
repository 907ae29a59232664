"""What becomes of whatever users' code raises."""

from __future__ import annotations

import dis
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from types import FrameType

from orchestrator.errors import InputError, OrchestratorError, plain
from orchestrator.user_code.modules import ROOT
from orchestrator.user_code.trust import trusted

_MOST_CHARACTERS = 1000
"""Of what an error says, in a message."""


@contextmanager
def errors_as_faults(path: str, culprit: str, file: Path | None = None) -> Iterator[None]:
    """Whatever users' code raises inside, SystemExit included, becomes a fault with its file and line.

    A Ctrl-C passes: a KeyboardInterrupt that no ``raise`` in the user's code has raised. So do the errors
    of this package.

    Args:
        path: of the fault.
        culprit: what raised it.
        file: is named where no line of the user's code was reached; if left out, only that counts which has
            passed such a line.

    Raises:
        InputError: the fault.
    """
    try:
        yield
    except BaseException as error:
        own = [(frame, line) for frame, line in walk_tb(error.__traceback__) if _is_users(frame)]
        ours = isinstance(error, OrchestratorError) or file is None
        if _is_ctrl_c(error) or (ours and not own):
            raise
        place = f"{own[-1][0].f_code.co_filename}:{own[-1][1]}" if own else file and _place(file, error)
        raise InputError.at(path, f"{culprit} raised {_message(error)} ({place})") from error


def _is_users(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__"))
    return name.startswith(ROOT) or trusted().has_module(name)


def _place(file: Path, error: BaseException) -> str:
    """A file, and the line that a SyntaxError in it names."""
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == str(file) else None
    return f"{file}:{line}" if line else str(file)


def _is_ctrl_c(error: BaseException) -> bool:
    """Whether it comes from a signal; then the innermost instruction is no ``raise`` of the user's code."""
    if type(error) is not KeyboardInterrupt:
        return False
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is None or not _is_users(innermost.tb_frame):
        return True
    instructions = dis.get_instructions(innermost.tb_frame.f_code)
    names = {instruction.offset: instruction.opname for instruction in instructions}
    return names.get(innermost.tb_lasti) != "RAISE_VARARGS"


def _message(error: BaseException) -> str:
    """Kind and text of an error, on one line."""
    try:
        text = str(error)
    except BaseException:  # it is the user's code, too
        text = "what it says cannot be shown"
    text = " ".join(re.sub(ROOT + r"[0-9a-f]{8}\.", "", plain(text)).split())
    if len(text) > _MOST_CHARACTERS:
        text = f"{text[:_MOST_CHARACTERS]}…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
