"""Files that a configuration names: their absolute paths and their content."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from orchestrator.addresses import refusal
from orchestrator.config.base import ValidationInfo, refuse


def absolute_path(path: str, info: ValidationInfo) -> str:
    """Returns the absolute path of a local file or folder that a sweep names, for the validator of a field.

    A relative path starts at ``folder`` of the context that ``Config.parse`` gets. An absolute path starts at
    the context's ``root``: on a cluster, the sweep's files are below the folder that was shipped. A path with
    a secret, as URIs may have, is refused.
    """
    if reason := refusal(path):
        raise refuse(reason)
    context = info.context or {}
    if Path(path).is_absolute():
        return str(Path(context.get("root", "/"), path.lstrip("/")))
    return str(Path(context.get("folder", ".")).absolute() / path)


def read_regular_file(path: str | Path, max_bytes: int) -> bytes:
    """Returns the content of a regular file. A pipe, a device or a socket is not opened: it may never end.

    Args:
        path: a local file.
        max_bytes: the largest size that is read.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a regular file, or too large; the message says which.

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
    if status.st_size > max_bytes:
        raise ValueError(f"it has {status.st_size:,} bytes, at most {max_bytes:,} are read")
    return Path(path).read_bytes()
