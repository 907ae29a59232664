"""In what the trials that a run holds, and the sweep does not name, differ from those that it names."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from orchestrator.config.text import label, show
from orchestrator.sweep.plan import Combination, FreeKey, Plan

MOST_COMPARED = 32
"""Trials that are looked at; ids are hashes, so they are a fair choice of all."""

_MOST_COMBINATIONS = 1000
_MOST_VALUES = 1000
_MOST_SHOWN = 3

Leaves = Mapping[str, Any]
"""Dotted path -> value, for everything in a configuration that is not a mapping or a list."""


@dataclass(frozen=True)
class _Free:
    """The values of a key that varies inside a combination.

    Attributes:
        first: some of them.
        taken: all; None if they are so many that nobody goes through them.
    """

    first: Sequence[Any]
    taken: Container[Any] | None

    @classmethod
    def of(cls, key: FreeKey, positions: Sequence[int]) -> _Free:
        values = (label(key.values[position])[0] for position in positions)
        first = list(islice(values, _MOST_VALUES + 1))
        few = first[: _MOST_SHOWN + 1]
        if isinstance(key.values, range):
            return cls(few, key.values)
        return cls(few, frozenset(first) if len(first) <= _MOST_VALUES else None)

    def __contains__(self, value: Any) -> bool:
        return self.taken is None or value in self.taken


@dataclass(frozen=True)
class _Candidate:
    """A combination of the plan: what all its trials share, and the keys that vary in it."""

    combination: Combination
    fixed: Leaves
    free: Mapping[str, _Free]

    @classmethod
    def of(cls, combination: Combination, known: dict[tuple[int, int], _Free]) -> _Candidate:
        """Combinations share the values of most keys: what is in ``known`` is not gone through again."""
        free = {}
        for key, positions in ((key, axis.positions) for axis in combination.axes for key in axis.keys):
            same = id(key.values), id(positions)
            free[_path(key)] = known.setdefault(same, known.get(same) or _Free.of(key, positions))
        return cls(combination, _leaves(combination.template.model_dump(mode="json")), free)

    def differences(self, other: Leaves) -> frozenset[str]:
        """Paths at which a configuration differs; of those that only one of them has, only if there are no
        others: these belong to a part of another kind."""
        shared = self.fixed.keys() & other.keys()
        found = {path for path in shared if not self._takes(path, other[path])}
        return frozenset(found or self.fixed.keys() ^ other.keys())

    def _takes(self, path: str, value: Any) -> bool:
        return value in self.free[path] if path in self.free else bool(self.fixed[path] == value)

    def labels(self, path: str) -> Sequence[Any]:
        """Some of the values that trials of this combination have at a path."""
        return self.free[path].first if path in self.free else [self.fixed.get(path)]


@dataclass
class _Differing:
    """The values that were found at a path, in order, each once."""

    there: dict[str, None] = field(default_factory=dict)
    here: dict[str, None] = field(default_factory=dict)


def describe_differences(configurations: Sequence[str], plan: Plan) -> str:
    """Which keys make trials others than those of the plan, with some of the values here and there.

    Args:
        configurations: of the other trials, JSON.

    Example:
        >>> from orchestrator.sweep.file import load
        >>> plan = load("jobs/quickstart.yaml").plan
        >>> other = next(plan.trials()).trial.model_copy(update={"steps": 7})
        >>> describe_differences([other.model_dump_json()], plan)
        'steps is 7 there, 400 here'
    """
    combinations = (c for structure in plan.structures for c in structure.combinations)
    known: dict[tuple[int, int], _Free] = {}
    candidates = [_Candidate.of(c, known) for c in islice(combinations, _MOST_COMBINATIONS)]
    found: dict[str, _Differing] = {}
    files: dict[str, None] = {}
    alike = False
    for other in map(_leaves, map(json.loads, configurations)):
        paths, nearest = _nearest(candidates, other)
        for path in sorted(paths):
            differing = found.setdefault(path, _Differing())
            differing.there[_text(other.get(path))] = None
            values = (value for candidate in nearest for value in candidate.labels(path))
            differing.here |= dict.fromkeys(_text(value) for value in values)
        if not paths:
            alike = True
            files |= {file.name: None for c in nearest for file in c.combination.template.files()}
    texts = [f"{path} is {_listed(d.there)} there, {_listed(d.here)} here" for path, d in found.items()]
    return "; ".join([*texts[:_MOST_SHOWN], *([_of_files(files)] if alike else [])])


def _nearest(candidates: Sequence[_Candidate], other: Leaves) -> tuple[frozenset[str], list[_Candidate]]:
    """The smallest set of paths at which a configuration differs, and the candidates that differ there."""
    differences = [candidate.differences(other) for candidate in candidates]
    paths = min(differences, key=len)
    return paths, [c for c, there in zip(candidates, differences, strict=True) if there == paths]


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
    first = list(texts)[:_MOST_SHOWN]
    if len(texts) > _MOST_SHOWN:
        return ", ".join([*first, "…"])
    return " or ".join(filter(None, [", ".join(first[:-1]), first[-1]]))


def _of_files(files: Mapping[str, None]) -> str:
    if not files:
        return "this version reads them otherwise"
    return f"{_listed(files)} has changed, or is read otherwise now"
