"""What a sweep would run: structures first, everything else by arithmetic.

A *combination* fixes every structural value. The axes left over, seeds and the updates' numbers,
multiply inside a combination and are never listed: trial i is found by arithmetic, so a million
trials cost no memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from orchestrator.sweep.axes import Axis, label
from orchestrator.sweep.trial import Trial, trial_id

KeyType = Literal["int64", "float64", "string"]
"""Type of a swept key's column."""


@dataclass(frozen=True)
class PlannedTrial:
    """A trial and its place in the sweep.

    Attributes:
        id: 16 hex digits, a hash of its content.
        index: position in the plan, from 0.
        keys: what the columns of the swept keys show for it; None where a key is not its own.
    """

    id: str
    index: int
    trial: Trial
    keys: tuple[Any, ...]


@dataclass(frozen=True)
class Slot:
    """Where a free axis writes into a trial: the seed, or a number of one update."""

    update: int | None
    name: str


@dataclass(frozen=True)
class Combination:
    """All structural values chosen.

    Attributes:
        template: the trial at the first value of every free axis.
        axes: the free axes, outermost first.
        slots: for each free axis, where each of its keys writes.
        keys: what the key columns show; free ones are filled in per trial.
        free: for each key of each free axis, its position among the key columns.
    """

    template: Trial
    axes: tuple[Axis, ...]
    slots: tuple[tuple[Slot, ...], ...]
    keys: tuple[Any, ...]
    free: tuple[tuple[int, ...], ...]

    @cached_property
    def count(self) -> int:
        """Number of trials."""
        return math.prod(len(axis) for axis in self.axes)

    @cached_property
    def _identity(self) -> dict[str, Any]:
        return self.template.identity()

    def trial(self, position: int, index: int) -> PlannedTrial:
        """Trial ``position`` of this combination, which is trial ``index`` of the plan."""
        keys, seed, updates = list(self.keys), self.template.seed, list(self.template.updates)
        for axis, slots, columns in zip(
            reversed(self.axes), reversed(self.slots), reversed(self.free), strict=True
        ):
            position, place = divmod(position, len(axis))
            chosen = axis.positions[place]
            for key, slot, column in zip(axis.keys, slots, columns, strict=True):
                value, keys[column] = label(key.values[chosen])
                if slot.update is None:
                    seed = value
                else:
                    changed = {slot.name: float(value)}
                    updates[slot.update] = updates[slot.update].model_copy(update=changed)
        trial = self.template.model_copy(update={"seed": seed, "updates": tuple(updates)})
        return PlannedTrial(trial_id(self._identified(trial)), index, trial, tuple(keys))

    def _identified(self, trial: Trial) -> dict[str, Any]:
        """``trial.identity()``, from the template's: only the seed and the updates can differ."""
        identity = {key: value for key, value in self._identity.items() if key not in ("seed", "updates")}
        if trial.seed:
            identity["seed"] = trial.seed
        if trial.updates:
            identity["updates"] = [update.identity() for update in trial.updates]
        return identity


@dataclass(frozen=True)
class Structure:
    """The combinations that can share packs."""

    key: str
    combinations: tuple[Combination, ...]
    first: int
    """Index of its first trial in the plan."""

    @property
    def template(self) -> Trial:
        """A trial of this structure."""
        return self.combinations[0].template

    @cached_property
    def count(self) -> int:
        """Number of trials."""
        return sum(combination.count for combination in self.combinations)

    def trials(self) -> Iterator[PlannedTrial]:
        """All trials of the structure, in order."""
        index = self.first
        for combination in self.combinations:
            for position in range(combination.count):
                yield combination.trial(position, index)
                index += 1


@dataclass(frozen=True)
class Plan:
    """What a sweep would run.

    Attributes:
        keys: names of the swept keys, in the order of the file; a column each in every table.
        key_types: the type of each.
    """

    keys: tuple[str, ...]
    key_types: tuple[KeyType, ...]
    structures: tuple[Structure, ...]

    @cached_property
    def count(self) -> int:
        """Number of trials."""
        return sum(structure.count for structure in self.structures)

    def trials(self) -> Iterator[PlannedTrial]:
        """All trials, in order."""
        for structure in self.structures:
            yield from structure.trials()
