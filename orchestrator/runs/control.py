"""Requests to the driver of a run, and the progress that it reports.

    control/cancel       commit the work in flight, then stop
    control/stop-<id>    end this trial
    progress.json        progress of the sweep; written with every commit

All are small files, each written in one step. Only the driver removes requests. An operation that the disk
or the store refuses raises RunDirectoryError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from orchestrator.errors import RunDirectoryError
from orchestrator.runs.storage.base import RESUME, Storage, explained

CONTROL = "control"
PROGRESS = "progress.json"
_CANCEL = "cancel"
_STOP = re.compile(r"stop-([0-9a-f]{16})")


@dataclass(frozen=True)
class SavedProgress:
    """Progress of a sweep at its last commit.

    Attributes:
        trials: number of trials of the sweep.
        ended: number of its trials that need no more steps.
        steps: trial-steps done since ``started_at``.
        steps_left: trial-steps still to be done.
        started_at: when this driver started, in seconds since 1970.
        written_at: when this progress was written, in seconds since 1970.
    """

    trials: int
    ended: int
    steps: int
    steps_left: int
    started_at: float
    written_at: float

    @classmethod
    def read(cls, text: bytes) -> Self:
        """Parses what ``Control.write`` has written.

        Raises:
            ValueError, TypeError, KeyError: the text is something else.
        """
        values = json.loads(text)
        kinds = {field.name: int if field.type == "int" else (int, float) for field in fields(cls)}
        if wrong := [name for name, kind in kinds.items() if not _is_number(values[name], kind)]:
            raise ValueError(wrong[0])
        return cls(**{name: values[name] for name in kinds})


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and abs(value) < 2**63  # false for NaN


class Control:
    """The requests in a run directory, and its progress file.

    Example::

        Control(folder).stop(["0123456789abcdef"])
    """

    def __init__(self, folder: Storage) -> None:
        self._folder = folder

    def cancel(self) -> None:
        """Asks the driver to commit and stop."""
        self._replace(f"{CONTROL}/{_CANCEL}", b"")

    def stop(self, trials: Iterable[str]) -> None:
        """Asks the driver to end single trials."""
        for trial in trials:
            self._replace(f"{CONTROL}/stop-{trial}", b"")

    @property
    def cancelled(self) -> bool:
        """Whether there is a request to stop the sweep."""
        return _CANCEL in self._names()

    @property
    def stopped(self) -> frozenset[str]:
        """Ids of the trials with a request to end."""
        matches = (_STOP.fullmatch(name) for name in self._names())
        return frozenset(match[1] for match in matches if match)

    def forget_cancel(self) -> None:
        """Removes the request to stop."""
        self._delete(f"{CONTROL}/{_CANCEL}")

    def forget(self) -> None:
        """Removes all requests."""
        self._delete(CONTROL)

    def write(self, progress: SavedProgress) -> None:
        """Writes the progress of the sweep."""
        self._replace(PROGRESS, (json.dumps(asdict(progress), indent=1) + "\n").encode())

    def progress(self) -> SavedProgress | None:
        """Reads the progress of the sweep; None if none was written yet.

        Raises:
            RunDirectoryError: the file is damaged, or of another version.
        """
        with explained(self._folder.root, RESUME):
            text = self._folder.read(PROGRESS)
        if text is None:
            return None
        try:
            return SavedProgress.read(text)
        except (ValueError, TypeError, KeyError, RecursionError):
            raise RunDirectoryError(
                f"{self._folder.path(PROGRESS)} is damaged or of another version; a driver rewrites it"
            ) from None

    def _names(self) -> list[str]:
        with explained(self._folder.root, RESUME):
            return self._folder.names(CONTROL)

    def _replace(self, name: str, content: bytes) -> None:
        with explained(self._folder.root, RESUME):
            self._folder.replace(name, content)

    def _delete(self, name: str) -> None:
        with explained(self._folder.root, RESUME):
            self._folder.delete(name)
