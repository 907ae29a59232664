"""What goes between the driver of a run and whoever looks at it: requests in, its standing out.

    control/cancel       commit what is under way, then stop
    control/stop-<id>    end this trial
    progress.json        how far the sweep is; written with every commit

All are small files that are written in one step. Only the driver removes requests. What the disk or the store
refuses is a RunDirectoryError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from orchestrator.errors import RunDirectoryError
from orchestrator.runs.storage.base import SAFE, Storage, explained

CONTROL = "control"
PROGRESS = "progress.json"
_CANCEL = "cancel"
_STOP = re.compile(r"stop-([0-9a-f]{16})")


@dataclass(frozen=True)
class SavedProgress:
    """How far a sweep was at its last commit.

    Attributes:
        trials: of the sweep.
        ended: trials of the sweep that need nothing more.
        steps: trial-steps since ``started_at``.
        steps_left: trial-steps still to be done.
        started_at: when this driver began, in seconds since 1970.
        written_at: when this was written, likewise.
    """

    trials: int
    ended: int
    steps: int
    steps_left: int
    started_at: float
    written_at: float

    @classmethod
    def read(cls, text: bytes) -> Self:
        """From what ``Control.write`` has written.

        Raises:
            ValueError, TypeError, KeyError: it is anything else.
        """
        values = json.loads(text)
        kinds = {field.name: int if field.type == "int" else (int, float) for field in fields(cls)}
        if odd := [name for name, kind in kinds.items() if not _is_number(values[name], kind)]:
            raise ValueError(odd[0])
        return cls(**{name: values[name] for name in kinds})


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and abs(value) < 2**63  # false for NaN


class Control:
    """The requests in a run, and its standing.

    Example::

        Control(folder).stop(["0123456789abcdef"])
    """

    def __init__(self, folder: Storage) -> None:
        self._folder = folder

    def cancel(self) -> None:
        """Asks the driver to commit and stop."""
        self._put(f"{CONTROL}/{_CANCEL}", b"")

    def stop(self, trials: Iterable[str]) -> None:
        """Asks the driver to end these trials."""
        for trial in trials:
            self._put(f"{CONTROL}/stop-{trial}", b"")

    @property
    def cancelled(self) -> bool:
        """Whether the driver is asked to stop."""
        return _CANCEL in self._names()

    @property
    def stopped(self) -> frozenset[str]:
        """The trials that are to end."""
        found = (_STOP.fullmatch(name) for name in self._names())
        return frozenset(match[1] for match in found if match)

    def forget_cancel(self) -> None:
        """Removes the request to stop."""
        self._delete(f"{CONTROL}/{_CANCEL}")

    def forget(self) -> None:
        """Removes all requests."""
        self._delete(CONTROL)

    def write(self, progress: SavedProgress) -> None:
        """Says how far the sweep is."""
        self._put(PROGRESS, (json.dumps(asdict(progress), indent=1) + "\n").encode())

    def progress(self) -> SavedProgress | None:
        """How far the sweep was; None if nothing was written yet.

        Raises:
            RunDirectoryError: what was written is damaged, or of another version.
        """
        with explained(self._folder.root, SAFE):
            text = self._folder.read(PROGRESS)
        if text is None:
            return None
        try:
            return SavedProgress.read(text)
        except (ValueError, TypeError, KeyError, RecursionError):
            raise RunDirectoryError(
                f"{self._folder.path(PROGRESS)} is damaged or of another version; a driver writes it anew"
            ) from None

    def _names(self) -> list[str]:
        with explained(self._folder.root, SAFE):
            return self._folder.names(CONTROL)

    def _put(self, name: str, content: bytes) -> None:
        with explained(self._folder.root, SAFE):
            self._folder.replace(name, content)

    def _delete(self, name: str) -> None:
        with explained(self._folder.root, SAFE):
            self._folder.delete(name)
