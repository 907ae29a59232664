"""The storage interface of a run: file operations that are durable when they return.

Files of rows are written directly under their final names, and count only once a marker lists them. Markers
are replaced in one step. The rest of ``runs`` relies on nothing else. A local folder (``folder``) and a
bucket of an object store (``bucket``) implement this interface.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from orchestrator.errors import RunDirectoryError
from orchestrator.runs.storage.owner import Owner
from orchestrator.runs.storage.permissions import directory_gone


@dataclass(frozen=True)
class Fingerprint:
    """Size in bytes and SHA-256 (hexadecimal) of a file, as in a marker.

    Attributes:
        footer: SHA-256 of the footer of a Parquet file: metadata, their length, "PAR1". It is "" for other
            files, and if the file was hashed after it was written. Comparisons ignore it.
    """

    size: int
    sha256: str
    footer: str = field(default="", compare=False)


@dataclass(frozen=True)
class RowFile:
    """A file of rows.

    Attributes:
        name: path of the file, relative to the run.
        fingerprint: the file's fingerprint in a marker; None if no marker lists the file.
    """

    name: str
    fingerprint: Fingerprint | None = None


class Sink(io.BufferedWriter):
    """A new file that is hashed while it is written."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw)
        self._size = 0
        self._hash = hashlib.sha256()
        self._footer: Any = None

    def write(self, data) -> int:  # type: ignore[no-untyped-def]  # any buffer, as in io
        """Appends ``data``; returns its length in bytes."""
        written = super().write(data)
        self._size += written
        self._hash.update(data)
        if self._footer:
            self._footer.update(data)
        return written

    def begin_footer(self) -> None:
        """Starts the footer: it has a hash of its own in the fingerprint."""
        self._footer = hashlib.sha256()

    def fingerprint(self) -> Fingerprint:
        """Returns the size and the hashes of what was written."""
        return Fingerprint(
            self._size, self._hash.hexdigest(), self._footer.hexdigest() if self._footer else ""
        )


class Hold(Protocol):
    """Exclusive hold on a run, which keeps other drivers out."""

    def check(self) -> None:
        """Raises RunDirectoryError if another driver has taken the run over."""

    def release(self) -> None:
        """Releases the run; a second call does nothing."""


class Storage(Protocol):
    """The storage of one run. Names are paths relative to the run, separated by ``/``."""

    @property
    def root(self) -> Any: ...
    @property
    def filesystem(self) -> Any:
        """The pyarrow file system in which ``source`` is a path; None: that of the operating system."""

    def path(self, name: str) -> str:
        """Returns the full path or URI of the file or folder ``name``, for messages and other tools."""

    def source(self, name: str) -> str:
        """Returns the path of the file ``name`` in ``filesystem``."""

    def check_usable(self) -> None:
        """Raises RunDirectoryError if it is clear that nothing can be written here; changes nothing."""

    def cautions(self) -> list[str]:
        """Returns warnings about this storage for its user, a line each."""

    def hold(self) -> Hold:
        """Takes hold of the run. Raises RunDirectoryError if another driver is alive; nothing was changed."""

    def owner(self) -> Owner | None:
        """Returns the driver that is at work on the run; None if there is none."""

    def names(self, name: str = "") -> list[str]:
        """Lists the entries of the folder ``name``, sorted; none if there is no such folder."""

    def read(self, name: str) -> bytes | None:
        """Reads a small file; None if there is no such file."""

    def size(self, name: str) -> int | None:
        """Returns the size of a file in bytes; None if there is no such file."""

    def fingerprint(self, name: str) -> Fingerprint | None:
        """Reads a file and returns its size and hash; None if there is no such file."""

    def make(self) -> None:
        """Creates the folder of the run, if this storage needs one."""

    def create(self, name: str) -> AbstractContextManager[Sink]:
        """Opens a new file for writing; it is durable when the block ends."""

    def replace(self, name: str, data: bytes) -> None:
        """Writes a small file in one step: readers see the old content or the new, never a part."""

    def delete(self, name: str) -> None:
        """Removes a file, or a folder with its content, if it exists."""


RESUME = "what was committed is kept: remove the cause, then run the same command again"
"""The remedy after a failure in the middle of a run."""


@contextmanager
def explained(root: object, remedy: str) -> Iterator[None]:
    """Turns errors of the system or the store (disk full, no permission) into a RunDirectoryError.

    Args:
        root: path or URI of the run.
        remedy: what the user can do, for the message.
    """
    try:
        yield
    except OSError as error:
        vanished = isinstance(error, FileNotFoundError) and isinstance(root, Path) and not root.exists()
        if vanished and remedy == RESUME:  # the directory existed when the driver started
            raise directory_gone(root) from error
        raise RunDirectoryError(f"{root}: {_reason(error)}; {remedy}") from error


_CREDENTIALS = "the store refuses the credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role"
_REASONS = {
    "NO_SUCH_BUCKET": "there is no such bucket: create it",
    "ACCESS_DENIED": _CREDENTIALS,
    "INVALID_ACCESS_KEY_ID": _CREDENTIALS,
    "INVALID_CLIENT_TOKEN_ID": _CREDENTIALS,
    "SIGNATURE_DOES_NOT_MATCH": _CREDENTIALS,
    "EXPIRED_TOKEN": _CREDENTIALS,
    "NETWORK_CONNECTION": "the store cannot be reached: check the network and AWS_ENDPOINT_URL",
}
"""Error code of Amazon's client -> message for the user."""


def _reason(error: OSError) -> str:
    """Returns the reason of an error in one line: of a store's message only the beginning."""
    if error.strerror:
        return error.strerror
    code = re.search(r"AWS Error (\w+)", str(error))
    if code and code[1] in _REASONS:
        return _REASONS[code[1]]
    return str(error).splitlines()[0].split(" (Request ID")[0][:300] if str(error) else type(error).__name__
