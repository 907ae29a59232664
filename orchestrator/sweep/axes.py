"""What varies in a sweep: axes that multiply, keys that advance together, named cases."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from orchestrator.config.text import is_labelled, label
from orchestrator.sweep.paths import DocumentFault, KeyPath, Path, dotted


@dataclass(frozen=True)
class Key:
    """One key of an item, and its values.

    Attributes:
        path: path in the trial that the key sets.
        origin: path of its values in the document.
        bounds: values that are legal only if all values are; None: every value has to be checked.
    """

    path: KeyPath
    values: Sequence[Any]
    origin: Path
    bounds: Sequence[Any] | None = None

    @property
    def decisive_values(self) -> Sequence[Any]:
        """Values that are legal only if all are."""
        return self.values if self.bounds is None else self.bounds

    def value_origin(self, index: int) -> Path:
        """Returns the path of value ``index`` in the document."""
        if self.bounds is not None:
            return self.origin
        origin = (*self.origin, index)
        return (*origin, "value") if is_labelled(self.values[index]) else origin


@dataclass(frozen=True)
class Axis:
    """An item of a sweep: keys that advance together. ``positions`` selects values without repeats."""

    keys: tuple[Key, ...]
    positions: Sequence[int]


@dataclass(frozen=True)
class AxisScope:
    """A sweep, or a case of it: the keys that a case sets, and the items of its ``sweep``."""

    fixed: tuple[Key, ...] = ()
    items: tuple[Axis | dict[str, AxisScope], ...] = ()


@dataclass(frozen=True)
class Branch:
    """A scope with every case chosen: the keys that the cases set, the axes, and the names of the cases."""

    fixed: tuple[Key, ...] = ()
    axes: tuple[Axis, ...] = ()
    case: str = ""


def comparison_key(value: Any) -> Any:
    """Returns a hashable form of a listed value that is equal for equal values; 1 equals 1.0."""
    value, _ = label(value)
    return value if type(value) in (int, float) else json.dumps(value, sort_keys=True)


def count_choices(scope: AxisScope, counts: Callable[[Axis], bool]) -> int:
    """Returns the number of choices of cases, and of positions on each axis that ``counts``; lists none."""
    factors = (
        (len(item.positions) if counts(item) else 1)
        if isinstance(item, Axis)
        else sum(count_choices(sub, counts) for sub in item.values())
        for item in scope.items
    )
    return math.prod(factors)


def branches(scope: AxisScope) -> list[Branch]:
    """Returns every choice of cases, in the order of the file."""
    chosen = [Branch(scope.fixed)]
    for item in scope.items:
        if isinstance(item, Axis):
            chosen = [Branch(b.fixed, (*b.axes, item), b.case) for b in chosen]
        else:
            inner = [(name, branch) for name, sub in item.items() for branch in branches(sub)]
            chosen = [_joined(outer, name, branch) for outer in chosen for name, branch in inner]
    return chosen


def _joined(outer: Branch, name: str, inner: Branch) -> Branch:
    case = "/".join(filter(None, (outer.case, name, inner.case)))
    return Branch(outer.fixed + inner.fixed, outer.axes + inner.axes, case)


def clashes(branch: Branch) -> Iterator[DocumentFault]:
    """Yields the keys of a branch that would overwrite one another.

    A case or an axis may refine a value that a case sets (``gradient``, then ``gradient.backend.shots``).
    Two axes must not overlap, and no key may replace a value that an earlier key sets or varies.
    """
    ordered = [*branch.fixed, *(key for axis in branch.axes for key in axis.keys)]
    for (earlier, other), (_, key) in combinations(enumerate(ordered), 2):
        shared = min(len(key.path), len(other.path))
        both_axes = earlier >= len(branch.fixed)
        if key.path[:shared] == other.path[:shared] and (both_axes or len(key.path) == shared):
            message = "is varied twice" if key.path == other.path else f"overlaps {dotted(other.path)}"
            yield DocumentFault(key.origin, message, other=other.origin)
