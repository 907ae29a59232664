"""Commits rows in a thread, one commit at a time, so that no worker waits for the disk."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Protocol, Self

from orchestrator.driver.ledger import Ledger

COMMIT_BYTES = 16 << 20
"""Size of the rows from which a commit starts ahead of its time. At most twice as much waits for one."""


class Committer(Protocol):
    """Writes rows: ``runs.writer.RunWriter``, or a list in a test."""

    def commit(self, rows: Any, keys: Any, states: Any) -> None: ...


class CommitCounts(Protocol):
    """Commits that are done, and the seconds that they took."""

    commits: int
    commit_seconds: float


class CommitThread:
    """Commits the rows of a ledger from time to time; a context manager, which waits for its thread.

    Args:
        every_s: seconds between commits; with 0 the driver waits for each commit.
    """

    def __init__(self, committer: Committer, ledger: Ledger, counts: CommitCounts, every_s: float) -> None:
        self._committer, self._ledger, self._counts, self._every_s = committer, ledger, counts, every_s
        self._executor = ThreadPoolExecutor(1, "commit")
        self._pending: Future[float] | None = None
        self._started_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown()

    def poll(self) -> None:
        """Starts a commit if one is due; called in every round of the sweep loop.

        Raises what the last commit raised.
        """
        full = self._ledger.bytes > COMMIT_BYTES
        self._collect(wait=full)
        due = full or time.monotonic() - self._started_at >= self._every_s
        if due and self._ledger and self._pending is None:
            self._start()
            self._collect(wait=not self._every_s)

    def finish(self) -> None:
        """Commits all remaining rows. Raises what a commit raised."""
        self._collect(wait=True)
        if self._ledger:
            self._start()
            self._collect(wait=True)

    def _start(self) -> None:
        self._started_at = time.monotonic()
        self._pending = self._executor.submit(self._commit, *self._ledger.take())

    def _commit(self, rows: Any, keys: Any, states: Any) -> float:
        begun = time.monotonic()
        self._committer.commit(rows, keys, states)
        return time.monotonic() - begun

    def _collect(self, wait: bool) -> None:
        """Counts the pending commit once it is done."""
        if self._pending and (wait or self._pending.done()):
            done, self._pending = self._pending, None
            self._counts.commit_seconds += done.result()
            self._counts.commits += 1
