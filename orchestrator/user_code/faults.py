"""Exceptions of users' code as faults."""

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
"""Of an exception's text in a message."""


@contextmanager
def errors_as_faults(path: str, culprit: str, file: Path | None = None) -> Iterator[None]:
    """Turns exceptions of users' code inside ``with``, SystemExit included, into faults with file and line.

    Two kinds of exceptions pass unchanged: Ctrl-C (a KeyboardInterrupt that no ``raise`` in the user's code
    has raised), and the errors of this package outside of the user's code.

    Args:
        path: path of the fault.
        culprit: names the code that raised the exception.
        file: named if no line of the user's code was reached; without it, such exceptions pass unchanged.

    Raises:
        InputError: the fault.
    """
    try:
        yield
    except BaseException as error:
        own = [(frame, line) for frame, line in walk_tb(error.__traceback__) if _is_users(frame)]
        passes = isinstance(error, OrchestratorError) or file is None
        if _is_ctrl_c(error) or (passes and not own):
            raise
        where = f"{own[-1][0].f_code.co_filename}:{own[-1][1]}" if own else file and _position(file, error)
        raise InputError.at(path, f"{culprit} raised {_message(error)} ({where})") from error


def _is_users(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__"))
    return name.startswith(ROOT) or trusted().has_module(name)


def _position(file: Path, error: BaseException) -> str:
    """Returns a file, with the line if the error is a SyntaxError in it."""
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == str(file) else None
    return f"{file}:{line}" if line else str(file)


def _is_ctrl_c(error: BaseException) -> bool:
    """Returns whether a signal raised it: the innermost instruction is no ``raise`` of the user's code."""
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
    """Returns type and text of an error, on one line."""
    try:
        text = str(error)
    except BaseException:  # ``__str__`` may be the user's code
        text = "its message cannot be shown"
    text = " ".join(re.sub(ROOT + r"[0-9a-f]{8}\.", "", plain(text)).split())
    if len(text) > _MOST_CHARACTERS:
        text = f"{text[:_MOST_CHARACTERS]}…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
