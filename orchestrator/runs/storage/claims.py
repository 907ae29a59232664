"""One driver per run on an object store: claims with a heartbeat, instead of a locked file.

    claims/<token>.claim      claim of a driver: its process, whether it holds the run; renewed by heartbeats
    claims/<token>.tombstone  marks a stale claim; the driver of the claim checks for it before each commit

A driver that wants the run writes a claim and then lists all claims. Listings show what was written before,
so if two drivers start at the same time, at least one of them sees the other's claim. A driver that sees a
live claim withdraws its own. If the other driver does not hold the run yet either, it tries again after a
random time.

So two drivers never hold the run, provided that each heartbeat reaches the store within ``STALE_SECONDS``. A
driver that is suspended for longer loses the run: another driver writes a tombstone for its claim. The
tombstone stays, even if a late heartbeat of the lost driver rewrites the claim. Ages are differences of the
store's times.
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
from orchestrator.runs.storage.owner import BEAT_SECONDS, Owner, is_alive, parse_owner, run_in_use
from orchestrator.runs.storage.permissions import directory_gone

CLAIMS = "claims"
_ATTEMPTS = 8
_MAX_WAIT_S = 1.0


class ObjectStore(Protocol):
    """Operations of a store that claims need; ``bucket.Bucket`` implements them."""

    @property
    def root(self) -> str: ...
    def entries(self, name: str) -> list[Any]: ...
    def read(self, name: str) -> bytes | None: ...
    def size(self, name: str) -> int | None: ...
    def replace(self, name: str, data: bytes) -> None: ...
    def delete(self, name: str) -> None: ...


@dataclass(frozen=True)
class _Rival:
    """The live claim of another driver."""

    owner: Owner
    holds: bool


class Claim:
    """Claim with which this process holds a run, from ``acquire`` to ``release``."""

    def __init__(self, store: ObjectStore) -> None:
        """Prepares a claim without writing it; callers use ``acquire``."""
        self._store = store
        self._token = secrets.token_hex(8)
        self._released = threading.Event()
        self._beating = threading.Lock()

    @classmethod
    def acquire(cls, store: ObjectStore) -> Claim:
        """Claims the run in ``store``, also if a dead driver has left a claim.

        Raises:
            RunDirectoryError: another driver is alive, or several start at the same time; nothing was
                changed.
        """
        for attempt in count(1):
            claim = cls(store)
            if (rival := claim._try()) is None:
                return claim
            if rival.holds or attempt == _ATTEMPTS:
                raise run_in_use(store.root, rival.owner)
            time.sleep(random.uniform(0.0, _MAX_WAIT_S))
        raise AssertionError("the loop has no end")

    def check(self) -> None:
        """Raises RunDirectoryError if the run was removed, or if this claim has a tombstone."""
        if self._has_tombstone():
            raise RunDirectoryError(
                f"{self._store.root}: another driver has taken the run over; nothing more is written here"
            )
        if not self._exists():
            raise directory_gone(self._store.root)

    def release(self) -> None:
        """Releases the run; a second call does nothing."""
        if self._released.is_set():
            return
        self._released.set()
        with self._beating, suppress(OSError):  # a claim that could not be deleted becomes stale
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
        """Returns the live claim of another driver, preferably one that holds the run; None if there is none.

        Writes tombstones for stale claims.
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

    def _exists(self) -> bool:
        return self._store.size(self._name) is not None

    def _write(self, *, holds: bool) -> None:
        content = markers.dump({**asdict(Owner.myself()), "holds": holds})
        self._store.replace(self._name, content)

    def _beat(self) -> None:
        while not self._released.wait(BEAT_SECONDS):
            with self._beating, suppress(OSError):
                if not self._released.is_set() and self._exists() and not self._has_tombstone():
                    self._write(holds=True)


def owner(store: ObjectStore) -> Owner | None:
    """Returns the driver that is at work on the run in ``store``; None if there is none.

    Ages are by this machine's clock, as no claim is written here. It must agree with the store's clock to
    well within ``STALE_SECONDS``.
    """
    claims = _claims(store, _files(store), datetime.now(UTC))
    return next((rival.owner for _, rival in claims if rival and rival.holds), None)


def _files(store: ObjectStore) -> dict[str, Any]:
    return {info.base_name: info for info in store.entries(CLAIMS)}


def _claims(store: ObjectStore, files: dict[str, Any], now: datetime) -> Iterator[tuple[str, _Rival | None]]:
    """Yields token and claim for all claims without a tombstone; the claim is None if it is stale."""
    for name, info in files.items():
        token, _, kind = name.rpartition(".")
        if kind != "claim" or f"{token}.tombstone" in files:
            continue
        if (content := store.read(f"{CLAIMS}/{name}")) is None:
            continue  # withdrawn in the meantime
        rival = _read(content)
        yield token, rival if is_alive(rival.owner, (now - info.mtime).total_seconds()) else None


def _read(content: bytes) -> _Rival:
    """Parses a claim. A damaged claim may hold the run, until its heartbeat is stale."""
    owner, fields = parse_owner(content)
    return _Rival(owner, bool(fields.get("holds", True)))
