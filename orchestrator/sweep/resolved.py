"""The base with the values of axes and cases written over it, and where each of them came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from orchestrator.config import ConfigError, explain, show
from orchestrator.errors import Fault, InputError
from orchestrator.sweep.axes import Key, Path, label
from orchestrator.sweep.document import Document, Place, dotted
from orchestrator.sweep.plan import Slot
from orchestrator.sweep.problem import problem
from orchestrator.sweep.trial import Trial


@dataclass
class Resolved:
    """The base with values written over it, and where each of them came from."""

    document: Document
    folder: FilePath
    data: dict[str, Any]
    origins: dict[Path, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def set(self, key: Key, index: int) -> Any:
        """Writes a value of ``key``; returns what its column shows."""
        value, shown = label(key.values[index])
        self.origins[key.path] = key.value_place(index)
        current: Any = self.data
        for depth, part in enumerate(key.path):
            last = depth == len(key.path) - 1
            if isinstance(current, list) and (not part.isdigit() or int(part) >= len(current)):
                return self._refuse(key.path, f"no item {part} in a list of {len(current)}")
            if not isinstance(current, (list, dict)):
                return self._refuse(
                    key.path, f"{dotted(key.path[:depth])} is {show(current)}, nothing is inside it"
                )
            where: Any = int(part) if isinstance(current, list) else part
            if last:
                current[where] = value
            else:
                if isinstance(current, dict) and current.get(where) is None:
                    current[where] = {}
                current = current[where]
        return shown

    def _refuse(self, path: Path, message: str) -> None:
        self.faults.append(self.document.fault(self.origins[path], f"does not exist: {message}"))

    def trial(self) -> Trial | None:
        """The trial, or None with ``faults`` filled."""
        if self.faults:
            return None
        try:
            trial = Trial.parse(self._without_gaps(), folder=str(self.folder))
        except ConfigError as error:
            self.faults += [self._fault(place, message) for place, message in explain(error, Trial)]
            return None
        found = trial.check()
        if not found:
            try:
                problem(trial)
            except InputError as error:
                found = list(error.faults)
        self.faults += [self._fault(_place(fault.path), fault.message) for fault in found]
        return None if found else trial

    def _without_gaps(self) -> dict[str, Any]:
        """The data without the nulls that hold places in the list of updates."""
        if not isinstance(self.data.get("updates"), list):
            return self.data
        return {**self.data, "updates": [update for update in self.data["updates"] if update is not None]}

    def _kept(self) -> list[int]:
        return [i for i, update in enumerate(self.data.get("updates") or []) if update is not None]

    def _fault(self, place: Place, message: str) -> Fault:
        if len(place) > 1 and place[0] == "updates":
            place = ("updates", self._kept()[int(place[1])], *place[2:])
        text = tuple(str(part) for part in place)
        length = max((len(path) for path in self.origins if path == text[: len(path)]), default=0)
        origin = self.origins.get(text[:length], ("base",)) if length else ("base",)
        within = self.document.fault((*origin, *place[length:]), message)
        return Fault(dotted(place), message, within.file, within.line)

    def slot(self, path: Path) -> Slot:
        """Where the free key at ``path`` goes, nulls in the list of updates not counted."""
        if len(path) == 1:
            return Slot(None, path[0])
        return Slot(self._kept().index(int(path[1])), path[2])

    def shown(self, name: str) -> Any:
        """What the column of a key shows that is not varied here: its value, if there is one."""
        current: Any = self.data
        for part in name.split("."):
            if isinstance(current, list) and part.isdigit() and int(part) < len(current):
                current = current[int(part)]
            elif isinstance(current, dict) and part in current:
                current = current[part]
            else:
                return None
        return label(current)[1]


def _place(path: str) -> Place:
    return tuple(int(part) if part.isdigit() else part for part in path.split(".") if part)
