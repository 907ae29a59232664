"""One driver per run in a local directory: a lock file with host, process and heartbeat.

On one machine, ``flock`` decides, and so it does between machines if the file system supports that. The
kernel releases the lock when the process ends, in whatever way. Where ``flock`` does not reach another host,
the heartbeat decides: the modification time of the file.

The file is never removed. Otherwise two processes could hold locks on two files of the same name. Its content
carries a hash. A damaged lock counts as held until its heartbeat is stale.
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
from orchestrator.runs.storage.owner import BEAT_SECONDS, Owner, is_alive, parse_owner, run_in_use
from orchestrator.runs.storage.permissions import directory_gone

LOCK = "lock"


class Lock:
    """The lock of a run, held from ``acquire`` to ``release`` or to the end of the process.

    A daemon thread renews the heartbeat, so a driver does not lose the run during a long commit.
    """

    def __init__(self, folder: Path, descriptor: int) -> None:
        """Takes over an open, locked file; callers use ``acquire``."""
        self._path = folder / LOCK
        self._folder = folder.stat()
        self._descriptor = descriptor
        self._claim = markers.dump(asdict(Owner.myself()))
        self._released = threading.Event()
        self._write(self._claim)
        threading.Thread(target=self._beat, name="run lock heartbeat", daemon=True).start()

    @classmethod
    def acquire(cls, folder: Path) -> Lock:
        """Takes the lock of the run in ``folder``, also if a dead driver has left it.

        Raises:
            RunDirectoryError: another driver is alive, or the lock is not a regular file; nothing was
            changed.
        """
        descriptor = _open_lock(folder / LOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if holder := owner(folder):
                raise run_in_use(folder, holder)
            return cls(folder, descriptor)
        except BlockingIOError:
            os.close(descriptor)
            raise run_in_use(folder, owner(folder)) from None
        except BaseException:
            os.close(descriptor)
            raise

    def check(self) -> None:
        """Raises RunDirectoryError if the run directory is gone, or if another driver has the lock now."""
        folder = self._path.parent
        if not (folder.exists() and os.path.samestat(folder.stat(), self._folder)):
            raise directory_gone(folder)
        current = self._path.lstat() if os.path.lexists(self._path) else None
        ours = os.fstat(self._descriptor)
        if not (current and os.path.samestat(current, ours) and self._path.read_bytes() == self._claim):
            raise RunDirectoryError(
                f"{folder}: another driver has taken the lock over; nothing more is written here"
            )

    def release(self) -> None:
        """Releases the run; a second call does nothing."""
        if self._released.is_set():
            return
        self._released.set()
        if os.pread(self._descriptor, len(self._claim) + 1, 0) == self._claim:  # also after a move
            self._write(b"")
        os.close(self._descriptor)

    def _write(self, claim: bytes) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, claim, 0)

    def _beat(self) -> None:
        while not self._released.wait(BEAT_SECONDS):
            with suppress(OSError):
                os.utime(self._path, follow_symlinks=False)


def _open_lock(path: Path) -> int:
    """Opens a lock file, or creates a new one. Never follows a link, since a lock file is overwritten."""
    if not path.is_symlink():
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        except IsADirectoryError:
            raise _not_a_lock(path) from None
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    raise _not_a_lock(path)


def _not_a_lock(path: Path) -> RunDirectoryError:
    return RunDirectoryError(
        f"{path} is a link, a folder or a device, not the lock file of a run: remove it, or name another "
        "directory"
    )


def owner(folder: Path) -> Owner | None:
    """Returns the driver that is at work on the run in ``folder``; None if there is none.

    A driver on this host counts if its process exists. A driver on another host counts if its heartbeat is
    younger than ``STALE_SECONDS``, so the clocks of both hosts must agree to well within that.
    """
    path = folder / LOCK
    try:
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode):
            return None
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if not content:
        return None
    holder = parse_owner(content)[0]
    return holder if is_alive(holder, time.time() - state.st_mtime) else None
