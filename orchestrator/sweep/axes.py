"""The key ``sweep``: axes that multiply, keys that advance together, samples, named cases."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.config import show
from orchestrator.errors import Fault
from orchestrator.sweep.document import Document, Place, dotted
from orchestrator.sweep.draws import Draws, distribution

Path = tuple[str, ...]
_CASE_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Key:
    """One key of an item and the values that it takes.

    Attributes:
        place: where its values stand in the document.
        bounds: values that between them show whether all are legal; None: look at every one.
    """

    path: Path
    values: Sequence[Any]
    place: Place
    bounds: Sequence[Any] | None = None
    discrete: bool = True

    def value_place(self, index: int) -> Place:
        """Where value ``index`` stands."""
        return (*self.place, index) if self.bounds is None else self.place


@dataclass(frozen=True)
class Axis:
    """An item of a sweep: keys that advance together. ``positions`` picks values without repeats."""

    keys: tuple[Key, ...]
    positions: Sequence[int]

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True)
class Scope:
    """What holds together: values set at once (by a case) and the items of a ``sweep``."""

    sets: tuple[Key, ...] = ()
    items: tuple[Axis | dict[str, Scope], ...] = ()


@dataclass(frozen=True)
class Branch:
    """A scope with every case chosen: what is set, along which axes, and the cases' names."""

    sets: tuple[Key, ...] = ()
    axes: tuple[Axis, ...] = ()
    case: str = ""


def label(value: Any) -> tuple[Any, Any]:
    """A listed value as (value, what its column shows): a number, or a string."""
    if isinstance(value, dict) and set(value) == {"label", "value"}:
        return value["value"], str(value["label"])
    return value, _describe(value)


def _describe(value: Any) -> Any:
    if isinstance(value, dict):
        return " ".join(f"{key}={_describe(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "[" + ", ".join(str(_describe(item)) for item in value) + "]"
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else value


def branches(scope: Scope) -> Iterator[Branch]:
    """Every choice of cases, in the order of the file."""
    found = [Branch(scope.sets)]
    for item in scope.items:
        if isinstance(item, Axis):
            found = [Branch(b.sets, (*b.axes, item), b.case) for b in found]
        else:
            inner = [(name, b) for name, sub in item.items() for b in branches(sub)]
            found = [
                Branch(o.sets + b.sets, o.axes + b.axes, "/".join(filter(None, (o.case, name, b.case))))
                for o in found
                for name, b in inner
            ]
    return iter(found)


@dataclass
class AxisReader:
    """Reads the key ``sweep``; collects faults instead of stopping at the first."""

    document: Document
    sampling_seed: int
    faults: list[Fault] = field(default_factory=list)

    def scope(self, items: Any, place: Place, sets: tuple[Key, ...] = ()) -> Scope:
        """The scope whose items stand at ``place``."""
        if not isinstance(items, list):
            self.fault(place, f"is {show(items)}, must be a list of items")
            return Scope(sets)
        read = [self.item(item, (*place, index)) for index, item in enumerate(items)]
        return Scope(sets, tuple(item for item in read if item is not None))

    def item(self, item: Any, place: Place) -> Axis | dict[str, Scope] | None:
        """One item; None if it is faulty."""
        if not isinstance(item, dict) or not item:
            return self.fault(place, f"is {show(item)}, must be a mapping such as `seed: [0, 1]`")
        if "cases" in item:
            return self.cases(item, place)
        if "samples" in item:
            return self.samples(item, place)
        return self.zipped(item, place)

    def zipped(self, item: Mapping[str, Any], place: Place) -> Axis | None:
        """Keys with listed values or a range, all of one length."""
        keys = [self.listed(path, values, (*place, path)) for path, values in item.items()]
        good = [key for key in keys if key is not None]
        if len(good) < len(keys):
            return None
        if len({len(key.values) for key in good}) > 1:
            lengths = ", ".join(f"{dotted(key.path)}: {len(key.values)}" for key in good)
            return self.fault(place, f"keys that advance together need lists of equal length ({lengths})")
        if all(key.bounds is None for key in good):
            self.refuse_repeats(good)
        return Axis(tuple(good), range(len(good[0].values)))

    def refuse_repeats(self, keys: Sequence[Key]) -> None:
        seen: dict[str, int] = {}
        for index in range(len(keys[0].values)):
            text = json.dumps([label(key.values[index])[0] for key in keys], sort_keys=True)
            if text in seen:
                self.fault(keys[0].value_place(index), f"{show(keys[0].values[index])} is listed twice")
            seen[text] = index

    def listed(self, name: str, values: Any, place: Place) -> Key | None:
        path = self.path(name, place)
        if path is None:
            return None
        if isinstance(values, dict) and set(values) == {"range"}:
            return self.range(path, values["range"], place)
        if not isinstance(values, list):
            return self.fault(place, f"is {show(values)}, must be a list of values or {{range: …}}")
        if not values:
            return self.fault(place, "has no values; an empty axis leaves no trials")
        return Key(path, values, place)

    def range(self, path: Path, spec: Any, place: Place) -> Key | None:
        arguments = spec if isinstance(spec, list) else [spec]
        if not 1 <= len(arguments) <= 3 or not all(type(part) is int for part in arguments):
            return self.fault(
                place, f"range is {show(spec)}, must be n, [start, stop] or [start, stop, step]"
            )
        if len(arguments) == 3 and arguments[2] == 0:
            return self.fault(place, "range has step 0")
        values = range(*arguments)
        if not values:
            return self.fault(place, f"range {show(spec)} is empty; an empty axis leaves no trials")
        return Key(path, values, place, bounds=(values[0], values[-1]))

    def samples(self, item: Mapping[str, Any], place: Place) -> Axis | None:
        """Keys sampled jointly."""
        count = item["samples"]
        if type(count) is not int or count < 1:
            return self.fault((*place, "samples"), f"is {show(count)}, must be a whole number of at least 1")
        names = [name for name in item if name != "samples"]
        if not names:
            return self.fault(place, "samples needs at least one key with a distribution")
        keys = [self.sampled(name, item[name], count, (*place, name)) for name in names]
        good = tuple(key for key in keys if key is not None)
        if len(good) < len(keys):
            return None
        return Axis(good, _distinct(good, count))

    def sampled(self, name: str, spec: Any, count: int, place: Place) -> Key | None:
        path = self.path(name, place)
        try:
            transform, discrete, bounds = distribution(spec)
        except ValueError as error:
            return self.fault(place, str(error))
        if path is None:
            return None
        draws = Draws(name, self.sampling_seed, count, transform, discrete)
        if not bounds:
            bounds = [f(draws) for f in (min, max)]
        return Key(path, draws, place, bounds=bounds, discrete=discrete)

    def cases(self, item: Mapping[str, Any], place: Place) -> dict[str, Scope] | None:
        """Named alternatives, each with values of its own and perhaps a sweep."""
        cases = item["cases"]
        if len(item) > 1:
            other = next(name for name in item if name != "cases")
            return self.fault((*place, other), "stands beside `cases`; give it an item of its own")
        if not isinstance(cases, dict) or not cases:
            return self.fault((*place, "cases"), f"is {show(cases)}, must map names to what they change")
        return {name: self.case(name, body, (*place, "cases", name)) for name, body in cases.items()}

    def case(self, name: str, body: Any, place: Place) -> Scope:
        if not _CASE_NAME.fullmatch(name):
            self.fault(place, f"case name {show(name)} may hold letters, digits, '_', '-' and '.' only")
        if body is None:
            return Scope()
        if not isinstance(body, dict):
            self.fault(place, f"is {show(body)}, must be a mapping ({{}} changes nothing)")
            return Scope()
        sets = []
        for key, value in body.items():
            path = self.path(key, (*place, key)) if key != "sweep" else None
            if path is not None:
                sets.append(Key(path, [value], (*place, key), bounds=(value,)))
        return self.scope(body.get("sweep", []), (*place, "sweep"), tuple(sets))

    def path(self, name: str, place: Place) -> Path | None:
        path = tuple(name.split("."))
        if path[0] == "record":
            return self.fault(place, "what is recorded is no part of a trial; it can only be set in base")
        return path

    def fault(self, place: Place, message: str) -> Any:
        """Notes a fault; returns None, so that a reader can end with it."""
        self.faults.append(self.document.fault(place, message))


def _distinct(keys: tuple[Key, ...], count: int) -> Sequence[int]:
    """Positions of the distinct joint draws: all of them unless every key is discrete."""
    if not all(key.discrete for key in keys):
        return range(count)
    seen: dict[str, int] = {}
    for index in range(count):
        seen.setdefault(json.dumps([key.values[index] for key in keys], sort_keys=True), index)
    return tuple(seen.values())


def clashes(branch: Branch, document: Document) -> Iterator[Fault]:
    """Keys of a branch that would overwrite one another.

    An axis may refine what a case sets (``gradient``, then ``gradient.backend.shots``); two axes
    never touch, and nothing replaces what was set or varied before it.
    """
    axes = [key for axis in branch.axes for key in axis.keys]
    ordered = [*branch.sets, *axes]
    for later, key in enumerate(ordered):
        for earlier, other in enumerate(ordered[:later]):
            shared = min(len(key.path), len(other.path))
            both_axes = earlier >= len(branch.sets)
            if key.path[:shared] == other.path[:shared] and (both_axes or len(key.path) == shared):
                line = document.fault(other.place, "").line
                same = "is varied twice" if key.path == other.path else f"overlaps {dotted(other.path)}"
                yield document.fault(key.place, f"{same} (also in line {line}); give each key one place")


def total(branch: Branch) -> int:
    """Number of trials of a branch."""
    return math.prod(len(axis) for axis in branch.axes)
