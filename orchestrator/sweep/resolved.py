"""The base with the values of axes and cases written over it, and where each of them came from."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any

from orchestrator.config.base import ConfigError
from orchestrator.config.faults import UNKNOWN_KEY, explain
from orchestrator.config.text import label
from orchestrator.errors import Fault, InputError
from orchestrator.sweep.axes import Key
from orchestrator.sweep.document import Document
from orchestrator.sweep.paths import Path, Place, dotted, position, write
from orchestrator.sweep.plan import Slot
from orchestrator.trial.problem import problem
from orchestrator.trial.trial import Trial


@dataclass
class Resolved:
    """One choice of values, on its way to a trial; its faults point to where each value came from.

    Attributes:
        folder: relative file names start here.
        root: absolute file names start here.
        data: a copy of the base; changed by ``put``.
        origins: where the values that were set stand in the document.
        keys: where the keys that set them stand.
    """

    document: Document
    folder: FilePath
    root: FilePath
    data: dict[str, Any]
    origins: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def put(self, key: Key, index: int) -> Any:
        """Writes value ``index`` of a key; returns what its column shows."""
        value, shown = label(key.values[index])
        origin = key.value_place(index)
        try:
            top = write(self.data, key.path, copy.deepcopy(value))
            self.origins |= {key.path[: len(top)]: origin, key.path: origin}
            self.keys[key.path] = key.place
        except LookupError as error:
            fault = self.document.fault(origin, f"does not exist: {error}")
            self.faults.append(replace(fault, path=dotted(key.path)))
        return shown

    def trial(self) -> Trial | None:
        """The trial, or None with ``faults`` filled."""
        data = self._without_gaps()
        try:
            trial = self._parse(data)
        except ConfigError as error:
            found = explain(error, Trial)
            self._note(found)
            self._note_others({str(place[0]) for place, _ in found if place}, data)
            return None
        self._note(_misfits(trial))
        return None if self.faults else trial

    def _note_others(self, faulty: set[str], data: dict[str, Any]) -> None:
        """Looks, with the faulty members left out, for what else is wrong."""
        rest = {name: value for name, value in data.items() if name not in faulty}
        try:
            trial = self._parse({"steps": 1, **rest})
        except ConfigError:
            return
        if not faulty & {"mode", "data"}:
            self._note((place, text) for place, text in _misfits(trial) if place[0] not in faulty)

    def _parse(self, data: dict[str, Any]) -> Trial:
        return Trial.parse(data, folder=str(self.folder), root=str(self.root))

    def _without_gaps(self) -> dict[str, Any]:
        """The data without the nulls that hold places in the list of updates."""
        if not isinstance(self.data.get("updates"), list):
            return self.data
        return {**self.data, "updates": [self.data["updates"][index] for index in self._kept()]}

    def _kept(self) -> list[int]:
        return [i for i, update in enumerate(self.data.get("updates") or []) if update is not None]

    def _note(self, found: Iterable[tuple[Place, str]]) -> None:
        self.faults += [self._fault(place, message) for place, message in found]

    def _fault(self, place: Place, message: str) -> Fault:
        """A fault of the trial, with the line that its value came from."""
        if len(place) > 1 and place[0] == "updates":
            place = ("updates", self._kept()[int(place[1])], *place[2:])
        parts = tuple(str(part) for part in place)
        lengths = [len(path) for path in self.origins if path == parts[: len(path)]]
        length = max(lengths, default=0)
        origin = self.origins[parts[:length]] if lengths else ("base",)
        if message.startswith(UNKNOWN_KEY) and parts in self.keys:
            origin = self.keys[parts]
        return replace(self.document.fault((*origin, *place[length:]), message), path=dotted(place))

    def slot(self, path: Path) -> Slot:
        """Where the free key at ``path`` goes, nulls in the list of updates not counted."""
        if len(path) == 1:
            return Slot(None, path[0])
        return Slot(self._kept().index(int(path[1])), path[2])

    def shown(self, name: str, trial: Trial) -> Any:
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


def _misfits(trial: Trial) -> list[tuple[Place, str]]:
    """What is wrong between parts that are legal by themselves."""
    faults = trial.check()
    try:
        problem(trial)
    except InputError as error:
        faults += error.faults
    return [(_place(fault.path), fault.message) for fault in faults]


def _place(path: str) -> Place:
    return tuple(int(part) if part.isdecimal() else part for part in path.split("."))
