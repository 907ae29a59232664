"""Files that a configuration names: where they are, and what they hold."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from orchestrator.addresses import refusal
from orchestrator.config.base import ValidationInfo, refuse


def absolute_path(path: str, info: ValidationInfo) -> str:
    """Where a local file or folder that a sweep names is, for the validator of a field.

    A relative path starts at ``folder`` of the context that ``Config.parse`` was given. An absolute one
    starts at its ``root``: on a cluster, what a sweep names lies below the folder that was shipped. A secret,
    of a URI that was meant, is refused.
    """
    if reason := refusal(path):
        raise refuse(reason)
    context = info.context or {}
    if Path(path).is_absolute():
        return str(Path(context.get("root", "/"), path.lstrip("/")))
    return str(Path(context.get("folder", ".")).absolute() / path)


def read_regular_file(path: str | Path, most: int) -> bytes:
    """What a regular file holds. Anything else (a pipe, a device, a socket) is not opened: it may never end.

    Args:
        path: a local file.
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, or larger; the message says so.

    Example:
        >>> read_regular_file("/dev/zero", 100)
        Traceback (most recent call last):
        ValueError: it is a device, must be a regular file
    """
    status = Path(path).stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "Is a directory")
    if not stat.S_ISREG(status.st_mode):
        kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(status.st_mode), "a device")
        raise ValueError(f"it is {kind}, must be a regular file")
    if status.st_size > most:
        raise ValueError(f"it has {status.st_size:,} bytes, at most {most:,} are read")
    return Path(path).read_bytes()
