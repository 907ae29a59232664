"""Which pack goes where next: a state machine with no input, no output and no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from orchestrator.driver.packs import PlannedPack
from orchestrator.sweep.plan import PlannedTrial
from orchestrator.training.pack import Pack

MOST_LOSSES = 3
"""Workers that a pack may lose without getting a step further, before it is halved."""


@dataclass(frozen=True)
class Work:
    """A pack on its way.

    Attributes:
        number: of the pack, counted from 0.
        attempts: how often it was handed to a worker anew; its continuation is no new attempt.
        losses: workers lost since it last got further.
        shard_seconds: what computing one shard cost last time; 0 before.
    """

    number: int
    pack: Pack
    planned: Mapping[str, PlannedTrial]
    attempts: int = 1
    losses: int = 0
    shard_seconds: float = 0.0


@dataclass(frozen=True)
class Assignment:
    """Work for one worker and the helpers lent to it."""

    work: Work
    helpers: int


@dataclass(frozen=True)
class GivenUp:
    """Trials that fail, and why."""

    work: Work
    error: str


class Scheduler:
    """Hands out packs until there are none.

    Args:
        packs: the packs of the plan, drawn one by one.
        shard_seconds: a shard is worth a helper if it costs more than this.
    """

    def __init__(self, packs: Iterator[PlannedPack], shard_seconds: float) -> None:
        self._packs = packs
        self._shard_seconds = shard_seconds
        self._waiting: deque[Work] = deque()
        self._numbers = 0
        self._exhausted = False
        self.stopping = False

    def start(self, idle: int) -> list[Assignment]:
        """What to start on ``idle`` workers: a pack each; what is left over helps."""
        while not self.stopping and len(self._waiting) < idle and not self._exhausted:
            self._draw()
        if self.stopping or not idle or not self._waiting:
            return []
        count = min(idle, len(self._waiting))
        chosen = [self._waiting.popleft() for _ in range(count)]
        spare = idle - count
        assignments = []
        for position, work in enumerate(chosen):
            fair = -(-spare // (count - position))
            helpers = min(fair, self._useful_helpers(work))
            spare -= helpers
            assignments.append(Assignment(work, helpers))
        return assignments

    def _draw(self) -> None:
        drawn = next(self._packs, None)
        if drawn is None:
            self._exhausted = True
        else:
            self._waiting.append(Work(self._new_number(), drawn.pack, drawn.planned))

    def _new_number(self) -> int:
        self._numbers += 1
        return self._numbers - 1

    def _useful_helpers(self, work: Work) -> int:
        if work.shard_seconds <= self._shard_seconds and self._shard_seconds > 0:
            return 0
        return work.pack.template.batch.shards - 1

    @property
    def finished(self) -> bool:
        """Whether nothing is left to start; work that is out may still come back."""
        return self.stopping or (self._exhausted and not self._waiting)

    def advanced(self, work: Work, rest: Pack | None, shard_seconds: float) -> Work | None:
        """A worker got further; ``rest`` goes on before any new pack. Returns what was queued."""
        if rest is None:
            return None
        queued = replace(work, pack=rest, losses=0, shard_seconds=shard_seconds)
        self._waiting.appendleft(queued)
        return queued

    def lost(self, work: Work, reason: str) -> GivenUp | None:
        """A worker died under the work: it is tried again, in halves if that keeps happening."""
        again = replace(work, attempts=work.attempts + 1, losses=work.losses + 1)
        if again.losses < MOST_LOSSES:
            self._waiting.appendleft(again)
            return None
        return self._split(again, f"workers died under it {again.losses} times; the last said: {reason}")

    def raised(self, work: Work, trace: str, hopeless: bool = False) -> GivenUp | None:
        """The work raised: halves are tried until only what fails alone fails.

        ``hopeless``: the error holds for every trial of the pack.
        """
        if hopeless:
            return GivenUp(work, trace)
        return self._split(replace(work, attempts=work.attempts + 1), trace)

    def _split(self, work: Work, error: str) -> GivenUp | None:
        if len(work.pack.trials) == 1:
            return GivenUp(work, error)
        for half in reversed(work.pack.halves()):
            planned = {trial: work.planned[trial] for trial in half.ids}
            self._waiting.appendleft(
                replace(work, number=self._new_number(), pack=half, planned=planned, losses=0)
            )
        return None
