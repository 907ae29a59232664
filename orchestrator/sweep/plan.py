"""The plan of a sweep: structures are listed, the trials inside them are computed by arithmetic.

A *combination* fixes every structural value. The other axes, of seeds and of numbers of updates, multiply
inside a combination and are never listed. Trial i is computed by arithmetic, so a million trials take no
memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from orchestrator.config.text import label
from orchestrator.tables.rows import KeyType
from orchestrator.trial.pinned import Pinned
from orchestrator.trial.trial import Trial, digest, members
from orchestrator.updates.base import Update

_CHAINS = 256
"""Chains of updates that a combination caches while its trials are enumerated."""


@dataclass(frozen=True)
class PlannedTrial:
    """A trial and its index in the sweep.

    Attributes:
        id: 16 hex digits, a hash of its content.
        index: position in the plan, from 0.
        keys: its values in the columns of the swept keys; None for a key that it does not have.
    """

    id: str
    index: int
    trial: Trial
    keys: tuple[Any, ...]


@dataclass(frozen=True)
class KeyTarget:
    """The field of a trial that a free key sets: the seed (update None), or a number of one update."""

    update: int | None
    name: str


@dataclass(frozen=True)
class FreeKey:
    """A key that varies inside a combination.

    Attributes:
        column: its index among the key columns.
    """

    target: KeyTarget
    column: int
    values: Sequence[Any]


@dataclass(frozen=True)
class FreeAxis:
    """Keys that advance together inside a combination; ``positions`` selects from their values."""

    keys: tuple[FreeKey, ...]
    positions: Sequence[int]


@dataclass(frozen=True)
class Combination:
    """One choice of all structural values.

    Attributes:
        template: the trial at the first value of every free axis.
        axes: the free axes, outermost first.
        keys: values of the key columns; those of free keys are filled in per trial.
        shared: what the ids of its trials have in common, see ``trial.shared``.
    """

    template: Trial
    axes: tuple[FreeAxis, ...]
    keys: tuple[Any, ...]
    shared: Mapping[str, str]

    @cached_property
    def count(self) -> int:
        """Number of trials."""
        return math.prod(len(axis.positions) for axis in self.axes)

    @cached_property
    def targets(self) -> frozenset[KeyTarget]:
        """The fields that vary inside the combination."""
        return frozenset(key.target for axis in self.axes for key in axis.keys)

    def trial(self, position: int, index: int) -> PlannedTrial:
        """Returns trial ``position`` of this combination, which is trial ``index`` of the plan."""
        keys, seed = list(self.keys), self.template.seed
        numbers: list[tuple[KeyTarget, float]] = []
        for axis in reversed(self.axes):
            position, index_on_axis = divmod(position, len(axis.positions))
            chosen = axis.positions[index_on_axis]
            for key in axis.keys:
                value, keys[key.column] = label(key.values[chosen])
                if key.target.update is None:
                    seed = value
                else:
                    numbers.append((key.target, float(value)))
        updates, text = self._chain(tuple(numbers))
        trial = self.template.model_copy(update={"seed": seed, "updates": updates})
        return PlannedTrial(self._id(seed, text), index, trial, tuple(keys))

    @cached_property
    def _chain(
        self,
    ) -> Callable[[tuple[tuple[KeyTarget, float], ...]], tuple[tuple[Update, ...], dict[str, str]]]:
        """``_updates`` with a cache, as neighbouring trials share their updates."""
        return lru_cache(maxsize=_CHAINS)(self._updates)

    def _updates(
        self, numbers: tuple[tuple[KeyTarget, float], ...]
    ) -> tuple[tuple[Update, ...], dict[str, str]]:
        """Returns the updates with these numbers, and their member of an id."""
        updates = list(self.template.updates)
        for target, value in numbers:
            position = target.update or 0
            updates[position] = updates[position].model_copy(update={target.name: value})
        identity = {"updates": [update.identity() for update in updates]} if updates else {}
        return tuple(updates), members(identity)

    def _id(self, seed: int, updates: Mapping[str, str]) -> str:
        """Returns ``trial_id`` of a trial that differs from the template only in the seed and the updates."""
        varied = {"seed": str(seed)} if seed else {}
        return digest({**self.shared, **varied, **updates})


@dataclass(frozen=True)
class Structure:
    """The combinations that can share packs.

    Attributes:
        pinned: the structure as it was planned.
        first: index of its first trial in the plan.
    """

    pinned: Pinned
    combinations: tuple[Combination, ...]
    first: int

    @property
    def template(self) -> Trial:
        """A trial of this structure."""
        return self.pinned.template

    @cached_property
    def count(self) -> int:
        """Number of trials."""
        return sum(combination.count for combination in self.combinations)

    def trials(self) -> Iterator[PlannedTrial]:
        """Yields all trials of the structure, in order."""
        index = self.first
        for combination in self.combinations:
            for position in range(combination.count):
                yield combination.trial(position, index)
                index += 1


@dataclass(frozen=True)
class Plan:
    """The trials of a sweep, by structure.

    Attributes:
        keys: names of the swept keys, in the order of the file; a column each in every table.
        key_types: the column type of each key.
    """

    keys: tuple[str, ...]
    key_types: tuple[KeyType, ...]
    structures: tuple[Structure, ...]

    @cached_property
    def count(self) -> int:
        """Number of trials."""
        return sum(structure.count for structure in self.structures)

    def trials(self) -> Iterator[PlannedTrial]:
        """Yields all trials, in order."""
        for structure in self.structures:
            yield from structure.trials()
