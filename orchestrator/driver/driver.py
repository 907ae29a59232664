"""The sweep loop: hands packs to the fleet, and commits the chunks that come back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from orchestrator.driver.committing import Committer, CommitThread
from orchestrator.driver.failures import Failure
from orchestrator.driver.ledger import Ledger
from orchestrator.driver.scheduler import Assignment, Failed, Scheduler, Work
from orchestrator.errors import ClusterLost
from orchestrator.training.advance import Limits, advance
from orchestrator.training.loop import Chunk

_WAIT_S = 0.25


class Outcome(Protocol):
    """How a call ended: with a value, or with an error and its traceback as text."""

    @property
    def ticket(self) -> int: ...
    @property
    def value(self) -> Any: ...
    @property
    def error(self) -> BaseException | None: ...
    @property
    def trace(self) -> str: ...


class Fleet(Protocol):
    """The workers. One worker runs a task: one call, or several in sequence."""

    @property
    def size(self) -> int:
        """Number of workers: busy, idle or starting."""

    def idle(self) -> int:
        """Returns the number of workers that could start a task now."""

    def submit(self, calls: Sequence[Callable[[Any], Any]], helpers: int = 0) -> list[int]:
        """Starts a task on an idle worker.

        A call that raises does not affect the other calls of its task. If the worker dies, all calls of the
        task are lost.

        Args:
            calls: functions of the ``training.loop.Team`` of the task; they must be picklable.
            helpers: number of other idle workers to lend to the task, which then has one call.

        Returns:
            A ticket for each call.

        Raises:
            ValueError: fewer workers are idle, or several calls ask for helpers.
        """

    def wait(self, timeout_s: float) -> Sequence[Outcome]:
        """Returns the calls that ended, as soon as one has, or none after ``timeout_s``.

        Raises:
            ClusterLost: no call can end any more.
        """

    def close(self) -> None:
        """Ends the workers and the tasks that still run on them."""


@dataclass
class Progress:
    """How far a sweep is, as shown while it runs.

    Attributes:
        steps_left: trial-steps still to be done.
        steps: trial-steps done since the driver started.
        loss: that of the newest step that came back, as a mean over the trials of its pack; NaN before.
    """

    trials: int
    kept: int = 0
    steps_left: int = 0
    ended: int = 0
    failed: int = 0
    diverged: int = 0
    cancelled: int = 0
    steps: int = 0
    loss: float = math.nan
    commits: int = 0
    commit_seconds: float = 0.0


Watch = Callable[[Progress], None]


@dataclass
class Driver:
    """Runs the packs of a scheduler until none is left or ``stop`` is called.

    Args:
        limits: when a worker returns a chunk.
        commit_seconds: time between commits.
    """

    scheduler: Scheduler
    fleet: Fleet
    committer: Committer
    ledger: Ledger
    progress: Progress
    limits: Limits
    commit_seconds: float
    _running: dict[int, Work] = field(default_factory=dict)

    def stop(self) -> None:
        """Starts no further pack; ``run`` waits for the running ones, commits and returns."""
        self.scheduler.stopping = True

    def cancel(self, trials: Iterable[str]) -> None:
        """Ends single trials as soon as their packs come back; the others go on."""
        self.scheduler.cancel(trials)

    def run(self, watchers: Sequence[Watch]) -> None:
        """Runs the loop.

        Args:
            watchers: called in turn, at least a few times a second while calls come back.

        Raises:
            ClusterLost: no call can end any more; all chunks that came back are committed.
        """
        with CommitThread(self.committer, self.ledger, self.progress, self.commit_seconds) as commits:
            try:
                self._loop(commits, watchers)
            except ClusterLost:
                commits.finish()
                raise
            commits.finish()
        self._notify(watchers)

    def _loop(self, commits: CommitThread, watchers: Sequence[Watch]) -> None:
        while not self.scheduler.finished:
            for assignment in self.scheduler.start(self.fleet.idle(), self.fleet.size):
                self._submit(assignment)
            drawing = self.scheduler.look_ahead(self.fleet.size)
            for outcome in self.fleet.wait(0.0 if drawing else _WAIT_S):
                self._receive(outcome)
            for work in self.scheduler.dropped():
                self._drop(work)
            if not self.scheduler.finished:  # else the last commit follows
                commits.poll()
            self._notify(watchers)

    def _notify(self, watchers: Sequence[Watch]) -> None:
        for watch in watchers:
            watch(self.progress)

    def _submit(self, assignment: Assignment) -> None:
        limits = Limits(1, 0.0) if assignment.one_step else self.limits
        calls = [partial(advance, pack=work.pack, limits=limits) for work in assignment.works]
        tickets = self.fleet.submit(calls, assignment.helpers)
        self._running |= zip(tickets, assignment.works, strict=True)

    def _receive(self, outcome: Outcome) -> None:
        work = self._running.pop(outcome.ticket)
        if outcome.error is None:
            self._add(work, outcome.value)
        else:
            self._fail(self.scheduler.failed(work, Failure.of(outcome.error, outcome.trace)))

    def _add(self, work: Work, chunk: Chunk) -> None:
        self.ledger.add(work, chunk)
        self.scheduler.advanced(work, chunk.pack, chunk.seconds, chunk.shard_seconds)
        self.progress.steps += chunk.steps
        self.progress.steps_left -= work.pack.steps_left - (chunk.pack.steps_left if chunk.pack else 0)
        if math.isfinite(chunk.loss):
            self.progress.loss = chunk.loss
        if "trials" in chunk.rows:
            status = chunk.rows["trials"]["status"]
            self.progress.ended += len(status)
            self.progress.diverged += int((status == "diverged").sum())

    def _fail(self, failed: Failed | None) -> None:
        if failed is None:
            return
        self.ledger.fail(failed)
        self.progress.steps_left -= failed.work.pack.steps_left
        self.progress.ended += len(failed.work.pack.ids)
        self.progress.failed += len(failed.work.pack.ids)

    def _drop(self, work: Work) -> None:
        self.ledger.cancel(work)
        self.progress.steps_left -= work.pack.steps_left
        self.progress.ended += len(work.pack.ids)
        self.progress.cancelled += len(work.pack.ids)
