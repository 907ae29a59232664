"""What a run needs of the place where it lies: file operations that are durable when they return.

Files of rows are written in place and count only once a marker names them; markers are replaced in
one step. That is all that the rest of ``runs`` builds on. A local folder (``folder``) and a bucket of an
object store (``bucket``) offer it.
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
from orchestrator.runs.storage.company import gone
from orchestrator.runs.storage.owner import Owner


@dataclass(frozen=True)
class FileRecord:
    """Size in bytes and SHA-256 (hexadecimal) of a file, as a marker remembers it.

    Attributes:
        footer: SHA-256 of the last bytes of a Parquet file: metadata, their length, "PAR1"; "" of other
            files, and of what is hashed as it lies there. Records are equal without it.
    """

    size: int
    sha256: str
    footer: str = field(default="", compare=False)


@dataclass(frozen=True)
class RowFile:
    """A file of rows.

    Attributes:
        name: in the run.
        record: what a marker says of it; None of files that no marker lists.
    """

    name: str
    record: FileRecord | None = None


class Sink(io.BufferedWriter):
    """A new file that is hashed while it is written."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw)
        self._size = 0
        self._hash = hashlib.sha256()
        self._end: Any = None

    def write(self, data) -> int:  # type: ignore[no-untyped-def]  # any buffer, as in io
        """Appends ``data``; returns its length in bytes."""
        written = super().write(data)
        self._size += written
        self._hash.update(data)
        if self._end:
            self._end.update(data)
        return written

    def begin_footer(self) -> None:
        """What is written from now on is the footer, and has a hash of its own in the record."""
        self._end = hashlib.sha256()

    def record(self) -> FileRecord:
        """Size and hashes of what was written."""
        return FileRecord(self._size, self._hash.hexdigest(), self._end.hexdigest() if self._end else "")


class Hold(Protocol):
    """What keeps other drivers out of a run."""

    def check(self) -> None:
        """Raises RunDirectoryError if another driver has taken the run over."""

    def release(self) -> None:
        """Gives the run free; a second call does nothing."""


class Storage(Protocol):
    """Where a run lies. Names are relative to it, their parts separated by ``/``."""

    @property
    def root(self) -> Any: ...
    @property
    def filesystem(self) -> Any:
        """The pyarrow file system to which ``source`` is known; None: the operating system's."""

    def path(self, name: str) -> str:
        """The file or folder ``name`` as messages and other tools call it."""

    def source(self, name: str) -> str:
        """The file ``name`` as ``filesystem`` calls it."""

    def check_usable(self) -> None:
        """Raises RunDirectoryError if it is plain that nothing can be written here; changes nothing."""

    def cautions(self) -> list[str]:
        """What its user should know of the place; a line each."""

    def hold(self) -> Hold:
        """Takes hold of the run. Raises RunDirectoryError if another driver is alive; nothing was changed."""

    def owner(self) -> Owner | None:
        """The driver that is at work on the run; None if there is none."""

    def names(self, name: str = "") -> list[str]:
        """What the folder ``name`` holds, sorted; nothing if there is no such folder."""

    def read(self, name: str) -> bytes | None:
        """The content of a small file; None if there is no such file."""

    def size(self, name: str) -> int | None:
        """Size of a file in bytes; None if there is no such file."""

    def record(self, name: str) -> FileRecord | None:
        """Size and hash of the file as it lies there; None if there is no such file."""

    def make(self) -> None:
        """Creates the folder itself, where a folder has to be created."""

    def create(self, name: str) -> AbstractContextManager[Sink]:
        """A new file to be written; it is there for good when the block ends."""

    def replace(self, name: str, data: bytes) -> None:
        """Writes a small file in one step: there is the old content or the new, never a part."""

    def delete(self, name: str) -> None:
        """Removes a file, or a folder with all that it holds, if it is there."""


SAFE = "what was committed is kept: remove the cause, then run the same command again"
"""The way out when something fails in the middle of a run."""


@contextmanager
def explained(root: object, way_out: str) -> Iterator[None]:
    """Turns what the system or the store refuses (disk full, no permission) into a RunDirectoryError."""
    try:
        yield
    except OSError as error:
        lost = isinstance(error, FileNotFoundError) and isinstance(root, Path) and not root.exists()
        if lost and way_out == SAFE:  # it was there when the driver began
            raise gone(root) from error
        raise RunDirectoryError(f"{root}: {_reason(error)}; {way_out}") from error


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
"""What Amazon's client says, and what it means to who runs a sweep."""


def _reason(error: OSError) -> str:
    """Why, in one line. Of what pyarrow's stores say only the beginning: the rest is their own business."""
    if error.strerror:
        return error.strerror
    code = re.search(r"AWS Error (\w+)", str(error))
    if code and code[1] in _REASONS:
        return _REASONS[code[1]]
    return str(error).splitlines()[0].split(" (Request ID")[0][:300] if str(error) else type(error).__name__
