"""One driver per run on an object store: claims with a heartbeat, in place of a locked file.

    claims/<token>.claim      a driver's: who it is, and whether it holds the run; rewritten at each heartbeat
    claims/<token>.tombstone  says that the claim was found stale; its driver looks for it before each commit

A driver that wants the run writes a claim of its own and then lists all claims. The store lists what was
written before, so of two drivers that come at one moment at least one sees the other's claim. A driver that
sees a living claim withdraws its own; if the other driver does not hold the run yet either, it tries again
after a random time. So two drivers never hold the run, provided that a heartbeat reaches the store within
``STALE_SECONDS``. A driver that is suspended for longer loses the run: another driver writes the tombstone of
its claim, which stays whatever is uploaded late. Ages are differences of the store's own times.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, Protocol

from orchestrator.errors import RunDirectoryError
from orchestrator.runs.storage import markers
from orchestrator.runs.storage.company import gone
from orchestrator.runs.storage.owner import BEAT_SECONDS, Owner, alive, parsed, taken

CLAIMS = "claims"
_ATTEMPTS = 8
_MOST_WAIT_S = 1.0


class Objects(Protocol):
    """What claims need of a store; ``bucket.Bucket`` offers it."""

    @property
    def root(self) -> str: ...
    def listed(self, name: str) -> list[Any]: ...
    def read(self, name: str) -> bytes | None: ...
    def size(self, name: str) -> int | None: ...
    def replace(self, name: str, data: bytes) -> None: ...
    def delete(self, name: str) -> None: ...


@dataclass(frozen=True)
class _Rival:
    """A living claim."""

    owner: Owner
    holds: bool


class Claim:
    """The claim by which this process holds a run, from ``acquire`` to ``release``."""

    def __init__(self, store: Objects) -> None:
        """Use ``acquire``."""
        self._store = store
        self._token = secrets.token_hex(8)
        self._released = threading.Event()
        self._beating = threading.Lock()

    @classmethod
    def acquire(cls, store: Objects) -> Claim:
        """Takes the run in ``store``, also from a driver that is gone.

        Raises:
            RunDirectoryError: another driver is alive, or several came at once; nothing was changed.
        """
        for attempt in count(1):
            claim = cls(store)
            if (rival := claim._try()) is None:
                return claim
            if rival.holds or attempt == _ATTEMPTS:
                raise taken(store.root, rival.owner)
            time.sleep(random.uniform(0.0, _MOST_WAIT_S))
        raise AssertionError("the loop has no end")

    def check(self) -> None:
        """Raises RunDirectoryError if the run was removed, or lost: its claim has got a tombstone."""
        if self._has_tombstone():
            raise RunDirectoryError(
                f"{self._store.root}: another driver has taken the run over; nothing more is written here"
            )
        if not self._is_there():
            raise gone(self._store.root)

    def release(self) -> None:
        """Gives the run free; a second call does nothing."""
        if self._released.is_set():
            return
        self._released.set()
        with self._beating, suppress(OSError):  # a claim that stays grows stale
            self._store.delete(self._name)

    @property
    def _name(self) -> str:
        return f"{CLAIMS}/{self._token}.claim"

    def _try(self) -> _Rival | None:
        self._write(holds=False)
        try:
            if rival := self._rival():
                self.release()
                return rival
            self._write(holds=True)
        except BaseException:
            self.release()
            raise
        threading.Thread(target=self._beat, name="run claim heartbeat", daemon=True).start()
        return None

    def _rival(self) -> _Rival | None:
        """Another living claim, one that holds the run if there is one.

        A stale claim gets its tombstone.
        """
        files = _files(self._store)
        now = files[f"{self._token}.claim"].mtime
        rivals = []
        for token, rival in _claims(self._store, files, now):
            if token == self._token:
                continue
            if rival:
                rivals.append(rival)
            else:
                self._write_tombstone(token)
        return max(rivals, key=lambda rival: rival.holds, default=None)

    def _write_tombstone(self, token: str) -> None:
        self._store.replace(f"{CLAIMS}/{token}.tombstone", b"")
        self._store.delete(f"{CLAIMS}/{token}.claim")

    def _has_tombstone(self) -> bool:
        return self._store.size(f"{CLAIMS}/{self._token}.tombstone") is not None

    def _is_there(self) -> bool:
        return self._store.size(self._name) is not None

    def _write(self, *, holds: bool) -> None:
        content = markers.dump({**asdict(Owner.myself()), "holds": holds})
        self._store.replace(self._name, content)

    def _beat(self) -> None:
        while not self._released.wait(BEAT_SECONDS):
            with self._beating, suppress(OSError):
                if not self._released.is_set() and self._is_there() and not self._has_tombstone():
                    self._write(holds=True)


def owner(store: Objects) -> Owner | None:
    """The driver that is at work on the run in ``store``; None if there is none.

    Who only looks writes no claim, so this machine's clock must agree with the store's about as well as
    ``STALE_SECONDS``.
    """
    claims = _claims(store, _files(store), datetime.now(UTC))
    return next((rival.owner for _, rival in claims if rival and rival.holds), None)


def _files(store: Objects) -> dict[str, Any]:
    return {info.base_name: info for info in store.listed(CLAIMS)}


def _claims(store: Objects, files: dict[str, Any], now: datetime) -> Iterator[tuple[str, _Rival | None]]:
    """The claims without a tombstone, by token; None for a stale one."""
    for name, info in files.items():
        token, _, kind = name.rpartition(".")
        if kind != "claim" or f"{token}.tombstone" in files:
            continue
        if (content := store.read(f"{CLAIMS}/{name}")) is None:
            continue  # withdrawn by now
        rival = _read(content)
        yield token, rival if alive(rival.owner, (now - info.mtime).total_seconds()) else None


def _read(content: bytes) -> _Rival:
    """Whose a claim is. A damaged one may hold the run until its heartbeat is old."""
    owner, rest = parsed(content)
    return _Rival(owner, bool(rest.get("holds", True)))
