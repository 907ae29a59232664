"""Which packs go where next: a state machine with no input, no output and no clock."""

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
"""A task is to take so long. Between two tasks a worker waits for the driver, some hundredths of a second."""

_MOST_PACKS = 32
"""Of a task."""


@dataclass(frozen=True)
class Work:
    """A pack on its way.

    Attributes:
        number: of the pack, counted from 0.
        attempts: how often it was handed to a worker anew; its continuation is no new attempt.
        failures: how often it has failed since it last got further, by kind.
        shard_seconds: what computing one shard cost last time; None before.
    """

    number: int
    pack: Pack
    planned: Mapping[str, PlannedTrial]
    attempts: int = 1
    failures: Mapping[FailureClass, int] = field(default_factory=dict)
    shard_seconds: float | None = None

    @property
    def fresh(self) -> bool:
        """Whether it comes from the plan: it has neither failed nor got further before."""
        return self.attempts == 1 and self.shard_seconds is None


@dataclass(frozen=True)
class Assignment:
    """A task for one worker and the helpers lent to it.

    Attributes:
        works: packs that the worker advances one after another.
        helpers: how many; none if there are several packs.
        one_step: hand back after the first step, as its cost decides whether helpers are worth it.
    """

    works: tuple[Work, ...]
    helpers: int
    one_step: bool


@dataclass(frozen=True)
class Failed:
    """Trials that fail, and why."""

    work: Work
    error: str


class Scheduler:
    """Hands out packs until there are none.

    Whatever ``start`` hands out comes back through ``advanced`` or ``failed``, once.

    Args:
        packs: the packs of the plan, drawn one by one.
        shard_seconds: a shard is worth a helper if it costs more than this.
        most_identical: when so many trials have failed in the same way nothing more is started; None: never.

    Attributes:
        stopping: set it, and nothing more is started.
        stopped_by: the failure that came too often, and how often; None if none did.
    """

    def __init__(
        self, packs: Iterator[PlannedPack], shard_seconds: float, most_identical: int | None = None
    ) -> None:
        self._packs = packs
        self._shard_seconds = shard_seconds
        self._most_identical = most_identical
        self._identical: Counter[str] = Counter()
        self.stopped_by: tuple[str, int] | None = None
        self._waiting: deque[Work] = deque()
        self._seconds: dict[str, float] = {}
        self._numbers = 0
        self._out = 0
        self._exhausted = False
        self._cancelled: set[str] = set()
        self._dropped: list[Work] = []
        self.stopping = False

    @property
    def finished(self) -> bool:
        """Whether nothing is out, nothing is left to start, and all that was dropped has been taken."""
        idle = not self._out and not self._dropped
        return idle and (self.stopping or (self._exhausted and not self._waiting))

    def cancel(self, trials: Iterable[str]) -> None:
        """These trials go no further: dropped where they wait, or as soon as they come back or are drawn."""
        self._cancelled |= set(trials)
        waiting, self._waiting = self._waiting, deque()
        for work in waiting:
            self._wait(work, first=False)

    def dropped(self) -> list[Work]:
        """The cancelled trials since the last call, as they stand."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def _wait(self, work: Work, first: bool = True) -> None:
        """Queues the work, without those of its trials that are cancelled."""
        pack, cancelled = work.pack, self._cancelled
        if not cancelled.isdisjoint(pack.ids):
            rows = {
                gone: [i for i, trial in enumerate(pack.ids) if (trial in cancelled) == gone]
                for gone in (True, False)
            }
            self._dropped.append(_part(work, pack.take(rows[True])))
            if not rows[False]:
                return
            work = _part(work, pack.take(rows[False]))
        self._waiting.insert(0 if first else len(self._waiting), work)

    def look_ahead(self, workers: int) -> bool:
        """Draws some packs for the next tasks, while workers are busy; returns whether to draw more."""
        together = self._packs_together(self._waiting[-1]) if self._waiting else 1
        wanted = (1 + together) * workers
        self._draw(min(wanted, len(self._waiting) + workers))
        return len(self._waiting) < wanted and not self._exhausted and not self.stopping

    def start(self, idle: int, workers: int) -> list[Assignment]:
        """What to start on ``idle`` of ``workers`` workers: a task each; workers that are left over help."""
        self._draw(idle)
        if self.stopping or not idle:
            return []
        fair = max(1, len(self._waiting) // workers)
        tasks = [self._next_task(fair) for _ in range(min(idle, len(self._waiting)))]
        self._out += sum(len(task) for task in tasks)
        spare = idle - len(tasks)
        assignments = []
        for task in tasks:
            assignments.append(self._assigned(task, spare, workers))
            spare -= assignments[-1].helpers
        return assignments

    def _next_task(self, most: int) -> tuple[Work, ...]:
        """Takes the first pack that waits and those of its structure; after a fresh one all are fresh."""
        task = [self._waiting.popleft()]
        count, structure = min(most, self._packs_together(task[0])), task[0].pack.pinned.key
        while len(task) < count and self._waiting and self._waiting[0].pack.pinned.key == structure:
            task.append(self._waiting.popleft())
        return tuple(task)

    def _packs_together(self, work: Work) -> int:
        """How many packs like this one make a task that is long enough; 1 if that is not known."""
        if not work.fresh:  # nobody else is to fail with what has failed; what has come back is long enough
            return 1
        seconds = self._seconds.get(work.pack.pinned.key, math.inf)
        return max(1, math.ceil(_TASK_SECONDS / max(seconds, _TASK_SECONDS / _MOST_PACKS)))

    def _draw(self, count: int) -> None:
        """Draws packs until so many wait."""
        while not self.stopping and not self._exhausted and len(self._waiting) < count:
            drawn = next(self._packs, None)
            if drawn is None:
                self._exhausted = True
            else:
                self._wait(Work(self._new_number(), drawn.pack, drawn.planned), first=False)

    def _new_number(self) -> int:
        self._numbers += 1
        return self._numbers - 1

    def _assigned(self, task: tuple[Work, ...], spare: int, workers: int) -> Assignment:
        """The task with its fair share of the workers, as far as they are free and of use.

        None is free for a task of several packs: there are such tasks only where enough packs wait for all.
        """
        work = task[0]
        fair = -(-workers // self._out) - 1
        helpers = max(0, min(spare, fair, work.pack.template.batch.shards - 1))
        unknown = work.shard_seconds is None and self._shard_seconds > 0
        worth = not unknown and (work.shard_seconds or 0.0) >= self._shard_seconds
        return Assignment(task, helpers if worth else 0, one_step=helpers > 0 and unknown)

    def advanced(self, work: Work, rest: Pack | None, seconds: float, shard_seconds: float) -> None:
        """A worker got further, in ``seconds``; ``rest`` goes on before any new pack."""
        self._out -= 1
        structure = work.pack.pinned.key
        if rest is not None:
            self._seconds[structure] = math.inf  # its chunk is as long as the limits allow
            self._wait(replace(work, pack=rest, failures={}, shard_seconds=shard_seconds))
        elif work.shard_seconds is None:
            self._seconds[structure] = seconds

    def failed(self, work: Work, failure: Failure) -> Failed | None:
        """The work failed: it is tried again; if that keeps happening in halves, down to single trials."""
        self._out -= 1
        count = work.failures.get(failure.kind, 0) + 1
        if failure.permanent:
            return self._fail(work, failure, count)
        if count == BUDGET[failure.kind]:
            return self._split(work, failure, count)
        failures = {**work.failures, failure.kind: count}
        self._wait(replace(work, attempts=work.attempts + 1, failures=failures))
        return None

    def _split(self, work: Work, failure: Failure, count: int) -> Failed | None:
        if len(work.pack.trials) == 1:
            return self._fail(work, failure, count)
        for half in reversed(work.pack.halves()):
            number, attempts = self._new_number(), work.attempts + 1
            self._wait(replace(_part(work, half), number=number, attempts=attempts, failures={}))
        return None

    def _fail(self, work: Work, failure: Failure, count: int) -> Failed:
        self._identical[failure.mark] += len(work.pack.trials)
        if self._most_identical and self._identical[failure.mark] >= self._most_identical:
            self.stopping = True
            self.stopped_by = failure.mark, self._identical[failure.mark]
        return Failed(work, failure.message(count))


def _part(work: Work, pack: Pack) -> Work:
    """The work for some of its trials."""
    return replace(work, pack=pack, planned={trial: work.planned[trial] for trial in pack.ids})
