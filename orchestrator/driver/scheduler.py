"""Decides which packs go to which workers: a state machine without I/O and clock."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.driver.failures import BUDGET, Failure, FailureClass
from orchestrator.driver.packs import PlannedPack
from orchestrator.sweep.plan import PlannedTrial
from orchestrator.training.pack import Pack

_TASK_SECONDS = 1.0
"""Intended length of a task. Between two tasks a worker waits some hundredths of a second for the driver."""

_MOST_PACKS = 32
"""Maximum number of packs in a task."""


@dataclass(frozen=True)
class Work:
    """A pack that is queued or runs.

    Attributes:
        number: number of the pack, from 0.
        attempts: number of starts, the first one and every retry; going on after a chunk is none.
        failures: number of failures since its last step, by class.
        shard_seconds: seconds that a shard took in its last chunk; None before its first one.
    """

    number: int
    pack: Pack
    planned: Mapping[str, PlannedTrial]
    attempts: int = 1
    failures: Mapping[FailureClass, int] = field(default_factory=dict)
    shard_seconds: float | None = None

    @property
    def fresh(self) -> bool:
        """Whether the pack comes from the plan: it has neither failed nor returned a chunk."""
        return self.attempts == 1 and self.shard_seconds is None


@dataclass(frozen=True)
class Assignment:
    """A task for one worker and its helpers.

    Attributes:
        works: packs that the worker advances in sequence.
        helpers: number of helpers; 0 if there are several packs.
        one_step: whether the worker returns after one step; its cost decides whether helpers are worth it.
    """

    works: tuple[Work, ...]
    helpers: int
    one_step: bool


@dataclass(frozen=True)
class Failed:
    """A pack whose trials have failed, and the error."""

    work: Work
    error: str


class Scheduler:
    """Hands out packs until none is left.

    Every pack that ``start`` hands out comes back once, through ``advanced`` or ``failed``.

    Args:
        packs: the packs of the plan, drawn one by one.
        shard_seconds: a shard is worth a helper if it takes at least so long.
        most_identical: number of trials with identical failures that stops the sweep; None: none does.

    Attributes:
        stopping: set to True to start no further pack.
        stopped_by: the mark of the failure that stopped the sweep, and the number of its trials; else None.
    """

    def __init__(
        self, packs: Iterator[PlannedPack], shard_seconds: float, most_identical: int | None = None
    ) -> None:
        self._packs = packs
        self._shard_seconds = shard_seconds
        self._most_identical = most_identical
        self._identical: Counter[str] = Counter()
        self.stopped_by: tuple[str, int] | None = None
        self._queue: deque[Work] = deque()
        self._seconds: dict[str, float] = {}
        self._next_number = 0
        self._running = 0
        self._exhausted = False
        self._cancelled: set[str] = set()
        self._dropped: list[Work] = []
        self.stopping = False

    @property
    def finished(self) -> bool:
        """Whether no pack runs, none is to be started, and ``dropped`` has returned all cancelled trials."""
        idle = not self._running and not self._dropped
        return idle and (self.stopping or (self._exhausted and not self._queue))

    def cancel(self, trials: Iterable[str]) -> None:
        """Drops these trials: those that are queued now, the others once they come back or are drawn."""
        self._cancelled |= set(trials)
        queued, self._queue = self._queue, deque()
        for work in queued:
            self._enqueue(work, first=False)

    def dropped(self) -> list[Work]:
        """Returns the trials dropped since the last call, at the step that they have reached."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def _enqueue(self, work: Work, first: bool = True) -> None:
        """Queues the work without its cancelled trials, which are dropped."""
        pack, cancelled = work.pack, self._cancelled
        if not cancelled.isdisjoint(pack.ids):
            rows = {
                dropped: [i for i, trial in enumerate(pack.ids) if (trial in cancelled) == dropped]
                for dropped in (True, False)
            }
            self._dropped.append(_restrict(work, pack.take(rows[True])))
            if not rows[False]:
                return
            work = _restrict(work, pack.take(rows[False]))
        self._queue.insert(0 if first else len(self._queue), work)

    def look_ahead(self, workers: int) -> bool:
        """Draws some packs for the next tasks while workers are busy; returns whether to draw more."""
        per_task = self._packs_per_task(self._queue[-1]) if self._queue else 1
        target = (1 + per_task) * workers
        self._draw(min(target, len(self._queue) + workers))
        return len(self._queue) < target and not self._exhausted and not self.stopping

    def start(self, idle: int, workers: int) -> list[Assignment]:
        """Returns tasks for ``idle`` of ``workers`` workers, one each; workers without a task are helpers."""
        self._draw(idle)
        if self.stopping or not idle:
            return []
        fair = max(1, len(self._queue) // workers)
        tasks = [self._next_task(fair) for _ in range(min(idle, len(self._queue)))]
        self._running += sum(len(task) for task in tasks)
        spare = idle - len(tasks)
        assignments = []
        for task in tasks:
            assignments.append(self._assigned(task, spare, workers))
            spare -= assignments[-1].helpers
        return assignments

    def _next_task(self, most: int) -> tuple[Work, ...]:
        """Takes packs of one structure off the queue. After a fresh pack, all queued ones are fresh."""
        task = [self._queue.popleft()]
        count, structure = min(most, self._packs_per_task(task[0])), task[0].pack.pinned.key
        while len(task) < count and self._queue and self._queue[0].pack.pinned.key == structure:
            task.append(self._queue.popleft())
        return tuple(task)

    def _packs_per_task(self, work: Work) -> int:
        """Returns how many packs like this one make a task that is long enough; 1 if that is unknown."""
        if not work.fresh:  # a pack that has failed must not fail others; one that goes on is long enough
            return 1
        seconds = self._seconds.get(work.pack.pinned.key, math.inf)
        return max(1, math.ceil(_TASK_SECONDS / max(seconds, _TASK_SECONDS / _MOST_PACKS)))

    def _draw(self, count: int) -> None:
        """Draws packs until ``count`` are queued."""
        while not self.stopping and not self._exhausted and len(self._queue) < count:
            drawn = next(self._packs, None)
            if drawn is None:
                self._exhausted = True
            else:
                self._enqueue(Work(self._new_number(), drawn.pack, drawn.planned), first=False)

    def _new_number(self) -> int:
        self._next_number += 1
        return self._next_number - 1

    def _assigned(self, task: tuple[Work, ...], spare: int, workers: int) -> Assignment:
        """Returns the task with its fair share of helpers, as far as they are idle and worth it.

        A task of several packs gets none: such tasks exist only where all workers have packs.
        """
        work = task[0]
        fair = -(-workers // self._running) - 1
        helpers = max(0, min(spare, fair, work.pack.template.batch.shards - 1))
        unknown = work.shard_seconds is None and self._shard_seconds > 0
        worth = not unknown and (work.shard_seconds or 0.0) >= self._shard_seconds
        return Assignment(task, helpers if worth else 0, one_step=helpers > 0 and unknown)

    def advanced(self, work: Work, rest: Pack | None, seconds: float, shard_seconds: float) -> None:
        """Takes back a pack after a chunk of ``seconds``; ``rest``, if any, goes on before new packs."""
        self._running -= 1
        structure = work.pack.pinned.key
        if rest is not None:
            self._seconds[structure] = math.inf  # its chunk is as long as the limits allow
            self._enqueue(replace(work, pack=rest, failures={}, shard_seconds=shard_seconds))
        elif work.shard_seconds is None:
            self._seconds[structure] = seconds

    def failed(self, work: Work, failure: Failure) -> Failed | None:
        """Takes back a pack that failed, to retry or halve it; returns it if its trials fail for good."""
        self._running -= 1
        count = work.failures.get(failure.kind, 0) + 1
        if failure.permanent:
            return self._fail(work, failure, count)
        if count == BUDGET[failure.kind]:
            return self._split(work, failure, count)
        failures = {**work.failures, failure.kind: count}
        self._enqueue(replace(work, attempts=work.attempts + 1, failures=failures))
        return None

    def _split(self, work: Work, failure: Failure, count: int) -> Failed | None:
        if len(work.pack.trials) == 1:
            return self._fail(work, failure, count)
        for half in reversed(work.pack.halves()):
            number, attempts = self._new_number(), work.attempts + 1
            self._enqueue(replace(_restrict(work, half), number=number, attempts=attempts, failures={}))
        return None

    def _fail(self, work: Work, failure: Failure, count: int) -> Failed:
        self._identical[failure.mark] += len(work.pack.trials)
        if self._most_identical and self._identical[failure.mark] >= self._most_identical:
            self.stopping = True
            self.stopped_by = failure.mark, self._identical[failure.mark]
        return Failed(work, failure.message(count))


def _restrict(work: Work, pack: Pack) -> Work:
    """Returns the work for ``pack``, which has some of its trials."""
    return replace(work, pack=pack, planned={trial: work.planned[trial] for trial in pack.ids})
