"""One driver per run: a lock file with host, process and heartbeat.

On one machine, and wherever a file system carries ``flock`` between machines, the kernel decides: the
lock is held by an open file and released with its process, however that ends. Where ``flock`` does
not reach another host, the heartbeat (the file's modification time) decides. The file is never
removed, since two processes could then hold locks on two files of one name. What it says carries a hash: a
damaged lock is somebody's until its heartbeat is old.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from orchestrator.errors import RunDirectoryError
from orchestrator.runs.storage import markers
from orchestrator.runs.storage.company import gone
from orchestrator.runs.storage.owner import BEAT_SECONDS, Owner, alive, parsed, taken

NAME = "lock"


class Lock:
    """The lock of one run, held from ``acquire`` to ``release`` or to the end of the process.

    A daemon thread keeps the heartbeat, so a driver that is deep in a commit does not lose the run.
    """

    def __init__(self, folder: Path, descriptor: int) -> None:
        """Use ``acquire``."""
        self._path = folder / NAME
        self._folder = folder.stat()
        self._descriptor = descriptor
        self._claim = markers.dump(asdict(Owner.myself()))
        self._released = threading.Event()
        self._write(self._claim)
        threading.Thread(target=self._beat, name="run lock heartbeat", daemon=True).start()

    @classmethod
    def acquire(cls, folder: Path) -> Lock:
        """Takes the lock of the run in ``folder``, also from a driver that is gone.

        Raises:
            RunDirectoryError: another driver is alive, or the lock is a link or no file; nothing was changed.
        """
        descriptor = _opened(folder / NAME)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if holder := owner(folder):
                raise taken(folder, holder)
            return cls(folder, descriptor)
        except BlockingIOError:
            os.close(descriptor)
            raise taken(folder, owner(folder)) from None
        except BaseException:
            os.close(descriptor)
            raise

    def check(self) -> None:
        """Raises RunDirectoryError if the run directory is gone, or the lock was taken over meanwhile."""
        folder = self._path.parent
        if not (folder.exists() and os.path.samestat(folder.stat(), self._folder)):
            raise gone(folder)
        there = self._path.lstat() if os.path.lexists(self._path) else None
        ours = os.fstat(self._descriptor)
        if not (there and os.path.samestat(there, ours) and self._path.read_bytes() == self._claim):
            raise RunDirectoryError(
                f"{folder}: another driver has taken the lock over; nothing more is written here"
            )

    def release(self) -> None:
        """Gives the run free; a second call does nothing."""
        if self._released.is_set():
            return
        self._released.set()
        if os.pread(self._descriptor, len(self._claim) + 1, 0) == self._claim:  # also where it was moved to
            self._write(b"")
        os.close(self._descriptor)

    def _write(self, claim: bytes) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, claim, 0)

    def _beat(self) -> None:
        while not self._released.wait(BEAT_SECONDS):
            with suppress(OSError):
                os.utime(self._path, follow_symlinks=False)


def _opened(path: Path) -> int:
    """Opens a lock, or makes a new one; never what a link leads to, since a lock is written over."""
    if not path.is_symlink():
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        except IsADirectoryError:
            raise _no_lock(path) from None
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    raise _no_lock(path)


def _no_lock(path: Path) -> RunDirectoryError:
    return RunDirectoryError(
        f"{path} is a link, a folder or a device, not the file by which a run is locked: remove it, or name "
        "another directory"
    )


def owner(folder: Path) -> Owner | None:
    """The driver that is at work on the run in ``folder``; None if there is none.

    On this host: whether its process is there. On another: whether its heartbeat is younger than
    ``STALE_SECONDS``, by clocks that agree about as well as that.
    """
    path = folder / NAME
    try:
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode):
            return None
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if not content:
        return None
    holder = parsed(content)[0]
    return holder if alive(holder, time.time() - state.st_mtime) else None
