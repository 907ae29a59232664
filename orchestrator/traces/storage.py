"""Every file operation of a run, on a local directory: durable when it returns.

Files of rows are written in place and count only once a marker names them; markers are replaced in
one step. That is all that the rest of the room builds on, and an object store can offer it as well.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import RunDirectoryError


@dataclass(frozen=True)
class FileRecord:
    """Size in bytes and SHA-256 (hexadecimal) of a file, as a marker remembers it."""

    size: int
    sha256: str


class Sink(io.BufferedWriter):
    """A new file that is hashed while it is written."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path, "w"))
        self._size = 0
        self._hash = hashlib.sha256()

    def write(self, data) -> int:  # type: ignore[no-untyped-def]  # any buffer, as in io
        """Appends ``data``; returns its length in bytes."""
        written = super().write(data)
        self._size += written
        self._hash.update(data)
        return written

    def record(self) -> FileRecord:
        """Size and hash of what was written."""
        return FileRecord(self._size, self._hash.hexdigest())


@dataclass(frozen=True)
class Folder:
    """A local directory. Names are relative to it, their parts separated by ``/``."""

    root: Path

    def path(self, name: str) -> str:
        """The file or folder ``name`` as the operating system calls it."""
        return str(self.root / name)

    def names(self, name: str = "") -> list[str]:
        """What the folder ``name`` holds, sorted; nothing if there is no such folder."""
        try:
            return sorted(os.listdir(self.root / name))  # noqa: PTH208 - names, not paths
        except FileNotFoundError:
            return []

    def read(self, name: str) -> bytes | None:
        """The content of a small file; None if there is no such file."""
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def size(self, name: str) -> int | None:
        """Size of a file in bytes; None if there is no such file."""
        try:
            return (self.root / name).stat().st_size
        except FileNotFoundError:
            return None

    def record(self, name: str) -> FileRecord | None:
        """Size and hash of the file as it lies there; None if there is no such file."""
        try:
            with (self.root / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                return FileRecord(file.tell(), digest)
        except FileNotFoundError:
            return None

    def make(self) -> None:
        """Creates this folder, and those above it, where there is none."""
        _make(self.root)

    @contextmanager
    def create(self, name: str) -> Iterator[Sink]:
        """A new file to be written, on disk together with its place in the folder when the block ends."""
        path = self.root / name
        _make(path.parent)
        with Sink(path) as sink:
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
        _fsync(path.parent)

    def replace(self, name: str, data: bytes) -> None:
        """Writes a small file in one step: there is the old content or the new, never a part."""
        with self.create(f"{name}.tmp") as sink:
            sink.write(data)
        path = self.root / name
        (self.root / f"{name}.tmp").replace(path)
        _fsync(path.parent)

    def delete(self, name: str) -> None:
        """Removes a file, or a folder with all that it holds, if it is there."""
        path = self.root / name
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
        else:
            return
        _fsync(path.parent)


def _make(folder: Path) -> None:
    if not folder.exists():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _fsync(folder.parent)


def _fsync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explained(root: Path, way_out: str) -> Iterator[None]:
    """Turns what the operating system refuses (disk full, no permission) into a RunDirectoryError."""
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(f"{root}: {error.strerror or error}; {way_out}") from error
