"""What varies in a sweep: axes that multiply, keys that advance together, named cases."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from orchestrator.config.text import is_labelled, label
from orchestrator.sweep.paths import KeyPath, Located, Path, dotted


@dataclass(frozen=True)
class Key:
    """One key of an item and the values that it takes.

    Attributes:
        path: of what it sets in the trial.
        origin: path of its values in the document.
        bounds: values that between them show whether all are legal; None: look at every one.
    """

    path: KeyPath
    values: Sequence[Any]
    origin: Path
    bounds: Sequence[Any] | None = None

    @property
    def telling(self) -> Sequence[Any]:
        """Values that are legal only if all are."""
        return self.values if self.bounds is None else self.bounds

    def value_origin(self, index: int) -> Path:
        """Path of value ``index`` in the document."""
        if self.bounds is not None:
            return self.origin
        origin = (*self.origin, index)
        return (*origin, "value") if is_labelled(self.values[index]) else origin


@dataclass(frozen=True)
class Axis:
    """An item of a sweep: keys that advance together. ``positions`` picks values without repeats."""

    keys: tuple[Key, ...]
    positions: Sequence[int]


@dataclass(frozen=True)
class AxisScope:
    """What holds together: values set at once (by a case) and the items of a ``sweep``."""

    sets: tuple[Key, ...] = ()
    items: tuple[Axis | dict[str, AxisScope], ...] = ()


@dataclass(frozen=True)
class Branch:
    """A scope with every case chosen: what is set, along which axes, and the cases' names."""

    sets: tuple[Key, ...] = ()
    axes: tuple[Axis, ...] = ()
    case: str = ""


def comparable(value: Any) -> Any:
    """A hashable stand-in for a listed value: equal for equal values, numbers by their size (1 is 1.0)."""
    value, _ = label(value)
    return value if type(value) in (int, float) else json.dumps(value, sort_keys=True)


def choices(scope: AxisScope, counts: Callable[[Axis], bool]) -> int:
    """Number of ways to choose cases and a position of each axis that ``counts``; lists none of them."""
    factors = (
        (len(item.positions) if counts(item) else 1)
        if isinstance(item, Axis)
        else sum(choices(sub, counts) for sub in item.values())
        for item in scope.items
    )
    return math.prod(factors)


def branches(scope: AxisScope) -> list[Branch]:
    """Every choice of cases, in the order of the file."""
    found = [Branch(scope.sets)]
    for item in scope.items:
        if isinstance(item, Axis):
            found = [Branch(b.sets, (*b.axes, item), b.case) for b in found]
        else:
            inner = [(name, branch) for name, sub in item.items() for branch in branches(sub)]
            found = [_joined(outer, name, branch) for outer in found for name, branch in inner]
    return found


def _joined(outer: Branch, name: str, inner: Branch) -> Branch:
    case = "/".join(filter(None, (outer.case, name, inner.case)))
    return Branch(outer.sets + inner.sets, outer.axes + inner.axes, case)


def clashes(branch: Branch) -> Iterator[Located]:
    """Keys of a branch that would overwrite one another.

    A case or an axis may refine what a case sets (``gradient``, then ``gradient.backend.shots``); two
    axes never touch, and nothing replaces what was set or varied before it.
    """
    ordered = [*branch.sets, *(key for axis in branch.axes for key in axis.keys)]
    for (earlier, other), (_, key) in combinations(enumerate(ordered), 2):
        shared = min(len(key.path), len(other.path))
        both_axes = earlier >= len(branch.sets)
        if key.path[:shared] == other.path[:shared] and (both_axes or len(key.path) == shared):
            message = "is varied twice" if key.path == other.path else f"overlaps {dotted(other.path)}"
            yield Located(key.origin, message, other=other.origin)
