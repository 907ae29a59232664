"""The base with values of axes and cases written over it, and the origin of each value."""

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
from orchestrator.sweep.paths import DocumentFault, KeyPath, Path, dotted, list_index, write
from orchestrator.sweep.plan import KeyTarget
from orchestrator.trial.problem import problem
from orchestrator.trial.trial import Trial


@dataclass
class Resolved:
    """One choice of values, from which a trial is built; its faults are at the paths of the faulty values.

    Attributes:
        folder: relative file names start here.
        root: absolute file names start here.
        data: a copy of the base; changed by ``put``.
        origins: for values that were set, their paths in the document; all others are in the base.
        keys: for values that were set, the paths in the document of the keys that set them.
    """

    folder: FilePath
    root: FilePath
    data: dict[str, Any]
    origins: dict[KeyPath, Path] = field(default_factory=lambda: {(): ("base",)})
    keys: dict[KeyPath, Path] = field(default_factory=dict)
    faults: list[DocumentFault] = field(default_factory=list)

    def put(self, key: Key, index: int) -> Any:
        """Writes value ``index`` of a key; returns its label."""
        value, text = label(key.values[index])
        origin = key.value_origin(index)
        try:
            top = write(self.data, key.path, copy.deepcopy(value))
            self.origins |= {key.path[: len(top)]: origin, key.path: origin}
            self.keys[key.path] = key.origin
        except LookupError as error:
            self.faults.append(DocumentFault(origin, f"does not exist: {error}", dotted(key.path)))
        return text

    def trial(self) -> Trial | None:
        """Returns the trial, or None with ``faults`` filled."""
        data = self._without_null_updates()
        try:
            trial = self._parse(data)
        except ConfigError as error:
            faults = explain(error, Trial)
            faults += self._other_faults({str(path[0]) for path, _ in faults if path}, data)
        else:
            faults = _joint_faults(trial)
        self.faults += [self._document_fault(path, message) for path, message in faults]
        return None if self.faults else trial

    def _other_faults(self, faulty: set[str], data: dict[str, Any]) -> list[tuple[Path, str]]:
        """Returns the faults between the other members that show without the faulty ones."""
        rest = {name: value for name, value in data.items() if name not in faulty}
        try:
            trial = self._parse({"steps": 1, **rest})
        except ConfigError:
            return []
        faults = [] if faulty & {"mode", "data"} else _joint_faults(trial)
        return [(path, message) for path, message in faults if path[0] not in faulty]

    def _parse(self, data: dict[str, Any]) -> Trial:
        return Trial.parse(data, folder=str(self.folder), root=str(self.root))

    def _without_null_updates(self) -> dict[str, Any]:
        """Returns the data without the nulls in the list of updates."""
        if not isinstance(self.data.get("updates"), list):
            return self.data
        return {**self.data, "updates": [self.data["updates"][index] for index in self._kept_updates()]}

    def _kept_updates(self) -> list[int]:
        return [i for i, update in enumerate(self.data.get("updates") or []) if update is not None]

    def _document_fault(self, path: Path, message: str) -> DocumentFault:
        """Returns a fault of the trial at the path of the document where the value is."""
        if len(path) > 1 and path[0] == "updates":
            path = ("updates", self._kept_updates()[int(path[1])], *path[2:])
        parts = tuple(map(str, path))
        if message.startswith(UNKNOWN_KEY) and parts in self.keys:
            return DocumentFault(self.keys[parts], message, dotted(path))
        length = max(length for length in range(len(parts) + 1) if parts[:length] in self.origins)
        return DocumentFault((*self.origins[parts[:length]], *path[length:]), message, dotted(path))

    def target(self, path: KeyPath) -> KeyTarget:
        """Returns the target of the free key at ``path``; nulls in the list of updates do not count."""
        if len(path) == 1:
            return KeyTarget(None, path[0])
        return KeyTarget(self._kept_updates().index(int(path[1])), path[2])

    def column_value(self, name: str, trial: Trial) -> Any:
        """Returns the label of a key that does not vary here: its value in ``trial``, or None."""
        parts, current = name.split("."), self.data
        for part in parts:
            key = list_index(part, current) if isinstance(current, list) else part
            if key is None or not isinstance(current, (list, dict)):
                return None
            if isinstance(current, dict) and part not in current:
                return self._default(parts, trial)
            current = current[key]
        return label(current)[1]

    def _default(self, parts: list[str], trial: Trial) -> Any:
        current: Any = trial
        for part in parts:
            is_updates = isinstance(current, tuple)
            current = (
                current[self._kept_updates().index(int(part))] if is_updates else getattr(current, part, None)
            )
        return current if isinstance(current, (int, float, str)) else None


def _joint_faults(trial: Trial) -> list[tuple[Path, str]]:
    """Returns the faults between parts that are legal on their own."""
    faults = trial.check()
    try:
        problem(trial)
    except InputError as error:
        faults += error.faults
    return [(_path(fault.path), fault.message) for fault in faults]


def _path(name: str) -> Path:
    return tuple(int(part) if part.isdecimal() else part for part in name.split("."))
