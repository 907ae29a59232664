"""Counts of trials and steps that are still to be done, as printed and estimated."""

from __future__ import annotations

import numpy as np
import pytest
from sweeps import ids, plan

from orchestrator.driver.counts import Left, all_left, count
from orchestrator.driver.packs import Done
from orchestrator.sweep.plan import Plan
from orchestrator.tables.rows import SavedState

PLAN = plan("steps: [3, 5]", "seed: {range: 4}")
"""Eight trials: four of three steps, four of five, 32 steps in all."""

OTHER = "0123456789abcdef"


def done(plan: Plan, ended: list[int], begun: dict[int, int], *others: str) -> Done:
    """Contents of a run: ended trials by index, steps of begun ones, and ended ones of other sweeps."""
    names = ids(plan)
    numbers = sorted(int(trial, 16) for trial in (*(names[k] for k in ended), *others))
    states = {names[k]: SavedState(step, np.zeros(1)) for k, step in begun.items()}
    return Done(np.array(numbers, np.uint64), states)


@pytest.mark.parametrize(
    ("ended", "begun", "others", "expected"),
    [
        ([], {}, (), (0, 0, 8, 0, 32)),
        ([0, 7], {}, (), (2, 0, 6, 0, 32 - 3 - 5)),
        ([], {1: 2, 6: 4}, (), (0, 2, 6, 0, 32 - 2 - 4)),
        ([0], {4: 1}, (OTHER,), (1, 1, 6, 1, 32 - 3 - 1)),
    ],
    ids=["nothing", "ended", "begun", "both-and-others"],
)
def test_steps_to_do_exclude_those_of_ended_trials_and_before_saved_states(
    ended: list[int], begun: dict[int, int], others: tuple[str, ...], expected: tuple[int, ...]
) -> None:
    counts, abandoned = count(PLAN, done(PLAN, ended, begun, *others))
    assert (counts.kept, counts.begun, counts.new, counts.abandoned, counts.steps) == expected
    assert [f"{number:016x}" for number in abandoned.tolist()] == list(others)


def test_what_is_left_is_counted_for_each_structure() -> None:
    counts, _ = count(PLAN, done(PLAN, [0, 1, 2, 3, 7], {4: 1}, OTHER))
    assert counts.left == (Left(0, 0, 0), Left(trials=3, begun=1, steps=3 * 5 - 1))
    assert all_left(PLAN) == (Left(4, 0, 4 * 3), Left(4, 0, 4 * 5))
