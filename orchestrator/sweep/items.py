"""Reads the items of the key ``sweep`` into axes and cases."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.config.text import label, show
from orchestrator.sweep.axes import Axis, AxisScope, Key, comparison_key
from orchestrator.sweep.draws import DISTRIBUTIONS, Draws, distinct, distribution
from orchestrator.sweep.paths import DocumentFault, KeyPath, Path, dotted

_CASE_NAME = re.compile(r"[\w.-]+")
_MOST_SAMPLES = 10_000_000
"""All samples are read once, to leave out repeats."""
_MOST_VALUES = 2**63


@dataclass
class ItemReader:
    """Reads items; collects faults instead of stopping at the first."""

    sampling_seed: int
    faults: list[DocumentFault] = field(default_factory=list)

    def scope(self, items: Any, path: Path, fixed: tuple[Key, ...] = ()) -> AxisScope:
        """Returns the scope with the items at ``path``, and with the keys that its case sets."""
        if not isinstance(items, list):
            self.fault(path, f"is {show(items)}, must be a list of items ([] for one trial)")
            return AxisScope(fixed)
        scope_items = [self.item(item, (*path, index)) for index, item in enumerate(items)]
        return AxisScope(fixed, tuple(item for item in scope_items if item is not None))

    def item(self, item: Any, path: Path) -> Axis | dict[str, AxisScope] | None:
        """Returns one item; None if it is faulty."""
        if not isinstance(item, dict) or not item:
            return self.fault(path, f"is {show(item)}, must be a mapping such as `seed: [0, 1]`")
        if "cases" in item:
            return self.cases(item, path)
        if "samples" in item:
            return self.samples(item, path)
        return self.zipped(item, path)

    def zipped(self, item: Mapping[str, Any], path: Path) -> Axis | None:
        """Returns the axis of keys with listed values or ranges, all of one length."""
        keys = [self.listed(name, values, (*path, name)) for name, values in item.items()]
        good = tuple(key for key in keys if key is not None)
        if len(good) < len(keys):
            return None
        if len({len(key.values) for key in good}) > 1:
            lengths = ", ".join(f"{dotted(key.path)}: {len(key.values)}" for key in good)
            return self.fault(path, f"keys that advance together need lists of equal length ({lengths})")
        if all(key.bounds is None for key in good):
            self.refuse_repeats(good)
        return Axis(good, range(len(good[0].values)))

    def refuse_repeats(self, keys: Sequence[Key]) -> None:
        """Adds faults for joint values, and for joint labels, that an earlier position has."""
        values: set[Any] = set()
        columns: set[Any] = set()
        for index, row in enumerate(zip(*(key.values for key in keys), strict=True)):
            value, column = tuple(map(comparison_key, row)), tuple(str(label(item)[1]) for item in row)
            path = (*keys[0].origin, index)
            if value in values:
                self.fault(path, f"{show(row[0])} is listed twice")
            elif column in columns:
                self.fault(
                    path, f"has the label {show(column[0])} of an earlier value; give it its own label"
                )
            values.add(value)
            columns.add(column)

    def listed(self, name: str, values: Any, path: Path) -> Key | None:
        """Returns a key with listed values or a range."""
        key = self.key(name, path)
        if key is None:
            return None
        if isinstance(values, dict) and values.keys() == {"range"}:
            return self.range(key, values["range"], path)
        if isinstance(values, dict) and values and values.keys() <= DISTRIBUTIONS.keys():
            return self.fault(path, f"is {show(values)}, which needs `samples: n` in the same item")
        if not isinstance(values, list):
            return self.fault(path, f"is {show(values)}, must be a list of values or {{range: n}}")
        if not values:
            return self.fault(path, "has no values; an empty axis leaves no trials")
        return Key(key, values, path)

    def range(self, key: KeyPath, spec: Any, path: Path) -> Key | None:
        """Returns a key with a range; ``spec`` is n, [start, stop] or [start, stop, step], as in Python."""
        arguments = spec if isinstance(spec, list) else [spec]
        if not 1 <= len(arguments) <= 3 or not all(type(part) is int for part in arguments):
            legal = "n, [start, stop] or [start, stop, step] in whole numbers"
            return self.fault(path, f"range is {show(spec)}, must be {legal}")
        if arguments[2:] == [0]:
            return self.fault(path, f"range {show(spec)} has step 0")
        values = range(*arguments)
        if not values:
            return self.fault(path, f"range {show(spec)} is empty; an empty axis leaves no trials")
        if (values[-1] - values[0]) // values.step >= _MOST_VALUES - 1:
            return self.fault(path, f"range {show(spec)} has too many values")
        return Key(key, values, path, bounds=(values[0], values[-1]))

    def samples(self, item: Mapping[str, Any], path: Path) -> Axis | None:
        """Returns the axis of jointly sampled keys, without repeated joint draws."""
        count = item["samples"]
        if type(count) is not int or not 1 <= count <= _MOST_SAMPLES:
            message = f"is {show(count)}, must be a whole number from 1 to {_MOST_SAMPLES:,}"
            return self.fault((*path, "samples"), message)
        names = [name for name in item if name != "samples"]
        if not names:
            return self.fault(path, "samples needs at least one key with a distribution")
        keys = [self.sampled(name, item[name], count, (*path, name)) for name in names]
        good = tuple(key for key in keys if key is not None)
        if len(good) < len(keys):
            return None
        return Axis(good, distinct([key.values for key in good], comparison_key))

    def sampled(self, name: str, spec: Any, count: int, path: Path) -> Key | None:
        """Returns a key with a distribution."""
        key = self.key(name, path)
        try:
            transform, bounds = distribution(spec)
        except ValueError as error:
            return self.fault(path, str(error))
        if key is None:
            return None
        draws = Draws(name, self.sampling_seed, count, transform)
        return Key(key, draws, path, bounds or (min(draws), max(draws)))

    def cases(self, item: Mapping[str, Any], path: Path) -> dict[str, AxisScope] | None:
        """Returns the scopes of named cases; each may set values and have a sweep."""
        cases = item["cases"]
        if len(item) > 1:
            other = next(name for name in item if name != "cases")
            return self.fault((*path, other), "is in the same item as `cases`; give it an item of its own")
        if not isinstance(cases, dict) or not cases:
            return self.fault((*path, "cases"), f"is {show(cases)}, must map names to what they change")
        return {name: self.case(name, body, (*path, "cases", name)) for name, body in cases.items()}

    def case(self, name: str, body: Any, path: Path) -> AxisScope:
        """Returns the scope of one case."""
        if not _CASE_NAME.fullmatch(name):
            self.fault(path, f"case name {show(name)} may hold letters, digits, '_', '-' and '.' only")
        if body is None:
            return AxisScope()
        if not isinstance(body, dict):
            self.fault(path, f"is {show(body)}, must be a mapping ({{}} changes nothing)")
            return AxisScope()
        fixed = []
        for key_name, value in body.items():
            key = self.key(key_name, (*path, key_name)) if key_name != "sweep" else None
            if key is not None:
                fixed.append(Key(key, [value], (*path, key_name), bounds=(value,)))
        return self.scope(body.get("sweep", []), (*path, "sweep"), tuple(fixed))

    def key(self, name: str, path: Path) -> KeyPath | None:
        """Returns the parts of a dotted key; None if it is faulty."""
        key = tuple(name.split("."))
        if key[0] == "record":
            return self.fault(path, "record is no part of a trial; set it in base")
        return key

    def fault(self, path: Path, message: str) -> Any:
        """Adds a fault; returns None, so that a method can return the result."""
        self.faults.append(DocumentFault(path, message))
