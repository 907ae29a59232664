"""The sweep loop: takes packs, places them on the fleet, commits what comes back."""

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
    """How a call ended: a value, or an error and its traceback as text."""

    @property
    def ticket(self) -> int: ...
    @property
    def value(self) -> Any: ...
    @property
    def error(self) -> BaseException | None: ...
    @property
    def trace(self) -> str: ...


class Fleet(Protocol):
    """Where tasks run. A task is one call or several, done by one worker one after another."""

    @property
    def size(self) -> int:
        """Number of workers, busy, idle or on their way."""

    def idle(self) -> int:
        """Number of workers that could start a task now."""

    def submit(self, calls: Sequence[Callable[[Any], Any]], helpers: int = 0) -> list[int]:
        """Starts a task on an idle worker.

        A call that raises leaves the other calls of its task alone. A worker that dies loses all of them.

        Args:
            calls: of the task, each of the worker's ``training.loop.Team``; they must pickle.
            helpers: number of idle workers to lend to a task of one call.

        Returns:
            A ticket for each call.

        Raises:
            ValueError: fewer workers are idle, or several calls ask for helpers.
        """

    def wait(self, timeout_s: float) -> Sequence[Outcome]:
        """The calls that ended, as soon as there is one, or none after ``timeout_s``.

        Raises:
            ClusterLost: they can no longer end.
        """

    def close(self) -> None:
        """Ends the workers, and with them the tasks that still run."""


@dataclass
class Progress:
    """How far a sweep is; what is shown while it runs."""

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
    """Runs what the scheduler hands out until there is nothing left or ``stop`` is called.

    Args:
        limits: when workers hand back what they have.
        commit_seconds: time between commits.
    """

    scheduler: Scheduler
    fleet: Fleet
    committer: Committer
    ledger: Ledger
    progress: Progress
    limits: Limits
    commit_seconds: float
    _out: dict[int, Work] = field(default_factory=dict)

    def stop(self) -> None:
        """Starts nothing more; ``run`` commits what is under way and returns."""
        self.scheduler.stopping = True

    def cancel(self, trials: Iterable[str]) -> None:
        """Ends single trials, as soon as they come back; the others go on."""
        self.scheduler.cancel(trials)

    def run(self, watchers: Sequence[Watch]) -> None:
        """The loop.

        Args:
            watchers: called in turn, at least a few times a second while calls come back.

        Raises:
            ClusterLost: nothing can come back any more; all that has is committed.
        """
        with CommitThread(self.committer, self.ledger, self.progress, self.commit_seconds) as committing:
            try:
                self._loop(committing, watchers)
            except ClusterLost:
                committing.finish()
                raise
            committing.finish()
        self._tell(watchers)

    def _loop(self, committing: CommitThread, watchers: Sequence[Watch]) -> None:
        while not self.scheduler.finished:
            for assignment in self.scheduler.start(self.fleet.idle(), self.fleet.size):
                self._submit(assignment)
            drawing = self.scheduler.look_ahead(self.fleet.size)
            for outcome in self.fleet.wait(0.0 if drawing else _WAIT_S):
                self._receive(outcome)
            for work in self.scheduler.dropped():
                self._drop(work)
            if not self.scheduler.finished:  # else the last commit is next
                committing.poll()
            self._tell(watchers)

    def _tell(self, watchers: Sequence[Watch]) -> None:
        for watch in watchers:
            watch(self.progress)

    def _submit(self, assignment: Assignment) -> None:
        limits = Limits(1, 0.0) if assignment.one_step else self.limits
        calls = [partial(advance, pack=work.pack, limits=limits) for work in assignment.works]
        tickets = self.fleet.submit(calls, assignment.helpers)
        self._out |= zip(tickets, assignment.works, strict=True)

    def _receive(self, outcome: Outcome) -> None:
        work = self._out.pop(outcome.ticket)
        if outcome.error is None:
            self._advanced(work, outcome.value)
        else:
            self._fail(self.scheduler.failed(work, Failure.of(outcome.error, outcome.trace)))

    def _advanced(self, work: Work, chunk: Chunk) -> None:
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
