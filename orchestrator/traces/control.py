"""What goes between the driver of a run and whoever looks at it: requests in, its standing out.

    control/cancel       commit what is under way, then stop
    control/stop-<id>    end this trial
    progress.json        how far the sweep is; written with every commit

All are small files that are written in one step. Only the driver removes requests. What the disk or the store
refuses is a RunDirectoryError.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass

from orchestrator.traces.storage import SAFE, Storage, explained

CONTROL = "control"
PROGRESS = "progress.json"
_CANCEL = "cancel"
_STOP = re.compile(r"stop-([0-9a-f]{16})")


@dataclass(frozen=True)
class Standing:
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

    def write(self, standing: Standing) -> None:
        """Says how far the sweep is."""
        self._put(PROGRESS, (json.dumps(asdict(standing), indent=1) + "\n").encode())

    def standing(self) -> Standing | None:
        """How far the sweep was; None if nothing was written yet, or what was is damaged."""
        with explained(self._folder.root, SAFE):
            text = self._folder.read(PROGRESS)
        return _standing(text) if text else None

    def _names(self) -> list[str]:
        with explained(self._folder.root, SAFE):
            return self._folder.names(CONTROL)

    def _put(self, name: str, content: bytes) -> None:
        with explained(self._folder.root, SAFE):
            self._folder.replace(name, content)

    def _delete(self, name: str) -> None:
        with explained(self._folder.root, SAFE):
            self._folder.delete(name)


def _standing(text: bytes) -> Standing | None:
    try:
        standing = Standing(**json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None
    numbers = astuple(standing)
    return (
        standing
        if all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
        else None
    )
