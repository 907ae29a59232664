"""Trials of one structure advanced together, and where they stand."""

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
        trials: R configurations; they differ in seed and the numbers of their updates only.
        ids: R ids.
        pinned: their structure, as it was planned.
        step: steps done so far.
        vectors: [R, W] what each trial needs to go on (see ``training.state``); None before step 0.
    """

    trials: tuple[Trial, ...]
    ids: tuple[str, ...]
    pinned: Pinned
    step: int = 0
    vectors: Array | None = None

    @property
    def template(self) -> Trial:
        """A trial of this structure; its seed and numbers are those of the first."""
        return self.trials[0]

    @property
    def steps_left(self) -> int:
        """Steps that its trials have before them, together."""
        return len(self.trials) * (self.template.steps - self.step)

    def take(self, rows: Sequence[int]) -> Pack:
        """The pack of some of the trials."""
        return replace(
            self,
            trials=tuple(self.trials[row] for row in rows),
            ids=tuple(self.ids[row] for row in rows),
            vectors=None if self.vectors is None else self.vectors[list(rows)],
        )

    def halves(self) -> tuple[Pack, Pack]:
        """Two packs that share the trials between them; there are at least two."""
        middle = len(self.trials) // 2
        return self.take(range(middle)), self.take(range(middle, len(self.trials)))
