"""Finds equal trials in two combinations, without listing trials that cannot be equal."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from orchestrator.sweep.plan import Combination, KeyTarget, PlannedTrial, Structure


def duplicate_pair(structures: Sequence[Structure]) -> tuple[PlannedTrial, PlannedTrial] | None:
    """Returns two trials with the same id, of adjacent structures with one key; None if all trials differ.

    Takes 8 bytes of memory for each trial that may be equal to another one.
    """
    first = structures[0].first
    combinations = [combination for structure in structures for combination in structure.combinations]
    if len(combinations) == 1:
        return None
    ids = np.fromiter((int(trial.id, 16) for trial in _candidates(combinations, first)), np.uint64)
    ids.sort()
    shared = ids[1:][ids[1:] == ids[:-1]]
    if not len(shared):
        return None
    repeated = f"{int(shared[0]):016x}"
    candidates = _candidates(combinations, first)
    one, other = itertools.islice((trial for trial in candidates if trial.id == repeated), 2)
    return one, other


def _candidates(combinations: Sequence[Combination], first: int) -> Iterator[PlannedTrial]:
    """Yields the trials that may be equal to another one; ``first`` is the index of the first trial.

    All trials of a combination differ. Combinations of one key differ only in the seed and the numbers of
    updates. If the same of these vary in two combinations, they share a trial only if the others are equal.
    """
    alike: dict[tuple[Any, ...], int] = {}
    for combination in combinations:
        alike[_constants(combination)] = alike.get(_constants(combination), 0) + 1
    comparable = len({combination.targets for combination in combinations}) == 1
    for combination in combinations:
        if not comparable or alike[_constants(combination)] > 1:
            yield from (combination.trial(i, first + i) for i in range(combination.count))
        first += combination.count


def _constants(combination: Combination) -> tuple[Any, ...]:
    """Returns the seed and the numbers of updates that no axis varies."""
    trial = combination.template
    values = {KeyTarget(None, "seed"): trial.seed} | {
        KeyTarget(index, name): getattr(update, name)
        for index, update in enumerate(trial.updates)
        for name in update.number_names()
    }
    return tuple(value for target, value in values.items() if target not in combination.targets)
