"""From a sweep file to a plan: every combination of structural values is validated."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from orchestrator.config import Config, ConfigError, discover, explain
from orchestrator.errors import Fault, InputError
from orchestrator.sweep.axes import Axis, Branch, Key, Path, label
from orchestrator.sweep.document import Document, dotted
from orchestrator.sweep.plan import Combination, KeyType, Plan, PlannedTrial, Slot, Structure
from orchestrator.sweep.resolved import Resolved
from orchestrator.sweep.trial import Trial, structure_key
from orchestrator.updates.base import Update

MAX_COMBINATIONS = 10_000
_NUMBERS = {name for update in discover(Update).values() for name in update.number_names()}
"""Names of the updates' hyper-parameters: what may differ inside a pack, beside the seed."""


@dataclass
class Planner:
    """Validates every combination of a sweep; collects faults instead of stopping at the first."""

    document: Document
    base: dict[str, Any]
    folder: FilePath
    faults: dict[str, Fault] = field(default_factory=dict)
    _checked: set[tuple[Any, ...]] = field(default_factory=set)

    def plan(self, branches: Sequence[Branch]) -> Plan:
        """The plan.

        Raises:
            InputError: all faults found.
        """
        self._refuse_too_many(branches)
        keys = _key_names(branches)
        grouped: dict[str, list[Combination]] = {}
        for branch in branches:
            for combination in self._combinations(branch, keys):
                grouped.setdefault(structure_key(combination.template), []).append(combination)
        self._raise()
        structures, first = [], 0
        for key, combinations in grouped.items():
            structures.append(Structure(key, tuple(combinations), first))
            first += structures[-1].count
        plan = Plan(keys, _key_types(keys, branches, grouped), tuple(structures))
        for structure in structures:
            self._refuse_twins(structure)
        self._raise()
        return plan

    def _raise(self) -> None:
        if self.faults:
            raise InputError(sorted(self.faults.values(), key=lambda fault: fault.order))

    def _refuse_too_many(self, branches: Sequence[Branch]) -> None:
        count = sum(math.prod(len(a) for a in branch.axes if not _is_free(a)) for branch in branches)
        if count > MAX_COMBINATIONS:
            message = (
                f"has {count:,} combinations of structure, at most {MAX_COMBINATIONS:,} are planned; "
                "seeds and the numbers of updates (limit, learning_rate, …) may vary without limit"
            )
            raise InputError([self.document.fault(("sweep",), message)])

    def _combinations(self, branch: Branch, keys: tuple[str, ...]) -> Iterator[Combination]:
        structural = [axis for axis in branch.axes if not _is_free(axis)]
        free = [axis for axis in branch.axes if _is_free(axis)]
        for positions in itertools.product(*(axis.positions for axis in structural)):
            chosen = [(axis, position) for axis, position in zip(structural, positions, strict=True)]
            chosen += [(axis, axis.positions[0]) for axis in free]
            combination = self._combination(branch, chosen, free, keys)
            if combination is not None:
                yield combination

    def _combination(
        self, branch: Branch, chosen: list[tuple[Axis, int]], free: list[Axis], keys: tuple[str, ...]
    ) -> Combination | None:
        resolved = Resolved(self.document, self.folder, copy.deepcopy(self.base))
        shown: dict[str, Any] = {"case": branch.case} if branch.case else {}
        for key in branch.sets:
            shown[dotted(key.path)] = resolved.set(key, 0)
        for axis, position in chosen:
            for key in axis.keys:
                shown[dotted(key.path)] = resolved.set(key, position)
        trial = resolved.trial()
        if trial is None:
            self.faults |= {str(fault): fault for fault in resolved.faults}
            return None
        slots = tuple(tuple(resolved.slot(key.path) for key in axis.keys) for axis in free)
        self._check_free(trial, free, slots)
        values = tuple(shown[name] if name in shown else resolved.shown(name) for name in keys)
        columns = tuple(tuple(keys.index(dotted(key.path)) for key in axis.keys) for axis in free)
        return Combination(trial, tuple(free), slots, values, columns)

    def _check_free(self, trial: Trial, axes: Sequence[Axis], slots: Sequence[Sequence[Slot]]) -> None:
        """Validates the values of free axes against the configuration that they go into."""
        for axis, row in zip(axes, slots, strict=True):
            for key, slot in zip(axis.keys, row, strict=True):
                target: Config = trial if slot.update is None else trial.updates[slot.update]
                if (id(key), type(target)) not in self._checked:
                    self._checked.add((id(key), type(target)))
                    self._check_values(key, target, slot.name)

    def _check_values(self, key: Key, target: Config, name: str) -> None:
        for index, value in enumerate(key.values if key.bounds is None else key.bounds):
            if message := _refusal(target, name, label(value)[0]):
                fault = self.document.fault(key.value_place(index), message)
                self.faults[str(fault)] = fault

    def _refuse_twins(self, structure: Structure) -> None:
        """Refuses combinations that hold the same trial: its rows would be there twice."""
        seen: dict[str, int] = {}
        for trial in _suspects(structure):
            first = seen.setdefault(trial.id, trial.index)
            if first != trial.index:
                shown = ", ".join(str(key) for key in trial.keys)
                message = f"trials {first} and {trial.index} are the same ({shown}); leave one of them out"
                self.faults["twins"] = self.document.fault(("sweep",), message)
                return


def _suspects(structure: Structure) -> Iterator[PlannedTrial]:
    """The trials that could be there twice, judged without listing the others.

    Combinations of a structure differ in the seed and the updates' numbers only. Where the same of
    these are free, two of them can share a trial only if all others are equal.
    """
    alike: dict[tuple[Any, ...], list[int]] = {}
    for position, combination in enumerate(structure.combinations):
        alike.setdefault((_free_slots(combination), _constants(combination)), []).append(position)
    comparable = len({slots for slots, _ in alike}) == 1
    suspects = {p for positions in alike.values() if len(positions) > 1 or not comparable for p in positions}
    first = structure.first
    for position, combination in enumerate(structure.combinations):
        if position in suspects:
            yield from (combination.trial(i, first + i) for i in range(combination.count))
        first += combination.count


def _free_slots(combination: Combination) -> frozenset[Slot]:
    return frozenset(slot for row in combination.slots for slot in row)


def _constants(combination: Combination) -> tuple[Any, ...]:
    """Seed and numbers that no axis varies."""
    free, trial = _free_slots(combination), combination.template
    numbers = [
        getattr(update, name)
        for position, update in enumerate(trial.updates)
        for name in update.number_names()
        if Slot(position, name) not in free
    ]
    return (None if Slot(None, "seed") in free else trial.seed, *numbers)


def _is_free(axis: Axis) -> bool:
    return all(_is_free_path(key.path) and _all_numbers(key) for key in axis.keys)


def _is_free_path(path: Path) -> bool:
    return path == ("seed",) or (len(path) == 3 and path[0] == "updates" and path[2] in _NUMBERS)


def _all_numbers(key: Key) -> bool:
    values = key.values if key.bounds is None else key.bounds
    return all(type(label(value)[0]) in (int, float) for value in values)


def _refusal(target: Config, name: str, value: Any) -> str:
    try:
        type(target).parse({**_fields(target), name: value}, folder="")
    except ConfigError as error:
        return "; ".join(message for _, message in explain(error, type(target)))
    return ""


def _fields(config: Config) -> dict[str, Any]:
    return {name: getattr(config, name) for name in type(config).model_fields}


def _key_names(branches: Sequence[Branch]) -> tuple[str, ...]:
    names: dict[str, None] = {"case": None} if any(branch.case for branch in branches) else {}
    for branch in branches:
        names |= {dotted(key.path): None for axis in branch.axes for key in axis.keys}
    return tuple(names)


def _key_types(
    names: tuple[str, ...], branches: Sequence[Branch], grouped: dict[str, list[Combination]]
) -> tuple[KeyType, ...]:
    """The narrowest type that holds all values of each key column."""
    found: dict[str, set[type]] = {name: set() for name in names}
    for combinations in grouped.values():
        for combination in combinations:
            for name, value in zip(names, combination.keys, strict=True):
                found[name].add(type(value))
    for branch in branches:
        for key in (key for axis in branch.axes if _is_free(axis) for key in axis.keys):
            listed = key.values if key.bounds is None else key.bounds
            found[dotted(key.path)] |= {type(label(value)[1]) for value in listed}
    return tuple(_column_type(found[name] - {type(None)}) for name in names)


def _column_type(types: set[type]) -> KeyType:
    if types == {int}:
        return "int64"
    return "float64" if types and types <= {int, float} else "string"
