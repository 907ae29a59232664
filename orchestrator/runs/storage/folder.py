"""A run in a local folder."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

from orchestrator.errors import RunDirectoryError
from orchestrator.runs.storage.base import FileRecord, Hold, Sink
from orchestrator.runs.storage.company import cautions, gone, refuse_in_shared_folder, refuse_links
from orchestrator.runs.storage.lock import Lock, owner
from orchestrator.runs.storage.owner import Owner


@dataclass(frozen=True)
class Folder:
    """A local directory: files are written with the operating system and flushed to the disk."""

    root: Path
    filesystem: None = None

    def path(self, name: str) -> str:
        """The file or folder ``name`` as the operating system calls it."""
        return str(self.root / name)

    def source(self, name: str) -> str:
        """The same."""
        return self.path(name)

    def check_usable(self) -> None:
        """Raises RunDirectoryError if it is a file, or where nothing can be written; changes nothing."""
        root = self.root.absolute()
        there = next(place for place in (root, *root.parents) if place.exists() or place.is_symlink())
        if not there.exists():
            raise RunDirectoryError(
                f"{there} is a symbolic link to {there.readlink()}, which is not there; "
                "make that directory, remove the link, or name another directory"
            )
        if not there.is_dir():
            raise RunDirectoryError(f"{there} is a file; name a directory")
        if not os.access(there, os.W_OK | os.X_OK):
            raise RunDirectoryError(f"{there} is not writable; name a directory that is")
        refuse_links(self.root, [name for name in self.names() if (self.root / name).is_dir()])
        refuse_in_shared_folder(self.root)

    def cautions(self) -> list[str]:
        """What its user should know of it; a line each."""
        return cautions(self.root)

    def hold(self) -> Hold:
        """Takes hold of the run. Raises RunDirectoryError if another driver is alive; nothing was changed."""
        return Lock.acquire(self.root)

    def owner(self) -> Owner | None:
        """The driver that is at work on the run; None if there is none."""
        return owner(self.root)

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
        """A new file to be written, on disk together with its place in the folder when the block ends.

        Whatever was there by that name is removed first: a link is never followed.
        """
        if not self.root.exists():
            raise gone(self.root)
        path = self._inside(name)
        _make(path.parent)
        with Sink(io.FileIO(path, "x", opener=_open_new)) as sink:
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
        """Removes a file, or a folder with all that it holds, if it is there; of a link only itself."""
        path = self._inside(name)
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            return
        _fsync(path.parent)

    def _inside(self, name: str) -> Path:
        """Where a file is to be changed. Raises RunDirectoryError if a folder on the way is a link."""
        folders = [str(folder) for folder in PurePath(name).parents][:-1]
        refuse_links(self.root, folders)
        return self.root / name


def _open_new(path: str, _: int) -> int:
    """Opens a file for writing that nobody has opened before, not even through a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileExistsError:
        os.unlink(path)  # noqa: PTH108 - as open
        return os.open(path, flags, 0o666)


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
