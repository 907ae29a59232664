"""The base with the values of axes and cases written over it, and where each of them came from."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from orchestrator.config.base import ConfigError
from orchestrator.config.faults import UNKNOWN_KEY, explain
from orchestrator.config.text import label
from orchestrator.errors import InputError
from orchestrator.sweep.axes import Key
from orchestrator.sweep.paths import KeyPath, Located, Path, dotted, position, write
from orchestrator.sweep.plan import KeyTarget
from orchestrator.trial.problem import problem
from orchestrator.trial.trial import Trial


@dataclass
class Resolved:
    """One choice of values, on its way to a trial; its faults point to where each value stands.

    Attributes:
        folder: relative file names start here.
        root: absolute file names start here.
        data: a copy of the base; changed by ``put``.
        origins: paths in the document of the values that were set; what was not is the base's.
        keys: paths in the document of the keys that set them.
    """

    folder: FilePath
    root: FilePath
    data: dict[str, Any]
    origins: dict[KeyPath, Path] = field(default_factory=lambda: {(): ("base",)})
    keys: dict[KeyPath, Path] = field(default_factory=dict)
    faults: list[Located] = field(default_factory=list)

    def put(self, key: Key, index: int) -> Any:
        """Writes value ``index`` of a key; returns what its column shows."""
        value, text = label(key.values[index])
        origin = key.value_origin(index)
        try:
            top = write(self.data, key.path, copy.deepcopy(value))
            self.origins |= {key.path[: len(top)]: origin, key.path: origin}
            self.keys[key.path] = key.origin
        except LookupError as error:
            self.faults.append(Located(origin, f"does not exist: {error}", dotted(key.path)))
        return text

    def trial(self) -> Trial | None:
        """The trial, or None with ``faults`` filled."""
        data = self._without_gaps()
        try:
            trial = self._parse(data)
        except ConfigError as error:
            found = explain(error, Trial)
            found += self._others({str(path[0]) for path, _ in found if path}, data)
        else:
            found = _misfits(trial)
        self.faults += [self._located(*one) for one in found]
        return None if self.faults else trial

    def _others(self, faulty: set[str], data: dict[str, Any]) -> list[tuple[Path, str]]:
        """What is wrong between the other members, as far as that can be told without the faulty ones."""
        rest = {name: value for name, value in data.items() if name not in faulty}
        try:
            trial = self._parse({"steps": 1, **rest})
        except ConfigError:
            return []
        found = [] if faulty & {"mode", "data"} else _misfits(trial)
        return [one for one in found if one[0][0] not in faulty]

    def _parse(self, data: dict[str, Any]) -> Trial:
        return Trial.parse(data, folder=str(self.folder), root=str(self.root))

    def _without_gaps(self) -> dict[str, Any]:
        """The data without the nulls that stand in the list of updates."""
        if not isinstance(self.data.get("updates"), list):
            return self.data
        return {**self.data, "updates": [self.data["updates"][index] for index in self._kept()]}

    def _kept(self) -> list[int]:
        return [i for i, update in enumerate(self.data.get("updates") or []) if update is not None]

    def _located(self, path: Path, message: str) -> Located:
        """What is wrong at a path of the trial, at the path of the document that its value came from."""
        if len(path) > 1 and path[0] == "updates":
            path = ("updates", self._kept()[int(path[1])], *path[2:])
        parts = tuple(map(str, path))
        if message.startswith(UNKNOWN_KEY) and parts in self.keys:
            return Located(self.keys[parts], message, dotted(path))
        length = max(length for length in range(len(parts) + 1) if parts[:length] in self.origins)
        return Located((*self.origins[parts[:length]], *path[length:]), message, dotted(path))

    def target(self, path: KeyPath) -> KeyTarget:
        """Where the free key at ``path`` goes, nulls in the list of updates not counted."""
        if len(path) == 1:
            return KeyTarget(None, path[0])
        return KeyTarget(self._kept().index(int(path[1])), path[2])

    def column_value(self, name: str, trial: Trial) -> Any:
        """What the column of a key shows that is not varied here: its value in ``trial``, if it has one."""
        parts, current = name.split("."), self.data
        for part in parts:
            where = position(part, current) if isinstance(current, list) else part
            if where is None or not isinstance(current, (list, dict)):
                return None
            if isinstance(current, dict) and part not in current:
                return self._default(parts, trial)
            current = current[where]
        return label(current)[1]

    def _default(self, parts: list[str], trial: Trial) -> Any:
        current: Any = trial
        for part in parts:
            inside = isinstance(current, tuple)
            current = current[self._kept().index(int(part))] if inside else getattr(current, part, None)
        return current if isinstance(current, (int, float, str)) else None


def _misfits(trial: Trial) -> list[tuple[Path, str]]:
    """What is wrong between parts that are legal by themselves."""
    faults = trial.check()
    try:
        problem(trial)
    except InputError as error:
        faults += error.faults
    return [(_path(fault.path), fault.message) for fault in faults]


def _path(name: str) -> Path:
    return tuple(int(part) if part.isdecimal() else part for part in name.split("."))
