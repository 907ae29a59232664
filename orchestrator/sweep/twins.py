"""Equal trials in two combinations, found without listing those that cannot be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from orchestrator.sweep.plan import Combination, KeyTarget, PlannedTrial, Structure


def twins(structures: Sequence[Structure]) -> tuple[PlannedTrial, PlannedTrial] | None:
    """Two trials with one id, of structures that have one key and stand in a row; None if all differ.

    Holds 8 bytes for each trial suspected.
    """
    first = structures[0].first
    combinations = [combination for structure in structures for combination in structure.combinations]
    if len(combinations) == 1:
        return None
    ids = np.fromiter((int(trial.id, 16) for trial in _suspects(combinations, first)), np.uint64)
    ids.sort()
    shared = ids[1:][ids[1:] == ids[:-1]]
    if not len(shared):
        return None
    twin = f"{int(shared[0]):016x}"
    suspects = _suspects(combinations, first)
    one, other = itertools.islice((trial for trial in suspects if trial.id == twin), 2)
    return one, other


def _suspects(combinations: Sequence[Combination], first: int) -> Iterator[PlannedTrial]:
    """The trials of the combinations that may share one; ``first`` is the index of the first of all.

    Inside a combination all trials differ. Two combinations of one key differ in the seed and the updates'
    numbers only; where the same of these vary, they can share a trial only if the others are equal.
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
    """The seed and the numbers that no axis varies."""
    trial = combination.template
    values = {KeyTarget(None, "seed"): trial.seed} | {
        KeyTarget(index, name): getattr(update, name)
        for index, update in enumerate(trial.updates)
        for name in update.number_names()
    }
    return tuple(value for target, value in values.items() if target not in combination.targets)
