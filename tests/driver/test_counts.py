"""What is left to be done of a sweep, as it is printed and estimated."""

from __future__ import annotations

import numpy as np
import pytest
from sweeps import ids, plan

from orchestrator.driver.counts import count
from orchestrator.driver.packs import Done
from orchestrator.sweep.plan import Plan
from orchestrator.tables.rows import SavedState

PLAN = plan("steps: [3, 5]", "seed: {range: 4}")
"""Eight trials: four of three steps, four of five, 32 steps in all."""

OTHER = "0123456789abcdef"


def done(plan: Plan, ended: list[int], begun: dict[int, int], *others: str) -> Done:
    """What a run holds: ended trials by index, the steps of begun ones, and ended ones of other sweeps."""
    names = ids(plan)
    numbers = sorted(int(trial, 16) for trial in (*(names[k] for k in ended), *others))
    states = {names[k]: SavedState(step, np.zeros(1)) for k, step in begun.items()}
    return Done(np.array(numbers, np.uint64), states)


@pytest.mark.parametrize(
    ("ended", "begun", "others", "counted"),
    [
        ([], {}, (), (0, 0, 8, 0, 32)),
        ([0, 7], {}, (), (2, 0, 6, 0, 32 - 3 - 5)),
        ([], {1: 2, 6: 4}, (), (0, 2, 6, 0, 32 - 2 - 4)),
        ([0], {4: 1}, (OTHER,), (1, 1, 6, 1, 32 - 3 - 1)),
    ],
    ids=["nothing", "ended", "begun", "both-and-others"],
)
def test_steps_that_are_left_are_those_of_no_ended_trial_and_behind_no_state(
    ended: list[int], begun: dict[int, int], others: tuple[str, ...], counted: tuple[int, ...]
) -> None:
    found, abandoned = count(PLAN, done(PLAN, ended, begun, *others))
    assert (found.kept, found.begun, found.new, found.abandoned, found.steps) == counted
    assert [f"{number:016x}" for number in abandoned.tolist()] == list(others)
