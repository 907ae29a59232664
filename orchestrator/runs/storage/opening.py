"""Opens the storage of a run by its address, a path or a URI."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.addresses import bare, is_uri, refusal
from orchestrator.errors import RunDirectoryError
from orchestrator.runs.storage.base import Storage
from orchestrator.runs.storage.folder import Folder


def address(path: str | os.PathLike[str]) -> Path | str:
    """Returns ``path`` for messages and further use.

    The result is a ``Path``, or text for a URI, since a ``Path`` would collapse the slashes of a URI.
    """
    return os.fspath(path) if is_uri(path) else Path(path)


def storage(path: str | os.PathLike[str]) -> Storage:
    """Returns the local directory ``path``, or the folder of an object store at that URI.

    Raises:
        RunDirectoryError: the URI is not the address of an object store or holds a secret, or the path is not
            valid UTF-8.
    """
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:  # bytes of a name that the system could not decode
        message = "is not UTF-8, which the libraries that write tables require; name another directory"
        raise RunDirectoryError(f"{os.fspath(path)!a} {message}") from None
    if reason := refusal(path):
        raise RunDirectoryError(f"{bare(path)}: {reason}")
    if not is_uri(path):
        return Folder(Path(path))
    from orchestrator.runs.storage.bucket import Bucket

    return Bucket.at(os.fspath(path))
