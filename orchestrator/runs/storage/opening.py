"""From the address of a run (a path or a URI) to its storage."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.addresses import bare, is_uri, refusal
from orchestrator.errors import RunDirectoryError
from orchestrator.runs.storage.base import Storage
from orchestrator.runs.storage.folder import Folder


def address(path: str | os.PathLike[str]) -> Path | str:
    """``path`` as it is printed and passed on: a ``Path``, or a URI as text (a ``Path`` would spoil it)."""
    return os.fspath(path) if is_uri(path) else Path(path)


def storage(path: str | os.PathLike[str]) -> Storage:
    """The local directory ``path``, or the folder of an object store at that URI.

    Raises:
        RunDirectoryError: a URI that is not the address of an object store, or that holds a secret, or a path
            that is no text.
    """
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:  # bytes of a name that the system could not decode
        message = "is not UTF-8, and the libraries that write tables take no other; name another directory"
        raise RunDirectoryError(f"{os.fspath(path)!a} {message}") from None
    if reason := refusal(path):
        raise RunDirectoryError(f"{bare(path)}: {reason}")
    if not is_uri(path):
        return Folder(Path(path))
    from orchestrator.runs.storage.bucket import Bucket

    return Bucket.at(os.fspath(path))
