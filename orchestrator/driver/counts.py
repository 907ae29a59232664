"""What a run directory holds of a sweep, and what it holds of others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.driver.packs import Done
from orchestrator.process import track
from orchestrator.sweep.plan import Plan


@dataclass(frozen=True)
class Counts:
    """What a run directory holds of a sweep.

    Attributes:
        kept: trials of the sweep that have ended.
        begun: trials of the sweep that go on from a saved state.
        new: the others.
        abandoned: ended trials that the sweep no longer names; their rows stay, marked as not current.
        steps: trial-steps still to be done.
        damaged: commits that were swept away; their trials count as they were before.
        again: trials among the new ones whose failure was taken back.
        why: in which keys the abandoned ones differ from those of the sweep.
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
    """Compares a plan with what a run directory holds.

    Returns:
        The counts, and the sorted numbers of the ended trials that the plan does not name.
    """
    steps = sum(structure.count * structure.template.steps for structure in plan.structures)
    if not len(done.ended) and not done.begun:
        return Counts(kept=0, begun=0, new=plan.count, abandoned=0, steps=steps), done.ended
    kept = begun = 0
    others = np.ones(len(done.ended), bool)
    for trial in track(plan.trials(), plan.count, "comparing the sweep with the run"):
        if (index := done.index(trial.id)) is not None:
            kept += 1
            others[index] = False
            steps -= trial.trial.steps
        elif trial.id in done.begun:
            begun += 1
            steps -= done.begun[trial.id].step
    return Counts(kept, begun, plan.count - kept - begun, len(done.ended) - kept, steps), done.ended[others]
