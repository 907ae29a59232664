"""Counts the trials of a run directory: those of a sweep, and those of other sweeps."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from orchestrator.driver.packs import Done
from orchestrator.process import track
from orchestrator.sweep.plan import Plan


@dataclass(frozen=True)
class Left:
    """What is still to be run of a structure.

    Attributes:
        trials: trials that have not ended.
        begun: those of them that go on from a saved state.
        steps: trial-steps still to be done.
    """

    trials: int
    begun: int
    steps: int


@dataclass(frozen=True)
class Counts:
    """Trials of a sweep and of other sweeps in a run directory.

    Attributes:
        kept: trials of the sweep that have ended.
        abandoned: ended trials that the sweep no longer names; their rows stay, marked as not current.
        left: what is still to be run of each structure of the sweep.
        damaged: commits that were removed as damaged; their trials count as they were before.
        again: new trials that failed before and were removed, to be retried.
        why: the keys in which the abandoned trials differ from those of the sweep, as text.
    """

    kept: int
    abandoned: int
    left: tuple[Left, ...]
    damaged: int = 0
    again: int = 0
    why: str = ""

    @property
    def begun(self) -> int:
        """Trials of the sweep that go on from a saved state."""
        return sum(one.begun for one in self.left)

    @property
    def new(self) -> int:
        """Trials of the sweep that have not begun."""
        return sum(one.trials - one.begun for one in self.left)

    @property
    def steps(self) -> int:
        """Trial-steps still to be done."""
        return sum(one.steps for one in self.left)


def all_left(plan: Plan) -> tuple[Left, ...]:
    """Returns what is to be run of each structure where no trial has begun."""
    return tuple(Left(one.count, 0, one.count * one.template.steps) for one in plan.structures)


def count(plan: Plan, done: Done) -> tuple[Counts, NDArray[np.uint64]]:
    """Compares a plan with the trials in a run directory.

    Returns:
        The counts, and the sorted uint64 ids of the ended trials that the plan does not name.
    """
    if not len(done.ended) and not done.begun:
        return Counts(kept=0, abandoned=0, left=all_left(plan)), done.ended
    abandoned = np.ones(len(done.ended), bool)
    trials = track(plan.trials(), plan.count, "comparing the sweep with the run")
    left: list[Left] = []
    for structure in plan.structures:
        waiting = begun = steps = 0
        for trial in islice(trials, structure.count):
            if (index := done.index(trial.id)) is not None:
                abandoned[index] = False
                continue
            waiting += 1
            begun += trial.id in done.begun
            steps += trial.trial.steps - (done.begun[trial.id].step if trial.id in done.begun else 0)
        left.append(Left(waiting, begun, steps))
    kept = plan.count - sum(one.trials for one in left)
    return Counts(kept, len(done.ended) - kept, tuple(left)), done.ended[abandoned]
