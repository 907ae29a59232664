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
from orchestrator.runs.storage.base import Fingerprint, Hold, Sink
from orchestrator.runs.storage.lock import Lock, owner
from orchestrator.runs.storage.owner import Owner
from orchestrator.runs.storage.permissions import (
    cautions,
    directory_gone,
    refuse_in_shared_folder,
    refuse_links,
)


@dataclass(frozen=True)
class Folder:
    """A local directory, whose files are flushed to the disk.

    Attributes:
        root: path of the directory.
        filesystem: always None: the files are those of the operating system.
    """

    root: Path
    filesystem: None = None

    def path(self, name: str) -> str:
        """Returns the path of the file or folder ``name``."""
        return str(self.root / name)

    def source(self, name: str) -> str:
        """Returns the path of the file ``name``."""
        return self.path(name)

    def check_usable(self) -> None:
        """Raises RunDirectoryError if ``root`` is a file or cannot be written to; changes nothing."""
        root = self.root.absolute()
        existing = next(path for path in (root, *root.parents) if path.exists() or path.is_symlink())
        if not existing.exists():
            raise RunDirectoryError(
                f"{existing} is a symbolic link to {existing.readlink()}, which does not exist; "
                "create that directory, remove the link, or name another directory"
            )
        if not existing.is_dir():
            raise RunDirectoryError(f"{existing} is a file; name a directory")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise RunDirectoryError(f"{existing} is not writable; name a directory that is")
        refuse_links(self.root, [name for name in self.names() if (self.root / name).is_dir()])
        refuse_in_shared_folder(self.root)

    def cautions(self) -> list[str]:
        """Returns a warning if other users may damage the run."""
        return cautions(self.root)

    def hold(self) -> Hold:
        """Takes hold of the run. Raises RunDirectoryError if another driver is alive; nothing was changed."""
        return Lock.acquire(self.root)

    def owner(self) -> Owner | None:
        """Returns the driver that is at work on the run; None if there is none."""
        return owner(self.root)

    def names(self, name: str = "") -> list[str]:
        """Lists the entries of the folder ``name``, sorted; none if there is no such folder."""
        try:
            return sorted(os.listdir(self.root / name))  # noqa: PTH208 - names, not paths
        except FileNotFoundError:
            return []

    def read(self, name: str) -> bytes | None:
        """Reads a small file; None if there is no such file."""
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def size(self, name: str) -> int | None:
        """Returns the size of a file in bytes; None if there is no such file."""
        try:
            return (self.root / name).stat().st_size
        except FileNotFoundError:
            return None

    def fingerprint(self, name: str) -> Fingerprint | None:
        """Reads a file and returns its size and hash; None if there is no such file."""
        try:
            with (self.root / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                return Fingerprint(file.tell(), digest)
        except FileNotFoundError:
            return None

    def make(self) -> None:
        """Creates the directory and its missing parents."""
        _make_folder(self.root)

    @contextmanager
    def create(self, name: str) -> Iterator[Sink]:
        """Opens a new file for writing; the file and its directory entry are on disk when the block ends.

        An existing file or link of this name is removed first. A link is never followed.
        """
        if not self.root.exists():
            raise directory_gone(self.root)
        path = self._checked(name)
        _make_folder(path.parent)
        with Sink(io.FileIO(path, "x", opener=_open_new)) as sink:
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
        _fsync(path.parent)

    def replace(self, name: str, data: bytes) -> None:
        """Writes a small file in one step: readers see the old content or the new, never a part."""
        with self.create(f"{name}.tmp") as sink:
            sink.write(data)
        path = self.root / name
        (self.root / f"{name}.tmp").replace(path)
        _fsync(path.parent)

    def delete(self, name: str) -> None:
        """Removes a file, or a folder with its content, if it exists. Of a link only the link is removed."""
        path = self._checked(name)
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            return
        _fsync(path.parent)

    def _checked(self, name: str) -> Path:
        """Returns the path of a file to change. Raises RunDirectoryError if a folder in it is a link."""
        folders = [str(folder) for folder in PurePath(name).parents][:-1]
        refuse_links(self.root, folders)
        return self.root / name


def _open_new(path: str, _: int) -> int:
    """Creates a file and opens it for writing; replaces an existing file or link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileExistsError:
        os.unlink(path)  # noqa: PTH108 - as open
        return os.open(path, flags, 0o666)


def _make_folder(folder: Path) -> None:
    if not folder.exists():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _fsync(folder.parent)


def _fsync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
