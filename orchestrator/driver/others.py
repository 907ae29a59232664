"""Finds the keys in which trials of other sweeps in a run differ from those of the sweep."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from orchestrator.config.text import label, show
from orchestrator.sweep.plan import Combination, FreeKey, Plan

MOST_COMPARED = 32
"""Number of trials that are compared. Ids are hashes, so the first ones are a fair sample."""

_MOST_COMBINATIONS = 1000
_MOST_VALUES = 1000
_MOST_LISTED = 3

Leaves = Mapping[str, Any]
"""Dotted path -> value, for everything in a configuration that is not a mapping or a list."""


@dataclass(frozen=True)
class _FreeValues:
    """The values of a key that varies inside a combination.

    Attributes:
        first: the first few values.
        values: all values; None if there are too many to list.
    """

    first: Sequence[Any]
    values: Container[Any] | None

    @classmethod
    def of(cls, key: FreeKey, positions: Sequence[int]) -> _FreeValues:
        values = (label(key.values[position])[0] for position in positions)
        first = list(islice(values, _MOST_VALUES + 1))
        few = first[: _MOST_LISTED + 1]
        if isinstance(key.values, range):
            return cls(few, key.values)
        return cls(few, frozenset(first) if len(first) <= _MOST_VALUES else None)

    def __contains__(self, value: Any) -> bool:
        return self.values is None or value in self.values


@dataclass(frozen=True)
class _Candidate:
    """A combination of the plan.

    Attributes:
        fixed: values that all its trials share, by path.
        free: values of the keys that vary inside it, by path.
    """

    combination: Combination
    fixed: Leaves
    free: Mapping[str, _FreeValues]

    @classmethod
    def of(cls, combination: Combination, known: dict[tuple[int, int], _FreeValues]) -> _Candidate:
        """Returns the candidate. ``known`` caches the values of keys, which combinations share."""
        free = {}
        for key, positions in ((key, axis.positions) for axis in combination.axes for key in axis.keys):
            shared = id(key.values), id(positions)
            free[_path(key)] = known.setdefault(shared, known.get(shared) or _FreeValues.of(key, positions))
        return cls(combination, _leaves(combination.template.model_dump(mode="json")), free)

    def differences(self, other: Leaves) -> frozenset[str]:
        """Returns the paths at which a configuration differs.

        Paths that only one side has count only if no shared path differs: they belong to a part of another
        kind, whose kind differs already.
        """
        shared = self.fixed.keys() & other.keys()
        differing = {path for path in shared if not self._allows(path, other[path])}
        return frozenset(differing or self.fixed.keys() ^ other.keys())

    def _allows(self, path: str, value: Any) -> bool:
        return value in self.free[path] if path in self.free else bool(self.fixed[path] == value)

    def labels(self, path: str) -> Sequence[Any]:
        """Returns the first few values that trials of this combination have at a path."""
        return self.free[path].first if path in self.free else [self.fixed.get(path)]


@dataclass
class _Values:
    """The values at a path in the other trials (there) and in the plan (here), in order, each once."""

    there: dict[str, None] = field(default_factory=dict)
    here: dict[str, None] = field(default_factory=dict)


def describe_differences(configurations: Sequence[str], plan: Plan) -> str:
    """Describes in which keys trials differ from those of a plan, with some values of both.

    Args:
        configurations: configurations of the other trials, as JSON.

    Example:
        >>> from orchestrator.sweep.file import load
        >>> plan = load("jobs/quickstart.yaml").plan
        >>> other = next(plan.trials()).trial.model_copy(update={"steps": 7})
        >>> describe_differences([other.model_dump_json()], plan)
        'steps is 7 there, 400 here'
    """
    combinations = (c for structure in plan.structures for c in structure.combinations)
    known: dict[tuple[int, int], _FreeValues] = {}
    candidates = [_Candidate.of(c, known) for c in islice(combinations, _MOST_COMBINATIONS)]
    values: dict[str, _Values] = {}
    files: dict[str, None] = {}
    equal = False
    for other in map(_leaves, map(json.loads, configurations)):
        paths, nearest = _nearest(candidates, other)
        for path in sorted(paths):
            at_path = values.setdefault(path, _Values())
            at_path.there[_text(other.get(path))] = None
            labels = (value for candidate in nearest for value in candidate.labels(path))
            at_path.here |= dict.fromkeys(_text(value) for value in labels)
        if not paths:
            equal = True
            files |= {file.name: None for c in nearest for file in c.combination.template.files()}
    texts = [f"{path} is {_listed(v.there)} there, {_listed(v.here)} here" for path, v in values.items()]
    return "; ".join([*texts[:_MOST_LISTED], *([_changed_files(files)] if equal else [])])


def _nearest(candidates: Sequence[_Candidate], other: Leaves) -> tuple[frozenset[str], list[_Candidate]]:
    """Returns the fewest paths at which a configuration differs from candidates, and these."""
    differences = [candidate.differences(other) for candidate in candidates]
    paths = min(differences, key=len)
    return paths, [c for c, differing in zip(candidates, differences, strict=True) if differing == paths]


def _leaves(configuration: Mapping[str, Any]) -> Leaves:
    return dict(_members("", {name: value for name, value in configuration.items() if name != "record"}))


def _members(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not items or not value:
        yield path, value
        return
    for name, member in items:
        yield from _members(f"{path}.{name}" if path else str(name), member)


def _path(key: FreeKey) -> str:
    return key.target.name if key.target.update is None else f"updates.{key.target.update}.{key.target.name}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "none" if value is None else show(value)


def _listed(texts: Mapping[str, None]) -> str:
    first = list(texts)[:_MOST_LISTED]
    if len(texts) > _MOST_LISTED:
        return ", ".join([*first, "…"])
    return " or ".join(filter(None, [", ".join(first[:-1]), first[-1]]))


def _changed_files(files: Mapping[str, None]) -> str:
    if not files:
        return "this version reads them differently"
    return f"{_listed(files)} has changed, or this version reads it differently"
