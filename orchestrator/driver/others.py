"""Finds the keys in which trials of other sweeps in a run differ from those of the sweep."""

from __future__ import annotations

import json
import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from orchestrator.config.text import label, show
from orchestrator.sweep.plan import Combination, FreeKey, Plan

MOST_COMPARED = 32
"""Number of trials that are compared. Ids are hashes, so the first ones are a fair sample."""

_MOST_COMBINATIONS = 1000
_MOST_VALUES = 1000
_MOST_LISTED = 6
_MOST_NAMED = 3

_KINDS = ("source", "kind", "engine", "optimizer", "clip", "clip after the optimizer")
"""Keys that choose a part. They are named first, as they explain other differences."""

Leaves = Mapping[str, Any]
"""Name -> value, for every value in a configuration. A name is a dotted path, or ``limit of clip norm``."""


@dataclass(frozen=True)
class _FreeValues:
    """The values of a key that varies inside a combination.

    Attributes:
        few: the first few values, and the last.
        values: all values; None if there are too many to list.
    """

    few: Sequence[Any]
    values: Container[Any] | None

    @classmethod
    def of(cls, key: FreeKey, positions: Sequence[int]) -> _FreeValues:
        values = (label(key.values[position])[0] for position in positions)
        first = list(islice(values, _MOST_VALUES + 1))
        few = [*first[:_MOST_LISTED], label(key.values[positions[-1]])[0]]
        if isinstance(key.values, range):
            return cls(few, key.values)
        return cls(few, frozenset(first) if len(first) <= _MOST_VALUES else None)

    def __contains__(self, value: Any) -> bool:
        return self.values is None or value in self.values


@dataclass(frozen=True)
class _Candidate:
    """A combination of the plan.

    Attributes:
        fixed: values that all its trials share, by name.
        free: values of the keys that vary inside it, by name.
    """

    combination: Combination
    fixed: Leaves
    free: Mapping[str, _FreeValues]

    @classmethod
    def of(cls, combination: Combination, known: dict[tuple[int, int], _FreeValues]) -> _Candidate:
        """Returns the candidate. ``known`` caches the values of keys, which combinations share."""
        configuration = combination.template.model_dump(mode="json")
        parts = _update_names(configuration["updates"])
        free = {}
        for key, positions in ((key, axis.positions) for axis in combination.axes for key in axis.keys):
            shared, target = (id(key.values), id(positions)), key.target
            name = target.name if target.update is None else f"{target.name} of {parts[target.update]}"
            free[name] = known.setdefault(shared, known.get(shared) or _FreeValues.of(key, positions))
        return cls(combination, _leaves(configuration), free)

    def differences(self, other: Leaves) -> frozenset[str]:
        """Returns the names of the values in which a configuration differs.

        Values that only one side has count only if no shared one differs: they belong to a part of another
        kind, whose kind differs already.
        """
        shared = self.fixed.keys() & other.keys()
        differing = {name for name in shared if not self._allows(name, other[name])}
        return frozenset(differing or self.fixed.keys() ^ other.keys())

    def _allows(self, name: str, value: Any) -> bool:
        return value in self.free[name] if name in self.free else bool(self.fixed[name] == value)

    def labels(self, name: str) -> Sequence[Any]:
        """Returns a few of the values that trials of this combination have under a name."""
        return self.free[name].few if name in self.free else [self.fixed.get(name)]


@dataclass
class _Values:
    """The values under a name in the other trials (there) and in the plan (here)."""

    there: set[str] = field(default_factory=set)
    here: set[str] = field(default_factory=set)


def describe_differences(configurations: Sequence[str], plan: Plan) -> str:
    """Describes in which keys trials differ from those of a plan, with some values of both.

    An update is named by its kind, as its index depends on the nulls in the sweep file.

    Args:
        configurations: configurations of the other trials, as JSON.

    Example:
        >>> from orchestrator.sweep.file import load
        >>> plan = load("jobs/quickstart.yaml").plan
        >>> other = next(plan.trials()).trial.model_copy(update={"steps": 7})
        >>> describe_differences([other.model_dump_json()], plan)
        'steps is 7 instead of 400'
    """
    combinations = (c for structure in plan.structures for c in structure.combinations)
    known: dict[tuple[int, int], _FreeValues] = {}
    candidates = [_Candidate.of(c, known) for c in islice(combinations, _MOST_COMBINATIONS)]
    values: dict[str, _Values] = {}
    files: dict[str, None] = {}
    equal = False
    for other in map(_leaves, map(json.loads, configurations)):
        names, nearest = _nearest(candidates, other)
        for name in names:
            under_name = values.setdefault(name, _Values())
            under_name.there.add(_text(other.get(name)))
            under_name.here |= {_text(value) for candidate in nearest for value in candidate.labels(name)}
        if not names:
            equal = True
            files |= {file.name: None for c in nearest for file in c.combination.template.files()}
    return "; ".join([*_differences(values), *([_changed_files(files)] if equal else [])])


def _differences(values: Mapping[str, _Values]) -> list[str]:
    names = sorted(values, key=lambda name: (not _is_kind(name), name))
    texts = [
        f"{name} is {_listed(values[name].there)} instead of {_listed(values[name].here)}"
        for name in names[:_MOST_NAMED]
    ]
    more = len(names) - _MOST_NAMED
    return [*texts, f"{more} more key{'s differ' if more > 1 else ' differs'}"] if more > 0 else texts


def _nearest(candidates: Sequence[_Candidate], other: Leaves) -> tuple[frozenset[str], list[_Candidate]]:
    """Returns the names in which a configuration differs from the nearest candidates, and these.

    The nearest have the fewest other kinds, and then the fewest other values.
    """
    differences = [candidate.differences(other) for candidate in candidates]
    names = min(differences, key=lambda names: (sum(map(_is_kind, names)), len(names)))
    return names, [c for c, differing in zip(candidates, differences, strict=True) if differing == names]


def _is_kind(name: str) -> bool:
    return name.rpartition(".")[2] in _KINDS


def _leaves(configuration: Mapping[str, Any]) -> Leaves:
    updates = configuration.get("updates") or []
    rest = {name: value for name, value in configuration.items() if name not in ("record", "updates")}
    return {**dict(_members("", rest)), **dict(_update_leaves(updates))}


def _members(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yields the values below a path; a list of plain values is one value."""
    if not value or not isinstance(value, dict | list) or not _is_nested(value):
        yield path, value
        return
    for name, member in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _members(f"{path}.{name}" if path else str(name), member)


def _is_nested(value: dict[str, Any] | list[Any]) -> bool:
    return isinstance(value, dict) or any(isinstance(member, dict | list) for member in value)


def _update_leaves(updates: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yields the kinds of the updates, and each of their values under the name of its update."""
    kinds = [_kind(update) for update in updates]
    optimizer = next((i for i, (family, _) in enumerate(kinds) if family == "optimizer"), len(kinds))
    clips = [kind for _, kind in kinds]
    yield "clip", " → ".join(clips[:optimizer]) or "none"
    yield "optimizer", "".join(clips[optimizer : optimizer + 1]) or "none"
    yield "clip after the optimizer", " → ".join(clips[optimizer + 1 :]) or "none"
    for update, (family, _), part in zip(updates, kinds, _update_names(updates), strict=True):
        for name, value in _members("", {key: member for key, member in update.items() if key != family}):
            yield f"{name} of {part}", value


def _update_names(updates: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns a name for each update: ``clip norm``, and ``clip norm (2)`` for a second one."""
    names = [" ".join(_kind(update)) for update in updates]
    counts = [names[: index + 1].count(name) for index, name in enumerate(names)]
    return [name if count == 1 else f"{name} ({count})" for name, count in zip(names, counts, strict=True)]


def _kind(update: Mapping[str, Any]) -> tuple[str, str]:
    family = "optimizer" if "optimizer" in update else "clip"
    return family, str(update[family])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "none" if value is None else show(value)


def _listed(texts: Iterable[str]) -> str:
    """Returns the texts in order; of many, the first few and the last."""
    ordered = sorted(texts, key=_order)
    if len(ordered) > _MOST_LISTED:
        return ", ".join([*ordered[:_MOST_NAMED], "…", ordered[-1]])
    return " or ".join(filter(None, [", ".join(ordered[:-1]), ordered[-1]]))


def _order(text: str) -> tuple[float, str]:
    """Sorts numbers by their value, before all other texts."""
    try:
        return float(text), text
    except ValueError:
        return math.inf, text


def _changed_files(files: Mapping[str, None]) -> str:
    if not files:
        return "this version reads them differently"
    return f"{_listed(files)} has changed, or this version reads it differently"
