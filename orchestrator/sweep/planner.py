"""Builds the plan from base and scope; validates every combination of structural values."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from pathlib import Path as FilePath
from typing import Any

from orchestrator.config.base import Config, ConfigError
from orchestrator.config.families import discover
from orchestrator.config.faults import explain
from orchestrator.config.text import label
from orchestrator.errors import InputError
from orchestrator.process import track
from orchestrator.sweep.axes import Axis, AxisScope, Branch, Key, branches, clashes, count_choices
from orchestrator.sweep.duplicates import duplicate_pair
from orchestrator.sweep.paths import DocumentFault, KeyPath, dotted
from orchestrator.sweep.plan import Combination, FreeAxis, FreeKey, KeyTarget, Plan, Structure
from orchestrator.sweep.resolved import Resolved
from orchestrator.tables.rows import KeyType
from orchestrator.trial.pinned import Pinned, pin
from orchestrator.trial.trial import Trial, key_of, shared
from orchestrator.updates.base import Update

MAX_COMBINATIONS = 10_000
_MOST_REFUSED = 1000
"""Faulty combinations, after which the others are not checked."""

_StructureParts = tuple[str, Config | None, Config, Config]
"""Key, data, model and engine of a structure, which its combinations share.

The key alone does not distinguish equal files in different folders, where user code may open other files.
"""


@dataclass
class Planner:
    """Validates the base, then every combination; adds to ``faults`` instead of stopping at the first.

    A faulty value of the document is one fault, however many combinations have this value. A fault in a value
    of the base is at the path in the base, whatever the other values are.
    """

    base: dict[str, Any]
    folder: FilePath
    root: FilePath
    faults: set[DocumentFault]
    _refused: int = 0
    _checked: set[tuple[int, type[Config]]] = field(default_factory=set)
    _pinned: dict[_StructureParts, Pinned] = field(default_factory=dict)

    def plan(self, scope: AxisScope) -> Plan | None:
        """Returns the plan; None if there are faults, including those known before."""
        self._trial(Resolved(self.folder, self.root, self.base))
        if self._too_many(scope):
            return None
        cases = branches(scope)
        keys = _key_names(cases)
        grouped: dict[_StructureParts, list[Combination]] = {}
        for branch in cases:
            for combination in self._combinations(branch, keys):
                template = combination.template
                key = key_of(combination.shared, template.updates)
                parts = key, template.data, template.model, template.gradient
                grouped.setdefault(parts, []).append(combination)
                self._pin(parts, template)
        if self.faults:
            return None
        structures = _number_structures(grouped, self._pinned)
        self._refuse_duplicates(keys, structures)
        return None if self.faults else Plan(keys, _key_types(keys, cases, structures), structures)

    def _trial(self, resolved: Resolved) -> Trial | None:
        """Returns the trial; None if it has faults, which are added."""
        trial = resolved.trial()
        self.faults.update(resolved.faults)
        self._refused += trial is None
        return trial

    def _pin(self, parts: _StructureParts, template: Trial) -> None:
        """Pins a structure at its first combination; checks that the files are still those of its key."""
        if parts in self._pinned:
            return
        try:
            pinned = self._pinned[parts] = pin(template)
        except InputError as error:
            self.faults.update(DocumentFault(("base",), fault.message, fault.path) for fault in error.faults)
            return
        if pinned.key != parts[0]:
            message = "a file changed while the sweep was read; run the command again"
            self.faults.add(DocumentFault(("base",), message))

    def _too_many(self, scope: AxisScope) -> bool:
        count = count_choices(scope, lambda axis: not _is_free(axis))
        if count > MAX_COMBINATIONS:
            message = (
                f"has {count:,} combinations of structure, at most {MAX_COMBINATIONS:,} are planned; "
                "only seed and the numbers of updates (limit, learning_rate, …) may vary without limit"
            )
            self.faults.add(DocumentFault(("sweep",), message))
        return count > MAX_COMBINATIONS

    def _combinations(self, branch: Branch, keys: tuple[str, ...]) -> Iterator[Combination]:
        if overlaps := set(clashes(branch)):
            self.faults |= overlaps
            return
        structural = [axis for axis in branch.axes if not _is_free(axis)]
        free = [axis for axis in branch.axes if _is_free(axis)]
        count = math.prod(len(axis.positions) for axis in structural)
        every = itertools.product(*(axis.positions for axis in structural))
        for positions in track(every, count, "checking every combination of structure"):
            if self._refused > _MOST_REFUSED:
                return
            chosen = [*zip(structural, positions, strict=True), *((axis, axis.positions[0]) for axis in free)]
            combination = self._combination(branch, chosen, free, keys)
            if combination is not None:
                yield combination

    def _combination(
        self, branch: Branch, chosen: list[tuple[Axis, int]], free: list[Axis], keys: tuple[str, ...]
    ) -> Combination | None:
        resolved = Resolved(self.folder, self.root, copy.deepcopy(self.base))
        labels: dict[str, Any] = {"case": branch.case} if branch.case else {}
        labels |= {dotted(key.path): resolved.put(key, 0) for key in branch.fixed}
        for axis, position in chosen:
            labels |= {dotted(key.path): resolved.put(key, position) for key in axis.keys}
        trial = self._trial(resolved)
        if trial is None:
            return None
        for key in (key for axis in free for key in axis.keys):
            self._check_values(key, trial, resolved.target(key.path))
        values = tuple(
            labels[name] if name in labels else resolved.column_value(name, trial) for name in keys
        )
        axes = tuple(_free_axis(axis, resolved, keys) for axis in free)
        return Combination(trial, axes, values, shared(trial))

    def _check_values(self, key: Key, trial: Trial, target: KeyTarget) -> None:
        """Validates the values of a free key against the configuration that they set."""
        owner: Config = trial if target.update is None else trial.updates[target.update]
        if (id(key), type(owner)) in self._checked:
            return
        self._checked.add((id(key), type(owner)))
        for index, value in enumerate(key.decisive_values):
            if message := _refusal(owner, target.name, label(value)[0]):
                self.faults.add(DocumentFault(key.value_origin(index), message, dotted(key.path)))

    def _refuse_duplicates(self, keys: tuple[str, ...], structures: Sequence[Structure]) -> None:
        """Adds a fault for equal trials, whose rows would be in the tables twice."""
        groups = (tuple(group) for _, group in groupby(structures, key=lambda one: one.pinned.key))
        for pair in filter(None, map(duplicate_pair, groups)):
            texts = (f"{trial.index} ({_key_values(keys, trial.keys)})" for trial in pair)
            message = f"trials {' and '.join(texts)} are the same; leave one of them out"
            self.faults.add(DocumentFault(("sweep",), message))


def _key_values(keys: tuple[str, ...], values: tuple[Any, ...]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in zip(keys, values, strict=True) if value is not None)


def _is_free(axis: Axis) -> bool:
    """Returns whether an axis may vary inside a pack: all its keys are the seed, or numbers of updates."""
    return all(_is_free_path(key.path) and _all_numbers(key) for key in axis.keys)


def _is_free_path(path: KeyPath) -> bool:
    return path == ("seed",) or (len(path) == 3 and path[0] == "updates" and path[2] in _number_names())


@cache
def _number_names() -> frozenset[str]:
    return frozenset(name for update in discover(Update).values() for name in update.number_names())


def _all_numbers(key: Key) -> bool:
    return all(type(label(value)[0]) in (int, float) for value in key.decisive_values)


def _free_axis(axis: Axis, resolved: Resolved, keys: tuple[str, ...]) -> FreeAxis:
    free = (FreeKey(resolved.target(key.path), keys.index(dotted(key.path)), key.values) for key in axis.keys)
    return FreeAxis(tuple(free), axis.positions)


def _refusal(target: Config, name: str, value: Any) -> str:
    """Returns why a configuration cannot have ``value`` in the field ``name``; empty if it can."""
    fields = {field: getattr(target, field) for field in type(target).model_fields}
    try:
        type(target).parse({**fields, name: value}, folder="")
    except ConfigError as error:
        return "; ".join(message for _, message in explain(error, type(target)))
    return ""


def _number_structures(
    grouped: Mapping[_StructureParts, Sequence[Combination]], pinned: Mapping[_StructureParts, Pinned]
) -> tuple[Structure, ...]:
    """Returns the structures, each with the index of its first trial; those of one key are adjacent."""
    rank = {key: number for number, key in enumerate(dict.fromkeys(key for key, *_ in grouped))}
    structures, first = [], 0
    for parts in sorted(grouped, key=lambda parts: rank[parts[0]]):
        structures.append(Structure(pinned[parts], tuple(grouped[parts]), first))
        first += structures[-1].count
    return tuple(structures)


def _key_names(cases: Sequence[Branch]) -> tuple[str, ...]:
    names: dict[str, None] = {"case": None} if any(branch.case for branch in cases) else {}
    for branch in cases:
        names |= {dotted(key.path): None for axis in branch.axes for key in axis.keys}
    return tuple(names)


def _key_types(
    names: tuple[str, ...], cases: Sequence[Branch], structures: Sequence[Structure]
) -> tuple[KeyType, ...]:
    """Returns the narrowest type that holds all values of each key column."""
    types: dict[str, set[type]] = {name: set() for name in names}
    for combination in (combination for structure in structures for combination in structure.combinations):
        for name, value in zip(names, combination.keys, strict=True):
            types[name].add(type(value))
    for key in (key for branch in cases for axis in branch.axes if _is_free(axis) for key in axis.keys):
        types[dotted(key.path)] |= {type(label(value)[1]) for value in key.decisive_values}
    return tuple(_column_type(types[name] - {type(None)}) for name in names)


def _column_type(types: set[type]) -> KeyType:
    if types == {int}:
        return "int64"
    return "float64" if types and types <= {int, float} else "string"
