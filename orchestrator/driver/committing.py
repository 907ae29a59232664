"""When rows are committed: one commit at a time, in a thread, so that no worker waits for the disk."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Protocol, Self

from orchestrator.driver.ledger import Ledger

COMMIT_BYTES = 16 << 20
"""Of rows, at which a commit does not wait for its time; at most twice as much waits to be committed."""


class Committer(Protocol):
    """What keeps the rows: ``runs.writer.RunWriter``, or a list in a test."""

    def commit(self, rows: Any, keys: Any, states: Any) -> None: ...


class CommitCounts(Protocol):
    """What is counted: commits that are done, and the seconds that they took."""

    commits: int
    commit_seconds: float


class CommitThread:
    """Commits what a ledger holds, from time to time; a context manager, which waits for its thread.

    Args:
        every_s: seconds between commits; with 0 everything is committed before the driver goes on.
    """

    def __init__(self, committer: Committer, ledger: Ledger, counts: CommitCounts, every_s: float) -> None:
        self._committer, self._ledger, self._counts, self._every_s = committer, ledger, counts, every_s
        self._thread = ThreadPoolExecutor(1, "commit")
        self._under_way: Future[float] | None = None
        self._begun_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()

    def poll(self) -> None:
        """Called whenever the driver has a moment. Raises what the last commit raised."""
        full = self._ledger.bytes > COMMIT_BYTES
        self._collect(wait=full)
        due = full or time.monotonic() - self._begun_at >= self._every_s
        if due and self._ledger and self._under_way is None:
            self._begin()
            self._collect(wait=not self._every_s)

    def finish(self) -> None:
        """Commits all that is left. Raises what a commit raised."""
        self._collect(wait=True)
        if self._ledger:
            self._begin()
            self._collect(wait=True)

    def _begin(self) -> None:
        self._begun_at = time.monotonic()
        self._under_way = self._thread.submit(self._commit, *self._ledger.take())

    def _commit(self, rows: Any, keys: Any, states: Any) -> float:
        begun = time.monotonic()
        self._committer.commit(rows, keys, states)
        return time.monotonic() - begun

    def _collect(self, wait: bool) -> None:
        if self._under_way and (wait or self._under_way.done()):
            done, self._under_way = self._under_way, None
            self._counts.commit_seconds += done.result()
            self._counts.commits += 1
