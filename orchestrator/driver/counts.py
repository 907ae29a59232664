"""Counts the trials of a run directory: those of a sweep, and those of other sweeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.driver.packs import Done
from orchestrator.process import track
from orchestrator.sweep.plan import Plan


@dataclass(frozen=True)
class Counts:
    """Trials of a sweep and of other sweeps in a run directory.

    Attributes:
        kept: trials of the sweep that have ended.
        begun: trials of the sweep that go on from a saved state.
        new: all other trials of the sweep.
        abandoned: ended trials that the sweep no longer names; their rows stay, marked as not current.
        steps: trial-steps still to be done.
        damaged: commits that were removed as damaged; their trials count as they were before.
        again: new trials that failed before and were removed, to be retried.
        why: the keys in which the abandoned trials differ from those of the sweep, as text.
    """

    kept: int
    begun: int
    new: int
    abandoned: int
    steps: int
    damaged: int = 0
    again: int = 0
    why: str = ""


def count(plan: Plan, done: Done) -> tuple[Counts, NDArray[np.uint64]]:
    """Compares a plan with the trials in a run directory.

    Returns:
        The counts, and the sorted uint64 ids of the ended trials that the plan does not name.
    """
    steps = sum(structure.count * structure.template.steps for structure in plan.structures)
    if not len(done.ended) and not done.begun:
        return Counts(kept=0, begun=0, new=plan.count, abandoned=0, steps=steps), done.ended
    kept = begun = 0
    abandoned = np.ones(len(done.ended), bool)
    for trial in track(plan.trials(), plan.count, "comparing the sweep with the run"):
        if (index := done.index(trial.id)) is not None:
            kept += 1
            abandoned[index] = False
            steps -= trial.trial.steps
        elif trial.id in done.begun:
            begun += 1
            steps -= done.begun[trial.id].step
    counts = Counts(kept, begun, plan.count - kept - begun, len(done.ended) - kept, steps)
    return counts, done.ended[abandoned]
