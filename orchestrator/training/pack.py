"""A pack: trials of one structure that are advanced together, with their state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.groups import Array
from orchestrator.trial.pinned import Pinned
from orchestrator.trial.trial import Trial


@dataclass(frozen=True)
class Pack:
    """R trials of one structure, all at the same step.

    Attributes:
        trials: R configurations; they differ only in their seeds and the numbers of their updates.
        ids: R ids.
        pinned: the trials' structure, as planned.
        step: number of steps done.
        vectors: [R, W] state of each trial (see ``training.state``); None before step 0.
    """

    trials: tuple[Trial, ...]
    ids: tuple[str, ...]
    pinned: Pinned
    step: int = 0
    vectors: Array | None = None

    @property
    def template(self) -> Trial:
        """The first trial; all trials agree with it but for seed and numbers of updates."""
        return self.trials[0]

    @property
    def steps_left(self) -> int:
        """Number of steps to go, summed over trials."""
        return len(self.trials) * (self.template.steps - self.step)

    def take(self, rows: Sequence[int]) -> Pack:
        """Returns a pack of some of the trials."""
        return replace(
            self,
            trials=tuple(self.trials[row] for row in rows),
            ids=tuple(self.ids[row] for row in rows),
            vectors=None if self.vectors is None else self.vectors[list(rows)],
        )

    def halves(self) -> tuple[Pack, Pack]:
        """Splits a pack of at least two trials into two packs."""
        middle = len(self.trials) // 2
        return self.take(range(middle)), self.take(range(middle, len(self.trials)))
